// Gives this host its identity: from a token that an administrator made by hand to one that the agent keeps fresh itself.
import { X509Certificate } from 'node:crypto';
import { hostNamespace } from '../../api/names.ts';
import type { KubeObject } from '../../api/object.ts';
import { SELF_SUBJECT_REVIEWS } from '../../api/resources.ts';
import { type Api, createApi } from '../../runtime/api.ts';
import type { Clock } from '../../runtime/clock.ts';
import { ConfigError } from '../../runtime/errors.ts';
import { kubeconfigText } from '../../runtime/kubeconfig.ts';
import { silentLog } from '../../runtime/log.ts';
import type { AgentConfig } from '../config.ts';
import { errorCode, type Files } from '../exec/files.ts';
import { makeDirectory } from '../store.ts';
import { type Attempt, explained } from './failures.ts';
import { isEnrolled, tokenFileIn } from './renewal.ts';
import { requestToken, type Token, userNameOf } from './token.ts';

const LARGEST_SKEW_MS = 60_000;

export interface Enrolment {
  readonly config: AgentConfig;
  readonly server: string;
  /** A file of it, or, from a join text, the certificate itself, PEM. */
  readonly ca: { readonly file: string } | { readonly pem: string };
  /** Short-lived, made by an administrator. */
  readonly token: string;
  readonly files: Files;
  readonly clock: Clock;
  /** Receives what a person is to know, line by line. */
  readonly tell: (line: string) => void;
  readonly lifetimeSeconds?: number;
}

interface SelfSubjectReview extends KubeObject {
  readonly status?: { readonly userInfo: { readonly username: string } };
}

/** Throws a ConfigError that names the remedy. Until the new token is there, nothing on the host has changed. */
export async function enroll(enrolment: Enrolment): Promise<void> {
  const { config, files, server } = enrolment;
  const token = wholeToken(enrolment.token);
  const url = usableServer(server);
  const ca = await readCa(enrolment);
  await refuseForeignKubeconfig(enrolment);
  const identity = { server: url, ca, namespace: hostNamespace(config.host) };
  const attempt = { server: url, ca: enrolment.ca, token, host: config.host };
  const own = await obtain(enrolment, kubeconfigText({ ...identity, user: { token } }), attempt);
  const tokenFile = tokenFileIn(config.stateDir);
  await makeDirectory(files, config.stateDir);
  await files.writeAtomic(tokenFile, `${own.text}\n`, 0o600);
  await files.writeAtomic(config.kubeconfig, kubeconfigText({ ...identity, user: { tokenFile } }), 0o600);
  tellOutcome(enrolment, own);
}

/** The first request proves server, CA and token; the second is made as this host. */
async function obtain(
  { config, clock, lifetimeSeconds }: Enrolment,
  kubeconfig: string,
  known: Omit<Attempt, 'now'>,
): Promise<Token> {
  const api = createApi({ kubeconfigText: kubeconfig, log: silentLog, clock, userAgent: 'vbs-node-agent' });
  try {
    refuseForeign(await whoAmI(api), config.host);
    return await requestToken(api, {
      host: config.host,
      ...(lifetimeSeconds === undefined ? {} : { lifetimeSeconds }),
    });
  } catch (error) {
    throw explained(error, { ...known, now: clock.now() });
  } finally {
    await api.close();
  }
}

async function whoAmI(api: Pick<Api, 'create'>): Promise<string> {
  const { status } = await api.create<SelfSubjectReview>(SELF_SUBJECT_REVIEWS, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'SelfSubjectReview',
    metadata: { name: '' },
  });
  return status?.userInfo.username ?? 'nobody';
}

function refuseForeign(userName: string, host: string): void {
  if (userName !== userNameOf(host)) {
    throw new ConfigError(
      `the token is of ${userName}, and the configuration names this host ${host}, whose account is ${userNameOf(host)}; correct host in the configuration, or make a token of this host: kubectl create token vbs-agent -n ${hostNamespace(host)} --duration=1h`,
    );
  }
}

function wholeToken(text: string): string {
  const token = text.trim();
  if (token === '' || /\s/.test(token)) {
    throw new ConfigError(
      token === ''
        ? 'no token was given; pipe it into standard input, or name a file with --token-file'
        : 'what was given as token has several words or lines; give the token alone, as kubectl create token prints it',
    );
  }
  return token;
}

function usableServer(server: string): string {
  const url = URL.parse(server);
  if (url?.protocol !== 'https:' || url.username !== '') {
    throw new ConfigError(
      `--server ${server} is no address of an API server; give one like https://cluster.example.org:6443`,
    );
  }
  return server.replace(/\/+$/, '');
}

async function readCa({ files, ca }: Enrolment): Promise<string> {
  if ('pem' in ca) {
    return ca.pem;
  }
  const caFile = ca.file;
  const text = await files.read(caFile).catch((error) => {
    throw new ConfigError(`--ca-file ${caFile} cannot be read: ${String(error)}`, { cause: error });
  });
  try {
    new X509Certificate(text);
    return text;
  } catch (error) {
    throw new ConfigError(
      `--ca-file ${caFile} holds no certificate in PEM (-----BEGIN CERTIFICATE-----); decode certificate-authority-data of a kubeconfig with base64 -d`,
      { cause: error },
    );
  }
}

/** What others made by hand is not overwritten. */
async function refuseForeignKubeconfig({ files, config }: Enrolment): Promise<void> {
  const isReplaceable = await isEnrolled(files, config).catch((error) => errorCode(error) === 'ENOENT');
  if (!isReplaceable) {
    throw new ConfigError(
      `${config.kubeconfig} is there, and enroll did not make it; move it away first if this host shall get an identity of its own`,
    );
  }
}

function tellOutcome({ config, clock, tell }: Enrolment, { issued, expires }: Token): void {
  const aheadMs = clock.now().getTime() - issued.getTime();
  if (Math.abs(aheadMs) > LARGEST_SKEW_MS) {
    const seconds = Math.round(Math.abs(aheadMs) / 1000);
    tell(
      `warning: the clock of this host is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the API server's; set it (timedatectl set-ntp true)`,
    );
  }
  tell(`host ${config.host} is enrolled; wrote ${config.kubeconfig}`);
  tell(
    `its token is valid until ${expires.toISOString()}; the agent renews it while it runs, and a host that is off for longer has to be enrolled again`,
  );
}
