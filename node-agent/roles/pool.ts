/**
 * The pool role: where the bytes of volumes live on a volume server. A volume has one of five names there, and the name
 * is the state: provisional (being made), complete (the final name *means* complete), growing (not exported meanwhile: behind its
 * data are bytes of others), dying (being removed) and retained (whole, and no object's any more: it is neither exported nor freed).
 */
import type { ByteRange } from '../exec/files.ts';

export type BackingState = 'provisional' | 'complete' | 'growing' | 'dying' | 'retained';

export interface Backing {
  /** A volumeID or a snapshotID. */
  readonly id: string;
  readonly state: BackingState;
  readonly sizeBytes: bigint;
  /** What a target exports: an absolute path of a file or block device. It changes with the state. */
  readonly path: string;
  /** The cluster that made it; absent when its tags are lost. */
  readonly clusterID?: string;
  /** The object it was made for; absent when its tags tell none. */
  readonly owner?: { readonly namespace: string; readonly name: string };
  /** True when it carries our name pattern and not our clusterID (or none): never touch it. */
  readonly foreign?: boolean;
  /** Of a growing one: its data, from the start on. What lies behind may be others' old bytes. */
  readonly cleanBytes?: bigint;
  /** What it shares blocks with, and goes with. */
  readonly sourceID?: string;
  /** What a command that was cut short left: a snapshot without its source, which is made anew, or a volume that is not active, and is resumed. */
  readonly half?: true;
  /** Why its data is lost, for good. */
  readonly fault?: string;
}

/** All that somebody was promised is there. */
export const isWhole = ({ state }: Pick<Backing, 'state'>): boolean =>
  state === 'complete' || state === 'growing';

export interface PoolView {
  readonly name: string;
  /** Tells this pool from another mounted in its place. */
  readonly identity: string;
  readonly totalBytes: bigint;
  /** What new volumes may still take: what thin or sparse volumes may yet grow to is already subtracted. Never negative. */
  readonly freeBytes: bigint;
  /** Sizes are whole multiples of this. */
  readonly extentBytes: bigint;
  readonly backings: readonly Backing[];
  /** What is wrong with the pool itself: nothing is free in it. */
  readonly fault?: string;
}

export interface Owner {
  /** UID of the `kube-system` namespace. */
  readonly clusterID: string;
  readonly namespace: string;
  readonly name: string;
}

export interface PoolCan {
  /** A complete volume may grow while it is exported. */
  readonly growOnline: boolean;
  /** `snapshot` works: a copy in a moment, which shares what is unchanged with its source. */
  readonly copyOnWrite: boolean;
  /** A copy may be taken while its source is written to, as of one moment. */
  readonly snapshotAttached: boolean;
  /** A copy stays whole when its source is removed. */
  readonly snapshotsOutlive: boolean;
  /** A volume of which there are snapshots does not grow. */
  readonly snapshotsHoldSize: boolean;
  /** What is retained may be retired by itself, when its time in the trash is over. */
  readonly trash: boolean;
  /** New space holds what others left there: `zero` is called for all of it before it is anybody's. */
  readonly zeroes: boolean;
  /** `wipe` works: what is to be freed is wiped first. */
  readonly wipes: boolean;
}

/**
 * Every method may be called again after a crash at any point and then goes on from what it finds. All throw
 * PoolMissing when the pool itself is not there (directory, mount, volume group) or is another one than expected,
 * CannotLook when looking failed, and NotOurs for a backing of another cluster.
 */
export interface Pool {
  readonly name: string;
  readonly can: PoolCan;
  /**
   * Makes an empty place a pool and returns its identity; a place that is a pool already just tells it. Throws NotOurs for
   * one with anything in it. Call it once in a pool's life, on a person's order: called at every start it would
   * turn a mount point whose disk is missing into an empty pool.
   */
  prepare(signal: AbortSignal): Promise<string>;
  observe(signal: AbortSignal): Promise<PoolView>;
  /**
   * Provisional name, size rounded up to the extent; reads as zeroes, but with `can.zeroes`. No-op when provisional (but it can be
   * read and written afterwards) or complete. Throws NoSpace.
   */
  create(id: string, sizeBytes: bigint, owner: Owner, signal: AbortSignal): Promise<void>;
  /**
   * A copy-on-write copy of a complete backing under the provisional name, of the same size. No-op when provisional or complete.
   * Throws Unsupported where `can.copyOnWrite` is false, BackingNotFound for the source, Busy while that grows, NoSpace.
   */
  snapshot(id: string, sourceID: string, owner: Owner, signal: AbortSignal): Promise<void>;
  /** Checks the size (Mismatch when it is less than asked), makes it durable, renames to the final name. No-op when complete. */
  complete(id: string, sizeBytes: bigint, signal: AbortSignal): Promise<void>;
  /** Renames the complete backing to the retained name. No-op when retained. Throws BackingNotFound, Unsupported. */
  retain(id: string, signal: AbortSignal): Promise<void>;
  /**
   * Makes the retained backing `sourceID` the provisional one of another ID and owner, in one rename. No-op when that is there:
   * then it is whole. Throws BackingNotFound for the source, NoSpace (a snapshot that will be written to needs room for that),
   * Unsupported. What stands beside the old name is left for `free` of the old ID.
   */
  adopt(id: string, sourceID: string, owner: Owner, signal: AbortSignal): Promise<void>;
  /**
   * Renames the complete, growing or provisional backing to the dying name. No-op when dying or absent. Refuses (NotDone) a retained
   * one, and (Busy) one that others go with.
   */
  retire(id: string, signal: AbortSignal): Promise<void>;
  /**
   * Renames the retained backing to the dying name, if `mayGo` still says so: it is asked in the pool's turn with what was looked at,
   * so that an adoption came before or finds nothing. No-op when it may not, or when dying or absent. Refuses (NotDone) all that is not
   * retained, and (Busy) one that others go with. Throws Unsupported where `can.trash` is false.
   */
  retireRetained(id: string, mayGo: (found: Backing) => boolean, signal: AbortSignal): Promise<void>;
  /**
   * Makes a range of a dying backing hold nothing, so that `free` has nothing more to do that takes its time; others need not wait for it.
   * Answers whether that made a difference: false for what holds nothing, or cannot be wiped, and for a pool without `can.wipes`. Throws
   * BackingNotFound, Mismatch for a range that is not there, Busy for what others go with or somebody has open.
   */
  wipe(id: string, range: ByteRange, signal: AbortSignal): Promise<boolean>;
  /** Removes the dying backing and its tags. Refuses (NotDone) any other state, (Busy) what others go with. No-op when absent. */
  free(id: string, signal: AbortSignal): Promise<void>;
  /**
   * Grows a complete backing to the size, rounded up; never shrinks. Throws NoSpace, BackingNotFound. With `can.zeroes` it is growing
   * from then on, until it was zeroed and `grown`; call it for what is not exported.
   */
  grow(id: string, sizeBytes: bigint, signal: AbortSignal): Promise<void>;
  /** Gives a growing backing, all of which is clean, its final name again. No-op when complete. Throws BackingNotFound. */
  grown(id: string, signal: AbortSignal): Promise<void>;
  /**
   * Makes a range of a provisional backing, or of a growing one behind its data, zero and durable; others need not wait for it. Throws
   * BackingNotFound, Mismatch for a range that is not there, Busy for a device that somebody has open.
   */
  zero(id: string, range: ByteRange, signal: AbortSignal): Promise<void>;
}
