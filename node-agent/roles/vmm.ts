/**
 * The vmm role: disks of running virtual machines. A restarted VM gets its disks from us. Saved configurations are not changed, but by
 * hypervisors that know nothing else (`keepsDisks`): there what we put in is taken out again, also of a VM that stopped.
 */

import type { Locator } from './initiator.ts';

export type InstanceState = 'Running' | 'Stopped' | 'Paused' | 'Unknown';

export interface Instance {
  readonly name: string;
  readonly uuid: string;
  readonly state: InstanceState;
  /** The number by which the hypervisor's users know it for good (Proxmox). Ids that change at each start are not told. */
  readonly vmid?: number;
}

/**
 * How far a disk is. `connecting`: the VM has it and its guest has not taken it yet. `pending`: kept for the next start of the VM,
 * not plugged in. `closing`: the guest was told to let it go. Absent: plugged in.
 */
export type DiskState = 'connecting' | 'pending' | 'closing';

export interface VmDisk {
  /** As the hypervisor names it (`vdb`); the guest may name it otherwise. */
  readonly device: string;
  readonly state?: DiskState;
  /** Present when the disk is ours, by its alias (`ua-vbs-<volumeID>`), its serial, or its path (`/dev/vbs/<volumeID>.<grant>`). */
  readonly volumeID?: string;
  readonly iqn?: string;
  /** As its backend has told the guest; absent where only a look of its own tells. */
  readonly sizeBytes?: bigint;
  /** Of which grant it is, by its path or the name of the secret it logged in with; absent where the tool does not tell. */
  readonly grantUUID?: string;
}

/** What an Attachment names: exactly one of the three. */
export interface InstanceRef {
  readonly name?: string | undefined;
  readonly uuid?: string | undefined;
  readonly vmid?: number | undefined;
}

export interface AttachRequest {
  readonly volumeID: string;
  readonly device: string;
  readonly readOnly: boolean;
  readonly locator: Locator;
  /** One per grant; names the secret handed to the hypervisor. */
  readonly grantUUID: string;
}

export interface VmmCan {
  readonly readOnly: boolean;
  /** Longest serial shown to a guest unchanged; 0 where a guest is shown none. */
  readonly serialMax: number;
  /** Disks are written to the VM's saved configuration, so that a stopped VM has them as well. */
  readonly keepsDisks: boolean;
  /** A running VM is shown that its disk has grown; its size can be looked at. */
  readonly growOnline: boolean;
  /** Also that of a disk which it may only read. */
  readonly growReadOnly: boolean;
}

/** A secret of ours that the hypervisor still keeps. */
export interface Residue {
  readonly grantUUID: string;
}

/** An Instance as `instances()` returned it is how all other methods are told which VM is meant: by its UUID. */
export interface Vmm {
  /** Kinds of locators `attach` takes. */
  readonly accepts: readonly Locator['kind'][];
  readonly can: VmmCan;
  instances(signal: AbortSignal): Promise<readonly Instance[]>;
  /** Those of these machines which may hold a disk of ours: all, where no single look tells. Throws CannotLook. */
  holders(instances: readonly Instance[], signal: AbortSignal): Promise<readonly Instance[]>;
  /** Machines without a UUID when `instances` last looked, by name and id: they take no disks. */
  unidentified(): readonly string[];
  /** Disks of the running (or paused) VM; of a stopped one too where the hypervisor keeps them. Throws InstanceNotRunning, InstanceNotFound, CannotLook: never "no disks" for "could not look". */
  disks(instance: Instance, signal: AbortSignal): Promise<readonly VmDisk[]>;
  /**
   * Raw, no host cache. No-op when the volume is there already on that device, Mismatch when on another. The guest may take it
   * later (`connecting`). What would only come at the VM's next start is taken back (Unsupported). Throws DeviceInUse,
   * NoFreeDevice, InstanceNotRunning, InstanceAmbiguous, Denied, Busy, NotDone. Leaves no secret behind, also when it fails.
   */
  attach(instance: Instance, request: AttachRequest, signal: AbortSignal): Promise<void>;
  /**
   * Asks the guest to let go and returns: done only when `disks()` no longer shows it. What never came is taken back. No-op when
   * it is not there.
   */
  detach(instance: Instance, volumeID: string, signal: AbortSignal): Promise<void>;
  /** Takes back a disk that never came (`connecting`, `pending`), without asking the guest. No-op for any other. */
  cancel(instance: Instance, volumeID: string, signal: AbortSignal): Promise<void>;
  /**
   * Shows a running VM that its disk has grown to this size; where the hypervisor sees it by itself, there is nothing to do. Only a
   * look at the size tells whether it did. Throws NotDone, Unsupported.
   */
  resize(instance: Instance, volumeID: string, sizeBytes: bigint, signal: AbortSignal): Promise<void>;
  /** The size of the disk as the VM has it; undefined when it is not there. Throws CannotLook. */
  diskBytes(instance: Instance, volumeID: string, signal: AbortSignal): Promise<bigint | undefined>;
  /**
   * Nothing that the VMM began with the VM's disks is under way. A disk which `disks()` no longer shows may still be being
   * closed: QEMU stops the whole VM until the target has taken the last writes.
   */
  isSettled(instance: Instance, signal: AbortSignal): Promise<boolean>;
  /** `wanted` if free, else the first free name. Throws DeviceInUse, NoFreeDevice, Unsupported for a name it never has. */
  freeDevice(instance: Instance, disks: readonly VmDisk[], wanted?: string): string;
  /** Secrets of ours left in the hypervisor (none in the good path). */
  residue(signal: AbortSignal): Promise<readonly Residue[]>;
  /** No-op when absent. */
  cleanResidue(grantUUID: string, signal: AbortSignal): Promise<void>;
}
