// The agent as a program of this host: its commands, its configuration, one process for each state directory.
import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type Api, createApi } from '../runtime/api.ts';
import { systemClock } from '../runtime/clock.ts';
import { ConfigError } from '../runtime/errors.ts';
import { createLog, type Log, silentLog } from '../runtime/log.ts';
import { Metrics } from '../runtime/metrics.ts';
import { installShutdown } from '../runtime/shutdown.ts';
import { tellHoldings } from './adopt/command.ts';
import { binder, SHIPPED } from './bindings.ts';
import { type AgentConfig, loadAgentConfig } from './config.ts';
import { enrollCommand } from './enrolment/command.ts';
import { isEnrolled, keepTokenFresh, tokenFileIn } from './enrolment/renewal.ts';
import { become } from './exec/command.ts';
import { hostFiles } from './exec/files.ts';
import { WrongCluster } from './identity.ts';
import { onNode } from './on-node/command.ts';
import { leaveControlGroups } from './on-node/groups.ts';
import { enrollNode } from './on-node/identity.ts';
import { checkHost } from './preflight/command.ts';
import { ProfileError } from './profiles/problems.ts';
import { RoleError } from './roles/errors.ts';
import { profiledPool } from './roles/profiled-pool.ts';
import { reachByTcp } from './roles/session-care.ts';
import { runHost } from './run.ts';
import { makeDirectory } from './store.ts';
import { VERSION } from './version.ts';

const clock = systemClock;
const files = hostFiles;

export async function runAgent(config: AgentConfig, log: Log, signal: AbortSignal): Promise<void> {
  for (const directory of [config.stateDir, path.join(config.stateDir, 'tmp')]) {
    await makeDirectory(files, directory);
  }
  const unlock = await lockHost(config.stateDir);
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
  const bindRole = binder({ config, files, log, metrics });
  try {
    await runHost({ config, api, clock, log, metrics, files, bindRole, reach: reachByTcp }, signal);
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
       vbs-node-agent enroll --config FILE --join-file FILE
                                                    the same with what vbs-control-plane enroll printed; - is standard input
       vbs-node-agent adopt --config FILE [--cluster UID]
                                                    prints what this host holds as manifests, for a cluster which takes the place
                                                    of one whose store is lost; changes nothing
       vbs-node-agent on-node --config FILE         in a pod of the chart vbs: brings the agent to the node, enrols that, and runs there
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

/** Under the lock of the host: a running agent changes what is read. Nothing but the manifests goes to standard output. */
async function adopt(config: AgentConfig, clusterID: string | undefined, signal: AbortSignal): Promise<void> {
  const bindRole = binder({ config, files, log: silentLog, metrics: new Metrics(), anyVersion: true });
  const unlock = await lockHost(config.stateDir);
  try {
    process.stdout.write(await tellHoldings({ config, files, bindRole, clusterID, signal }));
  } finally {
    unlock();
  }
}

const OPTIONS = {
  config: { type: 'string' },
  cluster: { type: 'string' },
  server: { type: 'string' },
  'ca-file': { type: 'string' },
  'token-file': { type: 'string' },
  'join-file': { type: 'string' },
  'leave-control-groups': { type: 'boolean' },
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
  adopt: (config, { cluster }) => acting(config, (given, _log, signal) => adopt(given, cluster, signal)),
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

/** Where the image of the agent holds what is to come to the node; the chart mounts the profiles that are given as values. */
const IMAGE = { executable: process.execPath, profiles: SHIPPED, ownProfiles: '/etc/vbs/own-profiles' };

async function perform(words: readonly string[], config: string, values: Values): Promise<number> {
  const [name = 'run', ...more] = words;
  if (name === 'on-node' && more.length === 0) {
    const pod = { files, clock, image: IMAGE, environment: process.env, enroll: enrollNode, become };
    await onNode({ ...values, config }, pod);
    return 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined || more.length > 0) {
    process.stderr.write(USAGE);
    return 2;
  }
  if (values['leave-control-groups'] === true) {
    await leaveControlGroups(files, process.pid);
  }
  return await command(await loadAgentConfig(config), values);
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
  if (values.config === undefined) {
    process.stderr.write(USAGE);
    return 2;
  }
  try {
    return await perform(positionals, values.config, values);
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
