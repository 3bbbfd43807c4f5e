// A host gets its identity from a real API server and renews it: with the command as an administrator types it, and what it says when
// something is wrong.
import { spawn } from 'node:child_process';
import { createPrivateKey, sign } from 'node:crypto';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, stringify } from 'yaml';
import { AGENT_ACCOUNT, hostNamespace } from '../../api/names.ts';
import type { KubeObject } from '../../api/object.ts';
import { SELF_SUBJECT_REVIEWS } from '../../api/resources.ts';
import { loadAgentConfig } from '../../node-agent/config.ts';
import { type Enrolment, enroll } from '../../node-agent/enrolment/enroll.ts';
import { renewToken } from '../../node-agent/enrolment/renewal.ts';
import { claimsOf, userNameOf } from '../../node-agent/enrolment/token.ts';
import { hostFiles } from '../../node-agent/exec/files.ts';
import { type Api, createApi } from '../../runtime/api.ts';
import { systemClock } from '../../runtime/clock.ts';
import { ConfigError } from '../../runtime/errors.ts';
import { silentLog } from '../../runtime/log.ts';
import { openPlatform, type Platform, until } from '../deploy/platform.ts';
import { loud } from '../harness/loud.ts';
import { makePki } from '../harness/pki.ts';
import { freePort } from '../harness/ports.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const MAIN = path.resolve(import.meta.dirname, '../../node-agent/main.ts');
const HOST = 'xen07';
const OTHER = 'xen08';
/** The shortest life the API server grants. */
const TEN_MINUTES = 600;

interface World {
  platform: Platform;
  dir: string;
}

const test = suite<World>('enrolment');

test.before(
  loud(async (world) => {
    world.platform = await openPlatform(log);
    await world.platform.enrol(HOST);
    await world.platform.enrol(OTHER);
  }),
);
test.after(loud(async ({ platform }) => await platform?.close()));
test.before.each(async (world) => {
  world.dir = path.join(world.platform.workdir.dir, 'host');
  await rm(world.dir, { recursive: true, force: true });
  await mkdir(world.dir);
  await writeFile(
    path.join(world.dir, 'agent.yaml'),
    stringify({
      host: HOST,
      kubeconfig: path.join(world.dir, 'kubeconfig'),
      stateDir: path.join(world.dir, 'state'),
      offlineAfterSeconds: 1,
      volumeServer: {
        pools: [{ name: 'files', profile: 'file', params: { dir: path.join(world.dir, 'pool') } }],
        target: { profile: 'tgt', params: { controlPort: 1 }, portals: ['127.0.0.1:1'] },
      },
    }),
  );
});

/** As an administrator does. */
const tokenOf = async ({ controlPlane }: Platform, host: string): Promise<string> => {
  const args = ['create', 'token', AGENT_ACCOUNT, '-n', hostNamespace(host), '--duration=1h'];
  return await controlPlane.kubectl(args);
};

const placesOf = (dir: string) => ({
  configFile: path.join(dir, 'agent.yaml'),
  kubeconfig: path.join(dir, 'kubeconfig'),
  tokenFile: path.join(dir, 'state', 'token'),
});

async function enrolling({ platform, dir }: World, changed: Partial<Enrolment> = {}): Promise<string[]> {
  const told: string[] = [];
  await enroll({
    config: await loadAgentConfig(placesOf(dir).configFile),
    server: platform.controlPlane.server,
    ca: { file: platform.controlPlane.caFile },
    token: changed.token ?? (await tokenOf(platform, HOST)),
    files: hostFiles,
    clock: systemClock,
    tell: (line) => told.push(line),
    ...changed,
  });
  return told;
}

/** What a person reads when it does not work. Nothing may be left of the attempt. */
async function complaint(world: World, changed: Partial<Enrolment>): Promise<string> {
  const error = await enrolling(world, changed).then(
    () => undefined,
    (caught: unknown) => caught,
  );
  assert.instance(error, ConfigError, String(error));
  for (const file of [placesOf(world.dir).kubeconfig, placesOf(world.dir).tokenFile]) {
    assert.is(await stat(file).catch(() => undefined), undefined, `${file} was made`);
  }
  return (error as Error).message;
}

/** Who the server thinks is asking, and with which of its tokens. */
async function whoIs(api: Pick<Api, 'create'>): Promise<{ username: string; credential: string }> {
  interface Review extends KubeObject {
    readonly status?: { readonly userInfo: { username: string; extra: Record<string, string[]> } };
  }
  const { status } = await api.create<Review>(SELF_SUBJECT_REVIEWS, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'SelfSubjectReview',
    metadata: { name: '' },
  });
  const { username = '', extra = {} } = status?.userInfo ?? {};
  return { username, credential: String(extra['authentication.kubernetes.io/credential-id']) };
}

const apiOf = (kubeconfigPath: string) => createApi({ kubeconfigPath, log: silentLog });

async function withApi<T>(kubeconfigPath: string, use: (api: Api) => Promise<T>): Promise<T> {
  const api = apiOf(kubeconfigPath);
  try {
    return await use(api);
  } finally {
    await api.close();
  }
}

test('a host is enrolled as the administrator types it', async ({ platform, dir }) => {
  const { configFile, kubeconfig, tokenFile } = placesOf(dir);
  const { server, caFile } = platform.controlPlane;
  const args = ['enroll', '--config', configFile, '--server', server, '--ca-file', caFile];
  const child = spawn(process.execPath, ['--no-warnings', MAIN, ...args]);
  child.stdin.end(await tokenOf(platform, HOST));
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  assert.is(err, '');
  assert.match(out, /host xen07 is enrolled/);
  assert.match(out, /prepare-pools/);
  assert.match(out, /systemctl restart vbs-node-agent/);
  for (const file of [kubeconfig, tokenFile]) {
    assert.is((await stat(file)).mode & 0o777, 0o600, file);
  }
  assert.is((await stat(path.dirname(tokenFile))).mode & 0o777, 0o700);
  assert.not.match(await readFile(kubeconfig, 'utf8'), 'eyJ', 'no token in the kubeconfig');
  assert.is((await withApi(kubeconfig, whoIs)).username, userNameOf(HOST));
  const { expires } = claimsOf(await readFile(tokenFile, 'utf8'));
  const days = ((expires?.getTime() ?? 0) - Date.now()) / 86_400_000;
  assert.ok(days > 29 && days <= 30, `${days} days`);
});

test('an enrolled host can be enrolled again', async (world) => {
  await enrolling(world);
  await enrolling(world);
  assert.is((await withApi(placesOf(world.dir).kubeconfig, whoIs)).username, userNameOf(HOST));
});

test('the token is renewed with the old one, and used without a restart', async (world) => {
  await enrolling(world, { lifetimeSeconds: TEN_MINUTES });
  const { kubeconfig, tokenFile } = placesOf(world.dir);
  let passedMs = 0;
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + passedMs };
  const api = createApi({ kubeconfigPath: kubeconfig, log: silentLog, clock });
  try {
    const before = await whoIs(api);
    const renewal = { api, files: hostFiles, clock, log: silentLog, host: HOST, tokenFile };
    assert.is(await renewToken({ ...renewal, lifetimeSeconds: TEN_MINUTES }), TEN_MINUTES * 1000);
    assert.is((await stat(tokenFile)).mode & 0o777, 0o600);
    passedMs = 30_000;
    const after = await whoIs(api);
    assert.is(after.username, userNameOf(HOST));
    assert.is.not(after.credential, before.credential);
  } finally {
    await api.close();
  }
});

test('the running agent renews its token', async (world) => {
  const { platform, dir } = world;
  await enrolling(world, { lifetimeSeconds: TEN_MINUTES });
  const { configFile, tokenFile } = placesOf(dir);
  const before = await readFile(tokenFile, 'utf8');
  await mkdir(path.join(dir, 'pool'));
  const child = spawn(process.execPath, ['--no-warnings', MAIN, 'run', '--config', configFile]);
  const output = Promise.all([text(child.stdout), text(child.stderr)]);
  try {
    await until('a new token', async () => (await readFile(tokenFile, 'utf8')) !== before);
    const leases = `/apis/coordination.k8s.io/v1/namespaces/${hostNamespace(HOST)}/leases`;
    await until('a heartbeat', async () => {
      return (await platform.admin.call({ method: 'GET', path: `${leases}/vbs-host` })).status === 200;
    });
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error((await output).join('\n'), { cause: error });
  } finally {
    child.kill('SIGTERM');
    const [log] = await output;
    assert.not.match(log, 'eyJ', 'a token in the log');
  }
});

test('a token of another host is refused', async (world) => {
  const message = await complaint(world, { token: await tokenOf(world.platform, OTHER) });
  assert.match(message, 'the token is of system:serviceaccount:vbs-host-xen08:vbs-agent');
  assert.match(message, 'kubectl create token vbs-agent -n vbs-host-xen07');
});

/** A token which the API server signed, with other claims. */
async function forged({ workdir }: Platform, token: string, claims: object): Promise<string> {
  const key = createPrivateKey(
    await readFile(path.join(workdir.dir, 'control-plane/pki/service-account.key'), 'utf8'),
  );
  const [header = '', payload = ''] = token.trim().split('.');
  const changed = { ...JSON.parse(Buffer.from(payload, 'base64url').toString()), ...claims };
  const content = `${header}.${Buffer.from(JSON.stringify(changed)).toString('base64url')}`;
  return `${content}.${sign('sha256', Buffer.from(content), key).toString('base64url')}`;
}

test('an expired token is refused, and the remedy is named', async (world) => {
  const seconds = Math.floor(Date.now() / 1000);
  const times = { iat: seconds - 7200, nbf: seconds - 7200, exp: seconds - 3600 };
  const token = await forged(world.platform, await tokenOf(world.platform, HOST), times);
  const message = await complaint(world, { token });
  assert.match(message, `the token expired at ${new Date((seconds - 3600) * 1000).toISOString()}`);
  assert.match(message, 'kubectl create token vbs-agent -n vbs-host-xen07 --duration=1h');
  const now = () => new Date(Date.now() - 86_400_000);
  const late = await complaint(world, { token, clock: { ...systemClock, now } });
  assert.match(late, /expired and the clock of this host \(.*\) is behind/);
});

test('a token of another cluster, and what is no token at all, are refused', async (world) => {
  const token = await tokenOf(world.platform, HOST);
  assert.match(
    await complaint(world, { token: `${token.trim().slice(0, -20)}AAAAAAAAAAAAAAAAAAAA` }),
    /another cluster/,
  );
  assert.match(await complaint(world, { token: 'secret' }), 'none of a ServiceAccount');
  assert.match(await complaint(world, { token: ' \n' }), 'no token was given');
  assert.match(await complaint(world, { token: 'error: not found' }), 'several words');
});

test('a wrong CA is told apart from a wrong address', async (world) => {
  const { dir } = world;
  const pki = await makePki(path.join(dir, 'pki'), ['IP:127.0.0.1']);
  const message = await complaint(world, { ca: { file: pki.ca.certFile } });
  assert.match(message, 'is not signed by what is in');
  assert.match(message, '--ca-file');
  const nobody = `https://127.0.0.1:${await freePort()}`;
  assert.match(await complaint(world, { server: nobody }), /cannot be reached from this host.*ECONNREFUSED/);
  assert.match(await complaint(world, { server: 'http://127.0.0.1:6443' }), 'is no address of an API server');
  assert.match(await complaint(world, { ca: { file: placesOf(dir).configFile } }), 'no certificate in PEM');
  assert.match(await complaint(world, { ca: { file: '/nowhere' } }), '--ca-file /nowhere cannot be read');
});

test('a host whose rights are of an earlier version is told what to apply', async (world) => {
  const { controlPlane } = world.platform;
  const role = ['role', 'vbs-agent', '-n', hostNamespace(HOST)];
  const before = await controlPlane.kubectl(['get', ...role, '-o', 'json']);
  const rules = (parse(before) as { rules: { resources: string[] }[] }).rules;
  const earlier = { rules: rules.filter(({ resources }) => !resources.includes('serviceaccounts/token')) };
  await controlPlane.kubectl(['patch', ...role, '--type=merge', '-p', JSON.stringify(earlier)]);
  try {
    await until('the right to be gone', async () => {
      const message = await enrolling(world).then(
        () => '',
        (error: Error) => error.message,
      );
      return message.includes('apply deploy/host.yaml of this version again');
    });
  } finally {
    await controlPlane.kubectl(['patch', ...role, '--type=merge', '-p', JSON.stringify({ rules })]);
  }
});

test('a clock that is wrong is told', async (world) => {
  const now = () => new Date(Date.now() - 600_000);
  const told = await enrolling(world, { clock: { ...systemClock, now } });
  assert.match(told.join('\n'), /the clock of this host is (599|60\d) s behind the API server's/);
  assert.not.match((await enrolling(world)).join('\n'), 'warning');
});

test('a kubeconfig made by hand is not overwritten', async (world) => {
  const { kubeconfig } = placesOf(world.dir);
  const byHand = JSON.stringify({ 'current-context': 'x', users: [{ name: 'x', user: { token: 't' } }] });
  await writeFile(kubeconfig, byHand);
  const error = await enrolling(world).catch((caught: unknown) => caught);
  assert.match(String(error), 'enroll did not make it');
  assert.is(await readFile(kubeconfig, 'utf8'), byHand);
});

test('a renewal of a host which was thrown out is refused', async (world) => {
  await enrolling(world);
  const { kubeconfig, tokenFile } = placesOf(world.dir);
  await world.platform.controlPlane.kubectl([
    'delete',
    'serviceaccount',
    AGENT_ACCOUNT,
    '-n',
    hostNamespace(HOST),
  ]);
  await withApi(kubeconfig, async (api) => {
    const renewal = { api, files: hostFiles, clock: systemClock, log: silentLog, host: HOST, tokenFile };
    await until('the refusal', async () => {
      const status = await renewToken(renewal).then(
        () => 200,
        (error: { status?: number }) => error.status,
      );
      return status === 401 || status === 404;
    });
  });
});

test.run();
