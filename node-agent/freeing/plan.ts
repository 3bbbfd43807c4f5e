// What is to be freed next in a pool, and how much of it at once. Pure.
import type { Backing } from '../roles/pool.ts';

/** How far the wiping of what is to be freed has come; kept on the server's own disk. */
export interface WipeMemory {
  readonly id: string;
  readonly pool: string;
  readonly sizeBytes: string;
  /** From the start on. */
  readonly wipedBytes: string;
}

/** The dying name means that the removal was ordered: only the space is left to free. */
export const dyingIn = (backings: readonly Backing[]): readonly Backing[] =>
  backings.filter(({ state, foreign }) => state === 'dying' && foreign !== true);

/** Everybody's turn comes round, so that a large one holds up no small one. What shares blocks with a volume goes before the volume can. */
export function nextToFree(
  backings: readonly Backing[],
  { last, canTry }: { readonly last: string | undefined; readonly canTry: (id: string) => boolean },
): Backing | undefined {
  const dying = dyingIn(backings);
  const origins = new Set(dying.map(({ sourceID }) => sourceID));
  const free = dying
    .filter(({ id }) => !origins.has(id) && canTry(id))
    .toSorted((a, b) => a.id.localeCompare(b.id));
  return free.find(({ id }) => last !== undefined && id.localeCompare(last) > 0) ?? free[0];
}

/** What is remembered of one that had the ID before, and another size, says nothing. */
export function wipedOf(memory: WipeMemory | undefined, { sizeBytes }: Pick<Backing, 'sizeBytes'>): bigint {
  return memory?.sizeBytes === sizeBytes.toString() ? BigInt(memory.wipedBytes) : 0n;
}

export const FIRST_RANGE_BYTES = 64n * 1024n * 1024n;
const LARGEST_RANGE_BYTES = 8n * 1024n * 1024n * 1024n;
/** The commands around a range weigh little, and what a guest waits for behind it is short. */
const AIMED_MS = 1_000;

/** How much to wipe at once, after so much took so long. */
export function nextRangeBytes(bytes: bigint, tookMs: number): bigint {
  if (tookMs <= AIMED_MS / 2) {
    return bytes * 2n < LARGEST_RANGE_BYTES ? bytes * 2n : LARGEST_RANGE_BYTES;
  }
  return tookMs > AIMED_MS * 2 && bytes > FIRST_RANGE_BYTES ? bytes / 2n : bytes;
}

/** In steps of five, since each is a write: how much of it is still to be wiped. */
export function leftOf(sizeBytes: bigint, wipedBytes: bigint): bigint {
  const twentieths = sizeBytes === 0n ? 20n : (wipedBytes * 20n) / sizeBytes;
  return sizeBytes - (sizeBytes * twentieths) / 20n;
}
