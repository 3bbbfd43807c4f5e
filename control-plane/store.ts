// Whether the store is one with which anything may be started.
import path from 'node:path';
import { ConfigError } from '../runtime/errors.ts';
import { backupTime } from './backup.ts';
import type { ControlPlaneConfig } from './config.ts';
import type { Surroundings } from './surroundings.ts';

type Home = Pick<Surroundings, 'places' | 'disk'>;

export interface StoreTrouble {
  readonly what: string;
  readonly remedy: string;
}

/** Why nothing may be started; undefined: all of it may. */
export async function storeTrouble(
  { places, disk }: Home,
  { backup }: Pick<ControlPlaneConfig, 'backup'>,
): Promise<StoreTrouble | undefined> {
  if ((await disk.list(places.restoring)) !== undefined) {
    return {
      what: `a restore was ended in its midst (${places.restoring})`,
      remedy: 'vbs-control-plane restore FILE --replace once more',
    };
  }
  if (((await disk.list(places.storeLog)) ?? []).length > 0) {
    return undefined;
  }
  // etcd would begin with an empty one, and its backups would push out those of the one that is gone.
  const newest = ((await disk.list(backup.directory)) ?? []).findLast(
    (name) => backupTime(name) !== undefined,
  );
  const wasThere = newest !== undefined || (await disk.read(places.appliedVersion)) !== undefined;
  const file = newest === undefined ? 'BACKUP' : path.join(backup.directory, newest);
  return wasThere
    ? {
        what: `the store is gone (${places.storeLog})`,
        remedy: `vbs-control-plane restore ${file}; to begin with an empty one instead: rm -f ${places.appliedVersion}, move what is in ${backup.directory} to another place, vbs-control-plane init`,
      }
    : undefined;
}

/** Throws ConfigError. */
export async function refuseUnsoundStore(
  home: Home,
  config: Pick<ControlPlaneConfig, 'backup'>,
): Promise<void> {
  const trouble = await storeTrouble(home, config);
  if (trouble !== undefined) {
    throw new ConfigError(`${trouble.what}: ${trouble.remedy}`);
  }
}
