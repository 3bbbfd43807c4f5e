// One visit of one Attachment on its hypervisor. Observe, decide, act, observe again.
import {
  type Attachment,
  type ConnectionFact,
  connectionAt,
  exportAt,
  isReadOnly,
} from '../../api/attachment.ts';
import { sameJson } from '../../api/equal.ts';
import { MANAGERS } from '../../api/names.ts';
import { ATTACHMENTS, VOLUMES } from '../../api/resources.ts';
import type { Volume } from '../../api/volume.ts';
import type { Reconcile, Result } from '../../runtime/loop.ts';
import { problemOf } from '../problems.ts';
import { InstanceNotFound } from '../roles/errors.ts';
import { findInstance, mayHoldDisks } from '../roles/instances.ts';
import type { Instance, VmDisk } from '../roles/vmm.ts';
import type { Problem } from '../volume/plan.ts';
import { writeBlock } from '../write-block.ts';
import { actOnConnection, disconnect, expectAnswer } from './act.ts';
import { expectUnclaimed } from './claims.ts';
import type { ConnectionMemory } from './memory.ts';
import { type ConnectionWorld, type FoundDisk, isGivenUp, planConnection, planLeftover } from './plan.ts';
import { grantUUIDOf, type HostVisit, type HypervisorDeps } from './visit.ts';

const MOST_STEPS = 16;
const RETRY_MS = 2_000;
/** What the tool cannot do at all, a person has to make possible first. */
const UNSUPPORTED_RETRY_MS = 30_000;
/** A guest lets go within a moment or not at all: look soon at first. */
const DETACH_LOOK_MS = 100;

/** Keys are those of Attachments, or `memory/UID` for one that is remembered and no longer shown. */
export function connectionReconciler(deps: HypervisorDeps): Reconcile {
  return async (key, { log, signal }) => {
    const visit = { deps, log, signal };
    const attachment = deps.attachments.get(key);
    if (attachment !== undefined) {
      return visitAttachment(visit, key);
    }
    for (const memory of deps.memories.list()) {
      if (`${memory.namespace}/${memory.name}` === key) {
        return visitLeftover(visit, memory);
      }
    }
    return {};
  };
}

async function visitAttachment(visit: HostVisit, key: string): Promise<Result> {
  const { deps } = visit;
  for (let step = 0; step < MOST_STEPS; step += 1) {
    const attachment = deps.attachments.get(key);
    if (attachment === undefined) {
      return {};
    }
    const result = await visitOnce(visit, attachment);
    if (result !== 'again') {
      return result;
    }
  }
  return { requeueAfterMs: RETRY_MS };
}

async function visitOnce(visit: HostVisit, attachment: Attachment): Promise<Result | 'again'> {
  const { deps, log } = visit;
  const name = attachment.metadata.name;
  try {
    const world = await observe(visit, attachment);
    const plan = planConnection(world);
    if (plan.kind === 'report') {
      await writeFact(deps, attachment, plan.fact);
      if (plan.soon === true) {
        return { requeueAfterMs: DETACH_LOOK_MS };
      }
      return { requeueAfterMs: plan.fact?.problem === undefined ? deps.resyncMs : RETRY_MS };
    }
    if (plan.step.kind === 'detach') {
      return await letGo(visit, world, attachment);
    }
    log.info({ attachment: name, step: plan.step.kind, why: plan.why }, 'Changing the connection');
    await actOnConnection(visit, world, plan.step);
    return 'again';
  } catch (error) {
    const problem = problemOf(error);
    if (problem === undefined) {
      throw error;
    }
    log.warn({ attachment: name, err: error }, 'The connection could not be seen or changed');
    await writeFact(deps, attachment, factWith(deps, attachment, problem));
    return { requeueAfterMs: problem.reason === 'Unsupported' ? UNSUPPORTED_RETRY_MS : RETRY_MS };
  }
}

/** Asks the guest, and looks again soon; a guest that does not answer is asked again now and then, and told about. */
async function letGo(visit: HostVisit, world: ConnectionWorld, attachment: Attachment): Promise<Result> {
  const { deps, log } = visit;
  const volumeID = attachment.status?.volumeID ?? '';
  const now = deps.clock.monotonicMs();
  const asked = deps.askedAtMs.get(volumeID);
  const sinceMs = asked === undefined ? 0 : now - asked;
  if (asked === undefined || sinceMs > 10_000) {
    await expectAnswer(visit, world);
    log.info({ attachment: attachment.metadata.name }, 'Asking the guest to let the disk go');
    deps.askedAtMs.set(volumeID, now);
    if (world.disk !== undefined) {
      await deps.vmm.detach(world.disk.instance, volumeID, visit.signal);
    }
    if (asked !== undefined) {
      const instance = world.disk?.instance.name ?? '';
      const message = `the guest of ${instance} does not let the disk go; unmount it there, or restart the VM`;
      await writeFact(
        deps,
        attachment,
        factWith(deps, attachment, { reason: 'DetachBlockedByGuest', message }),
      );
    }
  }
  return { requeueAfterMs: sinceMs < 2_000 ? DETACH_LOOK_MS : RETRY_MS };
}

async function observe({ deps, signal }: HostVisit, attachment: Attachment): Promise<ConnectionWorld> {
  expectUnclaimed(deps, attachment);
  const { volumeID = '', epoch = 0 } = attachment.status ?? {};
  const memory = deps.memories.get(attachment.metadata.uid);
  const instances = await deps.lookAtInstances();
  const instance = named(instances, attachment);
  const remembered = rememberedOf(deps, volumeID);
  const places = remembered.map(({ instanceUUID }) => instanceUUID).filter((uuid) => uuid !== '');
  const search = { deps, instances, signal, uuids: [instance?.uuid, ...places] };
  const disk = await findDisk(search, volumeID, epoch);
  if (disk === undefined) {
    deps.askedAtMs.delete(volumeID);
  }
  const wasElsewhere = places.some((uuid) => uuid !== instance?.uuid);
  const mayClose = disk === undefined && (isGivenUp(attachment, epoch) || wasElsewhere);
  const closing = mayClose && !(await areSettled(search));
  const hidden = hiddenAmong(search);
  const residue = await hasResidue(deps, volumeID, epoch, signal);
  const vmmLogsIn = deps.initiator.kind === 'iscsi';
  const connectingMs = waitedFor(deps, volumeID, disk);
  const formerKey = remembered.find((one) => one.epoch === epoch && one.key !== undefined)?.key;
  const seen = {
    attachment,
    memory,
    formerKey,
    instance,
    disk,
    closing,
    hidden,
    residue,
    vmmLogsIn,
    connectingMs,
  };
  const growsOnline = deps.vmm.can.growOnline && (!isReadOnly(attachment) || deps.vmm.can.growReadOnly);
  const size = await sizeOf(deps, attachment, disk, signal);
  return { ...seen, ...size, growsOnline, bootID: deps.bootID };
}

/** Also of Attachments whose objects are lost: one may have the grant of another now, and the disk is where that one had it. */
const rememberedOf = ({ memories }: HypervisorDeps, volumeID: string): readonly ConnectionMemory[] =>
  memories.list().filter((one) => one.volumeID === volumeID);

/** How long a VM that was asked to show a new size is left in peace. */
const RESIZE_PATIENCE_MS = 10_000;

/**
 * Looked at only while it is not the size which the target is said to have: a look of its own is not for every visit, and none is
 * for a disk that is to go, whose target may not answer any more.
 */
async function sizeOf(
  { vmm, clock, resizedAtMs, seenBytes }: HypervisorDeps,
  attachment: Attachment,
  found: FoundDisk | undefined,
  signal: AbortSignal,
): Promise<Pick<ConnectionWorld, 'diskBytes' | 'resizing'>> {
  const { volumeID = '', epoch = 0 } = attachment.status ?? {};
  if (found === undefined) {
    resizedAtMs.delete(volumeID);
    seenBytes.delete(volumeID);
    return { resizing: false };
  }
  const last = seenBytes.get(volumeID) ?? toldBytes(attachment, epoch);
  const exported = exportAt(attachment, epoch);
  const mayDiffer = exported?.state === 'Exported' && last?.toString() !== exported.sizeBytes;
  if (!vmm.can.growOnline || !mayDiffer || isGivenUp(attachment, epoch)) {
    resizedAtMs.delete(volumeID);
    return { resizing: false, ...(last === undefined ? {} : { diskBytes: last }) };
  }
  const diskBytes = await vmm.diskBytes(found.instance, volumeID, signal);
  const askedMs = resizedAtMs.get(volumeID);
  const resizing = askedMs !== undefined && clock.monotonicMs() - askedMs < RESIZE_PATIENCE_MS;
  if (diskBytes === undefined) {
    return { resizing };
  }
  seenBytes.set(volumeID, diskBytes);
  return { resizing, diskBytes };
}

/** What this host, or an agent before this one, has told of the disk. */
function toldBytes(attachment: Attachment, epoch: number): bigint | undefined {
  const told = connectionAt(attachment, epoch);
  return told?.state === 'Attached' && told.sizeBytes !== undefined ? BigInt(told.sizeBytes) : undefined;
}

/** For how long the guest has not taken the disk. */
function waitedFor(
  { connectingSinceMs, clock }: HypervisorDeps,
  volumeID: string,
  found: FoundDisk | undefined,
): number {
  if (found?.disk.state !== 'connecting') {
    connectingSinceMs.delete(volumeID);
    return 0;
  }
  const now = clock.monotonicMs();
  const since = connectingSinceMs.get(volumeID) ?? now;
  connectingSinceMs.set(volumeID, since);
  return now - since;
}

async function areSettled({ deps, instances, uuids, signal }: Search): Promise<boolean> {
  const places = placesOf({ deps, instances, uuids, signal });
  const answers = await Promise.all(places.map((instance) => deps.vmm.isSettled(instance, signal)));
  return answers.every((settled) => settled);
}

/** The VM named; undefined means that all VMs were listed and it is none of them. */
function named(instances: readonly Instance[], { spec }: Attachment): Instance | undefined {
  try {
    return findInstance(instances, spec.instance);
  } catch (error) {
    if (error instanceof InstanceNotFound) {
      return undefined;
    }
    throw error;
  }
}

interface Search {
  readonly deps: HypervisorDeps;
  readonly instances: readonly Instance[];
  /** The VMs to look in. */
  readonly uuids: readonly (string | undefined)[];
  readonly signal: AbortSignal;
}

const placesOf = ({ deps: { vmm }, instances, uuids }: Search): readonly Instance[] =>
  instances.filter((instance) => uuids.includes(instance.uuid) && mayHoldDisks(vmm, instance));

/** Those without a UUID, when one of the VMs to look in is not among those that have one. */
function hiddenAmong({ deps: { vmm }, instances, uuids }: Search): string | undefined {
  const isMissing = uuids.some((uuid) => uuid !== undefined && !instances.some((one) => one.uuid === uuid));
  const [first, ...more] = vmm.unidentified();
  const others = more.length === 0 ? '' : ` or another of ${more.length + 1}`;
  return isMissing && first !== undefined ? `${first}${others}` : undefined;
}

/** The disk in any of these VMs. A VM that is undefined holds none, nor does a stopped one, but where the VMM keeps its disks; one in an unclear state is looked at, and may throw. */
async function findDisk(search: Search, volumeID: string, epoch: number): Promise<FoundDisk | undefined> {
  const { deps, signal } = search;
  for (const instance of placesOf(search)) {
    const disk = (await deps.vmm.disks(instance, signal)).find((one) => one.volumeID === volumeID);
    if (disk !== undefined) {
      return { instance, disk, grant: grantOf(disk, volumeID, epoch) };
    }
  }
  return undefined;
}

function grantOf({ grantUUID }: VmDisk, volumeID: string, epoch: number): FoundDisk['grant'] {
  if (grantUUID === undefined) {
    return 'unknown';
  }
  return grantUUID === grantUUIDOf(volumeID, epoch) ? 'this' : 'other';
}

/**
 * A connection whose grant cannot be told is the one's that this host connected for last: an earlier grant's has no claim to it, and what
 * is left of an earlier one goes before a later one connects.
 */
async function hasResidue(
  deps: HypervisorDeps,
  volumeID: string,
  epoch: number,
  signal: AbortSignal,
): Promise<boolean> {
  const [secrets, connections] = await Promise.all([
    deps.vmm.residue(signal),
    deps.initiator.observe(signal),
  ]);
  const mine = grantUUIDOf(volumeID, epoch);
  const hasLater = rememberedOf(deps, volumeID).some((one) => one.epoch > epoch);
  return (
    secrets.some(({ grantUUID }) => grantUUID === mine) ||
    connections.some(
      (one) =>
        one.volumeID === volumeID && (one.grantUUID === undefined ? !hasLater : one.grantUUID === mine),
    )
  );
}

/** A problem never unsays what was true for ever, nor that the disk was last seen attached. */
function factWith(
  deps: HypervisorDeps,
  attachment: Attachment,
  problem: Problem,
): ConnectionFact | undefined {
  const epoch = attachment.status?.epoch;
  if (epoch === undefined) {
    return undefined;
  }
  const before = connectionAt(attachment, epoch);
  if (before?.state === 'Released') {
    return before;
  }
  const memory = deps.memories.get(attachment.metadata.uid);
  if ((memory?.released ?? 0) >= epoch) {
    return { epoch, bootID: deps.bootID, state: 'Released' };
  }
  return before?.bootID === deps.bootID ? { ...before, problem } : { epoch, bootID: deps.bootID, problem };
}

async function writeFact(
  { api, attachments }: HypervisorDeps,
  attachment: Attachment,
  fact: ConnectionFact | undefined,
): Promise<void> {
  const told = attachment.status?.connection;
  const isFinal = told?.epoch === fact?.epoch && told?.state === 'Released';
  if (fact === undefined || isFinal || sameJson(fact, told)) {
    return;
  }
  await writeBlock<Attachment>(api, attachments, {
    resource: ATTACHMENTS,
    object: attachment,
    owned: { connection: fact },
    fieldManager: MANAGERS.hypervisor,
  });
}

/** The same object, still for this host and for the grant remembered. */
const isStillBound = (live: Attachment | undefined, memory: ConnectionMemory, host: string): boolean =>
  live?.metadata.uid === memory.attachmentUID &&
  live.status?.hypervisor === host &&
  (live.status.epoch ?? 0) <= memory.epoch;

/** A guest that hangs in a write to a disk which was cut off cannot let go: asking it all the time changes nothing. */
async function askNowAndThen(
  { askedAtMs, clock }: HypervisorDeps,
  volumeID: string,
  ask: () => Promise<void>,
): Promise<void> {
  const now = clock.monotonicMs();
  const asked = askedAtMs.get(volumeID);
  if (asked === undefined || now - asked > 10_000) {
    askedAtMs.set(volumeID, now);
    await ask();
  }
}

/** An Attachment that is remembered here and no longer shown: what may be done is decided by live reads alone. */
async function visitLeftover(visit: HostVisit, memory: ConnectionMemory): Promise<Result> {
  const { deps, log, signal } = visit;
  const { namespace, name, volumeID, volumeName } = memory;
  const live = await deps.api.get<Attachment>(ATTACHMENTS, { namespace, name }, { signal });
  const volume = await deps.api.get<Volume>(VOLUMES, { namespace, name: volumeName }, { signal });
  const instances = await deps.lookAtInstances();
  const search = { deps, instances, signal, uuids: [memory.instanceUUID] };
  const plan = planLeftover({
    memory,
    attachment: isStillBound(live, memory, deps.host) ? live : undefined,
    volume: volume?.status?.volumeID === volumeID ? volume : undefined,
    disk: await findDisk(search, volumeID, memory.epoch),
    hidden: hiddenAmong(search),
    residue: await hasResidue(deps, volumeID, memory.epoch, signal),
    vmmLogsIn: deps.initiator.kind === 'iscsi',
    successor: rememberedOf(deps, volumeID).find(
      (one) => one.attachmentUID !== memory.attachmentUID && one.epoch === memory.epoch,
    ),
  });
  if (plan.kind === 'keep') {
    return { requeueAfterMs: deps.resyncMs };
  }
  log.info({ volumeID, step: plan.step.kind, why: plan.why }, 'Clearing up after an Attachment that is gone');
  switch (plan.step.kind) {
    case 'forget':
      await deps.memories.remove(memory.attachmentUID);
      return {};
    case 'detach': {
      const { vmm } = deps;
      const { instance } = plan.step;
      await askNowAndThen(deps, volumeID, () => vmm.detach(instance, volumeID, signal));
      return { requeueAfterMs: RETRY_MS };
    }
    default:
      await disconnect(visit, volumeID, memory.epoch);
      return { requeueAfterMs: DETACH_LOOK_MS };
  }
}
