// The target's part of a visit of one volume on its server.
import type { Attachment, ExportFact } from '../../api/attachment.ts';
import { sameJson } from '../../api/equal.ts';
import { MANAGERS } from '../../api/names.ts';
import { ATTACHMENTS } from '../../api/resources.ts';
import { backendOf, grantsOf } from '../../api/volume.ts';
import { problemOf } from '../problems.ts';
import type { Backing } from '../roles/pool.ts';
import type { Problem } from '../volume/plan.ts';
import {
  type Progress,
  type ServerVisit,
  seeBacking,
  storedOf,
  volumeOf,
  writeFact,
} from '../volume/visit.ts';
import { writeBlock } from '../write-block.ts';
import { actOnExport } from './act.ts';
import { type ExportStep, planExport } from './plan.ts';
import { readersOf } from './readers.ts';

export async function visitTarget(visit: ServerVisit): Promise<Progress> {
  const { deps, volumeID, log } = visit;
  const volume = volumeOf(visit);
  const attachments = deps.attachments.byIndex('volumeID', volumeID);
  try {
    const exports = await deps.lookAtTarget();
    const target = exports.find((one) => one.volumeID === volumeID);
    const memory = deps.memories.get(volumeID);
    // Without grants and without a target nothing is asked of the pool.
    const readers = readersOf(storedOf(visit));
    const isNeeded =
      target !== undefined ||
      readers.length > 0 ||
      (memory?.items ?? []).length > 0 ||
      grantsOf(volume).length > 0;
    const { backing, unseen }: Exportable = isNeeded ? await backingOf(visit) : {};
    const world = {
      volumeID,
      volume,
      attachments,
      memory,
      readers,
      backing,
      target,
      readOnlyPerInitiator: deps.target.can.readOnlyPerInitiator,
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
      await tellProblem(visit, unseen ?? { reason: plan.reason, message: plan.message });
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

interface Exportable {
  readonly backing?: Backing;
  /** Why there is nothing to open: the pool could not be seen (shutting a target needs none), no object says where it is, or it is growing. */
  readonly unseen?: Problem;
}

/** What may be exported: complete, and not another cluster's. */
async function backingOf(visit: ServerVisit): Promise<Exportable> {
  const stored = storedOf(visit);
  if (stored === undefined) {
    const message =
      'no Volume of this ID names this server any more; its data and its target stay as they are';
    return { unseen: { reason: 'VolumeNotFound', message } };
  }
  const { pool } = stored.status ?? {};
  if (pool === undefined) {
    return {};
  }
  try {
    const { backing } = await seeBacking(visit, pool);
    if (backing?.state === 'growing') {
      const message = 'the volume is growing; it is exported when its new space is zeroed';
      return { unseen: { reason: 'Busy', message } };
    }
    return backing?.state === 'complete' && backing.foreign !== true ? { backing } : {};
  } catch (error) {
    const problem = problemOf(error);
    if (problem === undefined) {
      throw error;
    }
    return { unseen: problem };
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
  await writeBlock<Attachment>(deps.api, deps.attachments, {
    resource: ATTACHMENTS,
    object: attachment,
    owned: { export: fact },
    fieldManager: MANAGERS.server,
  });
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
