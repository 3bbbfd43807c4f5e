/** What a pool holds: the looks of the pool role. */

import type { BoundProfile } from '../profiles/bind.ts';
import type { Row } from '../profiles/row.ts';
import { percentOf, wholeOf } from './cells.ts';
import { CannotLook, Mismatch, NotOurs, PoolMissing, Unsupported } from './errors.ts';
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

const STATES: readonly string[] = [
  'provisional',
  'complete',
  'dying',
  'retained',
] satisfies readonly BackingState[];

const isState = (text: string | undefined): text is BackingState => STATES.includes(text ?? '');

/** A backing with what it really takes: at least, and at most. */
export interface Found extends Backing {
  readonly leastBytes: bigint;
  readonly mostBytes: bigint;
}

export interface PoolWorld {
  readonly profile: BoundProfile;
  readonly options: PoolOptions;
  readonly extentBytes: bigint;
}

export const identify = async ({ profile, options }: PoolWorld, signal: AbortSignal): Promise<string> => {
  const { outcome, rows } = await profile.call('identity', {}, signal);
  const { identity = '', problem = '' } = rows[0] ?? {};
  if (problem !== '') {
    throw new Unsupported(`pool ${options.name}`, problem);
  }
  if (outcome === 'absent' || identity === '') {
    throw new PoolMissing(
      options.name,
      'its place holds no pool; is its file system mounted, or its volume group there?',
    );
  }
  const known = options.identity?.();
  if (known !== undefined && known !== identity) {
    throw new PoolMissing(options.name, `its place holds pool ${identity}, not ${known}`);
  }
  return identity;
};

/** A row with `cluster`, `namespace` and `name`. Empty also when they cannot be read: one spoilt file must not hide other volumes. */
const tagsOf = async ({ profile }: PoolWorld, row: Row, signal: AbortSignal): Promise<Row> => {
  if (row.cluster !== undefined || !profile.has('tags')) {
    return row;
  }
  try {
    const { outcome, rows } = await profile.call('tags', { 'backing.id': row.id }, signal);
    return outcome === 'absent' ? {} : (rows[0] ?? {});
  } catch (error) {
    if (error instanceof CannotLook) {
      return {};
    }
    throw error;
  }
};

const ownerOf = ({ namespace = '', name = '' }: Row): Pick<Backing, 'owner'> =>
  namespace === '' || name === '' ? {} : { owner: { namespace, name } };

/** How much a backing takes: bounds, since a percentage is rounded, and an inactive logical volume tells none at all. */
const allocatedOf = (row: Row, sizeBytes: bigint): Pick<Found, 'leastBytes' | 'mostBytes'> => {
  if (row.allocatedPercent === '') {
    return { leastBytes: 0n, mostBytes: sizeBytes };
  }
  if (row.allocatedPercent !== undefined) {
    const { lower, upper } = percentOf(row, 'allocatedPercent', sizeBytes);
    return { leastBytes: lower, mostBytes: upper };
  }
  const bytes = row.allocated === undefined ? sizeBytes : wholeOf(row, 'allocated');
  return { leastBytes: bytes, mostBytes: bytes };
};

const foundOf = async (world: PoolWorld, row: Row, signal: AbortSignal): Promise<Found> => {
  const { id = '', state, path = '' } = row;
  if (!isState(state)) {
    throw new CannotLook(world.options.name, `${id} has the unknown state ${state}`);
  }
  const tags = await tagsOf(world, row, signal);
  const clusterID = tags.cluster;
  const sizeBytes = wholeOf(row, 'size');
  return {
    id,
    state,
    sizeBytes,
    path,
    ...allocatedOf(row, sizeBytes),
    ...(clusterID === undefined ? {} : { clusterID }),
    ...ownerOf(tags),
    ...(clusterID === world.options.clusterID ? {} : { foreign: true }),
  };
};

/** Everything with our name pattern, in the pool that was `before` there: its disk may go in between. */
const lookAt = async (
  world: PoolWorld,
  before: string,
  signal: AbortSignal,
  only?: string,
): Promise<readonly Found[]> => {
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
  const found = await lookAt(world, await identify(world, signal), signal, id);
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

const sum = (numbers: readonly bigint[]): bigint => numbers.reduce((total, one) => total + one, 0n);

const isSnapshot = ({ id }: Found): boolean => id.startsWith('snap');

/**
 * What a thin or sparse backing may yet come to take. A dying one grows no more, nor a snapshot that is whole. A retained volume
 * keeps its claim, so that it can be adopted at any time.
 */
const owedBy = (found: Found): bigint => {
  const grows = found.state === 'provisional' || (found.state !== 'dying' && !isSnapshot(found));
  return grows && found.sizeBytes > found.leastBytes ? found.sizeBytes - found.leastBytes : 0n;
};

/**
 * What a backing may take by itself where copies share blocks: a volume must be able to part from all of its copies; a snapshot
 * is never written.
 */
export const claimOf = (found: Found): bigint =>
  isSnapshot(found) || found.state === 'dying' || found.mostBytes > found.sizeBytes
    ? found.mostBytes
    : found.sizeBytes;

/** What the pool must still be able to give when a retained backing becomes a volume: more only for a snapshot, by either count. */
export const claimedByAdoption = (source: Found, id: string): readonly bigint[] => {
  const volume: Found = { ...source, id, state: 'complete' };
  return [owedBy(volume) - owedBy(source), claimOf(volume) - claimOf(source)].filter((more) => more > 0n);
};

/** A pool whose own records are that full takes no more: without room for them it stops all its volumes (lvmthin(7)). */
const METADATA_LIMIT_PERCENT = 80n;

const isOutOfMetadata = ({ metadataPercent }: Row): boolean =>
  metadataPercent !== undefined &&
  percentOf({ metadataPercent }, 'metadataPercent', 100n).upper >= METADATA_LIMIT_PERCENT;

/**
 * What a pool may still promise. The shared blocks of copies are counted with each of them by all tools, so where there are copies
 * the promises themselves are added up as well. Never overcommitted, never negative.
 */
const freeOf = (world: PoolWorld, capacity: Row, found: readonly Found[]): bigint => {
  const total = wholeOf(capacity, 'total');
  const free =
    capacity.usedPercent === undefined
      ? wholeOf(capacity, 'free')
      : total - percentOf(capacity, 'usedPercent', total).upper;
  const limits = [
    free - sum(found.map(owedBy)),
    world.profile.has('snapshot') ? total - sum(found.map(claimOf)) : total,
    isOutOfMetadata(capacity) ? 0n : total,
  ];
  const least = limits.reduce((lowest, one) => (one < lowest ? one : lowest));
  return least > 0n ? least : 0n;
};

export const observe = async (world: PoolWorld, signal: AbortSignal): Promise<PoolView> => {
  const identity = await identify(world, signal);
  const { rows } = await world.profile.call('capacity', {}, signal);
  const capacity = rows[0] ?? {};
  const found = await lookAt(world, identity, signal);
  return {
    name: world.options.name,
    identity,
    totalBytes: wholeOf(capacity, 'total'),
    freeBytes: freeOf(world, capacity, found),
    extentBytes: capacity.extent === undefined ? world.extentBytes : wholeOf(capacity, 'extent'),
    backings: found.map(({ leastBytes: _, mostBytes: __, ...backing }) => backing),
  };
};
