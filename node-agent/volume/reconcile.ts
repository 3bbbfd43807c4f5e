// One visit of one volume on its server: first its data, then its target. Observe, decide, act, observe again.
import { connectionAt } from '../../api/attachment.ts';
import { SNAPSHOTS, VOLUMES } from '../../api/resources.ts';
import {
  type Backend,
  backendOf,
  grantsOf,
  isSnapshot,
  isUnclaimed,
  pinsOf,
  type Stored,
} from '../../api/volume.ts';
import type { Reconcile, Result } from '../../runtime/loop.ts';
import { sharedAs } from '../export/readers.ts';
import { visitTarget } from '../export/reconcile.ts';
import { problemOf, ReportedProblem } from '../problems.ts';
import type { Pool } from '../roles/pool.ts';
import { actOnAdoption, orphanedSource, retainedSource, tellLosers } from './adoption.ts';
import { emptyServerMemory, type ServerMemory } from './memory.ts';
import {
  type BackingPlan,
  type BackingStep,
  type BackingWorld,
  factOf,
  type Problem,
  planBacking,
} from './plan.ts';
import {
  memoryOf,
  type Progress,
  poolFor,
  readLive,
  type ServerDeps,
  type ServerVisit,
  seeBacking,
  storedOf,
  writeFact,
} from './visit.ts';

type OtherStep = Exclude<BackingStep, { readonly kind: 'grow' }>;

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
  const { deps, volumeID } = visit;
  const stored = storedOf(visit);
  if (stored === undefined) {
    return { kind: 'settled' };
  }
  await tellLosers(visit);
  const memory = memoryOf(visit, stored);
  const known = { stored, memory, bootID: deps.bootID };
  try {
    const { view, backing } = await seeBacking(visit, stored.status?.pool);
    const exports = await deps.lookAtTarget();
    const target = exports.find((one) => one.volumeID === volumeID);
    const can = poolFor(visit, stored)?.can;
    const plan = planBacking({
      ...known,
      backing,
      freeBytes: view.freeBytes,
      extentBytes: view.extentBytes,
      retained: retainedSource(stored, view),
      orphan: orphanedSource(visit, stored, view),
      sessions: deps.memories.get(volumeID) === undefined ? (target?.sessions ?? []) : [],
      inTrash: deps.trash.has(volumeID),
      copyOnWrite: can?.copyOnWrite === true,
      exported: target !== undefined,
      growsOnline: growsOnline(visit, stored),
      snapshotsHoldSize: can?.snapshotsHoldSize === true,
      snapshotsOutlive: can?.snapshotsOutlive === true,
      zeroes: can?.zeroes === true,
      shared: sharedAs(stored, target, deps.target.portals()),
      now: deps.now().toISOString(),
    });
    if (plan.kind === 'copy') {
      return await fill(visit, known, plan);
    }
    if (plan.kind === 'report') {
      const isNews = plan.fact?.absentAt !== undefined && backendOf(stored)?.absentAt === undefined;
      if (isNews && backing === undefined) {
        // Its data went by other hands; what stood beside it goes too.
        await poolFor(visit, stored)?.free(volumeID, visit.signal);
      }
      return await writeFact(visit, stored, plan.fact);
    }
    return await carryOut(visit, known, plan.step);
  } catch (error) {
    return failed(visit, stored, { error, fact: (problem) => factOf(known, { problem }) });
  }
}

type Known = Pick<BackingWorld, 'stored' | 'memory' | 'bootID'>;

/** In the background. Data that does not come to grow is in order as it is. */
async function fill(
  visit: ServerVisit,
  known: Known,
  { source, fact }: Extract<BackingPlan, { readonly kind: 'copy' }>,
): Promise<Progress> {
  const { deps, volumeID } = visit;
  const problem = deps.copyFailures.get(volumeID);
  if (problem === undefined) {
    deps.copyLater(volumeID, source !== undefined && source.server !== deps.host);
    return writeFact(visit, known.stored, fact);
  }
  const isGrowing = fact?.growth !== undefined;
  return writeFact(visit, known.stored, factOf(known, isGrowing ? { growth: problem } : { problem }));
}

/**
 * Pool and target can, and each hypervisor that has the disk in a VM says that it can: one that is only about to connect compares
 * sizes, and must not find another one.
 */
function growsOnline(visit: ServerVisit, stored: Stored): boolean {
  const { deps, volumeID } = visit;
  const grants = isSnapshot(stored) ? [] : grantsOf(stored);
  const canHere = poolFor(visit, stored)?.can.growOnline === true && deps.target.can.resizeOnline;
  const attachments = deps.attachments.byIndex('volumeID', volumeID);
  const canThere = (uid: string, epoch: number) => {
    const attachment = attachments.find(({ metadata }) => metadata.uid === uid);
    const fact = attachment && connectionAt(attachment, epoch);
    return fact?.state === 'Attached' && fact.growsOnline === true;
  };
  return (
    canHere &&
    grants.length > 0 &&
    grants.every(
      (grant) => !isUnclaimed(grant) && grant.attachments.every((uid) => canThere(uid, grant.epoch)),
    )
  );
}

async function carryOut(visit: ServerVisit, known: Known, step: BackingStep): Promise<Progress> {
  visit.log.info({ volumeID: visit.volumeID, step: step.kind }, 'Changing the backing store');
  if (step.kind === 'grow') {
    return grow(visit, known, step.sizeBytes);
  }
  await actOnBacking(visit, known.stored, step);
  return { kind: 'acted' };
}

/** Data that did not grow is as good as before, and stays in use. */
async function grow(visit: ServerVisit, known: Known, sizeBytes: bigint): Promise<Progress> {
  const { stored } = known;
  try {
    await poolFor(visit, stored)?.grow(visit.volumeID, sizeBytes, visit.signal);
    return { kind: 'acted' };
  } catch (error) {
    return failed(visit, stored, { error, fact: (growth) => factOf(known, { growth }) });
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

async function actOnBacking(visit: ServerVisit, stored: Stored, step: OtherStep): Promise<void> {
  const { deps, volumeID, signal } = visit;
  const pool = poolFor(visit, stored);
  const { namespace = '', name, uid } = stored.metadata;
  const owner = { clusterID: deps.clusterID, namespace, name };
  const remember = async (more: Partial<ServerMemory>) => {
    const memory = deps.memories.get(volumeID) ?? emptyServerMemory(volumeID, uid);
    await deps.memories.put(volumeID, { ...memory, ...more });
  };
  switch (step.kind) {
    case 'create':
      await pool?.create(volumeID, step.sizeBytes, owner, signal);
      deps.ready.add(volumeID);
      return;
    case 'remember-copy':
      await remember({ copy: step.copy });
      return;
    case 'snapshot':
      await expectPinned(visit, stored, pool?.can.snapshotAttached !== true);
      await pool?.snapshot(volumeID, step.sourceID, owner, signal);
      return;
    case 'take-over':
    case 'retain-orphan':
    case 'adopt':
      await actOnAdoption(visit, stored, step);
      return;
    case 'discard':
      deps.ready.delete(volumeID);
      await pool?.retire(volumeID, signal);
      deps.onRetired();
      return;
    case 'remember-refusal':
      await deps.tellHost(signal);
      await remember({ refusedEpoch: step.epoch });
      return;
    case 'complete':
      await tidyAdopted(pool, step.adoptedID, signal);
      await pool?.complete(volumeID, step.sizeBytes, signal);
      deps.ready.delete(volumeID);
      return;
    case 'grown':
      await pool?.grown(volumeID, signal);
      return;
    case 'remember-fault':
      await remember({ fault: step.fault });
      return;
    case 'remember-provisioned':
      await remember({ everProvisioned: true });
      return;
    default:
      await end(visit, stored, step);
  }
}

type EndingStep = Extract<OtherStep, { readonly kind: 'retire' | 'retain' | 'keep' }>;

async function end(visit: ServerVisit, stored: Stored, step: EndingStep): Promise<void> {
  const { deps, volumeID, signal } = visit;
  const pool = poolFor(visit, stored);
  if (step.kind === 'keep') {
    await deps.trash.forget(volumeID);
    deps.onRetired();
    return;
  }
  const live = await orderedLive(visit, stored, step.kind === 'retire' ? 'Remove' : 'Retain');
  if (live === undefined) {
    return;
  }
  if (step.kind === 'retire') {
    await tidyAdopted(pool, step.adoptedID, signal);
    deps.ready.delete(volumeID);
    await pool?.retire(volumeID, signal);
  } else {
    await deps.trash.begin(volumeID, live, step.owner);
    await pool?.retain(volumeID, signal);
  }
  deps.onRetired();
}

/** After a crash in the middle of an adoption something may still stand beside the old name. */
async function tidyAdopted(
  pool: Pool | undefined,
  adoptedID: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (adoptedID !== undefined) {
    await pool?.free(adoptedID, signal);
  }
}

/** Irreversible, so the order is read live: same object, same ID, neither grant nor pin. */
async function orderedLive(
  visit: ServerVisit,
  cached: Stored,
  order: 'Remove' | 'Retain',
): Promise<Stored | undefined> {
  const live = await readLive(visit, cached);
  const isOrdered =
    live?.status?.order === order &&
    pinsOf(live).length === 0 &&
    (isSnapshot(live) || grantsOf(live).length === 0);
  return isOrdered ? live : undefined;
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
