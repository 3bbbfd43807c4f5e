// Looks at a volume server as a whole: reports it, has the space of removed volumes freed, forgets what is gone.
import type { VolumeServer } from '../../api/hosts.ts';
import { MANAGERS } from '../../api/names.ts';
import { VOLUME_SERVERS } from '../../api/resources.ts';
import { idOf } from '../../api/volume.ts';
import type { Reconcile } from '../../runtime/loop.ts';
import { profileFacts } from '../bindings.ts';
import { readersOf } from '../export/readers.ts';
import type { Freeing } from '../freeing/freeing.ts';
import { dyingIn } from '../freeing/plan.ts';
import type { OpenPool } from '../pools.ts';
import type { Checkup } from '../preflight/checkup.ts';
import { problemOf } from '../problems.ts';
import type { BoundProfile } from '../profiles/bind.ts';
import type { Program } from '../program.ts';
import { PoolFaulty } from '../roles/errors.ts';
import type { Backing } from '../roles/pool.ts';
import type { Export } from '../roles/target.ts';
import type { TrashKeeper } from '../trash/keeper.ts';
import { isWithdrawnEpoch, type ServerMemory } from '../volume/memory.ts';
import type { Problem } from '../volume/plan.ts';
import type { ServerDeps } from '../volume/visit.ts';
import { type ProfileFact, type SeenPool, serverFacts } from './facts.ts';
import { countLeftovers } from './leftovers.ts';
import { HostReporter } from './report.ts';

export interface ServerWork {
  readonly program: Program;
  readonly deps: ServerDeps;
  readonly pools: readonly OpenPool[];
  readonly boundTarget: BoundProfile;
  /** Of an initiator that can read; absent where nothing is copied from other servers. */
  readonly boundReader: BoundProfile | undefined;
  readonly checkup: Checkup;
  readonly freeing: Pick<Freeing, 'within' | 'facts'>;
  readonly trash: Pick<TrashKeeper, 'accounted' | 'facts' | 'pause' | 'tend'>;
  readonly isSynced: () => boolean;
  /** Asks for a visit of a volume. */
  readonly wake: (volumeID: string) => void;
}

/** One visit of the host; its key says nothing. */
export function volumeServerVisitor(work: ServerWork): Reconcile {
  const { program, deps, pools, boundTarget, boundReader, checkup, trash } = work;
  const reporter = new HostReporter<VolumeServer>();
  const bound = [
    ...pools.map((open) => ['pool', open.bound] as const),
    ['target', boundTarget] as const,
    ...(boundReader === undefined ? [] : [['initiator', boundReader] as const]),
  ];
  let profiles: readonly ProfileFact[] | undefined;
  return async (_key, { signal }) => {
    profiles ??= await profileFacts(bound, signal);
    const accounted = trash.accounted();
    const seen = await Promise.all(pools.map(seePool));
    for (const pool of seen) {
      measure(program, pool);
    }
    if (await isQuick(work, seen)) {
      return { requeueAfterMs: 0 };
    }
    const { exports, problem } = await seeExports(deps);
    wakeUnserved(work, exports);
    const settings = await checkup.problems(signal);
    const report = {
      api: program.api,
      resource: VOLUME_SERVERS,
      name: program.config.host,
      fieldManager: MANAGERS.server,
      facts: (before: VolumeServer | undefined) =>
        serverFacts({
          bootID: program.bootID,
          version: program.version,
          clusterID: program.clusterID,
          profiles: profiles ?? [],
          problems: [...(problem === undefined ? [] : [problem]), ...settings],
          portals: deps.target.portals(),
          remoteCopy: boundReader !== undefined,
          targetGrows: deps.target.can.resizeOnline,
          pools: seen,
          exports,
          records: problem === undefined ? lostRecords(work, seen, exports) : [],
          accounted: accountedFor(work, seen),
          freeing: work.freeing.facts(seen),
          trash: trash.facts(seen),
          now: program.clock.now(),
          before: before?.status?.agent,
        }),
    };
    await reporter.report(report, signal).catch((error) => {
      trash.pause();
      throw error;
    });
    countLeftovers(program.metrics, 'VolumeServer', reporter.told);
    await forgetGone(work, seen);
    const retired = await trash.tend(accounted, seen, signal);
    return { requeueAfterMs: retired ? 0 : program.config.observeSeconds * 1000 };
  };
}

function accountedFor({ deps, isSynced }: ServerWork, seen: readonly SeenPool[]): ReadonlySet<string> {
  return new Set([
    ...[...deps.volumes.list(), ...deps.snapshots.list()].flatMap((stored) => idOf(stored) ?? []),
    // Before the objects are known nothing can be called left over.
    ...(isSynced() ? [] : seen.flatMap(({ view }) => view?.backings.map(({ id }) => id) ?? [])),
  ]);
}

const isWhole = (seen: readonly SeenPool[]): boolean => seen.every(({ view }) => view !== undefined);

/** What is remembered with a grant and has no object any more, nor data or a target, which would tell of it themselves. */
function lostRecords(
  { deps, isSynced }: ServerWork,
  seen: readonly SeenPool[],
  exports: readonly Export[],
): readonly string[] {
  const there = new Set([
    ...[...deps.volumes.list(), ...deps.snapshots.list()].flatMap((stored) => idOf(stored) ?? []),
    ...seen.flatMap(({ view }) => view?.backings.map(({ id }) => id) ?? []),
    ...exports.map(({ volumeID }) => volumeID),
  ]);
  const granted = isSynced() && isWhole(seen) ? deps.memories.list().filter(hasGrant) : [];
  return granted.flatMap(({ volumeID }) => (there.has(volumeID) ? [] : [volumeID]));
}

/** One that may still let somebody in. */
const hasGrant = (memory: ServerMemory): boolean =>
  memory.items.some(({ epoch }) => !isWithdrawnEpoch(memory, epoch));

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const bytesOf = (backings: readonly Backing[]): bigint =>
  backings.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0n);

function measure({ metrics }: Program, { name, view, problem }: SeenPool): void {
  const retained = (view?.backings ?? []).filter(
    ({ state, foreign }) => state === 'retained' && foreign !== true,
  );
  const numbers = view && {
    total: view.totalBytes,
    free: view.freeBytes,
    retained: bytesOf(retained),
    dying: bytesOf(dyingIn(view.backings)),
    retainedCount: retained.length,
  };
  metrics.pooled(name, numbers, problem !== undefined);
}

/** Whatever goes wrong with one pool is its own problem: the others, and the host, are reported all the same. */
async function seePool({ config, pool: { can }, look }: OpenPool): Promise<SeenPool> {
  try {
    const view = await look();
    const problem = view.fault === undefined ? undefined : problemOf(new PoolFaulty(config.name, view.fault));
    return { name: config.name, profile: config.profile, view, can, problem };
  } catch (error) {
    const problem = problemOf(error) ?? { reason: 'CannotLook', message: messageOf(error).slice(0, 900) };
    return { name: config.name, profile: config.profile, view: undefined, can, problem };
  }
}

async function seeExports(
  deps: ServerDeps,
): Promise<{ exports: Awaited<ReturnType<ServerDeps['lookAtTarget']>>; problem?: Problem }> {
  try {
    return { exports: await deps.lookAtTarget() };
  } catch (error) {
    const problem = problemOf(error);
    if (problem === undefined) {
      throw error;
    }
    return { exports: [], problem: { reason: 'TargetUnavailable', message: problem.message } };
  }
}

/** Data with grants or readers and no whole target, as after a restart of the target daemon: somebody waits. */
function wakeUnserved({ deps, wake }: ServerWork, exports: readonly Export[]): void {
  const granted = deps.memories.list().flatMap(({ volumeID, items }) => (items.length > 0 ? [volumeID] : []));
  const read = [...deps.volumes.list(), ...deps.snapshots.list()].flatMap((stored) =>
    readersOf(stored).length > 0 ? (idOf(stored) ?? []) : [],
  );
  const served = new Set(exports.flatMap(({ volumeID, ready }) => (ready ? [volumeID] : [])));
  for (const id of [...granted, ...read].filter((one) => !served.has(one))) {
    wake(id);
  }
}

/** Space that is free again within a moment is not worth telling of. */
const QUICK_MS = 1_500;

/** True: something was freed, look again. False: there was nothing to free, or it takes its time. */
async function isQuick({ freeing }: ServerWork, seen: readonly SeenPool[]): Promise<boolean> {
  const pools = seen.flatMap(({ name, view }) => (dyingIn(view?.backings ?? []).length > 0 ? [name] : []));
  return pools.length > 0 && (await freeing.within(QUICK_MS, pools));
}

/** What is remembered of a volume goes when its object, its data and its grants are all gone. */
async function forgetGone({ deps, isSynced }: ServerWork, seen: readonly SeenPool[]): Promise<void> {
  if (!isSynced() || !isWhole(seen)) {
    return;
  }
  for (const memory of deps.memories.list()) {
    const { volumeID } = memory;
    const exists =
      deps.volumes.byIndex('volumeID', volumeID).length > 0 ||
      deps.snapshots.byIndex('snapshotID', volumeID).length > 0;
    // What is retained will come back under another ID, if ever.
    const stored = seen.some(({ view }) =>
      view?.backings.some(({ id, state }) => id === volumeID && state !== 'retained'),
    );
    if (!exists && !stored && !hasGrant(memory)) {
      await deps.memories.remove(volumeID);
    }
  }
}
