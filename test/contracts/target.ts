// What an iSCSI target does, and what the target role makes of it. The checks of the role are those of any target; what a target's own
// commands answer stands in a list of its own.

import * as assert from 'uvu/assert';
import type { BoundProfile } from '../../node-agent/profiles/bind.ts';
import type { Row } from '../../node-agent/profiles/row.ts';
import type { Values } from '../../node-agent/profiles/values.ts';
import { Busy, ExportNotFound, Mismatch, NotDone } from '../../node-agent/roles/errors.ts';
import { profiledTarget } from '../../node-agent/roles/profiled-target.ts';
import type { Chap, Export, ExportSpec, Target } from '../../node-agent/roles/target.ts';
import { type AnyRig, type Check, expectFailure, expectOutcome, signal, volumeID } from './check.ts';

export interface TargetRig extends AnyRig {
  readonly profile: BoundProfile;
  readonly iqnPrefix: string;
  /** The first is that by which initiators come. */
  readonly portals: readonly [string, ...string[]];
  /** Two block devices of this size. */
  readonly devices: readonly [string, string];
  readonly sizeBytes: bigint;
  /** The first device grows. Answers its new size. */
  grow(): Promise<bigint>;
  /** Logs an initiator in, as it stands after that: what its disk says of itself, or nothing if it is not let in. */
  login(iqn: string, initiator: string, chap: Chap): Promise<SeenDisk | undefined>;
  /** It may be that its session has ended. */
  logout(iqn: string): Promise<void>;
}

export interface SeenDisk {
  readonly serial: string;
  readonly sizeBytes: bigint;
  readonly isReadOnly: boolean;
}

const ID = volumeID(0x201);
const OTHER = volumeID(0x202);
export const HOST = 'iqn.2026-11.dev.vbs.tools:host.h1';
export const OTHER_HOST = 'iqn.2026-11.dev.vbs.tools:host.h2';
const CHAP = { user: 'grant-1', password: 'the-first-secret' } as const;
const OTHER_CHAP = { user: 'grant-2', password: 'the-other-secret' } as const;
const NOWHERE = '/dev/nowhere/at-all';
/** Set apart for documents (RFC 5737): no address of this host. */
const NOT_HERE = '192.0.2.77';

const iqn = ({ iqnPrefix }: TargetRig, id = ID): string => `${iqnPrefix}:${id}`;
const targetOf = ({ profile, iqnPrefix, portals }: TargetRig): Target =>
  profiledTarget(profile, { portals, iqnPrefix, settleMs: 100 });
const spec = ({ devices, sizeBytes }: TargetRig, id = ID, at: 0 | 1 = 0): ExportSpec => ({
  path: devices[at],
  serial: id,
  sizeBytes,
  readOnly: false,
});

const only = async (target: Target): Promise<Export> => {
  const [found, ...more] = await target.observe(signal);
  assert.ok(found, 'an export is there');
  assert.is(more.length, 0, 'no other export is there');
  return found;
};

const opened = async (rig: TargetRig): Promise<Target> => {
  const target = targetOf(rig);
  await target.open(ID, spec(rig), signal);
  return target;
};

export const targetChecks: readonly Check<TargetRig>[] = [
  {
    name: 'there is none; one that was opened is whole, closed to all, and opened again is the same',
    run: async (rig) => {
      const target = targetOf(rig);
      assert.equal(await target.observe(signal), []);
      for (let times = 0; times < 2; times += 1) {
        await target.open(ID, spec(rig), signal);
        const { sizeBytes, ...found } = await only(target);
        assert.equal(found, {
          ...{ volumeID: ID, iqn: iqn(rig), lun: 1, ready: true, path: rig.devices[0], serial: ID },
          ...{ readOnly: false, allowed: [], chapUsers: [], sessions: [] },
        });
        assert.ok(sizeBytes === undefined || sizeBytes === rig.sizeBytes, `its size, not ${sizeBytes}`);
      }
      assert.is(await rig.login(iqn(rig), HOST, CHAP), undefined, 'nobody gets in');
    },
  },
  {
    name: 'an initiator gets in by its own name and password only, and finds the volume',
    run: async (rig) => {
      const target = await opened(rig);
      for (let times = 0; times < 2; times += 1) {
        await target.allow(ID, HOST, CHAP, signal);
        const { allowed, chapUsers, sessions } = await only(target);
        assert.equal([allowed, chapUsers, sessions], [[HOST], [CHAP.user], []]);
      }
      for (const [initiator, chap] of [
        [HOST, { ...CHAP, password: 'another-password' }],
        [HOST, { ...CHAP, user: 'another-user' }],
        [OTHER_HOST, CHAP],
      ] as const) {
        assert.is(await rig.login(iqn(rig), initiator, chap), undefined, `${initiator} as ${chap.user}`);
      }
      assert.equal((await only(target)).sessions, [], 'nobody is in');
      const seen = await rig.login(iqn(rig), HOST, CHAP);
      assert.equal(seen, { serial: ID, sizeBytes: rig.sizeBytes, isReadOnly: false });
      assert.equal((await only(target)).sessions, [HOST]);
      await rig.logout(iqn(rig));
      assert.equal((await only(target)).sessions, []);
    },
  },
  {
    name: 'a read-only grant makes a read-only disk',
    run: async (rig) => {
      const target = targetOf(rig);
      const { readOnlyPerInitiator } = target.can;
      await target.open(ID, { ...spec(rig), readOnly: !readOnlyPerInitiator }, signal);
      await target.allow(ID, HOST, { ...CHAP, readOnly: true }, signal);
      assert.is((await rig.login(iqn(rig), HOST, CHAP))?.isReadOnly, true);
    },
  },
  {
    name: 'what is not there is not allowed into; to deny it, cut it or close it is nothing to do',
    run: async (rig) => {
      const target = targetOf(rig);
      await expectFailure(target.allow(ID, HOST, CHAP, signal), ExportNotFound, 'to allow');
      await target.deny(ID, HOST, CHAP.user, signal);
      await target.cut(ID, HOST, signal);
      await target.close(ID, signal);
      await opened(rig);
      await target.deny(ID, HOST, CHAP.user, signal);
      await target.cut(ID, HOST, signal);
    },
  },
  {
    name: 'who was denied and cut is out, stays out, and others may come',
    run: async (rig) => {
      const target = await opened(rig);
      await target.allow(ID, HOST, CHAP, signal);
      assert.ok(await rig.login(iqn(rig), HOST, CHAP), 'it is let in');
      await expectFailure(target.cut(ID, HOST, signal), Busy, 'to cut who is allowed');
      await expectFailure(target.close(ID, signal), Busy, 'to close under a session');
      await target.deny(ID, HOST, CHAP.user, signal);
      await target.cut(ID, HOST, signal);
      const { allowed, chapUsers, sessions } = await only(target);
      assert.equal([allowed, chapUsers, sessions], [[], [], []]);
      await rig.logout(iqn(rig));
      assert.is(await rig.login(iqn(rig), HOST, CHAP), undefined);
      await target.allow(ID, OTHER_HOST, OTHER_CHAP, signal);
      assert.is(await rig.login(iqn(rig), HOST, CHAP), undefined);
      assert.is((await rig.login(iqn(rig), OTHER_HOST, OTHER_CHAP))?.serial, ID);
    },
  },
  {
    name: 'the same initiator has another password once it was denied and allowed anew',
    run: async (rig) => {
      const target = await opened(rig);
      await target.allow(ID, HOST, CHAP, signal);
      await target.deny(ID, HOST, CHAP.user, signal);
      await target.allow(ID, HOST, OTHER_CHAP, signal);
      assert.equal((await only(target)).chapUsers, [OTHER_CHAP.user]);
      assert.is(await rig.login(iqn(rig), HOST, CHAP), undefined);
      assert.is((await rig.login(iqn(rig), HOST, OTHER_CHAP))?.serial, ID);
    },
  },
  {
    name: 'closed it is gone with all that let somebody in, and can be opened anew',
    run: async (rig) => {
      const target = await opened(rig);
      await target.allow(ID, HOST, CHAP, signal);
      await target.allow(ID, OTHER_HOST, OTHER_CHAP, signal);
      for (let times = 0; times < 2; times += 1) {
        await target.close(ID, signal);
        assert.equal(await target.observe(signal), []);
      }
      await target.open(ID, spec(rig), signal);
      const { allowed, chapUsers } = await only(target);
      assert.equal([allowed, chapUsers], [[], []]);
    },
  },
  {
    name: 'another device is put under it while nobody may come, and not afterwards',
    run: async (rig) => {
      const target = await opened(rig);
      await target.open(ID, spec(rig, ID, 1), signal);
      assert.is((await only(target)).path, rig.devices[1]);
      await target.allow(ID, HOST, CHAP, signal);
      await expectFailure(target.open(ID, spec(rig), signal), Mismatch, 'another device under an initiator');
      assert.is((await only(target)).path, rig.devices[1]);
    },
  },
  {
    name: 'a device that is not there is not exported; when it comes, it is',
    run: async (rig) => {
      const target = targetOf(rig);
      const nowhere = { ...spec(rig), path: NOWHERE };
      await expectFailure(target.open(ID, nowhere, signal), NotDone, 'to open');
      assert.is((await only(target)).ready, false);
      await expectFailure(target.allow(ID, HOST, CHAP, signal), NotDone, 'to allow');
      await target.open(ID, spec(rig), signal);
      assert.is((await only(target)).ready, true);
    },
  },
  {
    name: 'a device that grows is shown in its new size',
    run: async (rig) => {
      const target = await opened(rig);
      if (!target.can.resizeOnline) {
        return;
      }
      await target.allow(ID, HOST, CHAP, signal);
      assert.is((await rig.login(iqn(rig), HOST, CHAP))?.sizeBytes, rig.sizeBytes);
      const sizeBytes = await rig.grow();
      assert.ok(sizeBytes > rig.sizeBytes);
      const found = await only(target);
      assert.ok(found.sizeBytes === undefined || found.sizeBytes === sizeBytes, `not ${found.sizeBytes}`);
      await rig.logout(iqn(rig));
      assert.is((await rig.login(iqn(rig), HOST, CHAP))?.sizeBytes, sizeBytes);
    },
  },
  {
    name: 'two exports do not know of each other',
    run: async (rig) => {
      const target = await opened(rig);
      await target.open(OTHER, spec(rig, OTHER, 1), signal);
      await target.allow(ID, HOST, CHAP, signal);
      await target.allow(OTHER, HOST, OTHER_CHAP, signal);
      assert.is(await rig.login(iqn(rig, OTHER), HOST, CHAP), undefined, 'by the password of the other');
      assert.is((await rig.login(iqn(rig, OTHER), HOST, OTHER_CHAP))?.serial, OTHER);
      await target.close(ID, signal);
      assert.equal((await only(target)).sessions, [HOST]);
    },
  },
];

type Call = readonly [verb: string, values: Values];
const at = (rig: TargetRig, id = ID): Values => ({ tid: 0n, iqn: iqn(rig, id), 'volume.id': id });
const portalOf = (
  { portals }: TargetRig,
  host = portals[0].slice(0, portals[0].lastIndexOf(':')),
): Values => ({
  'portal.host': host,
  'portal.port': Number(portals[0].split(':').at(-1)),
});
const createLun = (rig: TargetRig, path = rig.devices[0], id = ID): Call => [
  'createLun',
  { ...at(rig, id), lun: 1, path, serial: id },
];
const allow = (rig: TargetRig, initiator = HOST): Call => [
  'allow',
  {
    ...at(rig),
    ...{ initiator, lun: 1, 'lun.readOnly': 0, 'chap.user': CHAP.user, 'chap.password': CHAP.password },
  },
];
const deny = (rig: TargetRig): Call => ['deny', { ...at(rig), initiator: HOST, lun: 1 }];
const onTarget = (rig: TargetRig, verb: string, more: Values = {}): Call => [verb, { ...at(rig), ...more }];

const ok = async (rig: TargetRig, ...calls: readonly Call[]): Promise<void> => {
  for (const call of calls) {
    await expectOutcome(rig.profile, call, 'ok');
  }
};

/** Rows of ours; those of devices are everybody's. */
const rowsOf = async (rig: TargetRig, kind: string): Promise<readonly Row[]> => {
  const { rows } = await expectOutcome(rig.profile, ['show', {}], 'ok');
  return rows.filter((row) => row.kind === kind && (row.iqn ?? iqn(rig)).startsWith(rig.iqnPrefix));
};

const KINDS = ['target', 'lun', 'store', 'session', 'account', 'access', 'portal', 'fault'];

const kindsShown = async (rig: TargetRig): Promise<readonly string[]> => {
  const shown: string[] = [];
  for (const kind of KINDS) {
    if ((await rowsOf(rig, kind)).length > 0) {
      shown.push(kind);
    }
  }
  return shown;
};

/** The kernel's own target, where each verb is a few steps on directories and files. */
export const lioChecks: readonly Check<TargetRig>[] = [
  {
    name: 'a target is made once, is not enabled, and has no fault',
    run: async (rig) => {
      assert.equal(await kindsShown(rig), []);
      await ok(rig, onTarget(rig, 'createTarget'), onTarget(rig, 'createTarget'));
      assert.equal(
        (await rowsOf(rig, 'target')).map(({ state, iqn: name }) => [name, state]),
        [
          [iqn(rig), undefined],
          [iqn(rig), 'disabled'],
        ],
      );
      assert.equal(await kindsShown(rig), ['target']);
      await ok(rig, onTarget(rig, 'deleteTarget'), onTarget(rig, 'deleteTarget'));
      assert.equal(await kindsShown(rig), []);
    },
  },
  {
    name: 'a portal is made and taken away, twice; also one of an address that is not here',
    run: async (rig) => {
      await expectOutcome(rig.profile, onTarget(rig, 'addPortal', portalOf(rig)), 'absent');
      await ok(rig, onTarget(rig, 'createTarget'));
      for (const [verb, shown] of [
        ['addPortal', [rig.portals[0]]],
        ['removePortal', []],
      ] as const) {
        const call = onTarget(rig, verb, portalOf(rig));
        await ok(rig, call, call);
        assert.equal(
          (await rowsOf(rig, 'portal')).map(({ portal }) => portal),
          shown,
        );
      }
      // The kernel binds freely (IP_FREEBIND of ip(7)): nobody says that nobody can come this way.
      await ok(rig, onTarget(rig, 'addPortal', portalOf(rig, NOT_HERE)));
      assert.is((await rowsOf(rig, 'portal')).length, 1);
    },
  },
  {
    name: 'a LUN is made once, and shows what it opened',
    run: async (rig) => {
      await ok(rig, onTarget(rig, 'createTarget'), createLun(rig));
      const [lun = {}] = await rowsOf(rig, 'lun');
      const store = Object.assign({}, ...(await rowsOf(rig, 'store'))) as Row;
      assert.equal([lun.lun, lun.store], ['1', store.store]);
      assert.equal(
        [store.path, store.serial, store.online, store.fault],
        [rig.devices[0], ID, 'true', undefined],
      );
      const device = (await rowsOf(rig, 'device')).find((row) => row.device === store.device);
      assert.is(device?.sectors, String(rig.sizeBytes / 512n));
      await expectOutcome(rig.profile, createLun(rig), 'exists');
      await ok(rig, onTarget(rig, 'deleteLun', { lun: 1 }), onTarget(rig, 'deleteLun', { lun: 1 }));
      assert.equal(await kindsShown(rig), ['target']);
    },
  },
  {
    name: 'a device that is not there, or that another export holds, makes no LUN; what is left of it goes',
    run: async (rig) => {
      await ok(rig, onTarget(rig, 'createTarget'));
      await expectOutcome(rig.profile, createLun(rig, NOWHERE), 'absent');
      assert.equal(await kindsShown(rig), ['target', 'store']);
      assert.is((await rowsOf(rig, 'store')).find(({ online }) => online !== undefined)?.online, 'false');
      await ok(rig, onTarget(rig, 'deleteLun', { lun: 1 }), createLun(rig));
      await ok(rig, ['createTarget', at(rig, OTHER)]);
      await expectOutcome(rig.profile, createLun(rig, rig.devices[0], OTHER), 'busy');
      await ok(rig, ['deleteLun', { ...at(rig, OTHER), lun: 1 }], ['deleteTarget', at(rig, OTHER)]);
      assert.is((await rowsOf(rig, 'lun')).length, 1);
    },
  },
  {
    name: 'nothing is made in what is not there',
    run: async (rig) => {
      for (const call of [createLun(rig), allow(rig)]) {
        await expectOutcome(rig.profile, call, 'absent');
      }
      await ok(rig, onTarget(rig, 'createTarget'));
      await ok(rig, onTarget(rig, 'deleteLun', { lun: 1 }));
      await expectOutcome(rig.profile, allow(rig), 'absent');
      assert.equal(
        (await rowsOf(rig, 'account')).length,
        0,
        'an access without a LUN has no name and password',
      );
      await ok(rig, deny(rig), onTarget(rig, 'deleteTarget'));
    },
  },
  {
    name: 'what something else is in, or leads to, stays',
    run: async (rig) => {
      const { profile } = rig;
      await ok(rig, onTarget(rig, 'createTarget'), onTarget(rig, 'addPortal', portalOf(rig)), createLun(rig));
      await expectOutcome(profile, onTarget(rig, 'deleteTarget'), 'busy');
      await ok(rig, allow(rig), allow(rig));
      await expectOutcome(profile, onTarget(rig, 'deleteLun', { lun: 1 }), 'busy');
      await ok(rig, deny(rig), deny(rig), onTarget(rig, 'deleteLun', { lun: 1 }));
      await expectOutcome(profile, onTarget(rig, 'deleteTarget'), 'busy');
      await ok(rig, onTarget(rig, 'removePortal', portalOf(rig)), onTarget(rig, 'deleteTarget'));
      assert.equal(await kindsShown(rig), []);
    },
  },
  {
    name: 'taking access away ends the session at once',
    run: async (rig) => {
      const target = await opened(rig);
      await target.allow(ID, HOST, CHAP, signal);
      assert.ok(await rig.login(iqn(rig), HOST, CHAP));
      assert.equal(
        (await rowsOf(rig, 'session')).map(({ initiator }) => initiator),
        [HOST],
      );
      await ok(rig, deny(rig));
      assert.equal(await rowsOf(rig, 'session'), []);
      assert.equal(await rowsOf(rig, 'access'), []);
    },
  },
];
