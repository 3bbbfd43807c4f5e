/** The disks of a machine, as the rows of the `disks` look tell them. */

import type { BoundProfile } from '../profiles/bind.ts';
import { gives } from '../profiles/check-rows.ts';
import { usesParameter } from '../profiles/format.ts';
import type { Row } from '../profiles/row.ts';
import { sectorsOf } from './cells.ts';
import { CannotLook, InstanceNotFound, InstanceNotRunning } from './errors.ts';
import { mergeInstances } from './instances.ts';
import type { DiskState, Instance, VmDisk } from './vmm.ts';

/** Under which id of its machine a disk was seen; none where commands know machines by UUID. */
export interface SeenDisk {
  readonly id?: string;
  readonly disk: VmDisk;
}

const OURS = /^(?:ua-vbs-)?(vol[0-9a-f]{17})$/;
/** The link that the initiator role makes for the device of one grant. */
const OUR_PATH = /^\/dev\/vbs\/(vol[0-9a-f]{17})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;
/** Does the tool tell our disks by nothing but their path? */
const tellsPathsOnly = ({ profile }: BoundProfile): boolean =>
  !['alias', 'serial'].some((column) => gives(profile.format, 'disks', column));

/** Would a disk with this path be known again as this volume's? One that is not would be plugged in again and again. */
export const isTold = (profile: BoundProfile, path: string, volumeID: string): boolean =>
  !tellsPathsOnly(profile) || OUR_PATH.exec(path)?.[1] === volumeID;

const STATES: Readonly<Record<string, DiskState | undefined>> = {
  attached: undefined,
  connecting: 'connecting',
  pending: 'pending',
  closing: 'closing',
};

const stateOf = (device: string, word = 'attached'): DiskState | undefined => {
  if (!Object.hasOwn(STATES, word)) {
    throw new CannotLook(device, `a disk has the unknown state ${word.slice(0, 40)}`);
  }
  return STATES[word];
};

/** Ours by the beginning of its name, and damaged: it must not pass for somebody else's. */
const expectText = (device: string, names: readonly (string | undefined)[]): void => {
  if (names.some((name) => /^(?:\/dev\/vbs\/|ua-vbs-|vol).*\u{fffd}/u.test(name ?? ''))) {
    throw new CannotLook(device, 'the name of a disk holds bytes that are no text');
  }
};

const diskOf = (row: Row): VmDisk => {
  const { device = '', alias, serial, source, path, grant, state: word } = row;
  expectText(device, [alias, serial, path]);
  const [, volumeOfPath, grantOfPath] = OUR_PATH.exec(path ?? '') ?? [];
  const volumeID = OURS.exec(alias ?? '')?.[1] ?? OURS.exec(serial ?? '')?.[1] ?? volumeOfPath;
  const iqn = /^(iqn\.[^/]+)\/\d+$/.exec(source ?? '')?.[1];
  const grantUUID = grant === undefined || grant === '' ? grantOfPath : grant;
  const state = stateOf(device, word);
  return {
    device,
    ...(state === undefined ? {} : { state }),
    ...(volumeID === undefined ? {} : { volumeID }),
    ...(iqn === undefined ? {} : { iqn }),
    ...(grantUUID === undefined ? {} : { grantUUID }),
    ...(row.sectors === undefined ? {} : { sizeBytes: sectorsOf(row) }),
  };
};

/** What several looks say of one device adds up, the later over the earlier; a disk that is `pending` stands for itself. */
const addedUp = (rows: readonly Row[]): readonly Row[] => {
  const disks = new Map<string, Row>();
  for (const row of rows) {
    const key = `${row.state === 'pending' ? 'pending ' : ''}${row.device}`;
    disks.set(key, { ...disks.get(key), ...row });
  }
  return [...disks.values()];
};

/**
 * The ids of the machine now, by a look of their own, but where it has one for good. Whose an id is, the look at its disks proves.
 * Throws InstanceNotFound.
 */
export const idsOf = async (
  profile: BoundProfile,
  { uuid, name, vmid }: Instance,
  signal: AbortSignal,
): Promise<readonly (string | undefined)[]> => {
  if (!usesParameter(profile.profile.format, 'instance.id')) {
    return [undefined];
  }
  if (vmid !== undefined) {
    return [String(vmid)];
  }
  const { machines } = mergeInstances((await profile.call('instances', {}, signal)).rows);
  const ids = machines.find((one) => one.uuid === uuid.toLowerCase())?.ids;
  if (ids === undefined) {
    throw new InstanceNotFound(name);
  }
  return ids;
};

const disksUnder = async (
  profile: BoundProfile,
  instance: Instance,
  id: string | undefined,
  signal: AbortSignal,
): Promise<readonly SeenDisk[] | undefined> => {
  const values = { 'instance.uuid': instance.uuid, 'instance.id': id };
  const { outcome, rows } = await profile.call('disks', values, signal);
  if (outcome === 'absent') {
    return undefined;
  }
  const shown = rows.find(({ kind }) => kind === 'instance');
  if (outcome === 'notRunning' || (shown !== undefined && (shown.live ?? '') === '')) {
    throw new InstanceNotRunning(instance.name, 'not running');
  }
  if (shown?.uuid?.toLowerCase() !== instance.uuid.toLowerCase()) {
    throw new CannotLook(instance.name, `asked for ${instance.uuid} and was shown ${shown?.uuid ?? 'none'}`);
  }
  return addedUp(rows.filter(({ kind }) => kind === 'disk')).map((row) => ({
    disk: diskOf(row),
    ...(id === undefined ? {} : { id }),
  }));
};

export interface Sight {
  /** The ids which the machine had; one undefined where it has none. */
  readonly ids: readonly (string | undefined)[];
  readonly disks: readonly SeenDisk[];
}

/** All disks of the machine, under whatever ids it has now. Throws InstanceNotFound, InstanceNotRunning, CannotLook. */
export const lookAtDisks = async (
  profile: BoundProfile,
  instance: Instance,
  signal: AbortSignal,
): Promise<Sight> => {
  const ids: (string | undefined)[] = [];
  const disks: SeenDisk[] = [];
  for (const id of await idsOf(profile, instance, signal)) {
    const seen = await disksUnder(profile, instance, id, signal);
    if (seen !== undefined) {
      ids.push(id);
      disks.push(...seen);
    }
  }
  if (ids.length === 0) {
    throw new InstanceNotFound(instance.name);
  }
  return { ids, disks };
};
