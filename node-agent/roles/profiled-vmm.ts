/** The vmm role over a profile: disks of running machines, matched by our alias, serial or path, never by their device name. */

import { createLocks } from '../exec/locks.ts';
import type { BoundProfile } from '../profiles/bind.ts';
import { Unsupported } from './errors.ts';
import type { Locator } from './initiator.ts';
import { type Machine, mergeInstances } from './instances.ts';
import { attach, cancel, detach, diskBytes, freeDevice, isSettled, resize } from './plugging.ts';
import { lookAtDisks } from './vm-disks.ts';
import { removeSecret, residue } from './vm-secrets.ts';
import type { Instance, Vmm } from './vmm.ts';

/** Ids stay behind: they are looked up anew for each command. */
const withoutIDs = ({ ids: _, ...instance }: Machine): Instance => instance;

const holders = async (
  profile: BoundProfile,
  instances: readonly Instance[],
  signal: AbortSignal,
): Promise<readonly Instance[]> => {
  if (!profile.has('holders')) {
    return instances;
  }
  const { rows } = await profile.call('holders', {}, signal);
  const named = new Set(rows.map(({ id }) => id));
  const { machines } = mergeInstances((await profile.call('instances', {}, signal)).rows);
  const holding = machines.filter(({ ids }) => ids.some((id) => named.has(id))).map(({ uuid }) => uuid);
  return instances.filter(({ uuid }) => holding.includes(uuid));
};

export const profiledVmm = (profile: BoundProfile): Vmm => {
  const accepts: readonly Locator['kind'][] = profile.profile.format.accepts ?? [];
  const turns = createLocks();
  const { can } = profile;
  let unidentified: readonly string[] = [];
  return {
    accepts,
    can: {
      readOnly: can.readOnly === true,
      serialMax: typeof can.serialMax === 'number' ? can.serialMax : 20,
      keepsDisks: can.keepsDisks === true,
      growOnline: can.growOnline === true,
      growReadOnly: can.growReadOnly === true,
    },
    instances: async (signal) => {
      const seen = mergeInstances((await profile.call('instances', {}, signal)).rows);
      unidentified = seen.unidentified;
      return seen.machines.map(withoutIDs);
    },
    holders: (instances, signal) => holders(profile, instances, signal),
    unidentified: () => unidentified,
    disks: async (instance, signal) =>
      (await lookAtDisks(profile, instance, signal)).disks.map(({ disk }) => disk),
    attach: async (instance, request, signal) => {
      const { kind } = request.locator;
      if (!accepts.includes(kind)) {
        throw new Unsupported(instance.name, `${profile.name} takes no ${kind} locators`);
      }
      await turns.hold(instance.uuid, signal, () => attach({ profile, instance, signal }, request));
    },
    detach: (instance, volumeID, signal) =>
      turns.hold(instance.uuid, signal, () => detach({ profile, instance, signal }, volumeID)),
    cancel: (instance, volumeID, signal) =>
      turns.hold(instance.uuid, signal, () => cancel({ profile, instance, signal }, volumeID)),
    resize: (instance, volumeID, sizeBytes, signal) =>
      turns.hold(instance.uuid, signal, () => resize({ profile, instance, signal }, volumeID, sizeBytes)),
    diskBytes: (instance, volumeID, signal) => diskBytes({ profile, instance, signal }, volumeID),
    isSettled: (instance, signal) => isSettled({ profile, instance, signal }),
    freeDevice: (instance, disks, wanted) => freeDevice(profile, instance, disks, wanted),
    residue: (signal) => residue(profile, signal),
    cleanResidue: (grantUUID, signal) =>
      profile.has('removeSecret') ? removeSecret(profile, grantUUID, signal) : Promise.resolve(),
  };
};
