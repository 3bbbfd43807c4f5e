/** The vmm role over a profile: disks of running machines, matched by our alias or serial, never by their device name. */

import { createLocks } from '../exec/locks.ts';
import type { BoundProfile, CallResult } from '../profiles/bind.ts';
import type { Values } from '../profiles/values.ts';
import {
  Busy,
  Denied,
  DeviceInUse,
  InstanceNotFound,
  InstanceNotRunning,
  Mismatch,
  NoFreeDevice,
  NotDone,
  Unsupported,
} from './errors.ts';
import type { Locator } from './initiator.ts';
import { disksOf, mergeInstances } from './instances.ts';
import { splitPortal } from './portal.ts';
import type { AttachRequest, Instance, VmDisk, Vmm } from './vmm.ts';

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

const deviceNames = (profile: BoundProfile): readonly string[] => profile.profile.format.devices ?? [];

const freeDevice = (
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

const requestValues = (instance: Instance, request: AttachRequest): Values => {
  const { volumeID, device, readOnly, locator, grantUUID } = request;
  const common = { 'instance.uuid': instance.uuid, 'volume.id': volumeID, device, readOnly };
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

/** The hypervisor passes the password to the VMM at attach, and the VMM keeps it for its reconnects: it may go at once. */
const withSecret = async <T>(
  profile: BoundProfile,
  request: AttachRequest,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> => {
  const { locator, grantUUID, volumeID } = request;
  if (locator.kind !== 'iscsi' || !profile.has('defineSecret')) {
    return work();
  }
  try {
    const secret = { 'chap.user': locator.chap.user, 'chap.password': locator.chap.password };
    const { outcome, said } = await profile.call(
      'defineSecret',
      { 'grant.uuid': grantUUID, ...secret },
      signal,
    );
    if (outcome !== 'ok') {
      throw new NotDone(volumeID, 'handing over its password', said);
    }
    return await work();
  } finally {
    // Also when the caller gave up. What cannot be removed now shows up as residue.
    await removeSecret(profile, grantUUID, new AbortController().signal).catch(() => undefined);
  }
};

const removeSecret = async (profile: BoundProfile, grantUUID: string, signal: AbortSignal): Promise<void> => {
  const { outcome, said } = await profile.call('removeSecret', { 'grant.uuid': grantUUID }, signal);
  if (outcome !== 'ok') {
    throw new NotDone(grantUUID, 'removing its secret', said);
  }
};

const attach = async (
  profile: BoundProfile,
  instance: Instance,
  request: AttachRequest,
  signal: AbortSignal,
): Promise<void> => {
  const { volumeID, device, locator } = request;
  const before = await disksOf(profile, instance, signal);
  const present = before.find((disk) => disk.volumeID === volumeID);
  if (present !== undefined) {
    if (present.device !== device) {
      throw new Mismatch(`${volumeID} in ${instance.name}`, device, present.device);
    }
    return;
  }
  freeDevice(profile, instance, before, device);
  const values = requestValues(instance, request);
  const result = await withSecret(profile, request, signal, () =>
    profile.call(`attach.${locator.kind}`, values, signal),
  );
  const after = await disksOf(profile, instance, signal);
  if (after.some((disk) => disk.volumeID === volumeID)) {
    return;
  }
  if (after.some((disk) => disk.device === device)) {
    throw new DeviceInUse(instance.name, device);
  }
  throw refuse(instance, `attaching ${volumeID}`, result);
};

const detach = async (
  profile: BoundProfile,
  instance: Instance,
  volumeID: string,
  signal: AbortSignal,
): Promise<void> => {
  const disk = (await disksOf(profile, instance, signal)).find((one) => one.volumeID === volumeID);
  if (disk === undefined) {
    return;
  }
  const values = { 'instance.uuid': instance.uuid, 'volume.id': volumeID, device: disk.device };
  const result = await profile.call('detach', values, signal);
  if (result.outcome !== 'ok') {
    throw refuse(instance, `detaching ${volumeID}`, result);
  }
};

const isSettled = async (
  profile: BoundProfile,
  instance: Instance,
  signal: AbortSignal,
): Promise<boolean> => {
  if (!profile.has('settled')) {
    return true;
  }
  const { outcome } = await profile.call('settled', { 'instance.uuid': instance.uuid }, signal);
  return outcome !== 'busy';
};

const residue = async (
  profile: BoundProfile,
  signal: AbortSignal,
): Promise<readonly { grantUUID: string }[]> => {
  if (!profile.has('secrets')) {
    return [];
  }
  const { rows } = await profile.call('secrets', {}, signal);
  return rows.flatMap(({ grant }) => (grant === undefined ? [] : [{ grantUUID: grant }]));
};

export const profiledVmm = (profile: BoundProfile): Vmm => {
  const accepts: readonly Locator['kind'][] = profile.profile.format.accepts ?? [];
  const turns = createLocks();
  const { can } = profile;
  return {
    accepts,
    can: {
      readOnly: can.readOnly === true,
      serialMax: typeof can.serialMax === 'number' ? can.serialMax : 20,
    },
    instances: async (signal) => mergeInstances((await profile.call('instances', {}, signal)).rows),
    disks: (instance, signal) => disksOf(profile, instance, signal),
    attach: async (instance, request, signal) => {
      const { kind } = request.locator;
      if (!accepts.includes(kind)) {
        throw new Unsupported(instance.name, `${profile.name} takes no ${kind} locators`);
      }
      await turns.hold(instance.uuid, signal, () => attach(profile, instance, request, signal));
    },
    detach: (instance, volumeID, signal) =>
      turns.hold(instance.uuid, signal, () => detach(profile, instance, volumeID, signal)),
    isSettled: (instance, signal) => isSettled(profile, instance, signal),
    freeDevice: (instance, disks, wanted) => freeDevice(profile, instance, disks, wanted),
    residue: (signal) => residue(profile, signal),
    cleanResidue: (grantUUID, signal) =>
      profile.has('removeSecret') ? removeSecret(profile, grantUUID, signal) : Promise.resolve(),
  };
};
