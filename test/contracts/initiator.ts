// What the kernel's initiator does, and what the initiator role makes of it. A rig has a target elsewhere with one volume, and says whom
// that lets in.

import * as assert from 'uvu/assert';
import type { BoundProfile } from '../../node-agent/profiles/bind.ts';
import type { Row } from '../../node-agent/profiles/row.ts';
import type { Values } from '../../node-agent/profiles/values.ts';
import { Busy, Denied } from '../../node-agent/roles/errors.ts';
import type { Connection, Initiator } from '../../node-agent/roles/initiator.ts';
import { bracketed, splitPortal } from '../../node-agent/roles/portal.ts';
import { type SessionOptions, sessionInitiator } from '../../node-agent/roles/session-initiator.ts';
import type { Chap } from '../../node-agent/roles/target.ts';
import { type AnyRig, type Check, expectFailure, expectOutcome, signal } from './check.ts';

export interface InitiatorRig extends AnyRig {
  readonly profile: BoundProfile;
  readonly iqnPrefix: string;
  /** The directory of our links. */
  readonly links: string;
  readonly clock: SessionOptions['clock'] & object;
  /** Of the volume; at the beginning the target lets this in, and nobody else. */
  readonly connection: Connection;
  readonly sizeBytes: bigint;
  /** `host:port` where nobody answers. */
  readonly away: string;
  /** From now on the target lets this in, and nobody else: whoever was in is out. */
  grant(chap: Chap): Promise<void>;
  /** The volume grows. Answers its new size. */
  grow(): Promise<bigint>;
  /** Something of this host is built on the disk. Answers how it goes. */
  hold(device: string): Promise<() => Promise<void>>;
}

const LATER: Chap = { user: 'grant-2', password: 'the-other-secret' };
const LATER_GRANT = '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a2222';

const initiatorOf = ({ profile, iqnPrefix, clock }: InitiatorRig): Initiator =>
  sessionInitiator(profile, { iqnPrefix, clock });
const linkOf = ({ links, connection }: InitiatorRig, grant = connection.grantUUID): string =>
  `${links}/${connection.volumeID}.${grant}`;

type Call = readonly [verb: string, values: Values];

const portalOf = (portal: string): Values => {
  const { host, port } = splitPortal(portal);
  return { 'portal.host': bracketed(host), 'portal.port': port };
};
const valuesOf = ({ connection }: InitiatorRig, more: { chap?: Chap; portal?: string } = {}): Values => {
  const { iqn, lun, initiator } = connection;
  const { chap = connection.chap, portal = connection.portal } = more;
  const secret = { 'chap.user': chap.user, 'chap.password': chap.password };
  return { iqn, lun, initiator, ...portalOf(portal), ...secret };
};
const deleteRecord = ({ connection }: InitiatorRig): Call => [
  'deleteRecord',
  { iqn: connection.iqn, ...portalOf(connection.portal) },
];

const ok = async (rig: InitiatorRig, ...calls: readonly Call[]): Promise<void> => {
  for (const call of calls) {
    await expectOutcome(rig.profile, call, 'ok');
  }
};

/** The session of our target, put together from its rows; undefined when there is none. */
const sessionOf = async (rig: InitiatorRig): Promise<Row | undefined> => {
  const { rows } = await expectOutcome(rig.profile, ['sessions', {}], 'ok');
  const number = rows.find(({ iqn }) => iqn === rig.connection.iqn)?.session;
  const parts = rows.filter(({ session }) => session === number);
  return number === undefined ? undefined : (Object.assign({}, ...parts) as Row);
};

const recordsOf = async (rig: InitiatorRig): Promise<readonly string[]> => {
  const { rows } = await rig.profile.call('records', {}, signal);
  return rows.flatMap(({ iqn, portal = '' }) => (iqn === rig.connection.iqn ? [portal] : []));
};

/** Sessions, records and links of ours. */
const leftOf = async (rig: InitiatorRig): Promise<readonly unknown[]> => {
  const { rows } = await rig.profile.call('links', {}, signal);
  return [(await sessionOf(rig))?.session, ...(await recordsOf(rig)), ...rows.map(({ link }) => link)];
};

const NOTHING = [undefined];

/** Logs in by the verbs alone. Answers what the verbs of its unit are called with. */
const loggedIn = async (rig: InitiatorRig): Promise<Values> => {
  await ok(rig, ['createInterface', { initiator: rig.connection.initiator }]);
  await ok(rig, ['nameInterface', { initiator: rig.connection.initiator }]);
  await ok(rig, ['createRecord', valuesOf(rig)], ['login', valuesOf(rig)]);
  const session = await sessionOf(rig);
  assert.ok(session, 'a session is there');
  return {
    iqn: rig.connection.iqn,
    session: BigInt(session.session ?? ''),
    host: BigInt(session.host ?? ''),
    lun: rig.connection.lun,
  };
};

/** The disk of a unit appears, and goes, a moment after it was asked to. */
const deviceIn = async (rig: InitiatorRig, unit: Values, isThere: boolean): Promise<Row> => {
  for (let tries = 0; tries < 100; tries += 1) {
    const { rows } = await rig.profile.call('device', unit, signal);
    if (rows.length > 0 === isThere) {
      return rows[0] ?? {};
    }
    await rig.clock.sleep(100, signal);
  }
  throw new Error(isThere ? 'no disk came' : 'the disk did not go');
};

const role: readonly Check<InitiatorRig>[] = [
  {
    name: 'there is nothing, and nothing to disconnect',
    run: async (rig) => {
      const initiator = initiatorOf(rig);
      assert.equal(await initiator.observe(signal), []);
      await initiator.disconnect(rig.connection, signal);
      await expectFailure(initiator.verify(rig.connection, signal), Busy, 'to verify what is not connected');
    },
  },
  {
    name: 'connected it is one session, one disk that calls itself the volume, and one link; disconnected nothing',
    run: async (rig) => {
      const { connection } = rig;
      const { volumeID, grantUUID } = connection;
      const initiator = initiatorOf(rig);
      for (let times = 0; times < 2; times += 1) {
        const locator = await initiator.connect(connection, signal);
        assert.equal(locator, { kind: 'block', path: linkOf(rig) });
      }
      const { rows } = await expectOutcome(rig.profile, ['links', {}], 'ok');
      assert.is(rows.length, 1);
      const node = rows[0]?.to?.split('/').at(-1) ?? '';
      const { rows: nodes } = await expectOutcome(rig.profile, ['node', { device: node }], 'ok');
      assert.is(nodes[0]?.kind, 'block');
      assert.equal(await initiator.verify(connection, signal), {
        serial: volumeID,
        sizeBytes: rig.sizeBytes,
      });
      assert.equal(await initiator.observe(signal), [{ volumeID, grantUUID }]);
      await initiator.disconnect({ volumeID, grantUUID: LATER_GRANT }, signal);
      assert.equal(await initiator.observe(signal), [{ volumeID, grantUUID }], 'it was another grant’s');
      await initiator.disconnect(connection, signal);
      await initiator.disconnect(connection, signal);
      assert.equal(await leftOf(rig), NOTHING);
    },
  },
  {
    name: 'a wrong password is denied, and what was made for it goes',
    run: async (rig) => {
      const { connection } = rig;
      const initiator = initiatorOf(rig);
      await rig.grant(LATER);
      await expectFailure(initiator.connect(connection, signal), Denied, 'to connect');
      await initiator.disconnect(connection, signal);
      assert.equal(await leftOf(rig), NOTHING);
      const later = { ...connection, chap: LATER, grantUUID: LATER_GRANT };
      await initiator.connect(later, signal);
      assert.is((await initiator.verify(later, signal)).serial, connection.volumeID);
    },
  },
  {
    name: 'where nobody answers it is busy, and what was made for it goes',
    run: async (rig) => {
      const away = { ...rig.connection, portal: rig.away };
      const initiator = initiatorOf(rig);
      await expectFailure(initiator.connect(away, signal), Busy, 'to connect');
      await initiator.disconnect(away, signal);
      assert.equal(await leftOf(rig), NOTHING);
      await initiator.connect(rig.connection, signal);
    },
  },
  {
    name: 'a disk that something is built on stays',
    run: async (rig) => {
      const { connection } = rig;
      const initiator = initiatorOf(rig);
      await initiator.connect(connection, signal);
      const { rows } = await expectOutcome(rig.profile, ['links', {}], 'ok');
      const release = await rig.hold(rows[0]?.to ?? '');
      await expectFailure(initiator.disconnect(connection, signal), Busy, 'to disconnect');
      assert.is((await initiator.verify(connection, signal)).serial, connection.volumeID);
      await release();
      await initiator.disconnect(connection, signal);
      assert.equal(await leftOf(rig), NOTHING);
    },
  },
  {
    name: 'a volume that grew is seen in its new size',
    run: async (rig) => {
      const initiator = initiatorOf(rig);
      await initiator.connect(rig.connection, signal);
      const sizeBytes = await rig.grow();
      assert.ok(sizeBytes > rig.sizeBytes);
      assert.is((await initiator.verify(rig.connection, signal)).sizeBytes, sizeBytes);
    },
  },
  {
    name: 'a later grant takes the place of one that is not let in any more',
    run: async (rig) => {
      const { connection } = rig;
      const { volumeID } = connection;
      const initiator = initiatorOf(rig);
      await initiator.connect(connection, signal);
      await rig.grant(LATER);
      const later = { ...connection, chap: LATER, grantUUID: LATER_GRANT };
      assert.equal(await initiator.connect(later, signal), { kind: 'block', path: linkOf(rig, LATER_GRANT) });
      assert.equal(await initiator.observe(signal), [{ volumeID, grantUUID: LATER_GRANT }]);
      assert.is((await sessionOf(rig))?.user, LATER.user);
      await initiator.disconnect(connection, signal);
      assert.equal(await initiator.observe(signal), [{ volumeID, grantUUID: LATER_GRANT }]);
    },
  },
];

const verbs: readonly Check<InitiatorRig>[] = [
  {
    name: 'looks where nothing is',
    run: async (rig) => {
      const { profile, connection } = rig;
      const unit = { iqn: connection.iqn, session: 99_999n, host: 99_999n, lun: connection.lun };
      assert.is(await sessionOf(rig), undefined);
      for (const look of ['records', 'interface', 'links', 'lock'] as const) {
        await expectOutcome(profile, [look, {}], 'absent');
      }
      for (const look of ['device', 'unitSerial', 'holders'] as const) {
        await expectOutcome(profile, [look, unit], 'absent');
      }
      await expectOutcome(profile, ['portal', { session: 99_999n }], 'absent');
      await expectOutcome(profile, ['node', { device: 'sdzzz' }], 'absent');
      await ok(rig, ['logout', { iqn: connection.iqn, session: 99_999n }], deleteRecord(rig), [
        'deleteDevice',
        unit,
      ]);
      await expectOutcome(profile, ['scan', unit], 'absent');
      await expectOutcome(profile, ['rescan', unit], 'absent');
      await expectOutcome(profile, ['setPatience', unit], 'absent');
      await expectOutcome(profile, ['flush', { iqn: connection.iqn, device: 'sdzzz' }], 'absent');
      // Without an interface record it is not the node record that is missed.
      await expectOutcome(profile, ['createRecord', valuesOf(rig)], 'failed');
      await expectOutcome(profile, ['login', valuesOf(rig)], 'failed');
    },
  },
  {
    name: 'an interface record has no name at first, is named, and made anew has none',
    run: async (rig) => {
      const { initiator } = rig.connection;
      const named = async (): Promise<string | undefined> =>
        (await expectOutcome(rig.profile, ['interface', {}], 'ok')).rows[0]?.initiator;
      await ok(rig, ['createInterface', { initiator }]);
      assert.is(await named(), '<empty>');
      await ok(rig, ['nameInterface', { initiator }]);
      assert.is(await named(), initiator);
      await ok(rig, ['createInterface', { initiator }]);
      assert.is(await named(), '<empty>');
    },
  },
  {
    name: 'a record is there once, however often it is made, and goes once',
    run: async (rig) => {
      const { initiator, portal } = rig.connection;
      await ok(rig, ['createInterface', { initiator }], ['nameInterface', { initiator }]);
      await expectOutcome(rig.profile, ['login', valuesOf(rig)], 'absent');
      await ok(rig, ['createRecord', valuesOf(rig)], ['createRecord', valuesOf(rig)]);
      assert.equal(await recordsOf(rig), [portal]);
      await ok(rig, deleteRecord(rig), deleteRecord(rig));
      await expectOutcome(rig.profile, ['records', {}], 'absent');
    },
  },
  {
    name: 'who logs in twice has one session; a record stays while there is one; logged out twice is out',
    run: async (rig) => {
      const { connection, profile } = rig;
      const unit = await loggedIn(rig);
      const session = await sessionOf(rig);
      assert.equal([session?.user, session?.state], [connection.chap.user, 'LOGGED_IN']);
      await ok(rig, ['login', valuesOf(rig)]);
      assert.equal(await sessionOf(rig), session);
      const { rows } = await expectOutcome(profile, ['portal', { session: unit.session }], 'ok');
      const { host, port } = splitPortal(connection.portal);
      assert.equal(Object.assign({}, ...rows), { address: host, port: String(port) });
      await expectOutcome(profile, deleteRecord(rig), 'exists');
      const logout: Call = ['logout', { iqn: connection.iqn, session: unit.session }];
      await ok(rig, logout, logout);
      assert.is(await sessionOf(rig), undefined);
      await ok(rig, deleteRecord(rig));
    },
  },
  {
    name: 'another name or password is denied, a portal where nobody is does not answer, and no session is there',
    run: async (rig) => {
      const { initiator, chap } = rig.connection;
      await ok(rig, ['createInterface', { initiator }], ['nameInterface', { initiator }]);
      for (const [wrong, outcome] of [
        [{ chap: { ...chap, password: 'another-password' } }, 'denied'],
        [{ chap: { ...chap, user: 'another-user' } }, 'denied'],
        [{ portal: rig.away }, 'unreachable'],
      ] as const) {
        const values = valuesOf(rig, wrong);
        await ok(rig, ['createRecord', values]);
        await expectOutcome(rig.profile, ['login', values], outcome);
        assert.is(await sessionOf(rig), undefined);
        const { iqn } = rig.connection;
        const portal = { 'portal.host': values['portal.host'], 'portal.port': values['portal.port'] };
        await ok(rig, ['deleteRecord', { iqn, ...portal }]);
      }
    },
  },
  {
    name: 'a unit comes when it is scanned for, tells its serial, is told to be patient, and goes',
    run: async (rig) => {
      const { profile, connection } = rig;
      const unit = await loggedIn(rig);
      await expectOutcome(profile, ['device', unit], 'absent');
      await ok(rig, ['scan', { ...unit, lun: 7 }]);
      await ok(rig, ['scan', unit]);
      const { device = '', sectors } = await deviceIn(rig, unit, true);
      assert.is(sectors, String(rig.sizeBytes / 512n));
      await expectOutcome(profile, ['device', { ...unit, lun: 7 }], 'absent');
      const { rows } = await expectOutcome(profile, ['unitSerial', unit], 'ok');
      assert.equal(rows, [{ serial: connection.volumeID }]);
      assert.equal((await expectOutcome(profile, ['holders', unit], 'ok')).rows, []);
      await ok(rig, ['setPatience', unit], ['scan', unit], ['flush', { iqn: connection.iqn, device }]);
      const sizeBytes = await rig.grow();
      assert.is((await deviceIn(rig, unit, true)).sectors, sectors, 'as old as its last scan');
      await ok(rig, ['rescan', unit]);
      assert.is((await deviceIn(rig, unit, true)).sectors, String(sizeBytes / 512n));
      await ok(rig, ['deleteDevice', unit]);
      await deviceIn(rig, unit, false);
      await ok(rig, ['deleteDevice', unit], ['scan', unit]);
      await deviceIn(rig, unit, true);
    },
  },
  {
    name: 'what is built on a disk is seen',
    run: async (rig) => {
      const unit = await loggedIn(rig);
      await ok(rig, ['scan', unit]);
      const { device = '' } = await deviceIn(rig, unit, true);
      const release = await rig.hold(`/dev/${device}`);
      assert.is((await expectOutcome(rig.profile, ['holders', unit], 'ok')).rows.length, 1);
      await release();
      assert.is((await expectOutcome(rig.profile, ['holders', unit], 'ok')).rows.length, 0);
    },
  },
  {
    name: 'a link is made once, of whatever device, and goes once',
    run: async (rig) => {
      const { volumeID, grantUUID } = rig.connection;
      const which = { 'volume.id': volumeID, 'grant.uuid': grantUUID };
      await ok(rig, ['link', { ...which, device: 'sdzzy' }], ['link', { ...which, device: 'sdzzz' }]);
      const { rows } = await expectOutcome(rig.profile, ['links', {}], 'ok');
      assert.equal(rows, [{ link: linkOf(rig), volumeID, grant: grantUUID, to: '/dev/sdzzy' }]);
      await ok(rig, ['unlink', which], ['unlink', which]);
      assert.equal((await expectOutcome(rig.profile, ['links', {}], 'ok')).rows, []);
    },
  },
];

export const initiatorChecks: readonly Check<InitiatorRig>[] = [...role, ...verbs];
