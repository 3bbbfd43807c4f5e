// The volume-server role of an agent, put together.
import type { Attachment } from '../api/attachment.ts';
import { sameJson } from '../api/equal.ts';
import { ATTACHMENTS, SNAPSHOTS, VOLUMES } from '../api/resources.ts';
import { idOf, type Snapshot, type Volume } from '../api/volume.ts';
import { ConfigError } from '../runtime/errors.ts';
import { Reflector } from '../runtime/reflector.ts';
import type { WorkQueue } from '../runtime/workqueue.ts';
import { type Awaitable, awaitable } from './awaitable.ts';
import { coalesced } from './coalesce.ts';
import type { AgentConfig } from './config.ts';
import { keepCopies } from './copies.ts';
import { Freeing } from './freeing/freeing.ts';
import type { WipeMemory } from './freeing/plan.ts';
import { volumeServerVisitor } from './host/server.ts';
import { refuseSetting, type TargetSetting } from './host/target-setting.ts';
import { lookAt, type OpenPool, openPools } from './pools.ts';
import { checksOf } from './preflight/checks.ts';
import { type Checkup, hostCheckup } from './preflight/checkup.ts';
import type { BoundProfile } from './profiles/bind.ts';
import { agentQueue, type LoopSetup, type Program, type Role, roleOf } from './program.ts';
import type { Pool } from './roles/pool.ts';
import { profiledTarget } from './roles/profiled-target.ts';
import { profiledReader } from './roles/reader.ts';
import { RecordStore } from './store.ts';
import { TrashKeeper } from './trash/keeper.ts';
import type { TrashMemory } from './trash/memory.ts';
import { copyVisitor } from './volume/copy.ts';
import type { ServerMemory } from './volume/memory.ts';
import type { Origin } from './volume/origin.ts';
import type { Problem } from './volume/plan.ts';
import { serverReconciler } from './volume/reconcile.ts';
import type { ServerDeps } from './volume/visit.ts';

const TARGET_RECORD = 'target';

type ServerConfig = NonNullable<AgentConfig['volumeServer']>;

/** `own` is what the host keeps about itself. Throws ConfigError. */
export async function serverRole(
  program: Program,
  config: ServerConfig,
  own: RecordStore<string>,
): Promise<Role> {
  const { api, clock, bootID, clusterID } = program;
  const { host, iqnPrefix } = program.config;
  const memories = await openMemories(program, { iqnPrefix, ...config.target }, own);
  const pools = await openPools(program, config.pools);
  const boundTarget = await program.bindRole('target', config.target);
  const boundReader = await bindReader(program, config.initiator);
  const target = profiledTarget(boundTarget, { portals: config.target.portals, iqnPrefix, clock });
  const { volumes, snapshots, attachments } = await serverCaches(program);
  const queues = openQueues(program);
  const { queue, hostQueue, copyQueue, remoteCopyQueue } = queues;
  const copyFailures = new Map<string, Problem>();
  const trash = await openTrash(program, volumes, pools);
  const freeing = await openFreeing(program, pools, queues);
  const telling = awaitable(() => hostQueue.add(host));
  const add = addOnChange(queue, [volumes, snapshots, attachments]);
  const deps: ServerDeps = {
    api,
    host,
    clusterID,
    bootID,
    volumes,
    snapshots,
    attachments,
    memories,
    pools: byName(pools),
    trash,
    lookAtPool: (name) => lookAt(pools, name),
    target,
    lookAtTarget: coalesced((signal) => target.observe(signal), { subject: 'the target', clock }),
    chapOf: program.chapOf,
    now: () => clock.now(),
    resyncMs: program.config.resyncSeconds * 1000,
    onRetired: () => hostQueue.add(host),
    tellHost: (signal) => telling.next(signal),
    copyLater: (id, isRemote) => (isRemote ? remoteCopyQueue : copyQueue).add(id),
    copyFailures,
    ready: new Set<string>(),
  };
  return roleOf(program, {
    name: 'volume server',
    caches: [volumes, snapshots, attachments],
    start: () => {
      for (const { volumeID } of memories.list()) {
        queue.add(volumeID);
      }
      volumes.list().forEach(add);
      snapshots.list().forEach(add);
      hostQueue.add(host);
    },
    loops: serverLoops(program, deps, {
      pools,
      boundTarget,
      boundReader,
      queues,
      copyFailures,
      telling,
      trash,
      freeing,
      checkup: checkupOf(program, [...pools.map(({ bound }) => bound), boundTarget, ...given(boundReader)]),
    }),
  });
}

const given = <T>(value: T | undefined): readonly T[] => (value === undefined ? [] : [value]);

const byName = (pools: readonly OpenPool[]): ReadonlyMap<string, Pool> =>
  new Map(pools.map(({ config: { name }, pool }) => [name, pool]));

interface Queues {
  readonly queue: WorkQueue;
  readonly hostQueue: WorkQueue;
  readonly copyQueue: WorkQueue;
  readonly remoteCopyQueue: WorkQueue;
  readonly freeQueue: WorkQueue;
}

const openQueues = (program: Program): Queues => ({
  queue: agentQueue(program, 'server'),
  hostQueue: agentQueue(program, 'volumeserver'),
  copyQueue: agentQueue(program, 'copy'),
  remoteCopyQueue: agentQueue(program, 'remote-copy'),
  freeQueue: agentQueue(program, 'free'),
});

const openFreeing = async (
  { clock, files, config }: Program,
  pools: readonly OpenPool[],
  { freeQueue, hostQueue }: Queues,
): Promise<Freeing> =>
  new Freeing({
    clock,
    pools: byName(pools),
    lookAtPool: (name) => lookAt(pools, name),
    records: await RecordStore.open<WipeMemory>(files, `${config.stateDir}/wipes`),
    later: (pool) => freeQueue.add(pool),
    onNews: () => hostQueue.add(config.host),
  });

const openTrash = async (
  { api, clock, log, files, config }: Program,
  volumes: Reflector<Volume>,
  pools: readonly OpenPool[],
): Promise<TrashKeeper> =>
  new TrashKeeper({
    api,
    host: config.host,
    clock,
    log,
    records: await RecordStore.open<TrashMemory>(files, `${config.stateDir}/trash`),
    volumes,
    pools: byName(pools),
  });

const checkupOf = ({ config, clock, log }: Program, profiles: readonly BoundProfile[]): Checkup =>
  hostCheckup({
    checks: checksOf(
      profiles.map((bound) => ({ name: bound.name, bound })),
      config,
    ),
    clock,
    log,
  });

interface Parts {
  readonly pools: Awaited<ReturnType<typeof openPools>>;
  readonly boundTarget: BoundProfile;
  readonly boundReader: BoundProfile | undefined;
  readonly queues: Queues;
  readonly copyFailures: Map<string, Problem>;
  readonly telling: Awaitable;
  readonly checkup: Checkup;
  readonly trash: TrashKeeper;
  readonly freeing: Freeing;
}

function serverLoops(program: Program, deps: ServerDeps, parts: Parts): readonly LoopSetup[] {
  const { pools, boundTarget, boundReader, queues, copyFailures, telling, checkup } = parts;
  const { queue, hostQueue, copyQueue, remoteCopyQueue, freeQueue } = queues;
  const { volumes, snapshots } = deps;
  const copy = copyVisitor({
    deps,
    files: program.files,
    reader: boundReader && profiledReader(boundReader),
    directory: `${program.config.stateDir}/tmp`,
    origins: new Map<string, Origin>(),
    waitingSinceMs: new Map<string, number>(),
    failures: copyFailures,
    wake: (id) => queue.add(id),
  });
  return [
    { name: 'server', queue, reconcile: serverReconciler(deps), concurrency: 8 },
    // A server that does not answer holds up what is copied from other servers, and nothing else.
    { name: 'copy', queue: copyQueue, reconcile: copy, concurrency: 2 },
    { name: 'remote-copy', queue: remoteCopyQueue, reconcile: copy, concurrency: 4 },
    { name: 'free', queue: freeQueue, reconcile: parts.freeing.visit, concurrency: 4 },
    {
      name: 'volumeserver',
      queue: hostQueue,
      reconcile: telling.watched(
        volumeServerVisitor({
          program,
          deps,
          pools,
          boundTarget,
          boundReader,
          checkup,
          trash: parts.trash,
          freeing: parts.freeing,
          isSynced: () => volumes.hasSynced && snapshots.hasSynced,
          wake: (volumeID) => queue.add(volumeID),
        }),
      ),
      concurrency: 1,
    },
  ];
}

type Named = Volume | Snapshot | Attachment;

/** Asks for a visit of what each object names now, or named before it went; answers what does so by hand. */
function addOnChange(
  queue: WorkQueue,
  caches: readonly (Reflector<Volume> | Reflector<Snapshot> | Reflector<Attachment>)[],
): (object: Named) => void {
  const add = (object: Named) => {
    // An Attachment tells the volumeID of its Volume.
    const id = idOf(object as Volume | Snapshot);
    if (id !== undefined) {
      queue.add(id);
    }
  };
  for (const cache of caches) {
    cache.onChange(({ object, old }: { readonly object?: Named; readonly old?: Named }) => {
      const either = object ?? old;
      if (either !== undefined) {
        add(either);
      }
    });
  }
  return add;
}

/** Throws ConfigError for an initiator that cannot read by itself. */
export async function bindReader(
  program: Pick<Program, 'bindRole'>,
  config: ServerConfig['initiator'],
): Promise<BoundProfile | undefined> {
  const bound = config && (await program.bindRole('initiator', config));
  if (bound !== undefined && profiledReader(bound) === undefined) {
    throw new ConfigError(
      `volumeServer.initiator: profile ${bound.name} has no verb read, and so cannot copy from other servers; name qemu, or leave it out`,
    );
  }
  return bound;
}

/** Throws ConfigError when targets made with other settings still serve somebody. */
async function openMemories(
  { files, config }: Program,
  { iqnPrefix, profile, params }: TargetSetting,
  own: RecordStore<string>,
): Promise<RecordStore<ServerMemory>> {
  const memories = await RecordStore.open<ServerMemory>(files, `${config.stateDir}/volumes`);
  const now = { iqnPrefix, profile, params };
  const kept = own.get(TARGET_RECORD);
  const before = kept === undefined ? undefined : (JSON.parse(kept) as TargetSetting);
  const refusal = refuseSetting(before, now, memories.list());
  if (refusal !== undefined) {
    throw refusal;
  }
  if (!sameJson(before, now)) {
    await own.put(TARGET_RECORD, JSON.stringify(now));
  }
  return memories;
}

/** Only what names this host. */
async function serverCaches(program: Program) {
  const { api, clock, log, metrics, files } = program;
  const { host, stateDir } = program.config;
  const selection = { api, clock, log, metrics, fieldSelector: `status.server=${host}` };
  const volumes = new Reflector<Volume>({ ...selection, resource: VOLUMES });
  const snapshots = new Reflector<Snapshot>({ ...selection, resource: SNAPSHOTS });
  const attachments = new Reflector<Attachment>({ ...selection, resource: ATTACHMENTS });
  snapshots.addIndex('snapshotID', ({ status }) =>
    status?.snapshotID === undefined ? [] : [status.snapshotID],
  );
  volumes.addIndex('volumeID', ({ status }) => (status?.volumeID === undefined ? [] : [status.volumeID]));
  attachments.addIndex('volumeID', ({ status }) => (status?.volumeID === undefined ? [] : [status.volumeID]));
  keepCopies(volumes, await RecordStore.open<Volume>(files, `${stateDir}/copies-volumes`), log);
  keepCopies(snapshots, await RecordStore.open<Snapshot>(files, `${stateDir}/copies-snapshots`), log);
  keepCopies(attachments, await RecordStore.open<Attachment>(files, `${stateDir}/copies-exports`), log);
  return { volumes, snapshots, attachments };
}
