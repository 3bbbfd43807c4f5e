// The hypervisor's rules for one Attachment. Pure.
//
//   Exported@e ─► remember e ─► attach (log in, identity check, VMM) ─► seen in the running VM ─► Attached@e
//   deleted, release, or Withdrawn@e ─► detach ─► seen gone ─► disconnect ─► remember released e ─► Released@e
import {
  type Attachment,
  type ConnectionFact,
  connectionAt,
  exportAt,
  isWithdrawn,
} from '../../api/attachment.ts';
import { grantsOf, hasFinalizer, isDeleting, type Volume } from '../../api/volume.ts';
import type { Instance, VmDisk } from '../roles/vmm.ts';
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
  /** The VM named; undefined means that the VMM listed its VMs and has none such. */
  readonly instance: Instance | undefined;
  /** Our disk in the VM named or in the one remembered; undefined means that neither has it, or does not run. */
  readonly disk: FoundDisk | undefined;
  /** Something of the grant is left on the host beside the disk: a session, a node record, a secret. */
  readonly residue: boolean;
  readonly bootID: string;
}

export type ConnectionStep =
  | { readonly kind: 'remember'; readonly memory: ConnectionMemory }
  | { readonly kind: 'attach'; readonly instance: Instance }
  /** Asks the VM to let go; only a later look tells whether it did. */
  | { readonly kind: 'detach'; readonly instance: Instance }
  | { readonly kind: 'disconnect' };

export type ConnectionPlan =
  | { readonly kind: 'take'; readonly step: ConnectionStep; readonly why: string }
  /** Nothing to do now; the fact is what there is to say. Undefined: nothing yet. */
  | { readonly kind: 'report'; readonly fact: ConnectionFact | undefined };

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
  const giveUp =
    isDeleting(attachment) || attachment.status?.release === true || isWithdrawn(attachment, epoch);
  return giveUp ? planRelease(world, epoch) : planConnect(world, epoch);
}

function planRelease({ attachment, memory, disk, residue }: ConnectionWorld, epoch: number): ConnectionPlan {
  // A disk of another grant is another Attachment's: this one's is out.
  if (disk !== undefined && disk.grant !== 'other') {
    return take({ kind: 'detach', instance: disk.instance }, `the disk is in ${disk.instance.name}`);
  }
  if (residue) {
    return take({ kind: 'disconnect' }, 'the disk is out of every VM');
  }
  return take(
    { kind: 'remember', memory: { ...remembered(attachment, memory, epoch), released: epoch } },
    'nothing is left',
  );
}

function planConnect(world: ConnectionWorld, epoch: number): ConnectionPlan {
  const { attachment, memory, instance, disk } = world;
  const exported = exportAt(attachment, epoch);
  if (disk !== undefined && disk.instance.uuid !== instance?.uuid) {
    return take(
      { kind: 'detach', instance: disk.instance },
      'the disk is in a VM which is not the one named',
    );
  }
  if (disk?.grant === 'other') {
    // Dead: a grant is withdrawn before the next one is made.
    return take({ kind: 'detach', instance: disk.instance }, 'the disk is of an earlier grant');
  }
  if (disk === undefined) {
    const problem = problemOf(world);
    if (problem !== undefined || exported?.state !== 'Exported' || instance === undefined) {
      return { kind: 'report', fact: unattachedFact(world, epoch, problem) };
    }
  }
  const instanceUUID = instance?.uuid ?? memory?.instanceUUID ?? '';
  if (memory?.epoch !== epoch || memory.instanceUUID !== instanceUUID) {
    const next = { ...remembered(attachment, memory, epoch), instanceUUID };
    return take({ kind: 'remember', memory: next }, `grant ${epoch} is open`);
  }
  if (disk === undefined && instance !== undefined) {
    return take(
      { kind: 'attach', instance },
      `grant ${epoch} is open and the disk is not in ${instance.name}`,
    );
  }
  return { kind: 'report', fact: attachedFact(world, epoch) };
}

/** Silence, until there was something to say for this grant. */
function unattachedFact(
  { attachment, bootID }: ConnectionWorld,
  epoch: number,
  problem: { reason: string; message: string } | undefined,
): ConnectionFact | undefined {
  if (problem === undefined) {
    return connectionAt(attachment, epoch) === undefined ? undefined : { epoch, bootID };
  }
  return { epoch, bootID, problem };
}

function attachedFact({ attachment, disk, bootID }: ConnectionWorld, epoch: number): ConnectionFact {
  const sizeBytes = exportAt(attachment, epoch)?.sizeBytes;
  return {
    epoch,
    bootID,
    state: 'Attached',
    ...(disk === undefined ? {} : { device: disk.disk.device }),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
  };
}

function problemOf({
  attachment,
  instance,
}: ConnectionWorld): { reason: string; message: string } | undefined {
  const label = attachment.spec.instance.name ?? attachment.spec.instance.uuid;
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

const remembered = (
  { metadata, spec, status }: Attachment,
  memory: ConnectionMemory | undefined,
  epoch: number,
): ConnectionMemory => ({
  attachmentUID: metadata.uid,
  namespace: metadata.namespace ?? '',
  name: metadata.name,
  volumeName: spec.volumeRef.name,
  volumeID: status?.volumeID ?? memory?.volumeID ?? '',
  epoch,
  instanceUUID: memory?.instanceUUID ?? '',
  released: memory?.released ?? 0,
});

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
export function planLeftover({ memory, attachment, volume, disk, residue }: LeftoverWorld): LeftoverPlan {
  if (attachment !== undefined) {
    return { kind: 'keep', message: 'its Attachment exists' };
  }
  // What was given up is out, and a disk of another grant is another Attachment's.
  const isOurs = memory.released < memory.epoch && disk?.grant !== 'other';
  if (disk !== undefined && isOurs) {
    const open = volume === undefined || grantsOf(volume).some(({ epoch }) => epoch === memory.epoch);
    return open
      ? {
          kind: 'keep',
          message: `instance ${disk.instance.name} holds ${memory.volumeID} without an Attachment`,
        }
      : {
          kind: 'take',
          step: { kind: 'detach', instance: disk.instance },
          why: `grant ${memory.epoch} is gone`,
        };
  }
  return residue
    ? { kind: 'take', step: { kind: 'disconnect' }, why: 'no VM holds the disk' }
    : { kind: 'take', step: { kind: 'forget' }, why: 'nothing is left of it' };
}
