// The controller in its surroundings: caches, queues, what each change concerns, and the loops that run while it leads.
import { sameJson } from '../api/equal.ts';
import type { VolumeServer } from '../api/hosts.ts';
import { LEADER_LEASE } from '../api/names.ts';
import { keyOf } from '../api/object.ts';
import { isDeleting, isEnding, type Snapshot, type Volume } from '../api/volume.ts';
import type { Api } from '../runtime/api.ts';
import type { Clock } from '../runtime/clock.ts';
import { EventRecorder } from '../runtime/events.ts';
import { runLeader } from '../runtime/leader.ts';
import type { Log } from '../runtime/log.ts';
import { type Reconcile, runLoop } from '../runtime/loop.ts';
import type { Metrics } from '../runtime/metrics.ts';
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
import type { ControllerConfig } from './config.ts';
import { showFigures } from './figures.ts';
import { hypervisorReconciler, volumeServerReconciler } from './hosts/reconcile.ts';
import { Reporter } from './report.ts';
import { snapshotReconciler } from './snapshot/reconcile.ts';
import { volumeReconciler } from './volume/reconcile.ts';

export interface Surroundings {
  readonly config: ControllerConfig;
  readonly api: Api;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Who this process is: unique, also among those of one host. */
  readonly instance: string;
}

export interface Controller {
  readonly caches: Caches;
  /** Waits to lead, and leads until the signal fires or leadership is lost. At most once. */
  run(signal: AbortSignal): Promise<'lost' | 'stopped'>;
}

interface Queues {
  readonly volumes: WorkQueue;
  readonly snapshots: WorkQueue;
  readonly servers: WorkQueue;
  readonly hypervisors: WorkQueue;
}

export function createController(around: Surroundings): Controller {
  const { config, api, clock, log, metrics, instance } = around;
  const events = new EventRecorder({ api, component: 'vbs.dev/controller', instance, clock, log });
  const queues = createQueues(around);
  let wake = (_host: string) => {};
  const silenceMs = config.watchSilenceSeconds * 1000;
  const caches = createCaches({ api, clock, log, metrics, silenceMs, onFreshness: (host) => wake(host) });
  wake = connect(caches, queues);
  showFigures(metrics, caches, clock);
  const election = {
    api,
    namespace: config.namespace,
    name: LEADER_LEASE,
    holder: instance,
    clock,
    log,
    leaseDurationMs: config.leaderElection.leaseSeconds * 1000,
    renewDeadlineMs: config.leaderElection.renewSeconds * 1000,
    retryMs: config.leaderElection.retrySeconds * 1000,
    onLeading: (leading: boolean) => metrics.leading(LEADER_LEASE, leading),
  };
  // Before the first election too: a metric that is not there raises no alarm.
  metrics.leading(election.name, false);
  const run = async (signal: AbortSignal): Promise<'lost' | 'stopped'> => {
    const watching = new AbortController();
    const watches = reflectorsOf(caches).map((reflector) => reflector.run(watching.signal));
    const recording = events.run(watching.signal);
    const outcome = await runLeader(election, signal, async (leading) => {
      await Promise.all(reflectorsOf(caches).map(({ synced }) => synced));
      const reporter = new Reporter({ api, clock, events, metrics });
      await reconcileAll(around, { caches, queues, reporter }, leading);
    });
    watching.abort();
    caches.heartbeats.stop();
    for (const queue of Object.values(queues) as readonly WorkQueue[]) {
      queue.shutdown();
    }
    await Promise.all([...watches, recording]);
    return outcome;
  };
  return { caches, run };
}

function createQueues({ metrics, clock }: Surroundings): Queues {
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

interface Work {
  readonly caches: Caches;
  readonly queues: Queues;
  readonly reporter: Reporter;
}

/** Runs the loops of all kinds until the signal fires. */
async function reconcileAll(
  { api, config, log, clock, metrics }: Surroundings,
  { caches, queues, reporter }: Work,
  signal: AbortSignal,
): Promise<void> {
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

/** Deleted, and not yet ordered away: some wait for what their class says of the trash. */
const unordered = ({ volumes }: Caches): readonly string[] =>
  volumes
    .list()
    .filter((volume) => isDeleting(volume) && !isEnding(volume.status?.order))
    .map(keyOf);

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
  classes.onChange(() => {
    addWaiting();
    for (const key of unordered(caches)) {
      queues.volumes.add(key);
    }
  });
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
