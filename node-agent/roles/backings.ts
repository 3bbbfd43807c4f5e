/** What a pool holds: the looks of the pool role. */

import type { BoundProfile } from '../profiles/bind.ts';
import type { Row } from '../profiles/row.ts';
import { wholeOf } from './cells.ts';
import { CannotLook, Mismatch, NotOurs, PoolMissing } from './errors.ts';
import type { Backing, BackingState, PoolView } from './pool.ts';

export interface PoolOptions {
  /** The pool's name in the cluster. */
  readonly name: string;
  /** UID of the `kube-system` namespace: backings of other clusters are foreign. */
  readonly clusterID: string;
  /** Asked at each look, since it is learnt at the first one. When known: another pool in this place is PoolMissing. */
  readonly identity?: () => string | undefined;
  readonly extentBytes?: bigint;
}

const STATES: readonly string[] = ['provisional', 'complete', 'dying'] satisfies readonly BackingState[];

const isState = (text: string | undefined): text is BackingState => STATES.includes(text ?? '');

/** A backing with what it really takes. */
export interface Found extends Backing {
  readonly allocatedBytes: bigint;
}

export interface PoolWorld {
  readonly profile: BoundProfile;
  readonly options: PoolOptions;
  readonly extentBytes: bigint;
}

export const identify = async ({ profile, options }: PoolWorld, signal: AbortSignal): Promise<string> => {
  const { outcome, rows } = await profile.call('identity', {}, signal);
  const identity = rows[0]?.identity;
  if (outcome === 'absent' || identity === undefined || identity === '') {
    throw new PoolMissing(options.name, 'its place holds no pool; is its file system mounted?');
  }
  const known = options.identity?.();
  if (known !== undefined && known !== identity) {
    throw new PoolMissing(options.name, `its place holds pool ${identity}, not ${known}`);
  }
  return identity;
};

/** Undefined also when its tags cannot be read: one spoilt file must not hide the other volumes of the pool. */
const clusterOf = async (
  { profile }: PoolWorld,
  row: Row,
  signal: AbortSignal,
): Promise<string | undefined> => {
  if (row.cluster !== undefined || !profile.has('tags')) {
    return row.cluster;
  }
  try {
    const { outcome, rows } = await profile.call('tags', { 'backing.id': row.id }, signal);
    return outcome === 'absent' ? undefined : rows[0]?.cluster;
  } catch (error) {
    if (error instanceof CannotLook) {
      return undefined;
    }
    throw error;
  }
};

const foundOf = async (world: PoolWorld, row: Row, signal: AbortSignal): Promise<Found> => {
  const { id = '', state, path = '' } = row;
  if (!isState(state)) {
    throw new CannotLook(world.options.name, `${id} has the unknown state ${state}`);
  }
  const clusterID = await clusterOf(world, row, signal);
  const sizeBytes = wholeOf(row, 'size');
  return {
    id,
    state,
    sizeBytes,
    path,
    allocatedBytes: row.allocated === undefined ? sizeBytes : wholeOf(row, 'allocated'),
    ...(clusterID === undefined ? {} : { clusterID }),
    ...(clusterID === world.options.clusterID ? {} : { foreign: true }),
  };
};

/** Everything with our name pattern. The pool is looked at before and after: its disk may go in between. */
const lookAt = async (world: PoolWorld, signal: AbortSignal, only?: string): Promise<readonly Found[]> => {
  const before = await identify(world, signal);
  const { rows } = await world.profile.call('volumes', {}, signal);
  const wanted = rows.filter(({ id }) => only === undefined || id === only);
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
export const find = async (world: PoolWorld, id: string, signal: AbortSignal): Promise<Found | undefined> => {
  const found = await lookAt(world, signal, id);
  const [first] = found;
  if (found.length > 1) {
    throw new Mismatch(id, 'one backing', found.map(({ path }) => path).join(' and '));
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

export const observe = async (world: PoolWorld, signal: AbortSignal): Promise<PoolView> => {
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
