// What the commands are given of this machine, so that tests can put another one in its place.
import { stat } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { ConfigError } from '../runtime/errors.ts';
import { type RunCommand, runCommand } from './command.ts';
import { type Disk, machineDisk, type Owner } from './files.ts';
import { type Places, placesUnder } from './places.ts';
import { systemd, type Units } from './units.ts';

export interface Surroundings {
  readonly places: Places;
  readonly disk: Disk;
  readonly run: RunCommand;
  readonly units: Units;
  readonly clock: Clock;
  /** As whom the services run. */
  readonly serviceOwner: Owner;
  readonly rootOwner: Owner;
  /** Addresses of this machine. */
  readonly addresses: () => readonly string[];
  /** The day this program was made: the clock cannot be earlier. */
  readonly builtAt: Date;
  /** Tells a person, line by line. */
  readonly tell: (line: string) => void;
  /** Tells what is no part of the answer, which may go into a pipe. */
  readonly warn: (line: string) => void;
}

export const SERVICE_USER = 'vbs-control-plane';

/** Throws ConfigError when this is not a machine on which the control plane can be kept. */
export async function thisMachine(): Promise<Surroundings> {
  if (process.getuid?.() !== 0) {
    throw new ConfigError('this needs root: the keys of the control plane are for nobody else');
  }
  return {
    places: placesUnder(),
    disk: machineDisk,
    run: runCommand,
    units: systemd(runCommand),
    clock: systemClock,
    serviceOwner: { uid: await idOf('-u'), gid: await idOf('-g') },
    rootOwner: { uid: 0, gid: 0 },
    addresses: () =>
      Object.values(networkInterfaces())
        .flat()
        .flatMap((entry) => entry?.address ?? []),
    builtAt: (await stat(process.execPath)).mtime,
    tell: (line) => process.stdout.write(`${line}\n`),
    warn: (line) => process.stderr.write(`${line}\n`),
  };
}

async function idOf(which: '-u' | '-g'): Promise<number> {
  const { exitCode, stdout, stderr } = await runCommand('id', [which, SERVICE_USER]);
  if (exitCode !== 0) {
    throw new ConfigError(
      `there is no system user ${SERVICE_USER}, which the package makes; systemd-sysusers makes it anew (${stderr.trim()})`,
    );
  }
  return Number(stdout);
}
