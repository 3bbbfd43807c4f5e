// One visit of one volume on its server: first its data, then its target. Observe, decide, act, observe again.
import type { Attachment, ExportFact } from '../../api/attachment.ts';
import { sameJson } from '../../api/equal.ts';
import { MANAGERS } from '../../api/names.ts';
import { ATTACHMENTS, VOLUMES } from '../../api/resources.ts';
import { type Backend, backendOf, type Volume } from '../../api/volume.ts';
import type { Api } from '../../runtime/api.ts';
import type { Log } from '../../runtime/log.ts';
import type { Reconcile } from '../../runtime/loop.ts';
import { patchStatusBlock } from '../../runtime/patch.ts';
import type { Reflector } from '../../runtime/reflector.ts';
import type { ChapOf } from '../chap.ts';
import { actOnExport } from '../export/act.ts';
import { type ExportStep, planExport } from '../export/plan.ts';
import { problemOf } from '../problems.ts';
import type { Backing, Pool, PoolView } from '../roles/pool.ts';
import type { Export, Target } from '../roles/target.ts';
import type { RecordStore } from '../store.ts';
import { emptyServerMemory, type ServerMemory } from './memory.ts';
import { type BackingStep, factOf, type Problem, planBacking } from './plan.ts';

export interface ServerDeps {
  readonly api: Api;
  readonly host: string;
  readonly clusterID: string;
  readonly bootID: string;
  readonly volumes: Reflector<Volume>;
  readonly attachments: Reflector<Attachment>;
  readonly memories: RecordStore<ServerMemory>;
  readonly pools: ReadonlyMap<string, Pool>;
  readonly lookAtPool: (name: string) => Promise<PoolView>;
  readonly target: Target;
  readonly lookAtTarget: () => Promise<readonly Export[]>;
  readonly chapOf: ChapOf;
  readonly now: () => Date;
  readonly resyncMs: number;
  /** A backing was retired: its space is to be freed. */
  readonly onRetired: () => void;
}

export interface ServerVisit {
  readonly deps: ServerDeps;
  readonly volumeID: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}

const MOST_STEPS = 24;
const RETRY_MS = 2_000;

export function serverReconciler(deps: ServerDeps): Reconcile {
  return async (volumeID, { log, signal }) => {
    const visit = { deps, volumeID, log, signal };
    let waiting = false;
    let failure: { readonly error: unknown } | undefined;
    for (let step = 0; step < MOST_STEPS; step += 1) {
      // A fact that cannot be written, because the API server is away, must not keep a target from being rebuilt.
      const data: Progress =
        failure === undefined
          ? await visitData(visit).catch((error: unknown) => {
              failure = { error };
              return { kind: 'settled' } as const;
            })
          : { kind: 'settled' };
      const target = await visitTarget(visit);
      waiting = data.kind === 'waiting' || target.kind === 'waiting';
      if (data.kind !== 'acted' && target.kind !== 'acted') {
        break;
      }
    }
    if (failure !== undefined) {
      throw (failure as { readonly error: unknown }).error;
    }
    return { requeueAfterMs: waiting ? RETRY_MS : deps.resyncMs };
  };
}

/** waiting: something stands in the way, look again soon. */
export interface Progress {
  readonly kind: 'acted' | 'waiting' | 'settled';
}

const volumeOf = ({ deps, volumeID }: ServerVisit): Volume | undefined =>
  deps.volumes.byIndex('volumeID', volumeID)[0];

interface SeenBacking {
  readonly view: PoolView;
  readonly backing: Backing | undefined;
}

async function seeBacking({ deps, volumeID }: ServerVisit, pool: string | undefined): Promise<SeenBacking> {
  const view = await deps.lookAtPool(pool ?? '');
  const mine = view.backings.filter((backing) => backing.volumeID === volumeID);
  // A dying one beside another is the space of an earlier life, on its way out.
  return { view, backing: mine.find(({ state }) => state !== 'dying') ?? mine[0] };
}

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
      return writeFact(visit, volume, plan.fact);
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

async function writeFact(
  { deps }: ServerVisit,
  volume: Volume,
  fact: Backend | undefined,
): Promise<Progress> {
  if (fact === undefined || sameJson(fact, volume.status?.backend)) {
    return { kind: fact?.problem === undefined ? 'settled' : 'waiting' };
  }
  const written = await patchStatusBlock<Volume>(deps.api, {
    resource: VOLUMES,
    object: volume,
    owned: { backend: fact },
    fieldManager: MANAGERS.server,
  });
  if (written !== undefined) {
    deps.volumes.written(written);
  }
  return { kind: fact.problem === undefined ? 'settled' : 'waiting' };
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

async function visitTarget(visit: ServerVisit): Promise<Progress> {
  const { deps, volumeID, log } = visit;
  const volume = volumeOf(visit);
  const attachments = deps.attachments.byIndex('volumeID', volumeID);
  try {
    const exports = await deps.lookAtTarget();
    const target = exports.find((one) => one.volumeID === volumeID);
    const memory = deps.memories.get(volumeID);
    const pool = volume?.status?.pool;
    // Without grants and without a target nothing is asked of the pool.
    const needed =
      target !== undefined || (memory?.items.length ?? 0) > 0 || volume?.status?.grants !== undefined;
    const backing = needed && pool !== undefined ? (await seeBacking(visit, pool)).backing : undefined;
    const world = {
      volumeID,
      volume,
      attachments,
      memory,
      backing: backing?.state === 'complete' ? backing : undefined,
      target,
      portals: deps.target.portals(),
      bootID: deps.bootID,
    };
    const plan = planExport(world);
    if (plan.kind === 'take') {
      log.info({ volumeID, step: plan.step.kind, why: plan.why }, 'Changing the target');
      await (isReport(plan.step) ? report(visit, plan.step) : actOnExport(visit, world, plan.step));
      return { kind: 'acted' };
    }
    if (plan.kind === 'wait') {
      await tellProblem(visit, { reason: plan.reason, message: plan.message });
      return { kind: 'waiting' };
    }
    return { kind: 'settled' };
  } catch (error) {
    const problem = problemOf(error);
    if (problem === undefined) {
      throw error;
    }
    log.warn({ volumeID, err: error }, 'The target could not be seen or changed');
    await tellProblem(visit, problem);
    return { kind: 'waiting' };
  }
}

type Report = ExportStep & { readonly kind: 'report' | 'report-revision' };
const isReport = (step: ExportStep): step is Report =>
  step.kind === 'report' || step.kind === 'report-revision';

async function report(visit: ServerVisit, step: Report): Promise<void> {
  const volume = volumeOf(visit);
  if (step.kind === 'report') {
    await writeExport(visit, step.attachment, step.fact);
  } else if (volume !== undefined) {
    const before = backendOf(volume);
    await writeFact(visit, volume, before && { ...before, appliedRevision: step.revision });
  }
}

async function writeExport({ deps }: ServerVisit, attachment: Attachment, fact: ExportFact): Promise<void> {
  const written = await patchStatusBlock<Attachment>(deps.api, {
    resource: ATTACHMENTS,
    object: attachment,
    owned: { export: fact },
    fieldManager: MANAGERS.server,
  });
  if (written !== undefined) {
    deps.attachments.written(written);
  }
}

/** Told on every Attachment whose grant is not yet withdrawn: what was true for ever stays said. */
async function tellProblem(visit: ServerVisit, problem: Problem): Promise<void> {
  const { deps, volumeID } = visit;
  for (const attachment of deps.attachments.byIndex('volumeID', volumeID)) {
    const { epoch, export: told } = attachment.status ?? {};
    const isFinal = told?.epoch === epoch && told?.state === 'Withdrawn';
    if (epoch !== undefined && !isFinal) {
      const fact: ExportFact = { epoch, bootID: deps.bootID, problem };
      if (!sameJson(fact, told)) {
        await writeExport(visit, attachment, fact);
      }
    }
  }
}
