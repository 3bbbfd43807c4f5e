// When data goes from the trash. Pure. What permits it is the order that was written to this host's own disk, and time that the host has
// seen pass: its object is gone, so nobody can be asked. Who has it again, or wants it, forbids it.
import type { Backing } from '../roles/pool.ts';
import type { TrashMemory } from './memory.ts';

export interface TrashWorld {
  readonly record: TrashMemory;
  /** Time that counts since the record was written. */
  readonly passedMs: number;
  /** The data is there, put aside as it was recorded; undefined where the pool was not seen. */
  readonly isThere: boolean | undefined;
  /** Before the look an object had its ID, or it was not known which objects there are. */
  readonly isAccounted: boolean;
  /** A Volume is about to adopt it. */
  readonly isWanted: boolean;
}

/** note: write down how much time has passed. forget: the record speaks of nothing any more. */
export type TrashPlan = 'wait' | 'note' | 'remove' | 'forget';

export function planTrash(world: TrashWorld): TrashPlan {
  const { record, passedMs, isThere, isAccounted, isWanted } = world;
  if (isThere === undefined) {
    return 'wait';
  }
  if (!isThere) {
    // With its object still there it may be just about to be put aside.
    return isAccounted ? 'wait' : 'forget';
  }
  if (leftMs(record, passedMs) === 0 && !isAccounted && !isWanted) {
    return 'remove';
  }
  const isDue = passedMs >= noteEveryMs(record) && record.elapsedSeconds < record.ttlSeconds;
  return isDue ? 'note' : 'wait';
}

/** How long it stays at least. */
export const leftMs = ({ ttlSeconds, elapsedSeconds }: TrashMemory, passedMs: number): number =>
  Math.max(0, (ttlSeconds - elapsedSeconds) * 1_000 - passedMs);

/** A hundredth of its time, and no more often than each minute: a crash loses at most that, and the data stays longer by it. */
const noteEveryMs = ({ ttlSeconds }: TrashMemory): number => Math.max(60_000, ttlSeconds * 10);

/** With the time written down that has passed; whole seconds, and no more than there are. */
export const noted = (record: TrashMemory, passedMs: number): TrashMemory => ({
  ...record,
  elapsedSeconds: Math.min(record.ttlSeconds, record.elapsedSeconds + Math.floor(passedMs / 1_000)),
});

/** Put aside as it was recorded, and by nobody else since. */
export const isTrash = ({ volumeID, owner }: TrashMemory, found: Backing): boolean =>
  found.id === volumeID &&
  found.state === 'retained' &&
  found.foreign !== true &&
  found.owner?.namespace === owner?.namespace &&
  found.owner?.name === owner?.name;

/** Above what a visit of the host takes; what is longer was a standstill, in which nobody looked. */
const LONGEST_GAP_MS = 300_000;

/** Of the time between two looks that both found the data, what counts. Clocks of one process only. */
export const countedMs = (fromMs: number | undefined, toMs: number): number =>
  fromMs === undefined ? 0 : Math.min(Math.max(0, toMs - fromMs), LONGEST_GAP_MS);
