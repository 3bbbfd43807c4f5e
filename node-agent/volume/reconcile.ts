// One visit of one volume on its server: first its data, then its target. Observe, decide, act, observe again.
import { VOLUMES } from '../../api/resources.ts';
import { type Backend, backendOf, type Volume } from '../../api/volume.ts';
import type { Reconcile, Result } from '../../runtime/loop.ts';
import { visitTarget } from '../export/reconcile.ts';
import { problemOf } from '../problems.ts';
import { emptyServerMemory } from './memory.ts';
import { type BackingStep, factOf, type Problem, planBacking } from './plan.ts';
import {
  type Progress,
  type ServerDeps,
  type ServerVisit,
  seeBacking,
  volumeOf,
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
  volumeOf(visit) !== undefined ||
  visit.deps.memories.get(visit.volumeID) !== undefined ||
  visit.deps.attachments.byIndex('volumeID', visit.volumeID).length > 0;

async function visitData(visit: ServerVisit): Promise<Progress> {
  const { deps, volumeID, log } = visit;
  const volume = volumeOf(visit);
  if (volume === undefined) {
    return { kind: 'settled' };
  }
  const memory = deps.memories.get(volumeID);
  const known = { volume, memory, bootID: deps.bootID };
  try {
    const { view, backing } = await seeBacking(visit, volume.status?.pool);
    const exports = await deps.lookAtTarget();
    const plan = planBacking({
      ...known,
      backing,
      freeBytes: view.freeBytes,
      extentBytes: view.extentBytes,
      exported: exports.some((one) => one.volumeID === volumeID),
      now: deps.now().toISOString(),
    });
    if (plan.kind === 'report') {
      const isNews = plan.fact?.absentAt !== undefined && backendOf(volume)?.absentAt === undefined;
      if (isNews && backing === undefined) {
        // Its data went by other hands; what stood beside it goes too.
        await deps.pools.get(volume.status?.pool ?? '')?.free(volumeID, visit.signal);
      }
      return await writeFact(visit, volume, plan.fact);
    }
    log.info({ volumeID, step: plan.step.kind }, 'Changing the backing store');
    await actOnBacking(visit, volume, plan.step);
    return { kind: 'acted' };
  } catch (error) {
    return failed(visit, volume, { error, fact: (problem) => factOf(known, { problem }) });
  }
}

interface Failure {
  readonly error: unknown;
  readonly fact: (problem: Problem) => Backend | undefined;
}

/** A failure of the outside world is told and tried again; any other is the loop's to judge. */
async function failed(visit: ServerVisit, volume: Volume, { error, fact }: Failure): Promise<Progress> {
  const problem = problemOf(error);
  if (problem === undefined) {
    throw error;
  }
  visit.log.warn({ volumeID: visit.volumeID, err: error }, 'The backing store could not be seen or changed');
  await writeFact(visit, volume, fact(problem));
  return { kind: 'waiting' };
}

async function actOnBacking(visit: ServerVisit, volume: Volume, step: BackingStep): Promise<void> {
  const { deps, volumeID, signal } = visit;
  const pool = deps.pools.get(volume.status?.pool ?? '');
  const { namespace = '', name, uid } = volume.metadata;
  switch (step.kind) {
    case 'create':
      await pool?.create(volumeID, step.sizeBytes, { clusterID: deps.clusterID, namespace, name }, signal);
      return;
    case 'complete':
      await pool?.complete(volumeID, step.sizeBytes, signal);
      return;
    case 'grow':
      await pool?.grow(volumeID, step.sizeBytes, signal);
      return;
    case 'remember-provisioned': {
      const memory = deps.memories.get(volumeID) ?? emptyServerMemory(volumeID, uid);
      await deps.memories.put(volumeID, { ...memory, everProvisioned: true });
      return;
    }
    case 'retire':
      if (await isOrderedLive(visit, volume)) {
        await pool?.retire(volumeID, signal);
        deps.onRetired();
      }
  }
}

/** Irreversible, so the order is read live: same object, same volumeID, no grant. */
async function isOrderedLive({ deps, volumeID, signal }: ServerVisit, cached: Volume): Promise<boolean> {
  const { name, namespace, uid } = cached.metadata;
  const live = await deps.api.get<Volume>(
    VOLUMES,
    { name, ...(namespace === undefined ? {} : { namespace }) },
    { signal },
  );
  const { status, metadata } = live ?? {};
  return (
    metadata?.uid === uid &&
    status?.volumeID === volumeID &&
    status.order === 'Remove' &&
    status.server === deps.host &&
    (status.grants?.items ?? []).length === 0
  );
}
