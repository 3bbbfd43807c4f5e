// What a hypervisor does with the disks of a running machine, and what the vmm role makes of it. The checks of the role are those of any
// hypervisor; what the commands of one answer stands in a list of its own.

import * as assert from 'uvu/assert';
import type { BoundProfile } from '../../node-agent/profiles/bind.ts';
import type { Values } from '../../node-agent/profiles/values.ts';
import { DeviceInUse, InstanceNotFound, Mismatch, NotDone } from '../../node-agent/roles/errors.ts';
import type { Locator } from '../../node-agent/roles/initiator.ts';
import { profiledVmm } from '../../node-agent/roles/profiled-vmm.ts';
import type { AttachRequest, Instance, VmDisk, Vmm } from '../../node-agent/roles/vmm.ts';
import { type AnyRig, type Check, expectFailure, expectOutcome, signal, volumeID } from './check.ts';

export interface VmmRig extends AnyRig {
  readonly profile: BoundProfile;
  /** It runs and has no disks; nothing else is done with it. */
  readonly instance: Pick<Instance, 'name' | 'uuid'>;
  /** How the hypervisor reaches two volumes of this size. */
  readonly locators: readonly [Locator, Locator];
  readonly sizeBytes: bigint;
  /** Where there is nothing; of the first volume. */
  readonly nowhere: Locator;
  /** The machine ends and begins anew. */
  restart(): Promise<void>;
  /** While it is paused its guest neither takes a disk nor lets one go. */
  pause(isPaused: boolean): Promise<void>;
  /** The disk as the guest has it. */
  inGuest(device: string): Promise<GuestDisk | undefined>;
  /** The first volume grows. Answers its new size. */
  grow(): Promise<bigint>;
  sleep(ms: number): Promise<void>;
}

export interface GuestDisk {
  readonly sizeBytes: bigint;
  readonly isReadOnly: boolean;
}

export const IDS = [volumeID(0x401), volumeID(0x402)] as const;
export const GRANTS = [
  '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a1111',
  '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a2222',
] as const;
const [ID, OTHER] = IDS;

const vmmOf = ({ profile }: VmmRig): Vmm => profiledVmm(profile);
const devicesOf = ({ profile }: VmmRig): readonly [string, string] => {
  const [first = '', second = ''] = profile.profile.format.devices ?? [];
  return [first, second];
};
const machineOf = ({ instance }: VmmRig): Instance => ({ ...instance, state: 'Running' });
const request = (rig: VmmRig, which: 0 | 1 = 0, more: Partial<AttachRequest> = {}): AttachRequest => ({
  volumeID: IDS[which],
  device: devicesOf(rig)[which],
  readOnly: false,
  locator: rig.locators[which],
  grantUUID: GRANTS[which],
  ...more,
});

const disksOf = (rig: VmmRig): Promise<readonly VmDisk[]> => vmmOf(rig).disks(machineOf(rig), signal);
/** What is told of each disk alike, whatever the hypervisor. */
const shown = (disks: readonly VmDisk[]): readonly unknown[] =>
  disks.map(({ device, volumeID: id, state }) => [device, id, state]);

/** Waits for it, and answers how it looks at last. */
const eventually = async <T>(rig: VmmRig, look: () => Promise<T>, isSo: (seen: T) => boolean): Promise<T> => {
  let seen = await look();
  for (let tries = 0; tries < 120 && !isSo(seen); tries += 1) {
    await rig.sleep(500);
    seen = await look();
  }
  return seen;
};

/** Until the guest has taken it, or has let it go. */
const settled = (rig: VmmRig): Promise<readonly VmDisk[]> =>
  eventually(
    rig,
    () => disksOf(rig),
    (disks) => disks.every(({ state }) => state === undefined),
  );

const inGuest = (rig: VmmRig, device: string, isThere = true): Promise<GuestDisk | undefined> =>
  eventually(
    rig,
    () => rig.inGuest(device),
    (disk) => (disk !== undefined) === isThere,
  );

const attached = async (rig: VmmRig, which: 0 | 1 = 0): Promise<void> => {
  await vmmOf(rig).attach(machineOf(rig), request(rig, which), signal);
  await settled(rig);
};

export const vmmChecks: readonly Check<VmmRig>[] = [
  {
    name: 'the machine is there, runs and has no disks; one of another UUID is not there',
    run: async (rig) => {
      const vmm = vmmOf(rig);
      const found = (await vmm.instances(signal)).find(({ uuid }) => uuid === rig.instance.uuid);
      assert.equal([found?.name, found?.state], [rig.instance.name, 'Running']);
      assert.equal(await disksOf(rig), []);
      const stranger = { ...machineOf(rig), uuid: '00000000-1111-4222-8333-444444444444' };
      await expectFailure(vmm.disks(stranger, signal), InstanceNotFound, 'to look at a stranger');
      await expectFailure(
        vmm.attach(stranger, request(rig), signal),
        InstanceNotFound,
        'to attach to a stranger',
      );
    },
  },
  {
    name: 'a disk is attached once, is in the guest, and is not there after it was detached',
    run: async (rig) => {
      const vmm = vmmOf(rig);
      const [device, another] = devicesOf(rig);
      for (let times = 0; times < 2; times += 1) {
        await attached(rig);
        assert.equal(shown(await disksOf(rig)), [[device, ID, undefined]]);
      }
      const [disk] = await disksOf(rig);
      assert.ok(disk?.grantUUID === undefined || disk.grantUUID === GRANTS[0], `grant ${disk?.grantUUID}`);
      assert.is(await vmm.diskBytes(machineOf(rig), ID, signal), rig.sizeBytes);
      assert.equal(await inGuest(rig, device), { sizeBytes: rig.sizeBytes, isReadOnly: false });
      await expectFailure(
        vmm.attach(machineOf(rig), request(rig, 0, { device: another }), signal),
        Mismatch,
        'to attach it in another place',
      );
      await vmm.cancel(machineOf(rig), ID, signal);
      assert.equal(shown(await disksOf(rig)), [[device, ID, undefined]], 'one that came is not taken back');
      for (let times = 0; times < 2; times += 1) {
        await vmm.detach(machineOf(rig), ID, signal);
        const left = await eventually(
          rig,
          () => disksOf(rig),
          (disks) => disks.length === 0,
        );
        assert.equal(left, []);
      }
      assert.is(await inGuest(rig, device, false), undefined);
      assert.equal(await vmm.residue(signal), []);
    },
  },
  {
    name: 'a place that is taken is taken, and who is there stays',
    run: async (rig) => {
      const vmm = vmmOf(rig);
      const [device, another] = devicesOf(rig);
      await attached(rig);
      const intruder = request(rig, 1, { device });
      await expectFailure(vmm.attach(machineOf(rig), intruder, signal), DeviceInUse, 'to attach there');
      assert.equal(shown(await disksOf(rig)), [[device, ID, undefined]]);
      assert.is(vmm.freeDevice(machineOf(rig), await disksOf(rig)), another);
    },
  },
  {
    name: 'of two disks the one that is asked for goes',
    run: async (rig) => {
      const [first, second] = devicesOf(rig);
      await attached(rig);
      await attached(rig, 1);
      assert.equal(shown(await disksOf(rig)).toSorted(), [
        [first, ID, undefined],
        [second, OTHER, undefined],
      ]);
      await vmmOf(rig).detach(machineOf(rig), ID, signal);
      await eventually(
        rig,
        () => disksOf(rig),
        (disks) => disks.length === 1,
      );
      assert.equal(shown(await disksOf(rig)), [[second, OTHER, undefined]]);
      assert.ok(await inGuest(rig, second));
    },
  },
  {
    name: 'a read-only disk is read-only in the guest',
    run: async (rig) => {
      if (vmmOf(rig).can.readOnly) {
        await vmmOf(rig).attach(machineOf(rig), request(rig, 0, { readOnly: true }), signal);
        await settled(rig);
        assert.is((await inGuest(rig, devicesOf(rig)[0]))?.isReadOnly, true);
      }
    },
  },
  {
    name: 'a volume that grew is seen in its new size, by the hypervisor and by the guest',
    run: async (rig) => {
      const vmm = vmmOf(rig);
      if (!vmm.can.growOnline) {
        return;
      }
      await attached(rig);
      await inGuest(rig, devicesOf(rig)[0]);
      const sizeBytes = await rig.grow();
      await vmm.resize(machineOf(rig), ID, sizeBytes, signal);
      const look = () => vmm.diskBytes(machineOf(rig), ID, signal);
      assert.is(await eventually(rig, look, (bytes) => bytes === sizeBytes), sizeBytes);
      const guest = () => rig.inGuest(devicesOf(rig)[0]);
      const seen = await eventually(rig, guest, (disk) => disk?.sizeBytes === sizeBytes);
      assert.is(seen?.sizeBytes, sizeBytes);
    },
  },
  {
    name: 'what is not there is not attached, and nothing of it stays',
    run: async (rig) => {
      const nowhere = request(rig, 0, { locator: rig.nowhere });
      await expectFailure(vmmOf(rig).attach(machineOf(rig), nowhere, signal), NotDone, 'to attach');
      assert.equal(await disksOf(rig), []);
      await attached(rig);
    },
  },
  {
    name: 'a machine that begins anew has no disks of ours, and is given them again',
    run: async (rig) => {
      if (vmmOf(rig).can.keepsDisks) {
        return;
      }
      await attached(rig);
      await rig.restart();
      assert.equal(await disksOf(rig), []);
      await attached(rig);
      assert.ok(await inGuest(rig, devicesOf(rig)[0]));
    },
  },
];

type Call = readonly [verb: string, values: Values];

const idOf = async ({ profile, instance }: VmmRig): Promise<string> => {
  const { rows } = await expectOutcome(profile, ['instances', {}], 'ok');
  const [id, ...more] = rows.flatMap((row) => (row.uuid === instance.uuid ? [row.id ?? ''] : []));
  assert.ok(id !== undefined && more.length === 0, 'one id of our machine');
  return id;
};

const place = async (rig: VmmRig, id?: string): Promise<Values> => ({
  'instance.uuid': rig.instance.uuid,
  'instance.id': id ?? (await idOf(rig)),
  'volume.id': ID,
  device: devicesOf(rig)[0],
});

const attachCall = async (rig: VmmRig, id?: string): Promise<Call> => {
  const [locator] = rig.locators;
  const path = locator.kind === 'block' ? locator.path : '';
  const mode = { readOnly: false, 'disk.access': 'rw', 'disk.readOnly': 0 };
  return ['attach.block', { ...(await place(rig, id)), ...mode, path }];
};

/** A domain's id that no host comes to in a test, of those that Xen gives. */
const NO_DOMAIN = '30999';

/** Xen, where a guest gives a disk back, or does not, and what xenstore tells is all there is. */
export const xenChecks: readonly Check<VmmRig>[] = [
  {
    name: 'the same disk attached twice exists; detached, or taken back, twice it is gone',
    run: async (rig) => {
      const { profile } = rig;
      const attach = await attachCall(rig);
      const where = await place(rig);
      await expectOutcome(profile, attach, 'ok');
      await expectOutcome(profile, attach, 'exists');
      await settled(rig);
      await expectOutcome(profile, ['detach', where], 'ok');
      assert.equal(
        await eventually(
          rig,
          () => disksOf(rig),
          (disks) => disks.length === 0,
        ),
        [],
      );
      await expectOutcome(profile, ['detach', where], 'ok');
      await expectOutcome(profile, ['cancel', where], 'ok');
    },
  },
  {
    name: 'a domain that is not there has no disks to look at, takes none, and has nothing to give back',
    run: async (rig) => {
      const { profile, instance } = rig;
      const stranger = { 'instance.uuid': instance.uuid, 'instance.id': NO_DOMAIN };
      await expectOutcome(profile, ['disks', stranger], 'absent');
      const { outcome } = await profile.call(...(await attachCall(rig, NO_DOMAIN)), signal);
      assert.is.not(outcome, 'ok');
      await expectOutcome(profile, ['detach', await place(rig, NO_DOMAIN)], 'ok');
    },
  },
  {
    name: 'the rows of a disk: whose domain, its name there, its path, its state and size; its domain holds one',
    run: async (rig) => {
      const { profile, instance } = rig;
      const id = await idOf(rig);
      const where = { 'instance.uuid': instance.uuid, 'instance.id': id };
      const live = { kind: 'instance', uuid: instance.uuid, live: 'yes' };
      const look = async () => (await expectOutcome(profile, ['disks', where], 'ok')).rows;
      const holds = async () => {
        const { rows } = await profile.call('holders', {}, signal);
        return rows.some((row) => row.id === id);
      };
      assert.equal(await look(), [live]);
      assert.is(await holds(), false);
      await attached(rig);
      const [locator] = rig.locators;
      const device = devicesOf(rig)[0];
      const path = locator.kind === 'block' ? locator.path : '';
      assert.equal(
        await look(),
        [
          live,
          { kind: 'disk', device, path, state: 'untold' },
          { kind: 'disk', device, path, state: 'attached', sectors: String(rig.sizeBytes / 512n) },
        ].map((row) => ({ ...row })),
      );
      assert.is(await holds(), true);
    },
  },
  {
    name: 'a guest that takes nothing: the disk waits, and is taken back',
    run: async (rig) => {
      const [device] = devicesOf(rig);
      await rig.pause(true);
      await vmmOf(rig).attach(machineOf(rig), request(rig), signal);
      assert.equal(shown(await disksOf(rig)), [[device, ID, 'connecting']]);
      await vmmOf(rig).cancel(machineOf(rig), ID, signal);
      assert.equal(
        await eventually(
          rig,
          () => disksOf(rig),
          (disks) => disks.length === 0,
        ),
        [],
      );
      await vmmOf(rig).attach(machineOf(rig), request(rig), signal);
      await rig.pause(false);
      assert.equal(shown(await settled(rig)), [[device, ID, undefined]]);
    },
  },
  {
    name: 'a guest that lets nothing go: the disk is closing, and goes when it is asked again',
    run: async (rig) => {
      const vmm = vmmOf(rig);
      const [device] = devicesOf(rig);
      await attached(rig);
      await inGuest(rig, device);
      await rig.pause(true);
      const paused = (await vmm.instances(signal)).find(({ uuid }) => uuid === rig.instance.uuid);
      assert.is(paused?.state, 'Paused');
      await vmm.detach(machineOf(rig), ID, signal);
      assert.equal(shown(await disksOf(rig)), [[device, ID, 'closing']]);
      await rig.pause(false);
      await eventually(
        rig,
        async () => {
          await vmm.detach(machineOf(rig), ID, signal);
          return await disksOf(rig);
        },
        (disks) => disks.length === 0,
      );
      assert.equal(await disksOf(rig), []);
      assert.is(await inGuest(rig, device, false), undefined);
    },
  },
  {
    name: 'each start of a domain has another id',
    run: async (rig) => {
      const before = await idOf(rig);
      await attached(rig);
      await rig.restart();
      assert.is.not(await idOf(rig), before);
      const where = { 'instance.uuid': rig.instance.uuid, 'instance.id': before };
      await expectOutcome(rig.profile, ['disks', where], 'absent');
    },
  },
];
