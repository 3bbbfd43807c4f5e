// One visit of one volume on its server: first its data, then its target. Observe, decide, act, observe again.
import { SNAPSHOTS, VOLUMES } from '../../api/resources.ts';
import {
  type Backend,
  backendOf,
  grantsOf,
  idOf,
  isSnapshot,
  pinsOf,
  type Stored,
} from '../../api/volume.ts';
import type { Reconcile, Result } from '../../runtime/loop.ts';
import { sharedAs } from '../export/readers.ts';
import { visitTarget } from '../export/reconcile.ts';
import { problemOf, ReportedProblem } from '../problems.ts';
import { emptyServerMemory, type ServerMemory } from './memory.ts';
import { type BackingStep, factOf, type Problem, planBacking } from './plan.ts';
import {
  type Progress,
  type ServerDeps,
  type ServerVisit,
  seeBacking,
  storedOf,
  writeFact,
} from './visit.ts';

const MOST_STEPS = 24;
const RETRY_MS = 2_000;

export function serverReconciler(deps: ServerDeps): Reconcile {
  return async (volumeID, { log, signal }) => {
    const visit = { deps, volumeID, log, signal };
    return isKnown(visit) ? visitBoth(visit) : {};
  };
}

/** A fact that cannot be written, because the API server is away, must not keep a target from being rebuilt. */
async function visitBoth(visit: ServerVisit): Promise<Result> {
  let data: Progress = { kind: 'settled' };
  let target: Progress = { kind: 'settled' };
  let failure: { readonly error: unknown } | undefined;
  for (let step = 0; step < MOST_STEPS; step += 1) {
    if (failure === undefined) {
      const seen = await visitData(visit).catch((error: unknown) => ({ error }));
      failure = 'error' in seen ? seen : undefined;
      data = 'error' in seen ? { kind: 'settled' } : seen;
    }
    target = await visitTarget(visit);
    if (data.kind !== 'acted' && target.kind !== 'acted') {
      break;
    }
  }
  if (failure !== undefined) {
    throw failure.error;
  }
  const isWaiting = data.kind === 'waiting' || target.kind === 'waiting';
  return { requeueAfterMs: isWaiting ? RETRY_MS : visit.deps.resyncMs };
}

/** Some object or record speaks of the volume; else there is nothing to look at, now or later. */
const isKnown = (visit: ServerVisit): boolean =>
  storedOf(visit) !== undefined ||
  visit.deps.memories.get(visit.volumeID) !== undefined ||
  visit.deps.attachments.byIndex('volumeID', visit.volumeID).length > 0;

async function visitData(visit: ServerVisit): Promise<Progress> {
  const { deps, volumeID, log } = visit;
  const stored = storedOf(visit);
  if (stored === undefined) {
    return { kind: 'settled' };
  }
  const memory = deps.memories.get(volumeID);
  const known = { stored, memory, bootID: deps.bootID };
  try {
    const { view, backing } = await seeBacking(visit, stored.status?.pool);
    const exports = await deps.lookAtTarget();
    const target = exports.find((one) => one.volumeID === volumeID);
    const plan = planBacking({
      ...known,
      backing,
      freeBytes: view.freeBytes,
      extentBytes: view.extentBytes,
      copyOnWrite: deps.pools.get(stored.status?.pool ?? '')?.can.copyOnWrite === true,
      exported: target !== undefined,
      shared: sharedAs(stored, target, deps.target.portals()),
      now: deps.now().toISOString(),
    });
    if (plan.kind === 'copy') {
      const problem = deps.copyFailures.get(volumeID);
      if (problem === undefined) {
        deps.copyLater(volumeID);
      }
      return await writeFact(visit, stored, problem === undefined ? plan.fact : factOf(known, { problem }));
    }
    if (plan.kind === 'report') {
      const isNews = plan.fact?.absentAt !== undefined && backendOf(stored)?.absentAt === undefined;
      if (isNews && backing === undefined) {
        // Its data went by other hands; what stood beside it goes too.
        await deps.pools.get(stored.status?.pool ?? '')?.free(volumeID, visit.signal);
      }
      return await writeFact(visit, stored, plan.fact);
    }
    log.info({ volumeID, step: plan.step.kind }, 'Changing the backing store');
    await actOnBacking(visit, stored, plan.step);
    return { kind: 'acted' };
  } catch (error) {
    return failed(visit, stored, { error, fact: (problem) => factOf(known, { problem }) });
  }
}

interface Failure {
  readonly error: unknown;
  readonly fact: (problem: Problem) => Backend | undefined;
}

/** A failure of the outside world is told and tried again; any other is the loop's to judge. */
async function failed(visit: ServerVisit, stored: Stored, { error, fact }: Failure): Promise<Progress> {
  const problem = problemOf(error);
  if (problem === undefined) {
    throw error;
  }
  visit.log.warn({ volumeID: visit.volumeID, err: error }, 'The backing store could not be seen or changed');
  await writeFact(visit, stored, fact(problem));
  return { kind: 'waiting' };
}

async function actOnBacking(visit: ServerVisit, stored: Stored, step: BackingStep): Promise<void> {
  const { deps, volumeID, signal } = visit;
  const pool = deps.pools.get(stored.status?.pool ?? '');
  const { namespace = '', name, uid } = stored.metadata;
  const owner = { clusterID: deps.clusterID, namespace, name };
  const remember = async (more: Partial<ServerMemory>) => {
    const memory = deps.memories.get(volumeID) ?? emptyServerMemory(volumeID, uid);
    await deps.memories.put(volumeID, { ...memory, ...more });
  };
  switch (step.kind) {
    case 'create':
      await pool?.create(volumeID, step.sizeBytes, owner, signal);
      return;
    case 'remember-copy':
      await remember({ copy: step.copy });
      return;
    case 'snapshot':
      await expectPinned(visit, stored, pool?.can.snapshotAttached !== true);
      await pool?.snapshot(volumeID, step.sourceID, owner, signal);
      return;
    case 'discard':
      await pool?.retire(volumeID, signal);
      deps.onRetired();
      return;
    case 'remember-refusal':
      await deps.tellHost(signal);
      await remember({ refusedEpoch: step.epoch });
      return;
    case 'complete':
      await pool?.complete(volumeID, step.sizeBytes, signal);
      return;
    case 'grow':
      await pool?.grow(volumeID, step.sizeBytes, signal);
      return;
    case 'remember-provisioned':
      await remember({ everProvisioned: true });
      return;
    case 'retire':
      if (await isOrderedLive(visit, stored)) {
        await pool?.retire(volumeID, signal);
        deps.onRetired();
      }
  }
}

/** Irreversible, so the order is read live: same object, same ID, neither grant nor pin. */
async function isOrderedLive({ deps, volumeID, signal }: ServerVisit, cached: Stored): Promise<boolean> {
  const { name, namespace, uid } = cached.metadata;
  const live = await deps.api.get<Stored>(
    isSnapshot(cached) ? SNAPSHOTS : VOLUMES,
    { name, ...(namespace === undefined ? {} : { namespace }) },
    { signal },
  );
  return (
    live?.metadata.uid === uid &&
    idOf(live) === volumeID &&
    live.status?.order === 'Remove' &&
    live.status.server === deps.host &&
    pinsOf(live).length === 0 &&
    (isSnapshot(live) || grantsOf(live).length === 0)
  );
}

/**
 * Nothing removes the source while it is pinned, nor, with `still`, writes to it: read live before a copy is begun, or taken up
 * again. Answers the source as it is now. Throws SourceNotPinned.
 */
export async function expectPinned(
  { deps, signal }: ServerVisit,
  copy: Stored,
  still: boolean,
): Promise<Stored> {
  const { source } = copy.status ?? {};
  const { namespace = '', uid } = copy.metadata;
  const resource = source?.kind === 'Snapshot' ? SNAPSHOTS : VOLUMES;
  const live = await deps.api.get<Stored>(resource, { name: source?.name ?? '', namespace }, { signal });
  const pin = live?.metadata.uid === source?.uid ? pinsOf(live).find((one) => one.uid === uid) : undefined;
  const isStill =
    live !== undefined && (isSnapshot(live) || (pin?.still === true && grantsOf(live).length === 0));
  if (live === undefined || pin === undefined || (still && !isStill)) {
    throw new ReportedProblem(
      'SourceNotPinned',
      `${source?.kind} ${source?.name} does not hold its data for this copy`,
    );
  }
  return live;
}
