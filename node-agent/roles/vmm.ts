/** The vmm role: disks of running virtual machines. Saved configurations are never changed: a restarted VM gets its disks from us. */

import type { Locator } from './initiator.ts';

export type InstanceState = 'Running' | 'Stopped' | 'Paused' | 'Unknown';

export interface Instance {
  readonly name: string;
  readonly uuid: string;
  readonly state: InstanceState;
}

export interface VmDisk {
  /** As the hypervisor names it (`vdb`); the guest may name it otherwise. */
  readonly device: string;
  /** Present when the disk is ours, by its alias (`ua-vbs-<volumeID>`) or serial. */
  readonly volumeID?: string;
  readonly iqn?: string;
  /** Of which grant it is, by the name of the secret it logged in with; absent where the tool does not tell. */
  readonly grantUUID?: string;
}

/** What an Attachment names: exactly one of the two. */
export type InstanceRef =
  | { readonly uuid: string; readonly name?: undefined }
  | { readonly name: string; readonly uuid?: undefined };

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
  /** Longest serial shown to a guest unchanged. */
  readonly serialMax: number;
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
  /** Disks of the running (or paused) VM. Throws InstanceNotRunning, InstanceNotFound, CannotLook: never "no disks" for "could not look". */
  disks(instance: Instance, signal: AbortSignal): Promise<readonly VmDisk[]>;
  /**
   * Live only, raw, no host cache. No-op when the volume is there already on that device, Mismatch when on another. Throws
   * DeviceInUse, NoFreeDevice, InstanceNotRunning, Denied, Busy, NotDone. Leaves no secret behind, also when it fails.
   */
  attach(instance: Instance, request: AttachRequest, signal: AbortSignal): Promise<void>;
  /** Asks the guest to let go and returns: done only when `disks()` no longer shows it. No-op when it is not there. */
  detach(instance: Instance, volumeID: string, signal: AbortSignal): Promise<void>;
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
