// The composition root of the agent: reads the configuration, builds its roles, holds the host's Lease, stops in order.
import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { HOST_LEASE, HOST_LEASE_LABEL, hostNamespace } from '../api/names.ts';
import { LEASES } from '../api/resources.ts';
import { type Api, createApi } from '../runtime/api.ts';
import { systemClock } from '../runtime/clock.ts';
import { ConfigError } from '../runtime/errors.ts';
import { EventRecorder } from '../runtime/events.ts';
import { type Lease, LeaseHolder } from '../runtime/lease.ts';
import { createLog, type Log } from '../runtime/log.ts';
import { Metrics } from '../runtime/metrics.ts';
import { installShutdown } from '../runtime/shutdown.ts';
import { binder } from './bindings.ts';
import { chapSource } from './chap.ts';
import { type AgentConfig, loadAgentConfig } from './config.ts';
import { enrollCommand } from './enrolment/command.ts';
import { isEnrolled, keepTokenFresh, tokenFileIn } from './enrolment/renewal.ts';
import { hostFiles } from './exec/files.ts';
import { tellProblem } from './host/refusal.ts';
import { hypervisorRole } from './hypervisor-role.ts';
import { belongTo, liveClusterID, readIdentity, WrongCluster } from './identity.ts';
import { keepMetricsFile } from './metrics-file.ts';
import { checkHost } from './preflight/command.ts';
import { ProfileError } from './profiles/problems.ts';
import type { Program, Role } from './program.ts';
import { RoleError } from './roles/errors.ts';
import { profiledPool } from './roles/profiled-pool.ts';
import { serverRole } from './server-role.ts';
import { makeDirectory, RecordStore } from './store.ts';
import { VERSION } from './version.ts';

const clock = systemClock;
const files = hostFiles;

export async function runAgent(config: AgentConfig, log: Log, signal: AbortSignal): Promise<void> {
  for (const directory of [config.stateDir, path.join(config.stateDir, 'tmp')]) {
    await makeDirectory(files, directory);
  }
  const unlock = await lockHost(config.stateDir);
  await emptyTemporary(config.stateDir);
  const metrics = new Metrics({ ofProcess: true });
  const api = createApi({
    kubeconfigPath: config.kubeconfig,
    log,
    clock,
    userAgent: 'vbs-node-agent',
    onRequest: (request) => metrics.requested(request),
  });
  const ended = new AbortController();
  const renewing = renewToken(api, config, log, ended.signal);
  try {
    const { bootID, holder } = await readIdentity(files, config);
    const own = await RecordStore.open<string>(files, `${config.stateDir}/host`);
    const clusterID = await joinCluster({ api, config, own, log, signal }).catch(async (error) => {
      if (error instanceof WrongCluster) {
        await tellProblem({ api, config, bootID, version: VERSION }, error).catch((err) =>
          log.warn({ err }, 'Cannot tell the cluster that this host is not of it'),
        );
      }
      throw error;
    });
    const program: Program = {
      config,
      api,
      clock,
      log,
      metrics,
      files,
      bindRole: binder({ config, files, log, metrics }),
      chapOf: chapSource(api, config.host, await RecordStore.open<string>(files, `${config.stateDir}/keys`)),
      bootID,
      clusterID,
      version: VERSION,
    };
    const roles = [
      ...(config.volumeServer === undefined ? [] : [await serverRole(program, config.volumeServer, own)]),
      ...(config.hypervisor === undefined ? [] : [await hypervisorRole(program, config.hypervisor)]),
    ];
    if (roles.length === 0) {
      throw new ConfigError(
        'the configuration names neither volumeServer nor hypervisor: this agent has nothing to do',
      );
    }
    const over = new AbortController();
    const telling = tellMetrics(program, over.signal);
    await runRoles(program, roles, holder, signal).finally(() => over.abort());
    await telling;
  } finally {
    ended.abort();
    await renewing;
    await api.close();
    unlock();
  }
}

async function renewToken(api: Api, config: AgentConfig, log: Log, signal: AbortSignal): Promise<void> {
  if (await isEnrolled(files, config).catch(() => false)) {
    const tokenFile = tokenFileIn(config.stateDir);
    await keepTokenFresh({ api, files, clock, log, host: config.host, tokenFile }, signal);
  }
}

async function tellMetrics({ config, metrics, log }: Program, signal: AbortSignal): Promise<void> {
  if (config.metricsFile !== undefined) {
    await keepMetricsFile({ path: config.metricsFile, metrics, files, clock, log }, signal);
  }
}

/** Acts only as the holder of the host's Lease: a clone of this host, with the same credential, must not. */
export async function runRoles(
  program: Program,
  roles: readonly Role[],
  holder: string,
  signal: AbortSignal,
): Promise<void> {
  const { config, api, log } = program;
  const namespace = hostNamespace(config.host);
  const events = new EventRecorder({
    api,
    component: 'vbs.dev/node-agent',
    instance: config.host,
    clock,
    log,
  });
  const watching = new AbortController();
  const watches = roles.map((role) => role.watch(watching.signal));
  const recording = events.run(watching.signal);
  const lease = new LeaseHolder({
    api,
    namespace,
    name: HOST_LEASE,
    holder,
    leaseDurationMs: config.heartbeat.leaseSeconds * 1000,
    renewDeadlineMs: config.heartbeat.renewSeconds * 1000,
    retryMs: config.heartbeat.retrySeconds * 1000,
    labels: { [HOST_LEASE_LABEL]: config.host },
    takeOverStale: true,
    releaseOnStop: false,
    clock,
    log,
  });
  const acting = actWhileOurs(program, roles, signal);
  let quiet = () => {};
  await lease.run(signal, {
    onHeld: async (held) => {
      quiet();
      await acting.held(held);
    },
    onContender: (other) => {
      acting.stop();
      log.warn({ other }, 'Waiting for this host’s Lease');
      // An earlier boot of this host falls silent and its Lease runs out; one that goes on is another machine.
      quiet = clock.after(config.heartbeat.leaseSeconds * 1500, () => {
        log.error({ other }, 'Another machine acts as this host; doing nothing');
        const message = `another machine (${other}) acts as host ${config.host}; two machines must not share one identity: stop one of them`;
        void announce(api, namespace, (regarding) =>
          events.record({ regarding, reason: 'DuplicateHost', message, type: 'Warning' }),
        );
      });
    },
  });
  quiet();
  await acting.ended();
  watching.abort();
  await Promise.all([...watches, recording]);
}

interface Acting {
  readonly held: (held: AbortSignal) => Promise<void>;
  readonly stop: () => void;
  readonly ended: () => Promise<void>;
}

/**
 * Not being able to renew is no reason to stop: with the API server away the agent keeps its host's targets and disks alive
 * from its copies. Only the sight of another holder is.
 */
function actWhileOurs({ log, config }: Program, roles: readonly Role[], signal: AbortSignal): Acting {
  let current: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;
  const start = () => {
    if (current !== undefined || signal.aborted) {
      return;
    }
    log.info({ roles: roles.map(({ name }) => name) }, 'Acting for this host');
    const abort = new AbortController();
    const both = AbortSignal.any([abort.signal, signal]);
    const done = Promise.all(roles.map((role) => role.act(both))).then(() => {});
    current = { abort, done };
  };
  const stop = () => {
    current?.abort.abort();
    current = undefined;
  };
  let sawOther = false;
  const timer = clock.after(config.offlineAfterSeconds * 1000, () => {
    if (!sawOther) {
      start();
    }
  });
  signal.addEventListener('abort', timer, { once: true });
  return {
    held: async (held) => {
      sawOther = false;
      start();
      await new Promise<void>((resolve) => held.addEventListener('abort', () => resolve(), { once: true }));
    },
    stop: () => {
      sawOther = true;
      stop();
    },
    ended: async () => {
      await current?.done;
    },
  };
}

async function announce(api: Api, namespace: string, record: (lease: Lease) => void): Promise<void> {
  const lease = await api.get<Lease>(LEASES, { name: HOST_LEASE, namespace }).catch(() => undefined);
  if (lease !== undefined) {
    record(lease);
  }
}

/** What a killed agent had there: chunks on their way, documents for a tool. Nobody else uses it: the host is locked. */
async function emptyTemporary(stateDir: string): Promise<void> {
  const directory = path.join(stateDir, 'tmp');
  for (const name of await files.list(directory)) {
    await files.unlink(path.join(directory, name));
  }
}

interface Joining {
  readonly api: Api;
  readonly config: AgentConfig;
  readonly own: RecordStore<string>;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Throws WrongCluster. With the API server away, a host that has joined before goes on. */
async function joinCluster({ api, config, own, log, signal }: Joining): Promise<string> {
  for (let waited = 0; ; waited += 1) {
    try {
      await belongTo(own, await liveClusterID(api, signal));
      break;
    } catch (error) {
      const known = own.get('cluster');
      if (error instanceof WrongCluster || signal.aborted) {
        throw error;
      }
      if (known !== undefined && waited * 2 >= config.offlineAfterSeconds) {
        break;
      }
      log.warn({ err: error }, 'Waiting for the API server');
      await clock.sleep(2_000, signal);
    }
  }
  return own.get('cluster') ?? '';
}

/** One agent per state directory; the kernel lets go of the name when the process ends, however it ends. */
async function lockHost(stateDir: string): Promise<() => void> {
  const name = createHash('sha256').update(path.resolve(stateDir)).digest('hex').slice(0, 32);
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', () =>
      reject(new ConfigError(`another agent already runs with stateDir ${stateDir}; stop it first`)),
    );
    server.listen(`\0vbs-node-agent-${name}`, resolve);
  });
  server.unref();
  return () => server.close();
}

const USAGE = `usage: vbs-node-agent [run] --config FILE
       vbs-node-agent check --config FILE           tells what of this host must be changed first; changes nothing
       vbs-node-agent prepare-pools --config FILE   makes the empty places named in the configuration pools, once
       vbs-node-agent enroll --config FILE --server URL --ca-file FILE [--token-file FILE]
                                                    gives this host its identity: reads a token made by an administrator
                                                    (kubectl create token vbs-agent -n vbs-host-HOST) from FILE or standard
                                                    input, and writes the kubeconfig named in the configuration
       vbs-node-agent --version
       vbs-node-agent --help
`;

/** On a person's order only: done at every start, it would turn a mount point whose disk is missing into an empty pool. */
async function preparePools(config: AgentConfig, log: Log, signal: AbortSignal): Promise<void> {
  const bindRole = binder({ config, files, log, metrics: new Metrics() });
  for (const directory of [config.stateDir, path.join(config.stateDir, 'tmp')]) {
    await makeDirectory(files, directory);
  }
  for (const pool of config.volumeServer?.pools ?? []) {
    const bound = await bindRole('pool', pool);
    const identity = await profiledPool(bound, { name: pool.name, clusterID: '' }).prepare(signal);
    process.stdout.write(`pool ${pool.name} is ready (${identity})\n`);
  }
}

async function check(config: AgentConfig, log: Log, signal: AbortSignal): Promise<number> {
  const bindRole = binder({ config, files, log, metrics: new Metrics(), anyVersion: true });
  const write = (line: string) => void process.stdout.write(`${line}\n`);
  return await checkHost({ config, bindRole, write, signal });
}

const OPTIONS = {
  config: { type: 'string' },
  server: { type: 'string' },
  'ca-file': { type: 'string' },
  'token-file': { type: 'string' },
  version: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

function parsedArguments() {
  try {
    return parseArgs({ options: OPTIONS, allowPositionals: true });
  } catch {
    return undefined;
  }
}

type Values = NonNullable<ReturnType<typeof parsedArguments>>['values'];
/** Answers the exit code. */
type Command = (config: AgentConfig, values: Values) => Promise<number>;

/** Every command needs the configuration. */
const COMMANDS: Readonly<Record<string, Command>> = {
  run: (config) => acting(config, runAgent),
  'prepare-pools': (config) => acting(config, preparePools),
  check: (config) => acting(config, check),
  enroll: async (config, values) => {
    await enrollCommand(values, { config, files, clock });
    return 0;
  },
};

/** Answers the exit code, when it is another than 0. */
type Act = (config: AgentConfig, log: Log, signal: AbortSignal) => Promise<unknown>;

async function acting(config: AgentConfig, act: Act): Promise<number> {
  const log = createLog({ level: config.logLevel, name: 'node-agent' }).child({ host: config.host });
  const { signal } = installShutdown({ log });
  const exitCode = await act(config, log, signal);
  return typeof exitCode === 'number' ? exitCode : 0;
}

/** What only a person can cure before the agent can start. */
const isForPeople = (error: unknown): error is Error =>
  error instanceof ConfigError ||
  error instanceof ProfileError ||
  error instanceof RoleError ||
  error instanceof WrongCluster;

export async function main(): Promise<number> {
  const { values, positionals } = parsedArguments() ?? { values: {}, positionals: ['?'] };
  if (values.version === true || values.help === true) {
    process.stdout.write(values.version === true ? `${VERSION}\n` : USAGE);
    return 0;
  }
  const [name = 'run', ...more] = positionals;
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (values.config === undefined || command === undefined || more.length > 0) {
    process.stderr.write(USAGE);
    return 2;
  }
  try {
    return await command(await loadAgentConfig(values.config), values);
  } catch (error) {
    if (isForPeople(error)) {
      process.stderr.write(`vbs-node-agent: ${error.message}\n`);
      return 2;
    }
    throw error;
  }
}

if (import.meta.main) {
  process.exitCode = await main();
}
