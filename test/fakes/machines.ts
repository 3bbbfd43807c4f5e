// What a hypervisor's machines have in common, whoever runs them.
import type { RunCommand } from '../../node-agent/exec/command.ts';
import type { Device } from './tree.ts';

/** A disk of ours in a machine. */
export interface PluggedDisk {
  readonly vm: string;
  readonly device: string;
  readonly volumeID: string;
  /** Of the machine, which has another one after each start. */
  readonly life: number;
  /** Undefined until its guest has taken it. */
  readonly backing: Device | undefined;
  /** The guest has let it go, and what it wrote last may still be on its way. */
  readonly isClosing: boolean;
}

export interface Machines {
  readonly plugged: readonly PluggedDisk[];
  /** Those which machines have opened themselves. */
  readonly sessions: readonly { readonly iqn: string; readonly user: string }[];
  /** What is kept of grants besides. */
  readonly kept: readonly string[];
  readonly run: RunCommand;
  add(vm: string, uuid: string): void;
  /** It ends and starts anew, without the disks that were plugged in. */
  restart(vm: string): void;
  /** Whether its guest lets go of disks when it is asked. */
  setReleases(vm: string, releases: boolean): void;
  /** A second of whatever they do by themselves. */
  tend(): void;
  /** The host is off. */
  end(): void;
}
