// The composition root of the controller: reads the configuration, builds everything, waits to lead, stops in order.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { sameJson } from '../api/equal.ts';
import type { VolumeServer } from '../api/hosts.ts';
import { keyOf } from '../api/object.ts';
import type { Snapshot, Volume } from '../api/volume.ts';
import { type Api, createApi } from '../runtime/api.ts';
import { systemClock } from '../runtime/clock.ts';
import { ConfigError } from '../runtime/errors.ts';
import { EventRecorder } from '../runtime/events.ts';
import { type HttpServer, loopsAlive, startHttp } from '../runtime/http.ts';
import { runLeader } from '../runtime/leader.ts';
import { createLog, type Log } from '../runtime/log.ts';
import { type Reconcile, runLoop } from '../runtime/loop.ts';
import { Metrics } from '../runtime/metrics.ts';
import { installShutdown } from '../runtime/shutdown.ts';
import { WorkQueue } from '../runtime/workqueue.ts';
import {
  type Caches,
  createCaches,
  reflectorsOf,
  snapshottedKeyOf,
  sourceKeyOf,
  volumeKeyOf,
} from './caches.ts';
import { chapKeys } from './chap.ts';
import { type ControllerConfig, loadControllerConfig } from './config.ts';
import { hypervisorReconciler, volumeServerReconciler } from './hosts/reconcile.ts';
import { Reporter } from './report.ts';
import { snapshotReconciler } from './snapshot/reconcile.ts';
import { volumeReconciler } from './volume/reconcile.ts';

const clock = systemClock;

interface Queues {
  readonly volumes: WorkQueue;
  readonly snapshots: WorkQueue;
  readonly servers: WorkQueue;
  readonly hypervisors: WorkQueue;
}

/** Runs until the signal fires or leadership is lost. Rejects when the health port cannot be bound. */
export async function runController(
  config: ControllerConfig,
  log: Log,
  signal: AbortSignal,
): Promise<'lost' | 'stopped'> {
  const metrics = new Metrics({ ofProcess: true });
  const api = createApi({
    log,
    clock,
    userAgent: 'vbs-controller',
    onRequest: (request) => metrics.requested(request),
    ...(config.kubeconfig === undefined ? {} : { kubeconfigPath: config.kubeconfig }),
  });
  const instance = `${hostname()}-${randomUUID().slice(0, 8)}`;
  const events = new EventRecorder({ api, component: 'vbs.dev/controller', instance, clock, log });
  const queues = createQueues(metrics);
  let wake = (_host: string) => {};
  const silenceMs = config.watchSilenceSeconds * 1000;
  const caches = createCaches({ api, clock, log, metrics, silenceMs, onFreshness: (host) => wake(host) });
  wake = connect(caches, queues);
  const http = await serve({ config, caches, metrics, log, signal });
  const watching = new AbortController();
  const watches = reflectorsOf(caches).map((reflector) => reflector.run(watching.signal));
  const recording = events.run(watching.signal);
  const election = {
    api,
    namespace: config.namespace,
    name: 'vbs-controller',
    holder: instance,
    clock,
    log,
    leaseDurationMs: config.leaderElection.leaseSeconds * 1000,
    renewDeadlineMs: config.leaderElection.renewSeconds * 1000,
    retryMs: config.leaderElection.retrySeconds * 1000,
    onLeading: (leading: boolean) => metrics.leading('vbs-controller', leading),
  };
  // Before the first election too: a metric that is not there raises no alarm.
  metrics.leading(election.name, false);
  const outcome = await runLeader(election, signal, async (leading) => {
    await Promise.all(reflectorsOf(caches).map(({ synced }) => synced));
    const reporter = new Reporter({ api, clock, events });
    await reconcileAll({ api, caches, queues, reporter, config, log, metrics, signal: leading });
  });
  watching.abort();
  caches.heartbeats.stop();
  for (const queue of Object.values(queues) as readonly WorkQueue[]) {
    queue.shutdown();
  }
  await Promise.all([...watches, recording]);
  await http.close();
  await api.close();
  return outcome;
}

function createQueues(metrics: Metrics): Queues {
  const queue = (name: string) => {
    const waited = metrics.queueWait(name);
    const made = new WorkQueue({ clock, onTake: waited });
    metrics.queueDepth(name, () => made.length);
    return made;
  };
  return {
    volumes: queue('volume'),
    snapshots: queue('snapshot'),
    servers: queue('volumeserver'),
    hypervisors: queue('hypervisor'),
  };
}

interface Serving {
  readonly config: ControllerConfig;
  readonly caches: Caches;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly signal: AbortSignal;
}

async function serve({ config, caches, metrics, log, signal }: Serving): Promise<HttpServer> {
  const isFilled = () => reflectorsOf(caches).every(({ hasSynced }) => hasSynced);
  const http = await startHttp({
    ...config.http,
    healthy: { watches: loopsAlive(reflectorsOf(caches)) },
    ready: {
      caches: () => (isFilled() ? undefined : 'not all caches are filled yet'),
      running: () => (signal.aborted ? 'stopping' : undefined),
    },
    metrics,
    log,
  });
  log.info({ port: http.port }, 'Serving health and metrics');
  return http;
}

interface Work extends Serving {
  readonly api: Api;
  readonly queues: Queues;
  readonly reporter: Reporter;
}

/** Runs the loops of all kinds until the signal fires. */
async function reconcileAll({
  api,
  caches,
  queues,
  reporter,
  config,
  log,
  metrics,
  signal,
}: Work): Promise<void> {
  const resyncMs = config.resyncSeconds * 1000;
  const loop = (name: string, queue: WorkQueue, reconcile: Reconcile) =>
    runLoop({
      name,
      queue,
      reconcile,
      concurrency: config.workers,
      deadlineMs: 60_000,
      graceMs: 20_000,
      log,
      clock,
      metrics,
      signal,
    });
  const deps = { api, caches, reporter, resyncMs };
  const volumeDeps = { ...deps, ensureChapKey: chapKeys(api) };
  await Promise.all([
    loop('volume', queues.volumes, volumeReconciler(volumeDeps)),
    loop('snapshot', queues.snapshots, snapshotReconciler(volumeDeps)),
    loop('volumeserver', queues.servers, volumeServerReconciler(deps)),
    loop('hypervisor', queues.hypervisors, hypervisorReconciler(deps)),
  ]);
}

/** What of a volume server is news for what it holds. */
const concernOf = (server: VolumeServer | undefined): readonly unknown[] => [
  server?.status?.agent?.bootID,
  server?.spec?.lost,
  server?.status?.agent?.pools?.map(({ name, can }) => [name, can]),
];

/** Every change only says which keys to look at. Answers what to do when a host is heard again, or no longer. */
function connect(caches: Caches, queues: Queues): (host: string) => void {
  const { volumes, snapshots, attachments, classes, servers, hypervisors } = caches;
  // A source is held only for what could be placed.
  const addSourceOf = (volume: Volume) => {
    const source = sourceKeyOf(volume);
    if (source !== undefined) {
      (source.kind === 'Snapshot' ? queues.snapshots : queues.volumes).add(source.key);
    }
  };
  const addWaiting = () => {
    for (const volume of volumes.byIndex('unplaced', '')) {
      queues.volumes.add(keyOf(volume));
      addSourceOf(volume);
    }
    for (const snapshot of snapshots.byIndex('unplaced', '')) {
      queues.volumes.add(snapshottedKeyOf(snapshot));
    }
    for (const attachment of attachments.byIndex('waiting', '')) {
      queues.volumes.add(volumeKeyOf(attachment));
    }
  };
  const addUsersOf = (host: string) => {
    for (const volume of volumes.byIndex('server', host)) {
      queues.volumes.add(keyOf(volume));
    }
    for (const snapshot of snapshots.byIndex('server', host)) {
      queues.snapshots.add(keyOf(snapshot));
    }
    for (const attachment of attachments.byIndex('hypervisor', host)) {
      queues.volumes.add(volumeKeyOf(attachment));
    }
  };
  volumes.onChange(({ key, object, old }) => {
    queues.volumes.add(key);
    addSourceOf((object ?? old) as Volume);
    for (const copy of volumes.byIndex('sourceVolume', key)) {
      queues.volumes.add(keyOf(copy));
    }
    for (const snapshot of snapshots.byIndex('volume', key)) {
      queues.snapshots.add(keyOf(snapshot));
    }
  });
  snapshots.onChange(({ key, object, old }) => {
    queues.snapshots.add(key);
    queues.volumes.add(snapshottedKeyOf((object ?? old) as Snapshot));
    for (const copy of volumes.byIndex('sourceSnapshot', key)) {
      queues.volumes.add(keyOf(copy));
    }
  });
  attachments.onChange(({ object, old }) => {
    const attachment = object ?? old;
    if (attachment !== undefined) {
      queues.volumes.add(volumeKeyOf(attachment));
    }
  });
  classes.onChange(addWaiting);
  servers.onChange(({ key, object, old }) => {
    queues.servers.add(key);
    addWaiting();
    if (!sameJson(concernOf(object), concernOf(old))) {
      addUsersOf(key);
    }
  });
  hypervisors.onChange(({ key, object, old }) => {
    queues.hypervisors.add(key);
    addWaiting();
    addUsersOf(key);
    if (!sameJson(object?.status?.agent?.instances, old?.status?.agent?.instances)) {
      // A VM may have moved here from any other hypervisor.
      for (const attachment of attachments.list()) {
        queues.volumes.add(volumeKeyOf(attachment));
      }
    }
  });
  return (host) => {
    queues.servers.add(host);
    queues.hypervisors.add(host);
    addWaiting();
    addUsersOf(host);
  };
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { config: { type: 'string' } } });
  if (values.config === undefined) {
    process.stderr.write('vbs-controller: give a configuration file: --config FILE\n');
    return 2;
  }
  let config: ControllerConfig;
  try {
    config = await loadControllerConfig(values.config);
  } catch (error) {
    if (error instanceof ConfigError) {
      process.stderr.write(`vbs-controller: ${error.message}\n`);
      return 2;
    }
    throw error;
  }
  const log = createLog({ level: config.logLevel, name: 'controller' });
  const { signal } = installShutdown({ log });
  const outcome = await runController(config, log, signal);
  if (outcome === 'lost') {
    log.error({}, 'Leadership lost; leaving, to start afresh');
    return 1;
  }
  return 0;
}

if (import.meta.main) {
  process.exitCode = await main();
}
