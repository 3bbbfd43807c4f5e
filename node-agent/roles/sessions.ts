/** What the kernel's initiator has of our volumes on this host: the looks of a `block` initiator. */

import { isVolumeID } from '../../api/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { BoundProfile } from '../profiles/bind.ts';
import type { Row } from '../profiles/row.ts';
import { sectorsOf, wholeOf } from './cells.ts';
import { CannotLook } from './errors.ts';
import { iqnOf, LUN } from './exports.ts';
import type { Connected } from './initiator.ts';

export interface SessionWorld {
  readonly profile: BoundProfile;
  readonly prefix: string;
  readonly clock: Pick<Clock, 'sleep' | 'now'>;
}

export interface Session {
  readonly volumeID: string;
  readonly iqn: string;
  /** The kernel gives these numbers once in a boot. */
  readonly session: bigint;
  readonly host: bigint;
  /** The CHAP name it logged in with, which tells its grant. */
  readonly user: string;
  readonly isLoggedIn: boolean;
}

export interface Link {
  readonly volumeID: string;
  readonly grantUUID: string;
  readonly path: string;
  readonly to: string;
}

export interface NodeRecord {
  readonly volumeID: string;
  readonly iqn: string;
  /** `host:port` */
  readonly portal: string;
}

/** Everything of one volume on this host. */
export interface Here {
  readonly sessions: readonly Session[];
  readonly records: readonly NodeRecord[];
  readonly links: readonly Link[];
}

export interface Device {
  /** As the kernel names it now (`sda`); another device may have that name tomorrow. */
  readonly device: string;
  readonly sizeBytes: bigint;
}

/** Undefined for a target that is none of ours. */
export const volumeOf = (iqn: string, prefix: string): string | undefined => {
  const volumeID = iqn.slice(prefix.length + 1);
  return isVolumeID(volumeID) && iqn === iqnOf(volumeID, prefix) ? volumeID : undefined;
};

/** One session's rows together, whoever's it is. One that is just coming or going may lack its target. */
export const allSessions = async (profile: BoundProfile, signal: AbortSignal): Promise<readonly Row[]> => {
  const bySession = new Map<string, Row>();
  for (const row of (await profile.call('sessions', {}, signal)).rows) {
    bySession.set(row.session ?? '', { ...bySession.get(row.session ?? ''), ...row });
  }
  return [...bySession.values()];
};

export const lookAtSessions = async (
  { profile, prefix }: SessionWorld,
  signal: AbortSignal,
): Promise<readonly Session[]> =>
  (await allSessions(profile, signal)).flatMap((row) => {
    const { iqn = '', user = '', state } = row;
    const volumeID = volumeOf(iqn, prefix);
    if (volumeID === undefined || row.host === undefined) {
      return [];
    }
    const [session, host] = [wholeOf(row, 'session'), wholeOf(row, 'host')];
    return [{ volumeID, iqn, session, host, user, isLoggedIn: state === 'LOGGED_IN' }];
  });

/** A lock is held for moments. One that is this old is not asked against: each command would wait for it in vain. */
const LOCK_HELD_MS = 5_000;
const LOCK_LEFT_MS = 60_000;

/**
 * A command that was killed leaves the lock of its database there, and all later ones wait 30 s and fail until the next boot (hazard
 * I3). It is taken away when it is old and none runs that may have it.
 */
const expectUnlocked = async ({ profile, clock }: SessionWorld, signal: AbortSignal): Promise<void> => {
  if (!profile.has('lock')) {
    return;
  }
  const { outcome, rows } = await profile.call('lock', {}, signal);
  const since = rows[0]?.changed;
  const ageMs = since === undefined ? 0 : clock.now().getTime() - Date.parse(since);
  if (outcome === 'absent' || ageMs < LOCK_HELD_MS) {
    return;
  }
  const lockers = (await profile.call('lockers', {}, signal)).rows.map((row) => row.process ?? '');
  if (lockers.length > 0 || ageMs < LOCK_LEFT_MS) {
    const who = lockers.length === 0 ? 'none that runs; it is taken away after a minute' : lockers.join(', ');
    throw new CannotLook('the records of iSCSI nodes', `they are locked since ${since} by process ${who}`);
  }
  await profile.call('unlock', {}, signal);
};

const lookAtRecords = async (world: SessionWorld, signal: AbortSignal): Promise<readonly NodeRecord[]> => {
  const { profile, prefix } = world;
  await expectUnlocked(world, signal);
  const { outcome, rows } = await profile.call('records', {}, signal);
  return outcome === 'absent'
    ? []
    : rows.flatMap(({ iqn = '', portal = '' }) => {
        const volumeID = volumeOf(iqn, prefix);
        return volumeID === undefined ? [] : [{ volumeID, iqn, portal }];
      });
};

const lookAtLinks = async ({ profile }: SessionWorld, signal: AbortSignal): Promise<readonly Link[]> => {
  const { outcome, rows } = await profile.call('links', {}, signal);
  return outcome === 'absent'
    ? []
    : rows.map(({ volumeID = '', grant = '', link = '', to = '' }) => ({
        volumeID,
        grantUUID: grant,
        path: link,
        to,
      }));
};

/** Also what is no longer whole: a session without a record, a link that leads nowhere. */
export const lookHere = async (world: SessionWorld, signal: AbortSignal): Promise<Here> => {
  const [sessions, records, links] = await Promise.all([
    lookAtSessions(world, signal),
    lookAtRecords(world, signal),
    lookAtLinks(world, signal),
  ]);
  return { sessions, records, links };
};

export const lookAtVolume = async (
  world: SessionWorld,
  volumeID: string,
  signal: AbortSignal,
): Promise<Here> => {
  const { sessions, records, links } = await lookHere(world, signal);
  const isOf = (one: { readonly volumeID: string }) => one.volumeID === volumeID;
  return { sessions: sessions.filter(isOf), records: records.filter(isOf), links: links.filter(isOf) };
};

export const isNothing = ({ sessions, records, links }: Here): boolean =>
  sessions.length === 0 && records.length === 0 && links.length === 0;

/** A volume with links is its links' grants'; one without is told without a grant. */
export const connectedOf = ({ sessions, records, links }: Here): readonly Connected[] => {
  const linked = links.map(({ volumeID, grantUUID }) => ({ volumeID, grantUUID }));
  const others = new Set([...sessions, ...records].map(({ volumeID }) => volumeID));
  const bare = [...others].filter((volumeID) => !links.some((link) => link.volumeID === volumeID));
  return [...linked, ...bare.map((volumeID) => ({ volumeID }))];
};

export const unitOf = ({ iqn, session, host }: Session) => ({ iqn, session, host, lun: LUN });

/** Undefined until the unit was scanned and its disk is there. */
export const deviceOf = async (
  { profile }: SessionWorld,
  session: Session,
  signal: AbortSignal,
): Promise<Device | undefined> => {
  const { outcome, rows } = await profile.call('device', unitOf(session), signal);
  if (outcome === 'absent' || rows.length === 0) {
    return undefined;
  }
  const [row = {}] = rows;
  if (rows.length > 1) {
    throw new CannotLook(session.iqn, 'one unit is shown as more than one disk');
  }
  return { device: row.device ?? '', sizeBytes: sectorsOf(row) };
};

/** What the host itself has built on the device: device-mapper, MD, bcache. */
export const holdersOf = async (
  { profile }: SessionWorld,
  session: Session,
  signal: AbortSignal,
): Promise<readonly string[]> => {
  const { outcome, rows } = await profile.call('holders', unitOf(session), signal);
  return outcome === 'absent' ? [] : rows.map(({ holder = '' }) => holder);
};

/** The device's own serial; undefined while it has told none. */
export const serialOf = async (
  { profile }: SessionWorld,
  session: Session,
  signal: AbortSignal,
): Promise<string | undefined> => {
  const { outcome, rows } = await profile.call('unitSerial', unitOf(session), signal);
  return outcome === 'absent' ? undefined : rows[0]?.serial;
};
