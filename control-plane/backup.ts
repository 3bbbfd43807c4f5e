// `vbs-control-plane backup`: the store, and the keys without which it could not be read or would be another cluster's, in one file. It
// appears under its name only when it is whole, was read back, and is on the disk.
import path from 'node:path';
import { ConfigError } from '../runtime/errors.ts';
import { succeed } from './command.ts';
import type { ControlPlaneConfig } from './config.ts';
import { secretRights } from './pki/authority.ts';
import { KEEPSAKES } from './places.ts';
import type { Surroundings } from './surroundings.ts';
import { ETCD } from './units.ts';
import { VERSION } from './version.ts';

export const SNAPSHOT = 'snapshot.db';
export const CONFIG = 'control-plane.yaml';
export const VERSION_FILE = 'version';
export const MEMBERS = [SNAPSHOT, 'pki', CONFIG, VERSION_FILE] as const;
const UNFINISHED = '.unfinished';
const DAY_MS = 86_400_000;
const ALWAYS_KEPT = 3;

/** What is in a snapshot, as etcdutl tells it. */
export interface SnapshotStatus {
  readonly revision: number;
  readonly totalKey: number;
}

/** Answers the path of the backup. */
export async function backUp(surroundings: Surroundings, config: ControlPlaneConfig): Promise<string> {
  const { disk, rootOwner, clock, tell, units } = surroundings;
  const { directory } = config.backup;
  if (!(await units.stateOf(ETCD)).isActive) {
    throw new ConfigError(
      'etcd does not run, and only a running one gives a snapshot: systemctl start vbs-etcd',
    );
  }
  await ensureBackupDirectory(surroundings, config);
  const work = path.join(directory, UNFINISHED);
  // Left by a run that was ended: nobody else works here.
  await disk.remove(work);
  for (const place of [work, path.join(work, 'pki')]) {
    await disk.makeDirectory(place, { mode: 0o700, owner: rootOwner });
  }
  try {
    const { revision, totalKey } = await fill(surroundings, work);
    const file = path.join(directory, backupName(clock.now()));
    await pack(surroundings, work, file);
    tell(`backed up ${totalKey} keys at revision ${revision}: ${file}`);
    await removeOld(surroundings, config);
    return file;
  } finally {
    await disk.remove(work);
  }
}

/** One that is there already stays as its administrator made it: what is written there is for root only. */
export async function ensureBackupDirectory(
  { disk, rootOwner }: Pick<Surroundings, 'disk' | 'rootOwner'>,
  { backup }: ControlPlaneConfig,
): Promise<void> {
  if ((await disk.list(backup.directory)) === undefined) {
    await disk.makeDirectory(backup.directory, { mode: 0o700, owner: rootOwner });
  }
}

/** Sorts by time; `:` would be a host for tar. */
export const backupName = (now: Date): string =>
  `vbs-${now.toISOString().slice(0, 19).replaceAll(':', '')}Z.tar.gz`;

/** When a backup was made, by its name; undefined for any other file. */
export function backupTime(name: string): Date | undefined {
  const [, day, hour, minute, second] =
    /^vbs-(\d{4}-\d\d-\d\d)T(\d\d)(\d\d)(\d\d)Z\.tar\.gz$/.exec(name) ?? [];
  return day === undefined ? undefined : new Date(`${day}T${hour}:${minute}:${second}Z`);
}

async function fill(surroundings: Surroundings, work: string): Promise<SnapshotStatus> {
  const { places, disk, run } = surroundings;
  const snapshot = path.join(work, SNAPSHOT);
  const etcdctl = path.join(places.programs, 'etcdctl');
  await succeed(run, etcdctl, [`--endpoints=unix://${places.etcdSocket}`, 'snapshot', 'save', snapshot]);
  const rights = secretRights(surroundings);
  for (const name of Object.values(KEEPSAKES)) {
    const text = await disk.read(path.join(places.pki, name));
    if (text === undefined) {
      throw new ConfigError(
        `${path.join(places.pki, name)} is missing: vbs-control-plane init tells what to do`,
      );
    }
    await disk.write(path.join(work, 'pki', name), text, rights);
  }
  await disk.write(path.join(work, CONFIG), (await disk.read(places.configFile)) ?? '', rights);
  await disk.write(path.join(work, VERSION_FILE), `${VERSION}\n`, rights);
  return await snapshotStatus(surroundings, snapshot);
}

/** Reads all of it. Throws when a page of it is damaged. */
export async function snapshotStatus(
  { places, run }: Pick<Surroundings, 'places' | 'run'>,
  snapshot: string,
): Promise<SnapshotStatus> {
  const etcdutl = path.join(places.programs, 'etcdutl');
  const text = await succeed(run, etcdutl, ['snapshot', 'status', snapshot, '--write-out=json']);
  return JSON.parse(text) as SnapshotStatus;
}

async function pack(surroundings: Surroundings, work: string, file: string): Promise<void> {
  const { disk, run } = surroundings;
  const unfinished = path.join(path.dirname(file), `.${path.basename(file)}`);
  const tar = async (verb: '--create' | '--compare', ...members: readonly string[]) => {
    const args = [verb, '--gzip', `--directory=${work}`, `--file=${unfinished}`, ...members];
    await succeed(run, 'tar', args);
  };
  try {
    // tar keeps the mode of a file that is there.
    await disk.write(unfinished, '', secretRights(surroundings));
    await tar('--create', ...MEMBERS);
    await disk.sync(unfinished);
    // What was written is what was there, byte by byte.
    await tar('--compare');
    await disk.rename(unfinished, file);
  } finally {
    await disk.remove(unfinished);
  }
}

/** Which of these files are to go: older than is kept, and none of the newest, however old, or wrong the clock. Pure. */
export function outdatedBackups(names: readonly string[], now: Date, keepDays: number): readonly string[] {
  const backups = names.flatMap((name) => {
    const at = backupTime(name);
    return at === undefined ? [] : [{ name, at }];
  });
  return backups
    .toSorted((a, b) => b.at.getTime() - a.at.getTime())
    .slice(ALWAYS_KEPT)
    .filter(({ at }) => now.getTime() - at.getTime() > keepDays * DAY_MS)
    .map(({ name }) => name);
}

async function removeOld({ disk, clock, tell }: Surroundings, { backup }: ControlPlaneConfig): Promise<void> {
  const names = (await disk.list(backup.directory)) ?? [];
  for (const name of outdatedBackups(names, clock.now(), backup.keepDays)) {
    await disk.remove(path.join(backup.directory, name));
    tell(`removed ${name}, which is older than ${backup.keepDays} days`);
  }
}
