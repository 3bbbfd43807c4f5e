/**
 * The initiator role over the kernel's initiator: a session and a block device on this host, and a link of our own to the device.
 *
 *   interface ─► record ─► login ─► one session ─► scan of one unit ─► disk ─► its serial ─► link        (connect)
 *   holders? ─► flush ─► disk gone ─► logout ─► session gone ─► record ─► link ─► nothing is left        (disconnect)
 */

import { type Clock, systemClock } from '../../runtime/clock.ts';
import { createLocks } from '../exec/locks.ts';
import type { BoundProfile, CallResult } from '../profiles/bind.ts';
import type { Values } from '../profiles/values.ts';
import { Busy, CannotLook, Denied, Mismatch, NotDone, Unsupported } from './errors.ts';
import { DEFAULT_IQN_PREFIX, iqnOf } from './exports.ts';
import type { Connection, Identity, Initiator, Locator } from './initiator.ts';
import { bracketed, splitPortal } from './portal.ts';
import { type Reach, reachByTcp, sessionCare } from './session-care.ts';
import {
  connectedOf,
  type Device,
  deviceOf,
  type Here,
  holdersOf,
  isNothing,
  type Link,
  lookAtSessions,
  lookAtVolume,
  lookHere,
  type Session,
  type SessionWorld,
  serialOf,
  unitOf,
} from './sessions.ts';

export interface SessionOptions {
  /** Targets are `<prefix>:<volumeID>`, as on the servers. */
  readonly iqnPrefix?: string;
  readonly clock?: Pick<Clock, 'sleep' | 'now' | 'monotonicMs'>;
  readonly reach?: Reach;
}

type Grant = Pick<Connection, 'volumeID' | 'grantUUID'>;

const LOOK_MS = 100;
/** The disk of a unit appears, and goes, a moment after it was asked to. */
const LOOKS = 300;

const until = async <T>(
  world: SessionWorld,
  look: () => Promise<T | undefined>,
  signal: AbortSignal,
): Promise<T | undefined> => {
  for (let tries = 0; tries < LOOKS; tries += 1) {
    const found = await look();
    if (found !== undefined) {
      return found;
    }
    await world.clock.sleep(LOOK_MS, signal);
  }
  return undefined;
};

const change = (
  { profile }: SessionWorld,
  verb: string,
  values: Values,
  signal: AbortSignal,
): Promise<CallResult> => profile.call(verb, values, signal);

const portalValues = (portal: string): Values => {
  const { host, port } = splitPortal(portal);
  return { 'portal.host': bracketed(host), 'portal.port': port };
};

const valuesOf = ({ iqn, lun, portal, initiator, chap }: Connection): Values => ({
  iqn,
  lun,
  initiator,
  ...portalValues(portal),
  'chap.user': chap.user,
  'chap.password': chap.password,
});

/** The session of this very grant, if it is the only one. */
const fitting = ({ sessions }: Here, { chap }: Connection): Session | undefined => {
  const [only] = sessions;
  return sessions.length === 1 && only?.user === chap.user && only.isLoggedIn ? only : undefined;
};

/** Translates what a login said, once no session was seen after it. */
const explainLogin = (volumeID: string, { outcome, said }: CallResult): Error => {
  switch (outcome) {
    case 'denied':
      return new Denied(volumeID, said);
    case 'unreachable':
    case 'busy':
      return new Busy(volumeID, `its portal, or iscsid, does not answer: ${said}`);
    case 'unsupported':
      return new Unsupported(volumeID, `the kernel has no iSCSI initiator: ${said}`);
    default:
      return new NotDone(volumeID, 'logging in', said);
  }
};

/** Looked at first: making an interface record that exists empties it. */
const ensureInterface = async (
  world: SessionWorld,
  { initiator }: Connection,
  signal: AbortSignal,
): Promise<void> => {
  const look = () => world.profile.call('interface', {}, signal);
  const before = await look();
  if (before.rows[0]?.initiator === initiator) {
    return;
  }
  if (before.outcome === 'absent') {
    await change(world, 'createInterface', { initiator }, signal);
  }
  const { said } = await change(world, 'nameInterface', { initiator }, signal);
  if ((await look()).rows[0]?.initiator !== initiator) {
    throw new NotDone(initiator, 'naming our interface record', said);
  }
};

/** A login that came to nothing for us may still have come to something in iscsid: only the look after it counts. */
const login = async (world: SessionWorld, connection: Connection, signal: AbortSignal): Promise<Session> => {
  const { volumeID } = connection;
  await ensureInterface(world, connection, signal);
  const made = await change(world, 'createRecord', valuesOf(connection), signal);
  if (made.outcome !== 'ok') {
    throw explainLogin(volumeID, made);
  }
  const result = await change(world, 'login', valuesOf(connection), signal);
  const session = fitting(await lookAtVolume(world, volumeID, signal), connection);
  if (session === undefined) {
    throw explainLogin(volumeID, result);
  }
  return session;
};

const ensureDevice = async (world: SessionWorld, session: Session, signal: AbortSignal): Promise<Device> => {
  const there = await deviceOf(world, session, signal);
  if (there !== undefined) {
    return there;
  }
  const { said } = await change(world, 'scan', unitOf(session), signal);
  const device = await until(world, () => deviceOf(world, session, signal), signal);
  if (device === undefined) {
    throw new Busy(session.volumeID, `its target shows no such unit yet (${said})`);
  }
  return device;
};

/** A name in /dev may be anything, also a file which somebody wrote where a device had been. */
const expectBlockDevice = async (
  world: SessionWorld,
  { volumeID }: Session,
  { device }: Device,
  signal: AbortSignal,
): Promise<string> => {
  const look = async () => (await world.profile.call('node', { device }, signal)).rows[0];
  const node = await until(world, look, signal);
  if (node?.kind !== 'block') {
    throw new Mismatch(volumeID, `block device ${device}`, node?.kind ?? 'nothing');
  }
  return node.path ?? '';
};

/** The link is made only to a device that calls itself our volume. */
const ensureLink = async (
  world: SessionWorld,
  { volumeID, grantUUID }: Grant,
  { device, node, links }: { device: string; node: string; links: readonly Link[] },
  signal: AbortSignal,
): Promise<string> => {
  for (const link of links.filter((one) => one.grantUUID !== grantUUID || one.to !== node)) {
    await change(world, 'unlink', { 'volume.id': volumeID, 'grant.uuid': link.grantUUID }, signal);
  }
  const { said } = await change(
    world,
    'link',
    { 'volume.id': volumeID, 'grant.uuid': grantUUID, device },
    signal,
  );
  const after = (await lookAtVolume(world, volumeID, signal)).links;
  const mine = after.find((one) => one.grantUUID === grantUUID);
  if (mine?.to !== node || after.length > 1) {
    throw new NotDone(volumeID, `linking to ${node}`, said);
  }
  return mine.path;
};

const connect = async (
  world: SessionWorld,
  connection: Connection,
  signal: AbortSignal,
): Promise<Locator> => {
  const { volumeID, iqn } = connection;
  const expected = iqnOf(volumeID, world.prefix);
  if (iqn !== expected) {
    throw new Mismatch(volumeID, `target ${expected} (iqnPrefix)`, iqn);
  }
  const before = await lookAtVolume(world, volumeID, signal);
  const fits = fitting(before, connection);
  if (fits === undefined && (before.sessions.length > 0 || before.links.length > 0)) {
    await clear(world, volumeID, signal);
  }
  const session = fits ?? (await login(world, connection, signal));
  const device = await ensureDevice(world, session, signal);
  if (world.profile.has('setPatience')) {
    await change(world, 'setPatience', unitOf(session), signal);
  }
  const node = await expectBlockDevice(world, session, device, signal);
  const serial = await serialOf(world, session, signal);
  if (serial !== volumeID) {
    await clear(world, volumeID, signal);
    throw new Mismatch(iqn, volumeID, serial ?? 'no serial');
  }
  const links = fits === undefined ? [] : before.links;
  const path = await ensureLink(world, connection, { device: device.device, node, links }, signal);
  return { kind: 'block', path };
};

const verify = async (
  world: SessionWorld,
  connection: Connection,
  signal: AbortSignal,
): Promise<Identity> => {
  const { volumeID } = connection;
  const session = fitting(await lookAtVolume(world, volumeID, signal), connection);
  if (session === undefined) {
    throw new Busy(volumeID, 'no session is open to it');
  }
  // What sysfs shows of a device is as old as its last scan.
  await change(world, 'rescan', unitOf(session), signal);
  const device = await deviceOf(world, session, signal);
  const serial = await serialOf(world, session, signal);
  if (device === undefined || serial === undefined) {
    throw new CannotLook(volumeID, 'the device did not say one serial and one size');
  }
  return { serial, sizeBytes: device.sizeBytes };
};

/** A session that is not logged in has nothing to flush to: its device goes with the logout. */
const dropDevice = async (world: SessionWorld, session: Session, signal: AbortSignal): Promise<void> => {
  const { volumeID, iqn } = session;
  const holders = await holdersOf(world, session, signal);
  if (holders.length > 0) {
    throw new Busy(volumeID, `${holders.join(', ')} of this host is built on its device`);
  }
  const found = await deviceOf(world, session, signal);
  if (found === undefined || !session.isLoggedIn) {
    return;
  }
  const flushed = await change(world, 'flush', { iqn, device: found.device }, signal);
  if (flushed.outcome !== 'ok') {
    throw new NotDone(volumeID, `flushing ${found.device}`, flushed.said);
  }
  const { said } = await change(world, 'deleteDevice', unitOf(session), signal);
  const isGone = async () => ((await deviceOf(world, session, signal)) === undefined ? true : undefined);
  if ((await until(world, isGone, signal)) === undefined) {
    throw new NotDone(volumeID, `removing ${found.device}`, said);
  }
};

const endSession = async (world: SessionWorld, one: Session, signal: AbortSignal): Promise<void> => {
  const { iqn, session, volumeID } = one;
  await dropDevice(world, one, signal);
  const { said } = await change(world, 'logout', { iqn, session }, signal);
  const isGone = async () =>
    (await lookAtSessions(world, signal)).some((other) => other.session === session) ? undefined : true;
  if ((await until(world, isGone, signal)) === undefined) {
    throw new NotDone(volumeID, `logging out of session ${session}`, said);
  }
};

/** Everything of the volume, of whatever grant. The link goes last: while it is there, it tells whose the rest is. */
const clear = async (world: SessionWorld, volumeID: string, signal: AbortSignal): Promise<void> => {
  const { sessions, records, links } = await lookAtVolume(world, volumeID, signal);
  const said: string[] = [];
  for (const session of sessions) {
    await endSession(world, session, signal);
  }
  for (const { iqn, portal } of records) {
    said.push((await change(world, 'deleteRecord', { iqn, ...portalValues(portal) }, signal)).said);
  }
  const left = await lookAtVolume(world, volumeID, signal);
  if (left.sessions.length > 0 || left.records.length > 0) {
    throw new NotDone(volumeID, 'disconnecting', said.filter((words) => words !== '').join('; '));
  }
  for (const { grantUUID } of links) {
    await change(world, 'unlink', { 'volume.id': volumeID, 'grant.uuid': grantUUID }, signal);
  }
  if (!isNothing(await lookAtVolume(world, volumeID, signal))) {
    throw new NotDone(volumeID, 'removing its link', '');
  }
};

const disconnect = async (
  world: SessionWorld,
  { volumeID, grantUUID }: Grant,
  signal: AbortSignal,
): Promise<void> => {
  const here = await lookAtVolume(world, volumeID, signal);
  const isOthers = here.links.length > 0 && !here.links.some((one) => one.grantUUID === grantUUID);
  if (!isNothing(here) && !isOthers) {
    await clear(world, volumeID, signal);
  }
};

export const sessionInitiator = (profile: BoundProfile, options: SessionOptions = {}): Initiator => {
  const { iqnPrefix: prefix = DEFAULT_IQN_PREFIX, clock = systemClock, reach = reachByTcp } = options;
  const world: SessionWorld = { profile, prefix, clock };
  const care = sessionCare(profile, { prefix, clock, reach });
  // Two logins at once to one target make two sessions.
  const turns = createLocks();
  return {
    kind: 'block',
    connect: (connection, signal) =>
      turns.hold(connection.volumeID, signal, () => connect(world, connection, signal)),
    verify: (connection, signal) =>
      turns.hold(connection.volumeID, signal, () => verify(world, connection, signal)),
    disconnect: (grant, signal) => turns.hold(grant.volumeID, signal, () => disconnect(world, grant, signal)),
    observe: async (signal) => connectedOf(await lookHere(world, signal)),
    tend: care.tend,
  };
};
