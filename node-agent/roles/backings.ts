/** What a pool holds: the looks of the pool role. */

import { roundUp } from '../../api/quantity.ts';
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
  'growing',
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

/** The identity that a look at the pool itself told. Throws Unsupported, PoolMissing. */
const recognised = ({ options }: PoolWorld, { identity = '', problem = '' }: Row): string => {
  if (problem !== '') {
    throw new Unsupported(`pool ${options.name}`, problem);
  }
  if (identity === '') {
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

/** What the pool's place tells of the pool in it, recognised or not; empty for none. */
export const placeOf = async (profile: BoundProfile, signal: AbortSignal): Promise<Row> => {
  const atOnce = profile.has('look');
  const { outcome, rows } = await profile.call(atOnce ? 'look' : 'identity', {}, signal);
  const row = atOnce ? rows.find(({ kind }) => kind === 'pool') : rows[0];
  return outcome === 'absent' ? {} : (row ?? {});
};

export const identify = async (world: PoolWorld, signal: AbortSignal): Promise<string> =>
  recognised(world, await placeOf(world.profile, signal));

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

/**
 * In a pool whose snapshots go with their volume, one without its volume is none, nor one that could overflow. A thin volume that was
 * never activated may be one of which its pool has not heard yet.
 */
const isHalf = ({ profile }: PoolWorld, row: Row): boolean => {
  const { id = '', source = '', state, allocated, allocatedPercent } = row;
  if (state === 'provisional' && allocatedPercent === '') {
    return true;
  }
  if (!profile.has('snapshot') || profile.can.snapshotsOutlive === true || !id.startsWith('snap')) {
    return false;
  }
  const canOverflow = () => allocated !== undefined && wholeOf(row, 'allocated') <= wholeOf(row, 'size');
  return source === '' || (state === 'provisional' && canOverflow());
};

const NOT_A_SNAPSHOT = 'it is no snapshot of any volume any more';

const lifeOf = (row: Row, half: boolean): Pick<Backing, 'cleanBytes' | 'sourceID' | 'half' | 'fault'> => {
  const { state, source = '', fault = half && state !== 'provisional' ? NOT_A_SNAPSHOT : '' } = row;
  return {
    ...(state === 'growing' ? { cleanBytes: wholeOf(row, 'clean') } : {}),
    ...(source === '' ? {} : { sourceID: source }),
    ...(half ? { half } : {}),
    ...(fault === '' ? {} : { fault }),
  };
};

const foundOf = async (world: PoolWorld, row: Row, signal: AbortSignal): Promise<Found> => {
  const { id = '', state, path = '' } = row;
  if (!isState(state)) {
    throw new CannotLook(world.options.name, `${id} has the unknown state ${state}`);
  }
  const tags = await tagsOf(world, row, signal);
  const clusterID = tags.cluster;
  const half = isHalf(world, row);
  const sizeBytes = half && row.size === '' ? 0n : wholeOf(row, 'size');
  return {
    id,
    state,
    sizeBytes,
    path,
    ...allocatedOf(row, sizeBytes),
    ...lifeOf(row, half),
    ...(clusterID === undefined ? {} : { clusterID }),
    ...ownerOf(tags),
    ...(clusterID === world.options.clusterID ? {} : { foreign: true }),
  };
};

/** One look at the pool. */
interface Sight {
  readonly identity: string;
  /** Of everything with our name pattern. */
  readonly rows: readonly Row[];
  /** How much room there is; undefined when it was not asked for. */
  readonly capacity: Row | undefined;
}

const seeAtOnce = async (world: PoolWorld, signal: AbortSignal): Promise<Sight> => {
  const { outcome, rows } = await world.profile.call('look', {}, signal);
  const pool = outcome === 'absent' ? undefined : rows.find(({ kind }) => kind === 'pool');
  return {
    identity: recognised(world, pool ?? {}),
    rows: rows.filter(({ kind }) => kind === 'volume'),
    capacity: pool,
  };
};

/** In the pool that was before there: its disk may go in between. */
const seeInSteps = async (
  world: PoolWorld,
  { withCapacity }: { readonly withCapacity: boolean },
  signal: AbortSignal,
): Promise<{ readonly sight: Sight; readonly confirm: () => Promise<void> }> => {
  const { profile, options } = world;
  const identity = await identify(world, signal);
  const capacity = withCapacity ? (await profile.call('capacity', {}, signal)).rows[0] : undefined;
  const { rows } = await profile.call('volumes', {}, signal);
  const confirm = async () => {
    if ((await identify(world, signal)) !== identity) {
      throw new PoolMissing(options.name, 'another pool took its place');
    }
  };
  return { sight: { identity, rows, capacity }, confirm };
};

const foundIn = async (world: PoolWorld, rows: readonly Row[], signal: AbortSignal): Promise<Found[]> => {
  const found: Found[] = [];
  for (const row of rows) {
    found.push(await foundOf(world, row, signal));
  }
  return found;
};

const viewIn = (world: PoolWorld, { identity, capacity = {} }: Sight, found: readonly Found[]): PoolView => ({
  name: world.options.name,
  identity,
  totalBytes: wholeOf(capacity, 'total'),
  freeBytes: freeOf(world, capacity, found),
  extentBytes: capacity.extent === undefined ? world.extentBytes : wholeOf(capacity, 'extent'),
  backings: found.map(({ leastBytes: _, mostBytes: __, ...backing }) => backing),
  ...(capacity.fault === undefined ? {} : { fault: capacity.fault }),
});

export const observe = async (world: PoolWorld, signal: AbortSignal): Promise<PoolView> => {
  if (world.profile.has('look')) {
    const sight = await seeAtOnce(world, signal);
    return viewIn(world, sight, await foundIn(world, sight.rows, signal));
  }
  const { sight, confirm } = await seeInSteps(world, { withCapacity: true }, signal);
  const found = await foundIn(world, sight.rows, signal);
  await confirm();
  return viewIn(world, sight, found);
};

/** What was seen when one backing was looked for. */
export interface Glance {
  readonly backing: Found | undefined;
  /** What goes with it. */
  readonly dependants: readonly Row[];
  /** The whole pool: of the same look, where one look tells everything. */
  readonly view: () => Promise<PoolView>;
}

/** Looks for the one backing of a volume. Throws NotOurs, and Mismatch when it is there in two states. */
export const glance = async (world: PoolWorld, id: string, signal: AbortSignal): Promise<Glance> => {
  const isMine = (row: Row) => row.id === id;
  const atOnce = world.profile.has('look');
  const { sight, confirm } = atOnce
    ? { sight: await seeAtOnce(world, signal), confirm: async () => undefined }
    : await seeInSteps(world, { withCapacity: false }, signal);
  const found = await foundIn(world, sight.rows.filter(isMine), signal);
  await confirm();
  return {
    backing: theOne(found, id),
    dependants: sight.rows.filter(({ source }) => source === id),
    view: async () =>
      atOnce ? viewIn(world, sight, await foundIn(world, sight.rows, signal)) : await observe(world, signal),
  };
};

const theOne = (found: readonly Found[], id: string): Found | undefined => {
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

export const find = async (world: PoolWorld, id: string, signal: AbortSignal): Promise<Found | undefined> =>
  (await glance(world, id, signal)).backing;

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

/**
 * A pool that is that full takes no more. Without room for its own records it stops all its volumes, and without room for data those
 * which write (lvmthin(7)): others may take from it as well, and nobody counts what they were promised.
 */
const LIMITS_PERCENT = { usedPercent: 80n, metadataPercent: 70n } as const;

const isNearlyFull = (capacity: Row): boolean =>
  (['usedPercent', 'metadataPercent'] as const).some(
    (column) =>
      capacity[column] !== undefined && percentOf(capacity, column, 100n).upper >= LIMITS_PERCENT[column],
  );

/**
 * What a pool may still promise. The shared blocks of copies are counted with each of them by all tools, so where there are copies
 * the promises themselves are added up as well. Never overcommitted, never negative.
 */
const freeOf = (world: PoolWorld, capacity: Row, found: readonly Found[]): bigint => {
  if (capacity.fault !== undefined) {
    return 0n;
  }
  const total = wholeOf(capacity, 'total');
  const free =
    capacity.usedPercent === undefined
      ? wholeOf(capacity, 'free')
      : total - percentOf(capacity, 'usedPercent', total).upper;
  const limits = [
    free - sum(found.map(owedBy)),
    world.profile.has('snapshot') ? total - sum(found.map(claimOf)) : total,
    isNearlyFull(capacity) ? 0n : total,
  ];
  const least = limits.reduce((lowest, one) => (one < lowest ? one : lowest));
  return least > 0n ? least : 0n;
};

/**
 * As much as a copy-on-write store may come to take: all of the volume, and a record of each piece. Any more is of no use: LVM takes
 * less by itself where its pieces are larger (lvcreate(8), --chunksize). A store that holds all of it can never overflow.
 */
export const storeFor = (sizeBytes: bigint, extentBytes: bigint): bigint =>
  roundUp(sizeBytes + sizeBytes / BYTES_PER_RECORD_BYTE + 4n * LARGEST_PIECE_BYTES, extentBytes);

/** Pieces of 4 KiB, the smallest, have records of 16 bytes. */
const BYTES_PER_RECORD_BYTE = 256n;
const LARGEST_PIECE_BYTES = 512n * 1024n;
