/**
 * The target role over a profile. The daemon's own numbers (tids, sessions) are taken from a fresh look each time and
 * never kept: a restarted daemon gives them anew.
 */

import { type Clock, systemClock } from '../../runtime/clock.ts';
import { createLocks } from '../exec/locks.ts';
import type { BoundProfile, CallResult } from '../profiles/bind.ts';
import type { Values } from '../profiles/values.ts';
import { wholeOf } from './cells.ts';
import { Busy, ExportNotFound, Mismatch, NotDone } from './errors.ts';
import { DEFAULT_IQN_PREFIX, type Found, iqnOf, LUN, look, scsiIdOf, type TargetWorld } from './exports.ts';
import { bracketed, portalName, splitPortal } from './portal.ts';
import type { Access, Export, ExportSpec, Target } from './target.ts';

export interface TargetOptions {
  /** `host:port` of this server, as hypervisors reach it. */
  readonly portals: readonly string[];
  /** Targets are `<prefix>:<volumeID>`. */
  readonly iqnPrefix?: string;
  /** How long a cut waits between looks; a login under way when access was taken off shows up in that time. */
  readonly settleMs?: number;
  readonly clock?: Pick<Clock, 'sleep'>;
}

const CREATE_TRIES = 3;
const CUT_TRIES = 20;

const find = async (world: TargetWorld, volumeID: string, signal: AbortSignal): Promise<Found | undefined> =>
  (await look(world, signal)).ours.find((found) => found.volumeID === volumeID);

const get = async (world: TargetWorld, volumeID: string, signal: AbortSignal): Promise<Found> => {
  const found = await find(world, volumeID, signal);
  if (found === undefined) {
    throw new ExportNotFound(volumeID);
  }
  return found;
};

const change = (world: TargetWorld, verb: string, values: Values, signal: AbortSignal): Promise<CallResult> =>
  world.profile.call(verb, values, signal);

const at = ({ tid, iqn, volumeID }: Found): Values => ({ tid, iqn, 'volume.id': volumeID });
const lunAt = (found: Found): Values => ({ ...at(found), lun: LUN });

/** A LUN that is made in one go: what a crash left of it is torn down, since its parts cannot be set twice. */
const isMadeWhole = ({ profile }: TargetWorld): boolean => !profile.has('identify');

/**
 * A number may be taken between look and change, and the daemon has one error for a taken number and a taken name:
 * so look again, and keep whatever target has the name.
 */
const ensureTarget = async (world: TargetWorld, volumeID: string, signal: AbortSignal): Promise<Found> => {
  let said = '';
  for (let tries = 0; tries < CREATE_TRIES; tries += 1) {
    const { ours, tids } = await look(world, signal);
    const found = ours.find((one) => one.volumeID === volumeID);
    if (found !== undefined) {
      return found;
    }
    const highest = tids.toSorted((a, b) => Number(a - b)).at(-1) ?? 0n;
    const tid = highest + 1n;
    const values = { tid, iqn: iqnOf(volumeID, world.prefix), 'volume.id': volumeID };
    ({ said } = await change(world, 'createTarget', values, signal));
  }
  const found = await find(world, volumeID, signal);
  if (found === undefined) {
    throw new NotDone(volumeID, 'creating its target', said);
  }
  return found;
};

/** Portals that belong to the target itself. Adding one disturbs nobody. */
const ensurePortals = async (world: TargetWorld, found: Found, signal: AbortSignal): Promise<void> => {
  for (const portal of found.missingPortals) {
    await change(world, 'addPortal', { ...at(found), ...portalValues(portal) }, signal);
  }
};

const portalValues = (portal: string): Values => {
  const { host, port } = splitPortal(portal);
  return { 'portal.host': bracketed(host), 'portal.port': port };
};

const isAsAsked = ({ profile }: TargetWorld, found: Found, spec: ExportSpec): boolean =>
  found.ready &&
  found.path === spec.path &&
  found.serial === spec.serial &&
  (found.readOnly === spec.readOnly || profile.can.readOnlyPerInitiator === true);

const shownAs = ({ path, serial, readOnly, faults }: Found): string =>
  [path ?? 'no LUN', `serial ${serial ?? 'none'}`, readOnly ? 'read-only' : 'writable', ...faults].join(', ');

/** Answers what the tool complained of. */
const makeLun = async (
  world: TargetWorld,
  before: Found,
  spec: ExportSpec,
  signal: AbortSignal,
): Promise<readonly string[]> => {
  const complaints: string[] = [];
  const does = async (verb: string, values: Values) => {
    const { outcome, said } = await change(world, verb, values, signal);
    if (outcome !== 'ok') {
      complaints.push(said);
    }
  };
  const lun = lunAt(before);
  const has = before.luns.includes(BigInt(LUN));
  const isOther = !has || before.path !== spec.path;
  if (isMadeWhole(world)) {
    for (const entry of before.entries) {
      await takeOff(world, before, entry, signal);
    }
    await does('deleteLun', lun);
    await does('createTarget', at(before));
    await ensurePortals(world, before, signal);
    await does('createLun', { ...lun, path: spec.path, serial: spec.serial });
    return complaints;
  }
  if (has && isOther) {
    await does('deleteLun', lun);
  }
  if (isOther) {
    await does('createLun', { ...lun, path: spec.path, serial: spec.serial });
  }
  const names = { serial: spec.serial, 'scsi.id': scsiIdOf(spec.serial) };
  await does('identify', { ...lun, ...names, 'lun.readOnly': spec.readOnly ? 1 : 0 });
  return complaints;
};

const open = async (
  world: TargetWorld,
  volumeID: string,
  spec: ExportSpec,
  signal: AbortSignal,
): Promise<void> => {
  const made = await ensureTarget(world, volumeID, signal);
  await ensurePortals(world, made, signal);
  const before = made.missingPortals.length === 0 ? made : await get(world, volumeID, signal);
  if (isAsAsked(world, before, spec)) {
    return;
  }
  if (before.sessions.length > 0 || before.allowed.length > 0) {
    throw new Mismatch(volumeID, `${spec.path}, serial ${spec.serial}`, shownAs(before));
  }
  const complaints = await makeLun(world, before, spec, signal);
  const after = await get(world, volumeID, signal);
  if (!isAsAsked(world, after, spec)) {
    throw new NotDone(volumeID, `exporting ${spec.path}`, complaints.join('; '));
  }
};

/** Accounts that are the daemon's, bound to the target before anybody is let in. */
const requirePassword = async (
  world: TargetWorld,
  before: Found,
  access: Access,
  signal: AbortSignal,
): Promise<void> => {
  const user = { 'chap.user': access.user };
  if (!world.profile.has('bindAccount') || before.chapUsers.includes(access.user)) {
    return;
  }
  await change(world, 'createAccount', { ...user, 'chap.password': access.password }, signal);
  const { said } = await change(world, 'bindAccount', { ...at(before), ...user }, signal);
  // A target without an account lets everybody in who names an allowed initiator.
  if (!(await get(world, before.volumeID, signal)).chapUsers.includes(access.user)) {
    throw new NotDone(before.volumeID, 'requiring a password', said);
  }
};

const allow = async (
  world: TargetWorld,
  wanted: { volumeID: string; initiator: string; access: Access },
  signal: AbortSignal,
): Promise<void> => {
  const { volumeID, initiator, access } = wanted;
  const before = await get(world, volumeID, signal);
  if (!before.ready) {
    throw new NotDone(volumeID, `allowing ${initiator}`, 'the export is not ready');
  }
  await requirePassword(world, before, access, signal);
  const isDone = ({ allowed, chapUsers }: Found) =>
    allowed.includes(initiator) && chapUsers.includes(access.user);
  if (before.allowed.includes(initiator) && (world.profile.has('bindAccount') || isDone(before))) {
    return;
  }
  const values = {
    ...lunAt(before),
    initiator,
    'chap.user': access.user,
    'chap.password': access.password,
    'lun.readOnly': access.readOnly === true ? 1 : 0,
  };
  const { said } = await change(world, 'allow', values, signal);
  if (!isDone(await get(world, volumeID, signal))) {
    throw new NotDone(volumeID, `allowing ${initiator}`, said);
  }
};

const takeOff = async (
  world: TargetWorld,
  found: Found,
  entry: string,
  signal: AbortSignal,
): Promise<string> => {
  const { said } =
    entry.startsWith('iqn.') || !world.profile.has('denyAddress')
      ? await change(world, 'deny', { ...lunAt(found), initiator: entry }, signal)
      : await change(world, 'denyAddress', { ...at(found), address: entry }, signal);
  return said;
};

/**
 * Accounts are the daemon's, not the target's: one that another target still needs stays, since without an account
 * that target would ask nobody for a password. One that nobody else needs goes in one step, bindings and all: unbound first, it
 * would be seen at no target any more, and after a crash nobody would know of it.
 */
const dropAccount = async (
  world: TargetWorld,
  found: Found | undefined,
  user: string,
  signal: AbortSignal,
): Promise<void> => {
  const values = { 'chap.user': user };
  if (!world.profile.has('deleteAccount')) {
    return;
  }
  const bindings = async () => (await look(world, signal)).bound.filter((one) => one === user).length;
  const isBound = found?.chapUsers.includes(user) === true;
  if ((await bindings()) > (isBound ? 1 : 0)) {
    await unbind(world, found, user, signal);
    return;
  }
  const exists = async () => {
    const { rows } = await world.profile.call('accounts', {}, signal);
    return rows.some((row) => row.user === user);
  };
  if (!(await exists())) {
    return;
  }
  const { said } = await change(world, 'deleteAccount', values, signal);
  if (await exists()) {
    throw new NotDone(user, 'removing the account', said);
  }
};

const unbind = async (
  world: TargetWorld,
  found: Found | undefined,
  user: string,
  signal: AbortSignal,
): Promise<void> => {
  if (found?.chapUsers.includes(user) !== true) {
    return;
  }
  const { said } = await change(world, 'unbindAccount', { ...at(found), 'chap.user': user }, signal);
  if ((await find(world, found.volumeID, signal))?.chapUsers.includes(user)) {
    throw new NotDone(user, 'unbinding the account', said);
  }
};

/** Without it the target would ask those who are still let in for no password; it goes when the target does. */
const isLastPassword = (found: Found | undefined, user: string): boolean =>
  found !== undefined && found.entries.length > 0 && found.chapUsers.every((one) => one === user);

const deny = async (
  world: TargetWorld,
  wanted: { volumeID: string; initiator: string; user: string },
  signal: AbortSignal,
): Promise<void> => {
  const { volumeID, initiator, user } = wanted;
  let found = await find(world, volumeID, signal);
  if (found?.entries.includes(initiator)) {
    const said = await takeOff(world, found, initiator, signal);
    found = await find(world, volumeID, signal);
    if (found?.entries.includes(initiator)) {
      throw new NotDone(volumeID, `denying ${initiator}`, said);
    }
  }
  if (user !== '' && !isLastPassword(found, user)) {
    await dropAccount(world, found, user, signal);
  }
};

const cutOnce = async (
  world: TargetWorld,
  found: Found,
  initiator: string,
  signal: AbortSignal,
): Promise<void> => {
  if (!world.profile.has('cut')) {
    // Taking access off has ended them; they only need to be seen gone.
    return;
  }
  const { rows } = await world.profile.call('connections', at(found), signal);
  for (const row of rows.filter((one) => one.initiator === initiator)) {
    const values = { ...at(found), session: wholeOf(row, 'session'), connection: wholeOf(row, 'connection') };
    await change(world, 'cut', values, signal);
  }
};

/** Gone means: in two looks, `settleMs` apart. A login that was half through when access went off needs that long to show. */
const cut = async (
  world: TargetWorld,
  volumeID: string,
  initiator: string,
  signal: AbortSignal,
): Promise<void> => {
  let clean = 0;
  for (let tries = 0; tries < CUT_TRIES; tries += 1) {
    const found = await find(world, volumeID, signal);
    if (found === undefined) {
      return;
    }
    if (found.entries.includes(initiator)) {
      throw new Busy(volumeID, `${initiator} is still allowed and would come back`);
    }
    clean = found.sessions.includes(initiator) ? 0 : clean + 1;
    if (clean === 2) {
      return;
    }
    if (clean === 0) {
      await cutOnce(world, found, initiator, signal);
    }
    await world.clock.sleep(world.settleMs, signal);
  }
  throw new NotDone(volumeID, `ending the sessions of ${initiator}`, '');
};

const refuseSessions = (found: Found | undefined): void => {
  if (found !== undefined && found.sessions.length > 0) {
    throw new Busy(found.volumeID, `${found.sessions.join(', ')} is connected`);
  }
};

const close = async (world: TargetWorld, volumeID: string, signal: AbortSignal): Promise<void> => {
  const before = await find(world, volumeID, signal);
  if (before === undefined) {
    return;
  }
  refuseSessions(before);
  for (const entry of before.entries) {
    await takeOff(world, before, entry, signal);
  }
  refuseSessions(await find(world, volumeID, signal));
  for (const user of before.chapUsers) {
    await dropAccount(world, before, user, signal);
  }
  const luns = new Set([
    ...before.luns.filter((one) => one !== 0n),
    ...(isMadeWhole(world) ? [BigInt(LUN)] : []),
  ]);
  for (const lun of luns) {
    await change(world, 'deleteLun', { ...at(before), lun }, signal);
  }
  for (const portal of before.portals) {
    await change(world, 'removePortal', { ...at(before), ...portalValues(portal) }, signal);
  }
  const { said } = await change(world, 'deleteTarget', at(before), signal);
  const after = await find(world, volumeID, signal);
  refuseSessions(after);
  if (after !== undefined) {
    throw new NotDone(volumeID, 'removing its target', said);
  }
};

const exportOf = ({
  tid: _tid,
  luns: _luns,
  entries: _entries,
  portals: _portals,
  missingPortals: _missing,
  faults: _faults,
  ...seen
}: Found): Export => seen;

export const profiledTarget = (profile: BoundProfile, options: TargetOptions): Target => {
  const { iqnPrefix: prefix = DEFAULT_IQN_PREFIX, settleMs = 500, clock = systemClock } = options;
  const portals = options.portals.map(portalName);
  const world: TargetWorld = { profile, prefix, portals, settleMs, clock };
  const turns = createLocks();
  const inTurn = <T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> =>
    turns.hold('target', signal, work);
  const { can } = profile;
  return {
    can: {
      resizeOnline: can.resizeOnline === true,
      readOnlyPerInitiator: can.readOnlyPerInitiator === true,
      serialMax: typeof can.serialMax === 'number' ? can.serialMax : 20,
    },
    observe: async (signal) => (await look(world, signal)).ours.map(exportOf),
    portals: () => options.portals,
    open: (volumeID, spec, signal) => inTurn(signal, () => open(world, volumeID, spec, signal)),
    allow: (volumeID, initiator, access, signal) =>
      inTurn(signal, () => allow(world, { volumeID, initiator, access }, signal)),
    deny: (volumeID, initiator, user, signal) =>
      inTurn(signal, () => deny(world, { volumeID, initiator, user }, signal)),
    cut: (volumeID, initiator, signal) => inTurn(signal, () => cut(world, volumeID, initiator, signal)),
    close: (volumeID, signal) => inTurn(signal, () => close(world, volumeID, signal)),
  };
};
