// The hypervisor's rules for one Attachment. Pure.
//
//   Exported@e ─► remember e ─► attach (log in, identity check, VMM) ─► seen in the running VM ─► Attached@e
//   deleted, release, or Withdrawn@e ─► detach ─► seen gone ─► disconnect ─► remember released e ─► Released@e
//
// What was asked for and never came is taken back and asked for again: a disk that the VM's next start would bring (pending) at
// once, one that the guest does not take (connecting) after a while. A stopped VM keeps no disk of ours.
//
// A VMM that logs in itself closes a disk only when its target answers, and stops the whole VM until then: a disk which was cut
// off (its grant is withdrawn) stays in its VM until that VM is restarted.
import {
  type Attachment,
  type ConnectionFact,
  connectionAt,
  exportAt,
  instanceLabel,
  isWithdrawn,
} from '../../api/attachment.ts';
import { grantsOf, hasFinalizer, isDeleting, type Volume } from '../../api/volume.ts';
import type { Instance, VmDisk } from '../roles/vmm.ts';
import type { Problem } from '../volume/plan.ts';
import type { ConnectionMemory } from './memory.ts';

/** Our disk in a VM, and of which grant it is: this one, another one, or one that cannot be told. */
export interface FoundDisk {
  readonly instance: Instance;
  readonly disk: VmDisk;
  readonly grant: 'this' | 'other' | 'unknown';
}

export interface ConnectionWorld {
  /** The cached copy; it names this hypervisor. */
  readonly attachment: Attachment;
  readonly memory: ConnectionMemory | undefined;
  /** The CHAP key with which this host connected for the grant, for an Attachment whose object is lost. */
  readonly formerKey?: string | undefined;
  /** The VM named; undefined means that the VMM listed its VMs and has none such. */
  readonly instance: Instance | undefined;
  /** Our disk in the VM named or in the one remembered; undefined means that neither has it, or does not run. */
  readonly disk: FoundDisk | undefined;
  /** No description shows the disk, and the VMM has not finished closing it: what it wrote last may not be on the target yet. */
  readonly closing: boolean;
  /** VMs that cannot be told apart, while the one that was given the disk is not among the others: it may be one of these. */
  readonly hidden?: string | undefined;
  /** How long the disk has been seen waiting for its guest to take it. */
  readonly connectingMs?: number;
  /** Something of the grant is left on the host beside the disk: a session, a node record, a secret. */
  readonly residue: boolean;
  /** The VMM logs in itself (initiator role of kind iscsi). */
  readonly vmmLogsIn: boolean;
  /** This VM is shown, while it runs, that its disk has grown. */
  readonly growsOnline: boolean;
  /** The size of the disk in the VM, as it was plugged in or last seen; absent where nothing tells. */
  readonly diskBytes?: bigint;
  /** The VM was asked a moment ago to take the new size. */
  readonly resizing: boolean;
  readonly bootID: string;
}

export type ConnectionStep =
  | { readonly kind: 'remember'; readonly memory: ConnectionMemory }
  | { readonly kind: 'attach'; readonly instance: Instance }
  /** Asks the VM to let go; only a later look tells whether it did. */
  | { readonly kind: 'detach'; readonly instance: Instance }
  /** Takes back a disk that never came, without the guest. */
  | { readonly kind: 'cancel'; readonly instance: Instance }
  /** Shows the VM that its disk has grown; only a later look tells whether it did. */
  | { readonly kind: 'resize'; readonly instance: Instance }
  | { readonly kind: 'disconnect' };

export type ConnectionPlan =
  | { readonly kind: 'take'; readonly step: ConnectionStep; readonly why: string }
  /** Nothing to do now; the fact is what there is to say. Undefined: nothing yet. */
  | {
      readonly kind: 'report';
      readonly fact: ConnectionFact | undefined;
      /** Something is under way that ends within a moment. */
      readonly soon?: true;
    };

/** A guest that runs takes a new disk within a moment; one that is only starting gets this long before it is asked anew. */
const CONNECTING_SOON_MS = 2_000;
const CONNECTING_LIMIT_MS = 60_000;

const take = (step: ConnectionStep, why: string): ConnectionPlan => ({ kind: 'take', step, why });

export function planConnection(world: ConnectionWorld): ConnectionPlan {
  const { attachment, memory, bootID } = world;
  const epoch = attachment.status?.epoch;
  if (epoch === undefined || !hasFinalizer(attachment)) {
    return { kind: 'report', fact: undefined };
  }
  if ((memory?.released ?? 0) >= epoch) {
    return { kind: 'report', fact: { epoch, bootID, state: 'Released' } };
  }
  return isGivenUp(attachment, epoch) ? planRelease(world, epoch) : planConnect(world, epoch);
}

/** The host is to let go of this grant, for ever. */
export const isGivenUp = (attachment: Attachment, epoch: number): boolean =>
  isDeleting(attachment) || attachment.status?.release === true || isWithdrawn(attachment, epoch);

function planRelease(world: ConnectionWorld, epoch: number): ConnectionPlan {
  const { attachment, disk, residue } = world;
  // A disk of another grant is another Attachment's: this one's is out.
  if (disk !== undefined && disk.grant !== 'other') {
    if (world.vmmLogsIn && isWithdrawn(attachment, epoch)) {
      return cutOff(world, disk, epoch);
    }
    return take({ kind: 'detach', instance: disk.instance }, `the disk is in ${disk.instance.name}`);
  }
  const waiting = mayStillBeIn(world, epoch);
  if (waiting !== undefined) {
    return waiting;
  }
  if (residue) {
    return take({ kind: 'disconnect' }, 'the disk is out of every VM');
  }
  return take(
    { kind: 'remember', memory: { ...remembered(world, epoch), released: epoch } },
    'nothing is left',
  );
}

/** That no VM shows the disk is no proof yet. */
function mayStillBeIn(world: ConnectionWorld, epoch: number): ConnectionPlan | undefined {
  const { bootID, closing, disk, hidden } = world;
  if (disk === undefined && hidden !== undefined) {
    const problem = { reason: 'InstanceUnidentified', message: mayHide(hidden) } satisfies Problem;
    return { kind: 'report', fact: { epoch, bootID, problem } };
  }
  return closing ? stillClosing(world, epoch) : undefined;
}

const mayHide = (hidden: string): string =>
  `the instance that was given the disk may be ${hidden}, which has no UUID any more; give it the UUID which it had, and the disk is found`;

function stillClosing({ bootID }: ConnectionWorld, epoch: number): ConnectionPlan {
  const message = 'the VM lets the disk go and writes what is left to it; its target must answer first';
  return { kind: 'report', fact: { epoch, bootID, problem: { reason: 'Detaching', message } } };
}

function planConnect(world: ConnectionWorld, epoch: number): ConnectionPlan {
  const { attachment, memory, instance, disk } = world;
  const exported = exportAt(attachment, epoch);
  const dropped = disk === undefined ? undefined : planDrop(world, disk, epoch);
  if (dropped !== undefined) {
    return dropped;
  }
  // Out of another VM, as after a change of names: two would write.
  const waiting = mayStillBeIn(world, epoch);
  if (waiting !== undefined) {
    return waiting;
  }
  if (disk === undefined) {
    const problem = problemOf(world);
    if (problem !== undefined || exported?.state !== 'Exported' || instance === undefined) {
      return { kind: 'report', fact: unattachedFact(world, epoch, problem) };
    }
  }
  const instanceUUID = instance?.uuid ?? memory?.instanceUUID ?? '';
  if (memory?.epoch !== epoch || memory.instanceUUID !== instanceUUID) {
    const next = { ...remembered(world, epoch), instanceUUID };
    return take({ kind: 'remember', memory: next }, `grant ${epoch} is open`);
  }
  if (disk === undefined && instance !== undefined) {
    return take(
      { kind: 'attach', instance },
      `grant ${epoch} is open and the disk is not in ${instance.name}`,
    );
  }
  if (disk?.disk.state === 'connecting') {
    return planWait(world, epoch);
  }
  return disk !== undefined && mayFollow(world, epoch) && !world.resizing
    ? take({ kind: 'resize', instance: disk.instance }, 'the volume has grown')
    : { kind: 'report', fact: attachedFact(world, epoch) };
}

/** The target has grown, the VM does not show it, and can be made to. */
function mayFollow({ attachment, diskBytes, growsOnline }: ConnectionWorld, epoch: number): boolean {
  const exported = exportAt(attachment, epoch);
  const wanted = exported?.state === 'Exported' ? exported.sizeBytes : undefined;
  return growsOnline && diskBytes !== undefined && wanted !== undefined && diskBytes < BigInt(wanted);
}

/** Takes out a disk that is in the wrong place, or cannot become or stay a disk of the running VM; undefined when it may stay. */
function planDrop(world: ConnectionWorld, found: FoundDisk, epoch: number): ConnectionPlan | undefined {
  const { instance, disk, grant } = found;
  const detach = (why: string) => take({ kind: 'detach', instance }, why);
  if (instance.uuid !== world.instance?.uuid) {
    return detach('the disk is in a VM which is not the one named');
  }
  if (grant === 'other') {
    // Dead: a grant is withdrawn before the next one is made.
    return world.vmmLogsIn ? cutOff(world, found, epoch) : detach('the disk is of an earlier grant');
  }
  if (disk.state === 'pending') {
    return take({ kind: 'cancel', instance }, 'the disk would only come at the next start of the VM');
  }
  if (instance.state === 'Stopped') {
    return detach('a stopped VM keeps no disk: it could not start without it');
  }
  if (disk.state === 'closing') {
    return detach('the disk was told to go and has not gone yet');
  }
  return disk.state === 'connecting' && (world.connectingMs ?? 0) >= CONNECTING_LIMIT_MS
    ? take({ kind: 'cancel', instance }, 'the guest does not take the disk')
    : undefined;
}

function planWait(world: ConnectionWorld, epoch: number): ConnectionPlan {
  if ((world.connectingMs ?? 0) < CONNECTING_SOON_MS) {
    return { kind: 'report', fact: unattachedFact(world, epoch, undefined), soon: true };
  }
  const name = world.disk?.instance.name ?? '';
  const message = `instance ${name} has the disk, and its guest has not taken it yet; it does so once its kernel and disk driver run`;
  return { kind: 'report', fact: unattachedFact(world, epoch, { reason: 'Connecting', message }) };
}

const cutOff = ({ bootID }: ConnectionWorld, { instance }: FoundDisk, epoch: number): ConnectionPlan => ({
  kind: 'report',
  fact: {
    epoch,
    bootID,
    problem: { reason: 'DiskCutOff', message: restartToFree(instance.name) } satisfies Problem,
  },
});

export const restartToFree = (instance: string): string =>
  `instance ${instance} holds a disk that was cut off at its target; to take it out would stop the whole VM, so it stays until ${instance} is restarted`;

/** Silence, until there was something to say for this grant. */
function unattachedFact(
  { attachment, bootID }: ConnectionWorld,
  epoch: number,
  problem: Problem | undefined,
): ConnectionFact | undefined {
  if (problem === undefined) {
    return connectionAt(attachment, epoch) === undefined ? undefined : { epoch, bootID };
  }
  return { epoch, bootID, problem };
}

function attachedFact(world: ConnectionWorld, epoch: number): ConnectionFact {
  const { attachment, disk, bootID, diskBytes, growsOnline } = world;
  // Where nothing tells: when it was plugged in, its size was compared with this one.
  const sizeBytes = diskBytes?.toString() ?? exportAt(attachment, epoch)?.sizeBytes;
  return {
    epoch,
    bootID,
    state: 'Attached',
    ...(disk === undefined ? {} : { device: disk.disk.device }),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
    ...(growsOnline ? { growsOnline } : {}),
    ...(mayFollow(world, epoch) ? { problem: notTaken(disk) } : {}),
  };
}

const notTaken = (found: FoundDisk | undefined): Problem => ({
  reason: 'Resizing',
  message: `instance ${found?.instance.name} was told that its disk has grown and does not show it yet; it is asked again`,
});

function problemOf({ attachment, instance }: ConnectionWorld): Problem | undefined {
  const label = instanceLabel(attachment);
  if (instance === undefined) {
    return {
      reason: 'InstanceNotFound',
      message: `this hypervisor has no instance ${label}; define it, or delete the Attachment`,
    };
  }
  if (instance.state !== 'Running') {
    return {
      reason: 'InstanceNotRunning',
      message: `instance ${label} is ${instance.state}; the disk is plugged in when it runs`,
    };
  }
  return undefined;
}

/** A grant keeps its key. */
const keyOf = ({ memory, formerKey }: ConnectionWorld, epoch: number): Pick<ConnectionMemory, 'key'> => {
  const key = (memory?.epoch === epoch ? memory.key : undefined) ?? formerKey;
  return key === undefined ? {} : { key };
};

const remembered = (world: ConnectionWorld, epoch: number): ConnectionMemory => {
  const { metadata, spec, status } = world.attachment;
  const { memory } = world;
  return {
    attachmentUID: metadata.uid,
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    volumeName: spec.volumeRef.name,
    volumeID: status?.volumeID ?? memory?.volumeID ?? '',
    epoch,
    instanceUUID: memory?.instanceUUID ?? '',
    ...keyOf(world, epoch),
    released: memory?.released ?? 0,
  };
};

export interface LeftoverWorld {
  /** What this host remembers of an Attachment which its watch no longer shows. */
  readonly memory: ConnectionMemory;
  /**
   * By live GET, and only with the UID remembered and still bound to this host by the epoch remembered; undefined means
   * gone, another of the same name, or moved on.
   */
  readonly attachment: Attachment | undefined;
  /** By live GET, and only with the volumeID remembered. */
  readonly volume: Volume | undefined;
  /** `this`: of the grant remembered. */
  readonly disk: FoundDisk | undefined;
  readonly residue: boolean;
  readonly vmmLogsIn: boolean;
  /** As in ConnectionWorld. */
  readonly hidden?: string | undefined;
  /** What is remembered of another Attachment which has the same grant now. */
  readonly successor?: ConnectionMemory | undefined;
}

export type LeftoverPlan =
  | {
      readonly kind: 'take';
      readonly step: ConnectionStep | { readonly kind: 'forget' };
      readonly why: string;
    }
  | { readonly kind: 'keep'; readonly message: string };

/**
 * An Attachment that ended without this host's help, as after a fence. Its disk is taken out of a VM only when the Volume itself
 * proves that the grant is gone: then the target has cut it, and nothing that could be lost goes through it. With the
 * Volume gone as well there is no proof, and the disk is reported and left.
 */
export function planLeftover(world: LeftoverWorld): LeftoverPlan {
  const { memory, attachment, volume, disk, residue, successor } = world;
  if (attachment !== undefined) {
    return { kind: 'keep', message: 'its Attachment exists' };
  }
  if (successor !== undefined) {
    return planSucceeded(world, successor);
  }
  // What was given up is out, and a disk of another grant is another Attachment's.
  const isOurs = memory.released < memory.epoch && disk?.grant !== 'other';
  if (disk !== undefined && isOurs) {
    const { name } = disk.instance;
    if (volume === undefined || !isProof(volume, memory) || isServed(volume, memory)) {
      return { kind: 'keep', message: `instance ${name} holds ${memory.volumeID} without an Attachment` };
    }
    return world.vmmLogsIn
      ? { kind: 'keep', message: restartToFree(name) }
      : {
          kind: 'take',
          step: { kind: 'detach', instance: disk.instance },
          why: `grant ${memory.epoch} is gone`,
        };
  }
  if (isOurs && world.hidden !== undefined) {
    return { kind: 'keep', message: mayHide(world.hidden) };
  }
  return residue
    ? { kind: 'take', step: { kind: 'disconnect' }, why: 'no VM holds the disk' }
    : { kind: 'take', step: { kind: 'forget' }, why: 'nothing is left of it' };
}

/** Until the disk is where that one wants it, this one tells where it is. */
function planSucceeded({ memory, disk }: LeftoverWorld, successor: ConnectionMemory): LeftoverPlan {
  const isElsewhere = disk !== undefined && successor.instanceUUID !== disk.instance.uuid;
  return isElsewhere
    ? {
        kind: 'keep',
        message: `instance ${disk.instance.name} holds ${memory.volumeID} for another Attachment`,
      }
    : { kind: 'take', step: { kind: 'forget' }, why: `Attachment ${successor.name} has its grant` };
}

/** Numbers of grants only grow: a Volume which has not come that far, as after its store was set back or lost, proves nothing of this one. */
const isProof = ({ status }: Volume, { epoch }: ConnectionMemory): boolean =>
  (status?.grants?.revision ?? 0) >= epoch;

/** By its grant; one of that number for another Attachment is of another history, after the store was set back. */
const isServed = (volume: Volume, { epoch, attachmentUID }: ConnectionMemory): boolean =>
  grantsOf(volume).some(
    ({ attachments, former = [], ...grant }) =>
      grant.epoch === epoch && (attachments.includes(attachmentUID) || former.includes(attachmentUID)),
  );
