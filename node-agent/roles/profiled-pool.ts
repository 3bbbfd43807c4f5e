/** The pool role over a profile: look, decide, change, look again. The same for files and logical volumes. */

import { randomUUID } from 'node:crypto';
import { roundUp } from '../../api/quantity.ts';
import type { ByteRange } from '../exec/files.ts';
import { createLocks } from '../exec/locks.ts';
import type { BoundProfile, CallResult } from '../profiles/bind.ts';
import type { Values } from '../profiles/values.ts';
import {
  claimedByAdoption,
  claimOf,
  type Found,
  find,
  type Glance,
  glance,
  identify,
  observe,
  type PoolOptions,
  type PoolWorld,
  placeOf,
  storeFor,
} from './backings.ts';
import {
  BackingNotFound,
  Busy,
  Denied,
  Mismatch,
  NoSpace,
  NotDone,
  NotOurs,
  PoolFaulty,
  PoolMissing,
  Unsupported,
} from './errors.ts';
import type { Backing, BackingState, Owner, Pool, PoolView } from './pool.ts';

const DEFAULT_EXTENT_BYTES = 1024n * 1024n;

const refuseFull = (world: PoolWorld, { freeBytes, fault }: PoolView, moreBytes: bigint): void => {
  if (moreBytes > freeBytes) {
    throw fault !== undefined
      ? new PoolFaulty(world.options.name, fault)
      : new NoSpace(world.options.name, moreBytes, freeBytes);
  }
};

/** Translates what a change said, once the look after it did not show the change. */
const explain = (subject: string, wanted: string, { outcome, said }: CallResult): Error => {
  if (outcome === 'busy') {
    return new Busy(subject, said);
  }
  return outcome === 'denied' ? new Denied(subject, said) : new NotDone(subject, wanted, said);
};

const makeRoom = async (world: PoolWorld, id: string, signal: AbortSignal): Promise<void> => {
  await world.profile.call('retireProvisional', { 'backing.id': id }, signal);
  await world.profile.call('free', { 'backing.id': id }, signal);
};

/** Nothing is made under a name which still means something else. */
const refuseOccupied = (id: string, before: Backing | undefined): void => {
  if (before?.state === 'dying') {
    throw new Busy(id, 'its last backing is still being removed');
  }
  if (before?.state === 'retained') {
    throw new Busy(id, 'its data is retained, until a Volume adopts it');
  }
};

const create = async (
  world: PoolWorld,
  wanted: { id: string; sizeBytes: bigint; owner: Owner },
  signal: AbortSignal,
): Promise<void> => {
  const { id, owner } = wanted;
  const seen = await glance(world, id, signal);
  const before = seen.backing;
  if (before?.state === 'complete' || before?.state === 'growing') {
    return;
  }
  refuseOccupied(id, before);
  const view = await seen.view();
  const size = roundUp(wanted.sizeBytes, view.extentBytes);
  if (before !== undefined && before.sizeBytes > size) {
    throw new Mismatch(id, `${size} bytes`, `${before.sizeBytes} bytes`);
  }
  refuseFull(world, view, before === undefined ? size : size - before.sizeBytes);
  const result =
    before !== undefined && world.profile.has('resume')
      ? await world.profile.call('resume', { 'backing.id': id, size }, signal)
      : await world.profile.call('create', { 'backing.id': id, size, ...tagsOf(owner) }, signal);
  await expectProvisional(world, { id, sizeBytes: size, result, verb: 'create', before }, signal);
};

const tagsOf = ({ clusterID, namespace, name }: Owner) => ({
  'owner.cluster': clusterID,
  'owner.namespace': namespace,
  'owner.name': name,
});

/** After a change that makes a provisional backing: it is there, in its size, or nothing of it is. */
const expectProvisional = async (
  world: PoolWorld,
  made: { id: string; sizeBytes: bigint; result: CallResult; verb: string; before?: Backing | undefined },
  signal: AbortSignal,
): Promise<void> => {
  const { id, sizeBytes, result, verb, before } = made;
  if (result.outcome === 'full') {
    // One that was there before may hold what was copied into it.
    if (before === undefined) {
      await makeRoom(world, id, signal);
    }
    throw new NoSpace(world.options.name, sizeBytes);
  }
  const after = await find(world, id, signal);
  const isThere = after?.state === 'provisional' && after.half !== true && after.sizeBytes >= sizeBytes;
  if (result.outcome !== 'ok' || !isThere) {
    throw explain(id, verb, result);
  }
};

interface WantedSnapshot {
  readonly id: string;
  readonly sourceID: string;
  readonly owner: Owner;
}

const outlives = ({ profile }: PoolWorld): boolean => profile.can.snapshotsOutlive === true;

/** What a copy may come to take: what is shared must have a place when it no longer is. */
const roomFor = async (world: PoolWorld, source: Found, id: string, { view }: Glance): Promise<bigint> => {
  const pool = await view();
  const room = outlives(world) ? claimOf({ ...source, id }) : storeFor(source.sizeBytes, pool.extentBytes);
  refuseFull(world, pool, room);
  return room;
};

const snapshot = async (world: PoolWorld, wanted: WantedSnapshot, signal: AbortSignal): Promise<void> => {
  const { id, sourceID, owner } = wanted;
  const { profile, options } = world;
  if (!profile.has('snapshot')) {
    throw new Unsupported(id, `pool ${options.name} (${profile.name}) makes no copy-on-write copies`);
  }
  const source = await find(world, sourceID, signal);
  if (source?.state === 'growing') {
    throw new Busy(sourceID, 'it is growing');
  }
  if (source?.state !== 'complete') {
    throw new BackingNotFound(sourceID, options.name, 'complete');
  }
  const seen = await glance(world, id, signal);
  const before = seen.backing;
  refuseOccupied(id, before);
  if (before?.half === true && !outlives(world)) {
    await makeRoom(world, id, signal);
  } else if (before !== undefined) {
    await resumeSnapshot(world, before, source, signal);
    return;
  }
  const room = await roomFor(world, source, id, seen);
  const values = { 'backing.id': id, 'source.id': sourceID, room, ...tagsOf(owner) };
  const result = await profile.call('snapshot', values, signal);
  const made = { id, sizeBytes: source.sizeBytes, result, verb: 'snapshot' };
  await expectProvisional(world, made, signal);
};

/** One with a store of its own is whole as it is: its size is not that of what it shows. */
const canResume = (world: PoolWorld, { state }: Found): boolean =>
  state === 'provisional' && world.profile.has('resume') && outlives(world);

const resumeSnapshot = async (
  world: PoolWorld,
  before: Found,
  { sizeBytes }: Found,
  signal: AbortSignal,
): Promise<void> => {
  if (canResume(world, before)) {
    const { id } = before;
    const result = await world.profile.call('resume', { 'backing.id': id, size: sizeBytes }, signal);
    await expectProvisional(world, { id, sizeBytes, result, verb: 'snapshot' }, signal);
  }
};

interface Turn {
  readonly id: string;
  readonly verb: string;
  readonly state: BackingState;
  readonly wanted?: string;
  readonly values?: Values;
}

/** Gives a backing the name of another state. */
const turn = async (
  world: PoolWorld,
  { id, verb, state, wanted = verb, values = { 'backing.id': id } }: Turn,
  signal: AbortSignal,
): Promise<void> => {
  const result = await world.profile.call(verb, values, signal);
  const after = await find(world, id, signal);
  if (result.outcome !== 'ok' || after?.state !== state) {
    throw explain(id, wanted, result);
  }
};

const complete = async (
  world: PoolWorld,
  id: string,
  sizeBytes: bigint,
  signal: AbortSignal,
): Promise<void> => {
  const found = await find(world, id, signal);
  if (found?.half === true && canResume(world, found)) {
    await world.profile.call('resume', { 'backing.id': id, size: found.sizeBytes }, signal);
  }
  const before = found?.half === true ? await find(world, id, signal) : found;
  const isWhole = before?.state === 'complete' || (before?.state === 'provisional' && !before.half);
  if (before === undefined || !isWhole) {
    throw new BackingNotFound(id, world.options.name, 'provisional');
  }
  if (before.sizeBytes < sizeBytes) {
    throw new Mismatch(id, `${sizeBytes} bytes`, `${before.sizeBytes} bytes`);
  }
  if (before.state === 'complete') {
    return;
  }
  await turn(world, { id, verb: 'complete', state: 'complete' }, signal);
};

const expectKeeping = (world: PoolWorld, id: string): void => {
  const { profile, options } = world;
  if (!profile.has('retain') || !profile.has('adopt')) {
    throw new Unsupported(id, `pool ${options.name} (${profile.name}) retains no data of deleted objects`);
  }
  if (id.startsWith('snap') && profile.has('snapshot') && !outlives(world)) {
    throw new Unsupported(id, `a snapshot in pool ${options.name} (${profile.name}) goes with its volume`);
  }
};

const retain = async (world: PoolWorld, id: string, signal: AbortSignal): Promise<void> => {
  expectKeeping(world, id);
  const before = await find(world, id, signal);
  if (before?.state === 'retained') {
    return;
  }
  if (before?.state !== 'complete') {
    throw new BackingNotFound(id, world.options.name, 'complete');
  }
  await turn(world, { id, verb: 'retain', state: 'retained' }, signal);
};

const adopt = async (
  world: PoolWorld,
  wanted: { id: string; sourceID: string; owner: Owner },
  signal: AbortSignal,
): Promise<void> => {
  const { id, sourceID, owner } = wanted;
  expectKeeping(world, sourceID);
  const before = await find(world, id, signal);
  refuseOccupied(id, before);
  if (before !== undefined) {
    return;
  }
  const seen = await glance(world, sourceID, signal);
  const source = seen.backing;
  if (source?.state !== 'retained') {
    throw new BackingNotFound(sourceID, world.options.name, 'retained');
  }
  const claims = claimedByAdoption(source, id);
  if (claims.length > 0) {
    const view = await seen.view();
    for (const moreBytes of claims) {
      refuseFull(world, view, moreBytes);
    }
  }
  const last = source.owner ?? owner;
  const values = {
    'backing.id': id,
    'source.id': sourceID,
    'source.namespace': last.namespace,
    'source.name': last.name,
    ...tagsOf(owner),
  };
  const result = await world.profile.call('adopt', values, signal);
  await expectProvisional(
    world,
    { id, sizeBytes: source.sizeBytes, result, verb: 'adopt', before: source },
    signal,
  );
};

const refuseDependedOn = (id: string, dependants: Glance['dependants']): void => {
  const [first] = dependants;
  if (first !== undefined) {
    throw new Busy(id, `${first.id} shares its blocks, and would go with it`);
  }
};

const retire = async (world: PoolWorld, id: string, signal: AbortSignal): Promise<void> => {
  const seen = await glance(world, id, signal);
  const before = seen.backing;
  if (before === undefined || before.state === 'dying') {
    return;
  }
  if (before.state === 'retained') {
    throw new NotDone(id, 'retire', 'its data is retained: only a Volume that adopted it can remove it');
  }
  refuseDependedOn(
    id,
    seen.dependants.filter(({ state }) => state !== 'dying'),
  );
  if (before.cleanBytes !== undefined) {
    const values = { 'backing.id': id, clean: before.cleanBytes };
    await turn(world, { id, verb: 'retireGrowing', state: 'dying', wanted: 'retire', values }, signal);
    return;
  }
  const verb = before.state === 'complete' ? 'retire' : 'retireProvisional';
  await turn(world, { id, verb, state: 'dying', wanted: 'retire' }, signal);
};

const canTrash = ({ profile }: PoolWorld): boolean =>
  profile.has('retain') && profile.has('adopt') && profile.has('retireRetained');

const retireRetained = async (
  world: PoolWorld,
  { id, mayGo }: { readonly id: string; readonly mayGo: (found: Backing) => boolean },
  signal: AbortSignal,
): Promise<void> => {
  const { profile, options } = world;
  if (!canTrash(world)) {
    throw new Unsupported(id, `pool ${options.name} (${profile.name}) has no trash`);
  }
  const { backing, dependants } = await glance(world, id, signal);
  if (backing === undefined || backing.state === 'dying') {
    return;
  }
  if (backing.state !== 'retained') {
    throw new NotDone(id, 'retireRetained', `it is ${backing.state}: nothing in the trash`);
  }
  refuseDependedOn(id, dependants);
  if (mayGo(backing)) {
    await turn(world, { id, verb: 'retireRetained', state: 'dying' }, signal);
  }
};

const free = async (world: PoolWorld, id: string, signal: AbortSignal): Promise<void> => {
  const seen = await glance(world, id, signal);
  const before = seen.backing;
  if (before !== undefined && before.state !== 'dying') {
    throw new NotDone(id, 'free', `it is ${before.state}: retire it first`);
  }
  refuseDependedOn(id, seen.dependants);
  const result = await world.profile.call('free', { 'backing.id': id }, signal);
  const after = await find(world, id, signal);
  if (after !== undefined || (result.outcome !== 'ok' && result.outcome !== 'absent')) {
    throw explain(id, 'free', result);
  }
};

const grow = async (world: PoolWorld, id: string, sizeBytes: bigint, signal: AbortSignal): Promise<void> => {
  const seen = await glance(world, id, signal);
  const before = seen.backing;
  if (before?.state !== 'complete' && before?.state !== 'growing') {
    throw new BackingNotFound(id, world.options.name, 'complete');
  }
  const view = await seen.view();
  const size = roundUp(sizeBytes, view.extentBytes);
  if (before.sizeBytes >= size) {
    return;
  }
  refuseFull(world, view, size - before.sizeBytes);
  refuseDependedOn(id, seen.dependants);
  const clean = before.cleanBytes ?? before.sizeBytes;
  const result = await world.profile.call('grow', { 'backing.id': id, size, clean }, signal);
  if (result.outcome === 'full') {
    throw new NoSpace(world.options.name, size - before.sizeBytes);
  }
  const after = await find(world, id, signal);
  if (result.outcome !== 'ok' || after === undefined || after.sizeBytes < size) {
    throw explain(id, 'grow', result);
  }
};

const grown = async (world: PoolWorld, id: string, signal: AbortSignal): Promise<void> => {
  const before = await find(world, id, signal);
  if (before?.state === 'complete') {
    return;
  }
  if (before?.cleanBytes === undefined) {
    throw new BackingNotFound(id, world.options.name, 'growing');
  }
  const values = { 'backing.id': id, clean: before.cleanBytes };
  await turn(world, { id, verb: 'grown', state: 'complete', values }, signal);
};

/** Where nothing is anybody's data. */
const expectUnused = ({ id, state, cleanBytes = 0n, sizeBytes, path }: Found, range: ByteRange): void => {
  const { offset, length } = range;
  const isUnused = state === 'provisional' || state === 'growing';
  if (!isUnused || offset < cleanBytes || offset + length > sizeBytes) {
    throw new Mismatch(
      `${path} of ${id}`,
      `unused bytes from ${offset} to ${offset + length}`,
      `${state}, ${sizeBytes} bytes`,
    );
  }
};

interface OnRange {
  readonly id: string;
  readonly range: ByteRange;
  readonly inTurn: (work: () => Promise<void>) => Promise<void>;
}

/** Only the look takes its turn: meanwhile the pool goes on. The device is opened for nobody else, whatever becomes of its name. */
const zero = async (world: PoolWorld, { id, range, inTurn }: OnRange, signal: AbortSignal): Promise<void> => {
  let path = '';
  await inTurn(async () => {
    const found = await find(world, id, signal);
    if (found === undefined) {
      throw new BackingNotFound(id, world.options.name, 'provisional');
    }
    expectUnused(found, range);
    path = found.path;
  });
  const result = await world.profile.call(
    'zero',
    { 'backing.id': id, 'backing.path': path, ...range },
    signal,
  );
  if (result.outcome !== 'ok') {
    throw explain(id, 'zero', result);
  }
};

/** Of one with a store of its own the device shows what it was a snapshot of, and not the store. */
const isWipeable = ({ profile }: PoolWorld, { sourceID, half, mostBytes }: Found): boolean =>
  profile.has('wipe') && sourceID === undefined && half !== true && mostBytes > 0n;

/** As with zeroing, only the look takes its turn. */
const wipe = async (
  world: PoolWorld,
  { id, range, inTurn }: OnRange,
  signal: AbortSignal,
): Promise<boolean> => {
  let found: Found | undefined;
  await inTurn(async () => {
    const { backing, dependants } = await glance(world, id, signal);
    if (backing?.state !== 'dying') {
      throw new BackingNotFound(id, world.options.name, 'dying');
    }
    refuseDependedOn(id, dependants);
    if (range.offset + range.length > backing.sizeBytes) {
      throw new Mismatch(
        `${backing.path} of ${id}`,
        `${range.offset + range.length} bytes`,
        `${backing.sizeBytes}`,
      );
    }
    found = isWipeable(world, backing) ? backing : undefined;
  });
  if (found === undefined) {
    return false;
  }
  const result = await world.profile.call(
    'wipe',
    { 'backing.id': id, 'backing.path': found.path, ...range },
    signal,
  );
  // One that is not active has no device; the next one who gets its space zeroes it all the same.
  if (result.outcome === 'unsupported' || result.outcome === 'absent') {
    return false;
  }
  if (result.outcome !== 'ok') {
    throw explain(id, 'wipe', result);
  }
  return true;
};

const prepare = async (world: PoolWorld, signal: AbortSignal): Promise<string> => {
  const { name } = world.options;
  const identity = world.options.identity?.() ?? randomUUID();
  const place = await placeOf(world.profile, signal);
  if ((place.identity ?? '') === '' && (place.problem ?? '') === '') {
    const contents = await world.profile.call('contents', {}, signal);
    if (contents.outcome === 'absent') {
      throw new PoolMissing(name, 'its place does not exist');
    }
    if (contents.rows.length > 0) {
      throw new NotOurs(
        `the place of pool ${name}`,
        `holds ${contents.rows[0]?.name ?? 'something'} and is no pool`,
      );
    }
    await world.profile.call('prepare', { 'pool.identity': identity }, signal);
  }
  return identify(world, signal);
};

export const profiledPool = (profile: BoundProfile, options: PoolOptions): Pool => {
  const world: PoolWorld = { profile, options, extentBytes: options.extentBytes ?? DEFAULT_EXTENT_BYTES };
  const turns = createLocks();
  const inTurn = <T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> =>
    turns.hold(options.name, signal, work);
  return {
    name: options.name,
    can: {
      growOnline: profile.can.growOnline === true,
      copyOnWrite: profile.has('snapshot'),
      snapshotAttached: profile.can.snapshotAttached === true,
      snapshotsOutlive: profile.can.snapshotsOutlive === true,
      snapshotsHoldSize: profile.can.snapshotsHoldSize === true,
      trash: canTrash(world),
      zeroes: profile.has('zero'),
      wipes: profile.has('wipe'),
    },
    prepare: (signal) => inTurn(signal, () => prepare(world, signal)),
    // In turn as well: a volume whose owner's file goes in the middle of a look would be shown as foreign.
    observe: (signal) => inTurn(signal, () => observe(world, signal)),
    create: (id, sizeBytes, owner, signal) =>
      inTurn(signal, () => create(world, { id, sizeBytes, owner }, signal)),
    snapshot: (id, sourceID, owner, signal) =>
      inTurn(signal, () => snapshot(world, { id, sourceID, owner }, signal)),
    complete: (id, sizeBytes, signal) => inTurn(signal, () => complete(world, id, sizeBytes, signal)),
    retain: (id, signal) => inTurn(signal, () => retain(world, id, signal)),
    adopt: (id, sourceID, owner, signal) =>
      inTurn(signal, () => adopt(world, { id, sourceID, owner }, signal)),
    retire: (id, signal) => inTurn(signal, () => retire(world, id, signal)),
    retireRetained: (id, mayGo, signal) => inTurn(signal, () => retireRetained(world, { id, mayGo }, signal)),
    free: (id, signal) => inTurn(signal, () => free(world, id, signal)),
    grow: (id, sizeBytes, signal) => inTurn(signal, () => grow(world, id, sizeBytes, signal)),
    grown: (id, signal) => inTurn(signal, () => grown(world, id, signal)),
    wipe: (id, range, signal) => wipe(world, { id, range, inTurn: (work) => inTurn(signal, work) }, signal),
    zero: (id, range, signal) => zero(world, { id, range, inTurn: (work) => inTurn(signal, work) }, signal),
  };
};
