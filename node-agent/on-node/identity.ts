// The identity of a host that is a node: its pod is let in by Kubernetes, gets a token of the host's account, and enrols the host with that. From then on
// the agent renews it as on any other host.
import { hostNamespace } from '../../api/names.ts';
import { createApi } from '../../runtime/api.ts';
import type { Clock } from '../../runtime/clock.ts';
import { ApiError, ConfigError } from '../../runtime/errors.ts';
import { kubeconfigText } from '../../runtime/kubeconfig.ts';
import { type Log, silentLog } from '../../runtime/log.ts';
import type { AgentConfig } from '../config.ts';
import { enroll } from '../enrolment/enroll.ts';
import { explained } from '../enrolment/failures.ts';
import { isEnrolled } from '../enrolment/renewal.ts';
import { requestToken } from '../enrolment/token.ts';
import type { Files } from '../exec/files.ts';

/** The least the API server grants; it is used at once. */
const LIFETIME_SECONDS = 600;

export interface NodeEnrolment {
  readonly config: AgentConfig;
  readonly server: string;
  readonly caFile: string;
  /** Where the token of the pod is. */
  readonly tokenFile: string;
  readonly files: Files;
  readonly clock: Clock;
  readonly log: Log;
}

/** Throws a ConfigError that names the remedy, unless the host has an identity already: with that it goes on. */
export async function enrollNode(enrolment: NodeEnrolment): Promise<void> {
  const { config, server, caFile, files, clock, log } = enrolment;
  try {
    const token = await tokenOfHost(enrolment);
    const tell = (line: string): void => log.info({}, line);
    await enroll({ config, server, ca: { file: caFile }, token, files, clock, tell });
  } catch (error) {
    if (!(await isEnrolled(files, config).catch(() => false))) {
      throw error;
    }
    log.warn({ err: error }, 'Cannot enrol this node anew, going on with the identity it has');
  }
}

async function tokenOfHost({
  config,
  server,
  caFile,
  tokenFile,
  files,
  clock,
}: NodeEnrolment): Promise<string> {
  const token = (await files.read(tokenFile)).trim();
  const namespace = hostNamespace(config.host);
  const kubeconfig = kubeconfigText({ server, ca: await files.read(caFile), namespace, user: { token } });
  const api = createApi({
    kubeconfigText: kubeconfig,
    log: silentLog,
    clock,
    userAgent: 'vbs-node-agent',
  });
  try {
    const { text } = await requestToken(api, { host: config.host, lifetimeSeconds: LIFETIME_SECONDS });
    return text;
  } catch (error) {
    throw error instanceof ApiError && (error.isForbidden || error.isNotFound)
      ? withoutIdentity(config.host, error)
      : explained(error, { server, ca: { file: caFile }, token, host: config.host, now: clock.now() });
  } finally {
    await api.close();
  }
}

const withoutIdentity = (host: string, error: ApiError): ConfigError =>
  new ConfigError(
    `node ${host} has no identity as a host: add it to hosts in the values of the chart vbs, as { name: ${host}, roles: […], node: true }, and upgrade the release (${error.message})`,
    { cause: error },
  );
