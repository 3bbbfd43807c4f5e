// What all simulated hosts have in common.
import type { RunCommand } from '../../node-agent/exec/command.ts';
import type { Files } from '../../node-agent/exec/files.ts';
import type { MemoryTree } from '../fakes/tree.ts';
import { uuidOf } from './api-server.ts';

export const STATE = '/var/lib/vbs';
export const MACHINE_ID = '/etc/machine-id';
export const BOOT_ID = '/proc/sys/kernel/random/boot_id';

export interface Host {
  readonly name: string;
  readonly tree: MemoryTree;
  readonly files: Files;
  readonly run: RunCommand;
  /** As `run`, and is killed in its midst. */
  readonly runHalf: RunCommand;
  boots: number;
  isUp: boolean;
  boot(): void;
  powerOff(): void;
}

export const bootOn = (host: Host): void => {
  host.boots += 1;
  host.isUp = true;
  host.tree.put(MACHINE_ID, `${host.name}\n`);
  host.tree.put(BOOT_ID, `${uuidOf(`${host.name} boot ${host.boots}`)}\n`);
  host.tree.makeDirectory(`${STATE}/tmp`);
};
