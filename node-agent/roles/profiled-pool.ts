/** The pool role over a profile: look, decide, change, look again. The same for files and logical volumes. */

import { randomUUID } from 'node:crypto';
import { createLocks } from '../exec/locks.ts';
import type { BoundProfile, CallResult } from '../profiles/bind.ts';
import type { Row } from '../profiles/row.ts';
import { wholeOf } from './cells.ts';
import {
  BackingNotFound,
  Busy,
  CannotLook,
  Denied,
  Mismatch,
  NoSpace,
  NotDone,
  NotOurs,
  PoolMissing,
} from './errors.ts';
import type { Backing, BackingState, Owner, Pool, PoolView } from './pool.ts';

export interface PoolOptions {
  /** The pool's name in the cluster. */
  readonly name: string;
  /** UID of the `kube-system` namespace: backings of other clusters are foreign. */
  readonly clusterID: string;
  /** When known: another pool in this place is PoolMissing. */
  readonly identity?: string;
  readonly extentBytes?: bigint;
}

const DEFAULT_EXTENT_BYTES = 1024n * 1024n;
const STATES: readonly string[] = ['provisional', 'complete', 'dying'] satisfies readonly BackingState[];

const isState = (text: string | undefined): text is BackingState => STATES.includes(text ?? '');

interface Found extends Backing {
  readonly allocatedBytes: bigint;
}

interface World {
  readonly profile: BoundProfile;
  readonly options: PoolOptions;
  readonly extentBytes: bigint;
}

/** Rounds up to whole extents. */
export const roundUp = (sizeBytes: bigint, extentBytes: bigint): bigint =>
  ((sizeBytes + extentBytes - 1n) / extentBytes) * extentBytes;

const identify = async ({ profile, options }: World, signal: AbortSignal): Promise<string> => {
  const { outcome, rows } = await profile.call('identity', {}, signal);
  const identity = rows[0]?.identity;
  if (outcome === 'absent' || identity === undefined || identity === '') {
    throw new PoolMissing(options.name, 'its place holds no pool; is its file system mounted?');
  }
  if (options.identity !== undefined && options.identity !== identity) {
    throw new PoolMissing(options.name, `its place holds pool ${identity}, not ${options.identity}`);
  }
  return identity;
};

const clusterOf = async ({ profile }: World, row: Row, signal: AbortSignal): Promise<string | undefined> => {
  if (row.cluster !== undefined || !profile.has('tags')) {
    return row.cluster;
  }
  const { outcome, rows } = await profile.call('tags', { 'volume.id': row.volume }, signal);
  return outcome === 'absent' ? undefined : rows[0]?.cluster;
};

const foundOf = async (world: World, row: Row, signal: AbortSignal): Promise<Found> => {
  const { volume = '', state, path = '' } = row;
  if (!isState(state)) {
    throw new CannotLook(world.options.name, `${volume} has the unknown state ${state}`);
  }
  const clusterID = await clusterOf(world, row, signal);
  const sizeBytes = wholeOf(row, 'size');
  return {
    volumeID: volume,
    state,
    sizeBytes,
    path,
    allocatedBytes: row.allocated === undefined ? sizeBytes : wholeOf(row, 'allocated'),
    ...(clusterID === undefined ? {} : { clusterID }),
    ...(clusterID === world.options.clusterID ? {} : { foreign: true }),
  };
};

/** Everything with our name pattern. The pool is looked at before and after: its disk may go in between. */
const lookAt = async (world: World, signal: AbortSignal, only?: string): Promise<readonly Found[]> => {
  const before = await identify(world, signal);
  const { rows } = await world.profile.call('volumes', {}, signal);
  const wanted = rows.filter(({ volume }) => only === undefined || volume === only);
  const found: Found[] = [];
  for (const row of wanted) {
    found.push(await foundOf(world, row, signal));
  }
  if ((await identify(world, signal)) !== before) {
    throw new PoolMissing(world.options.name, 'another pool took its place');
  }
  return found;
};

/** The one backing of a volume. Throws NotOurs, and Mismatch when it is there in two states. */
const find = async (world: World, volumeID: string, signal: AbortSignal): Promise<Found | undefined> => {
  const found = await lookAt(world, signal, volumeID);
  const [first] = found;
  if (found.length > 1) {
    throw new Mismatch(volumeID, 'one backing', found.map(({ path }) => path).join(' and '));
  }
  if (first?.foreign) {
    const owner = first.clusterID === undefined ? 'no cluster' : `cluster ${first.clusterID}`;
    throw new NotOurs(first.path, `belongs to ${owner}`);
  }
  return first;
};

/** What a pool with thin or sparse volumes may still promise. Dying ones grow no more. */
const freeOf = (freeBytes: bigint, found: readonly Found[]): bigint => {
  const owed = found
    .filter(({ state, sizeBytes, allocatedBytes }) => state !== 'dying' && sizeBytes > allocatedBytes)
    .reduce((sum, { sizeBytes, allocatedBytes }) => sum + sizeBytes - allocatedBytes, 0n);
  return freeBytes > owed ? freeBytes - owed : 0n;
};

const observe = async (world: World, signal: AbortSignal): Promise<PoolView> => {
  const identity = await identify(world, signal);
  const { rows } = await world.profile.call('capacity', {}, signal);
  const capacity = rows[0] ?? {};
  const found = await lookAt(world, signal);
  return {
    name: world.options.name,
    identity,
    totalBytes: wholeOf(capacity, 'total'),
    freeBytes: freeOf(wholeOf(capacity, 'free'), found),
    extentBytes: world.extentBytes,
    backings: found.map(({ allocatedBytes: _, ...backing }) => backing),
  };
};

const refuseFull = async (world: World, moreBytes: bigint, signal: AbortSignal): Promise<void> => {
  const { freeBytes } = await observe(world, signal);
  if (moreBytes > freeBytes) {
    throw new NoSpace(world.options.name, moreBytes, freeBytes);
  }
};

/** Translates what a change said, once the look after it did not show the change. */
const explain = (subject: string, wanted: string, { outcome, said }: CallResult): Error => {
  if (outcome === 'busy') {
    return new Busy(subject, said);
  }
  return outcome === 'denied' ? new Denied(subject, said) : new NotDone(subject, wanted, said);
};

const makeRoom = async (world: World, volumeID: string, signal: AbortSignal): Promise<void> => {
  await world.profile.call('retireProvisional', { 'volume.id': volumeID }, signal);
  await world.profile.call('free', { 'volume.id': volumeID }, signal);
};

const create = async (
  world: World,
  wanted: { volumeID: string; sizeBytes: bigint; owner: Owner },
  signal: AbortSignal,
): Promise<void> => {
  const { volumeID, owner } = wanted;
  const size = roundUp(wanted.sizeBytes, world.extentBytes);
  const before = await find(world, volumeID, signal);
  if (before?.state === 'complete') {
    return;
  }
  if (before?.state === 'dying') {
    throw new Busy(volumeID, 'its last backing is still being removed');
  }
  if (before !== undefined && before.sizeBytes > size) {
    throw new Mismatch(volumeID, `${size} bytes`, `${before.sizeBytes} bytes`);
  }
  await refuseFull(world, before === undefined ? size : size - before.sizeBytes, signal);
  const tags = {
    'owner.cluster': owner.clusterID,
    'owner.namespace': owner.namespace,
    'owner.name': owner.name,
  };
  const result = await world.profile.call('create', { 'volume.id': volumeID, size, ...tags }, signal);
  if (result.outcome === 'full') {
    await makeRoom(world, volumeID, signal);
    throw new NoSpace(world.options.name, size);
  }
  const after = await find(world, volumeID, signal);
  if (result.outcome !== 'ok' || after?.state !== 'provisional' || after.sizeBytes < size) {
    throw explain(volumeID, 'create', result);
  }
};

const complete = async (
  world: World,
  volumeID: string,
  sizeBytes: bigint,
  signal: AbortSignal,
): Promise<void> => {
  const before = await find(world, volumeID, signal);
  if (before === undefined || before.state === 'dying') {
    throw new BackingNotFound(volumeID, world.options.name, 'provisional');
  }
  if (before.sizeBytes < sizeBytes) {
    throw new Mismatch(volumeID, `${sizeBytes} bytes`, `${before.sizeBytes} bytes`);
  }
  if (before.state === 'complete') {
    return;
  }
  const result = await world.profile.call('complete', { 'volume.id': volumeID }, signal);
  const after = await find(world, volumeID, signal);
  if (result.outcome !== 'ok' || after?.state !== 'complete') {
    throw explain(volumeID, 'complete', result);
  }
};

const retire = async (world: World, volumeID: string, signal: AbortSignal): Promise<void> => {
  const before = await find(world, volumeID, signal);
  if (before === undefined || before.state === 'dying') {
    return;
  }
  const verb = before.state === 'complete' ? 'retire' : 'retireProvisional';
  const result = await world.profile.call(verb, { 'volume.id': volumeID }, signal);
  const after = await find(world, volumeID, signal);
  if (result.outcome !== 'ok' || after?.state !== 'dying') {
    throw explain(volumeID, 'retire', result);
  }
};

const free = async (world: World, volumeID: string, signal: AbortSignal): Promise<void> => {
  const before = await find(world, volumeID, signal);
  if (before !== undefined && before.state !== 'dying') {
    throw new NotDone(volumeID, 'free', `it is ${before.state}: retire it first`);
  }
  const result = await world.profile.call('free', { 'volume.id': volumeID }, signal);
  const after = await find(world, volumeID, signal);
  if (after !== undefined || (result.outcome !== 'ok' && result.outcome !== 'absent')) {
    throw explain(volumeID, 'free', result);
  }
};

const grow = async (
  world: World,
  volumeID: string,
  sizeBytes: bigint,
  signal: AbortSignal,
): Promise<void> => {
  const size = roundUp(sizeBytes, world.extentBytes);
  const before = await find(world, volumeID, signal);
  if (before?.state !== 'complete') {
    throw new BackingNotFound(volumeID, world.options.name, 'complete');
  }
  if (before.sizeBytes >= size) {
    return;
  }
  await refuseFull(world, size - before.sizeBytes, signal);
  const result = await world.profile.call('grow', { 'volume.id': volumeID, size }, signal);
  if (result.outcome === 'full') {
    throw new NoSpace(world.options.name, size - before.sizeBytes);
  }
  const after = await find(world, volumeID, signal);
  if (result.outcome !== 'ok' || after === undefined || after.sizeBytes < size) {
    throw explain(volumeID, 'grow', result);
  }
};

const prepare = async (world: World, signal: AbortSignal): Promise<string> => {
  const { name, identity = randomUUID() } = world.options;
  const { outcome } = await world.profile.call('identity', {}, signal);
  if (outcome === 'absent') {
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
  const world: World = { profile, options, extentBytes: options.extentBytes ?? DEFAULT_EXTENT_BYTES };
  const turns = createLocks();
  const change = <T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> =>
    turns.hold(options.name, signal, work);
  return {
    name: options.name,
    can: { growOnline: profile.can.growOnline === true },
    prepare: (signal) => change(signal, () => prepare(world, signal)),
    observe: (signal) => observe(world, signal),
    create: (volumeID, sizeBytes, owner, signal) =>
      change(signal, () => create(world, { volumeID, sizeBytes, owner }, signal)),
    complete: (volumeID, sizeBytes, signal) =>
      change(signal, () => complete(world, volumeID, sizeBytes, signal)),
    retire: (volumeID, signal) => change(signal, () => retire(world, volumeID, signal)),
    free: (volumeID, signal) => change(signal, () => free(world, volumeID, signal)),
    grow: (volumeID, sizeBytes, signal) => change(signal, () => grow(world, volumeID, sizeBytes, signal)),
  };
};
