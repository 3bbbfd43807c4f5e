// What all simulated hosts have in common.

import { uuidFrom } from '../../api/ids.ts';
import {
  type Command,
  CommandNotFound,
  type CommandOutput,
  type RunCommand,
} from '../../node-agent/exec/command.ts';
import type { Files } from '../../node-agent/exec/files.ts';
import type { MemoryTree } from '../fakes/tree.ts';
import type { Kit } from './kit.ts';

export const STATE = '/var/lib/vbs';
export const MACHINE_ID = '/etc/machine-id';
export const BOOT_ID = '/proc/sys/kernel/random/boot_id';

export interface Host {
  /** Of the machine. */
  readonly name: string;
  /** The host that it takes itself for: a clone of another machine has that one's configuration. */
  readonly identity: string;
  readonly kit: Kit;
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

export const said = async (stdout: string): Promise<CommandOutput> => ({ exitCode: 0, stdout, stderr: '' });

export const notInstalled = ({ file }: Command): Promise<never> =>
  Promise.reject(new CommandNotFound(file, 'did not start (ENOENT)'));

export const bootOn = (host: Host): void => {
  host.boots += 1;
  host.isUp = true;
  host.tree.put(MACHINE_ID, `${host.identity}\n`);
  host.tree.put(BOOT_ID, `${uuidFrom(`${host.name} boot ${host.boots}`)}\n`);
  host.tree.makeDirectory(`${STATE}/tmp`);
};
