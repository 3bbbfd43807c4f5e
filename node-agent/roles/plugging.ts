/** Disks into and out of a machine. Look, decide, act, look again: what a command says decides nothing. */

import type { BoundProfile, CallResult } from '../profiles/bind.ts';
import type { Values } from '../profiles/values.ts';
import { wholeOf } from './cells.ts';
import {
  Busy,
  Denied,
  DeviceInUse,
  InstanceAmbiguous,
  InstanceNotFound,
  InstanceNotRunning,
  Mismatch,
  NoFreeDevice,
  NotDone,
  Unsupported,
} from './errors.ts';
import { splitPortal } from './portal.ts';
import { idsOf, isTold, lookAtDisks, type SeenDisk, type Sight } from './vm-disks.ts';
import { withSecret } from './vm-secrets.ts';
import type { AttachRequest, Instance, VmDisk } from './vmm.ts';

/** One piece of work on one machine. */
export interface Job {
  readonly profile: BoundProfile;
  readonly instance: Instance;
  readonly signal: AbortSignal;
}

const refuse = (instance: Instance, wanted: string, { outcome, said }: CallResult): Error => {
  const { name } = instance;
  switch (outcome) {
    case 'absent':
      return new InstanceNotFound(name);
    case 'notRunning':
      return new InstanceNotRunning(name, 'not running');
    case 'full':
      return new NoFreeDevice(name, said);
    case 'denied':
      return new Denied(name, said);
    case 'busy':
    case 'unreachable':
      return new Busy(name, said);
    default:
      return new NotDone(name, wanted, said);
  }
};

const placeValues = ({ uuid }: Instance, id: string | undefined): Values => ({
  'instance.uuid': uuid,
  'instance.id': id,
});

const deviceNames = (profile: BoundProfile): readonly string[] => profile.profile.format.devices ?? [];

export const freeDevice = (
  profile: BoundProfile,
  instance: Instance,
  disks: readonly VmDisk[],
  wanted: string | undefined,
): string => {
  const taken = new Set(disks.map(({ device }) => device));
  if (wanted !== undefined) {
    if (!deviceNames(profile).includes(wanted)) {
      throw new Unsupported(`device ${wanted}`, `${profile.name} has no such device name`);
    }
    if (taken.has(wanted)) {
      throw new DeviceInUse(instance.name, wanted);
    }
    return wanted;
  }
  const free = deviceNames(profile).find((device) => !taken.has(device));
  if (free === undefined) {
    throw new NoFreeDevice(instance.name, 'every device name is taken');
  }
  return free;
};

const requestValues = (instance: Instance, id: string | undefined, request: AttachRequest): Values => {
  const { volumeID, device, readOnly, locator, grantUUID } = request;
  const common = {
    ...placeValues(instance, id),
    'volume.id': volumeID,
    device,
    readOnly,
    'disk.access': readOnly ? 'ro' : 'rw',
    'disk.readOnly': readOnly ? 1 : 0,
  };
  if (locator.kind === 'block') {
    return { ...common, path: locator.path };
  }
  const { host, port } = splitPortal(locator.portal);
  return {
    ...common,
    iqn: locator.iqn,
    lun: locator.lun,
    'portal.host': host,
    'portal.port': port,
    initiator: locator.initiator,
    'chap.user': locator.chap.user,
    'chap.password': locator.chap.password,
    'grant.uuid': grantUUID,
  };
};

/** Ours in the machine, by the volume; more than one when something went wrong before, and then each counts. */
const oursIn = ({ disks }: Sight, volumeID: string): readonly SeenDisk[] =>
  disks.filter(({ disk }) => disk.volumeID === volumeID);

const isWaiting = ({ disk }: SeenDisk): boolean => disk.state === 'connecting' || disk.state === 'pending';

const diskValues = (instance: Instance, volumeID: string, { id, disk }: SeenDisk): Values => ({
  ...placeValues(instance, id),
  'volume.id': volumeID,
  device: disk.device,
});

const change = async (
  { profile, instance, signal }: Job,
  verb: 'cancel' | 'detach',
  volumeID: string,
  seen: SeenDisk,
): Promise<void> => {
  const values = diskValues(instance, volumeID, seen);
  const result = await profile.call(profile.has(verb) ? verb : 'detach', values, signal);
  if (result.outcome !== 'ok') {
    throw refuse(instance, verb === 'cancel' ? `taking ${volumeID} back` : `detaching ${volumeID}`, result);
  }
};

/** Is it in the machine as asked for? Takes back one that would only come at the next start. */
const isThere = async (job: Job, { volumeID, device }: AttachRequest, sight: Sight): Promise<boolean> => {
  const { instance } = job;
  const ours = oursIn(sight, volumeID);
  const present = ours.find(({ disk }) => disk.state !== 'pending')?.disk;
  if (present?.state === 'closing') {
    throw new Busy(volumeID, `${instance.name} still has to let it go`);
  }
  if (present !== undefined && present.device !== device) {
    throw new Mismatch(`${volumeID} in ${instance.name}`, device, present.device);
  }
  for (const pending of present === undefined ? ours : []) {
    await change(job, 'cancel', volumeID, pending);
  }
  return present !== undefined;
};

const KEPT_FOR_LATER =
  'the hypervisor keeps the disk for the next start of the VM instead of plugging it in; let disks of this VM be hot-plugged';

/** Commands go to one machine. */
const onlyID = ({ instance }: Job, { ids }: Sight): string | undefined => {
  const [id, ...more] = ids;
  if (more.length > 0) {
    throw new InstanceAmbiguous(
      instance.name,
      ids.map((one) => `id ${one}`),
    );
  }
  return id;
};

export const attach = async (job: Job, request: AttachRequest): Promise<void> => {
  const { profile, instance, signal } = job;
  const { volumeID, device, locator } = request;
  if (locator.kind === 'block' && !isTold(profile, locator.path, volumeID)) {
    throw new Unsupported(
      locator.path,
      `${profile.name} tells disks by their path alone, which must be /dev/vbs/${volumeID}.<grant>; leave the initiator's links there`,
    );
  }
  const before = await lookAtDisks(profile, instance, signal);
  if (await isThere(job, request, before)) {
    return;
  }
  const others = before.disks.map(({ disk }) => disk).filter((disk) => disk.volumeID !== volumeID);
  freeDevice(profile, instance, others, device);
  const values = requestValues(instance, onlyID(job, before), request);
  const result = await withSecret(profile, request, signal, () =>
    profile.call(`attach.${locator.kind}`, values, signal),
  );
  const after = await lookAtDisks(profile, instance, signal);
  if (await isThere(job, request, after)) {
    return;
  }
  if (oursIn(after, volumeID).length > 0 && result.outcome === 'ok') {
    throw new Unsupported(instance.name, KEPT_FOR_LATER);
  }
  if (after.disks.some(({ disk }) => disk.device === device && disk.volumeID !== volumeID)) {
    throw new DeviceInUse(instance.name, device);
  }
  throw refuse(instance, `attaching ${volumeID}`, result);
};

export const detach = async (job: Job, volumeID: string): Promise<void> => {
  const sight = await lookAtDisks(job.profile, job.instance, job.signal);
  for (const seen of oursIn(sight, volumeID)) {
    await change(job, isWaiting(seen) ? 'cancel' : 'detach', volumeID, seen);
  }
};

export const cancel = async (job: Job, volumeID: string): Promise<void> => {
  const sight = await lookAtDisks(job.profile, job.instance, job.signal);
  for (const seen of oursIn(sight, volumeID).filter(isWaiting)) {
    await change(job, 'cancel', volumeID, seen);
  }
};

/** Of ours that is plugged in. */
const pluggedIn = async (
  { profile, instance, signal }: Job,
  volumeID: string,
): Promise<SeenDisk | undefined> =>
  oursIn(await lookAtDisks(profile, instance, signal), volumeID).find(({ disk }) => disk.state === undefined);

export const resize = async (job: Job, volumeID: string, sizeBytes: bigint): Promise<void> => {
  const { profile, instance, signal } = job;
  const seen = await pluggedIn(job, volumeID);
  if (seen === undefined || !profile.has('resize')) {
    return;
  }
  const values = { ...diskValues(instance, volumeID, seen), size: sizeBytes };
  const result = await profile.call('resize', values, signal);
  if (result.outcome !== 'ok') {
    throw refuse(instance, `showing ${volumeID} its new size`, result);
  }
};

export const diskBytes = async (job: Job, volumeID: string): Promise<bigint | undefined> => {
  const { profile, instance, signal } = job;
  const seen = await pluggedIn(job, volumeID);
  if (seen === undefined || !profile.has('size')) {
    return seen?.disk.sizeBytes;
  }
  const { rows } = await profile.call('size', diskValues(instance, volumeID, seen), signal);
  const [row] = rows;
  return row === undefined ? undefined : wholeOf(row, 'size');
};

export const isSettled = async ({ profile, instance, signal }: Job): Promise<boolean> => {
  if (!profile.has('settled')) {
    return true;
  }
  for (const id of await idsOf(profile, instance, signal)) {
    const { outcome } = await profile.call('settled', placeValues(instance, id), signal);
    if (outcome === 'busy') {
      return false;
    }
  }
  return true;
};
