// `vbs-control-plane restore FILE`: the store as it was, under revisions that nobody has seen, so that no watch goes on as if nothing had been.
import path from 'node:path';
import { ConfigError } from '../runtime/errors.ts';
import { CONFIG, MEMBERS, SNAPSHOT, type SnapshotStatus, snapshotStatus, VERSION_FILE } from './backup.ts';
import { succeed } from './command.ts';
import { type ControlPlaneConfig, loadControlPlaneConfig } from './config.ts';
import { bringUp, refuseUnusable } from './init.ts';
import { directoryRights, secretRights, sharedRights } from './pki/authority.ts';
import { KEEPSAKES } from './places.ts';
import type { Surroundings } from './surroundings.ts';
import { SERVICES } from './units.ts';
import { isNewer, VERSION } from './version.ts';

/** As in the unit of etcd. */
const PEER = 'unix://peer.sock';
/** More than will have been written since a backup. */
const BLIND_BUMP = 1_000_000_000;

export interface RestoreCommand {
  readonly file: string;
  /** What is here now, store and keys, is set aside. */
  readonly replace: boolean;
}

export async function restore(surroundings: Surroundings, command: RestoreCommand): Promise<void> {
  const { places, disk, rootOwner, tell } = surroundings;
  await refuseWhileRunning(surroundings);
  await disk.makeDirectory(places.state, directoryRights(surroundings));
  const ready = await readied(surroundings, command);
  const isOnceMore = (await disk.list(places.restoring)) !== undefined;
  // While there is this folder, nothing starts: what is here may be half of one thing and half of the other.
  await disk.makeDirectory(places.restoring, { mode: 0o700, owner: rootOwner });
  await disk.sync(places.state);
  await refuseStartedMeanwhile(surroundings, isOnceMore);
  const aside = stamp(surroundings);
  await placeKeys(surroundings, ready.keys, aside);
  await setAside(surroundings, places.store, aside);
  await disk.rename(ready.store, places.store);
  await ensureConfig(surroundings);
  // What is in the backup may have been given by another version.
  await disk.remove(places.appliedVersion);
  await disk.remove(workOf(surroundings));
  await disk.remove(places.restoring);
  const { totalKey, revision } = ready.status;
  tell(
    `the store is as in the backup, of version ${ready.version}: ${totalKey} keys at revision ${revision}`,
  );
  const config = await loadControlPlaneConfig(places.configFile);
  await refuseUnusable(surroundings, config);
  await bringUp(surroundings, config);
  tellNext(surroundings, config);
}

/** On the file system of the store. */
const workOf = ({ places }: Pick<Surroundings, 'places'>): string => path.join(places.state, 'unpacked');

interface Ready {
  readonly status: SnapshotStatus;
  /** Which made the backup. */
  readonly version: string;
  readonly keys: readonly Key[];
  /** Where the restored store is, whole and on the disk. */
  readonly store: string;
}

/** All that can fail before anything is changed. */
async function readied(surroundings: Surroundings, command: RestoreCommand): Promise<Ready> {
  const { disk, rootOwner } = surroundings;
  const work = workOf(surroundings);
  await refuseMounted(surroundings);
  await disk.remove(work);
  await disk.makeDirectory(work, { mode: 0o700, owner: rootOwner });
  try {
    const status = await unpack(surroundings, command.file, work);
    const version = ((await disk.read(path.join(work, VERSION_FILE))) ?? '').trim();
    refuseNewer(command.file, version);
    const keys = await keysFrom(surroundings, work);
    await refuseUnasked(surroundings, command, keys);
    return { status, version, keys, store: await restored(surroundings, work, status) };
  } catch (error) {
    await disk.remove(work);
    throw error;
  }
}

async function refuseWhileRunning({ units }: Surroundings): Promise<void> {
  for (const unit of SERVICES) {
    const { state, isOff } = await units.stateOf(unit);
    if (!isOff) {
      throw new ConfigError(
        `${unit} is ${state}; stop all of it first, which no guest notices: systemctl stop ${SERVICES.join(' ')}`,
      );
    }
  }
}

/** Unpacking takes minutes, in which somebody may have started a service. From now on nobody can. */
async function refuseStartedMeanwhile(surroundings: Surroundings, isOnceMore: boolean): Promise<void> {
  const { places, disk } = surroundings;
  try {
    await refuseWhileRunning(surroundings);
  } catch (error) {
    await disk.remove(workOf(surroundings));
    // What an earlier run left may be half of one thing and half of the other.
    if (!isOnceMore) {
      await disk.remove(places.restoring);
    }
    throw error;
  }
}

/** What is there is renamed to be set aside, which a place where a disk is mounted cannot be. */
async function refuseMounted({ places, run }: Surroundings): Promise<void> {
  for (const place of [places.store, places.pki]) {
    const { exitCode } = await run('mountpoint', ['--quiet', place]);
    if (exitCode === 0) {
      throw new ConfigError(
        `${place} is where a file system is mounted, and cannot be set aside: umount ${place}, or mount that at ${path.dirname(place)} instead`,
      );
    }
  }
}

/** What a newer etcd or Kubernetes wrote is not promised to be read by an older one. */
function refuseNewer(file: string, version: string): void {
  if (isNewer(version, VERSION)) {
    throw new ConfigError(
      `${file} is of version ${version}, and this is ${VERSION}, which may not read it: install vbs-control-plane ${version} or newer first`,
    );
  }
}

/**
 * To a revision that nobody has seen: milliseconds since 1970. Nobody writes a thousand times a second for long, so these stay ahead of
 * what is written, and each restore comes to more than the one before, whichever backup it is of. A clock that was set back tells nothing.
 */
export function revisionBump(revision: number, now: Date): number {
  const bump = now.getTime() - revision;
  return bump > 0 ? bump : BLIND_BUMP;
}

async function unpack(surroundings: Surroundings, file: string, work: string): Promise<SnapshotStatus> {
  const { run } = surroundings;
  const args = [
    '--extract',
    '--gzip',
    '--no-same-owner',
    `--directory=${work}`,
    `--file=${file}`,
    ...MEMBERS,
  ];
  try {
    await succeed(run, 'tar', args);
    return await snapshotStatus(surroundings, path.join(work, SNAPSHOT));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConfigError(
      `${file} is no whole backup, so nothing was changed; take another one (ls -l /var/backups/vbs): ${why}`,
      { cause: error },
    );
  }
}

interface Key {
  readonly name: string;
  readonly text: string;
  /** Another one is here. */
  readonly isOther: boolean;
  readonly isMissing: boolean;
}

async function keysFrom({ places, disk }: Surroundings, work: string): Promise<readonly Key[]> {
  const keys: Key[] = [];
  for (const name of Object.values(KEEPSAKES)) {
    const text = await disk.read(path.join(work, 'pki', name));
    if (text === undefined) {
      throw new ConfigError(`the backup holds no pki/${name}, so nothing was changed; take another one`);
    }
    const here = await disk.read(path.join(places.pki, name));
    keys.push({ name, text, isOther: here !== undefined && here !== text, isMissing: here === undefined });
  }
  return keys;
}

async function refuseUnasked(
  { places, disk }: Surroundings,
  { file, replace }: RestoreCommand,
  keys: readonly Key[],
): Promise<void> {
  if (replace) {
    return;
  }
  const stored = (await disk.list(places.store)) ?? [];
  if (stored.length > 0) {
    throw new ConfigError(
      `there is a store in ${places.store}; to have it set aside and the backup in its place: vbs-control-plane restore ${file} --replace`,
    );
  }
  // The certificate of the CA is renewed under the same key.
  const other = keys.find(({ name, isOther }) => isOther && name !== KEEPSAKES.caCertificate);
  if (other !== undefined) {
    throw new ConfigError(
      `${path.join(places.pki, other.name)} is not the one of the backup, which is of another control plane; to have these keys set aside and those of the backup in their place: vbs-control-plane restore ${file} --replace`,
    );
  }
}

async function restored(
  { places, disk, run, serviceOwner, clock }: Surroundings,
  work: string,
  { revision }: SnapshotStatus,
): Promise<string> {
  const store = path.join(work, 'etcd');
  await succeed(run, path.join(places.programs, 'etcdutl'), [
    ...['snapshot', 'restore', path.join(work, SNAPSHOT), `--data-dir=${store}`],
    ...['--name=vbs', `--initial-cluster=vbs=${PEER}`, `--initial-advertise-peer-urls=${PEER}`],
    ...[`--bump-revision=${revisionBump(revision, clock.now())}`, '--mark-compacted'],
  ]);
  await disk.giveTo(store, serviceOwner);
  await succeed(run, 'sync', ['--file-system', store]);
  return store;
}

const stamp = ({ clock }: Surroundings): string =>
  `before-${clock.now().toISOString().slice(0, 19).replaceAll(':', '')}Z`;

async function setAside({ disk, tell }: Surroundings, place: string, suffix: string): Promise<void> {
  if (((await disk.list(place)) ?? []).length > 0) {
    await disk.rename(place, `${place}.${suffix}`);
    tell(`what was in ${place} is in ${place}.${suffix}`);
  } else {
    await disk.remove(place);
  }
}

async function placeKeys(surroundings: Surroundings, keys: readonly Key[], aside: string): Promise<void> {
  const { places, disk } = surroundings;
  const isOther = keys.some((key) => key.isOther && key.name !== KEEPSAKES.caCertificate);
  if (isOther) {
    await setAside(surroundings, places.pki, aside);
  }
  await disk.makeDirectory(places.pki, directoryRights(surroundings));
  for (const { name, text, isMissing } of keys.filter((key) => isOther || key.isMissing)) {
    const isShared = name === KEEPSAKES.serviceAccountKey || name === KEEPSAKES.encryption;
    const rights = isShared ? sharedRights(surroundings) : secretRights(surroundings);
    const mode = name === KEEPSAKES.caCertificate ? 0o644 : rights.mode;
    await disk.write(path.join(places.pki, name), text, { ...rights, mode });
    if (isMissing) {
      surroundings.tell(`${name} is from the backup`);
    }
  }
}

/** On another machine than the backup is from there may be none yet. */
async function ensureConfig(surroundings: Surroundings): Promise<void> {
  const { places, disk, rootOwner, tell } = surroundings;
  const file = places.configFile;
  if ((await disk.read(file)) === undefined) {
    const text = (await disk.read(path.join(workOf(surroundings), CONFIG))) ?? '';
    await disk.write(file, text, { mode: 0o644, owner: rootOwner });
    tell(`${file} is from the backup`);
  }
}

function tellNext({ tell }: Surroundings, { address }: ControlPlaneConfig): void {
  tell(
    'the control plane runs again. Controller and agents notice by themselves that it was set back. Look now:',
  );
  tell('  vbs-control-plane status');
  tell(`    hosts connect to ${address}: where that is another machine now, enrol each of them again`);
  tell('  vbs-control-plane kubectl get volumes,attachments -A');
  tell('    DataMissing: deleted since the backup, and the data is gone; delete the Volume');
  tell('  vbs-control-plane kubectl get volumeservers -o yaml');
  tell(
    '    status.agent.orphans: Volumes made since the backup; their data is untouched, and spec.source.existing takes it over',
  );
}
