// What must be written to a backing before it is whole: the bytes of its source, from the start on, and then zeroes wherever new
// space may hold what others left there. Pure.
import type { Source } from '../../api/volume.ts';
import type { Backing } from '../roles/pool.ts';
import type { ServerMemory } from './memory.ts';

export interface Filling {
  /** Of a whole volume, behind its data. */
  readonly isGrowth: boolean;
  /** Where the space begins that holds nothing yet. */
  readonly fromBytes: bigint;
  /** Written, checked and durable up to here. */
  readonly doneBytes: bigint;
  /** Up to here the bytes are the source's. */
  readonly copiedUntil: bigint;
  readonly wholeBytes: bigint;
}

export interface Filled {
  readonly memory: ServerMemory | undefined;
  readonly backing: Backing;
  readonly source: Source | undefined;
  /** The pool's ability. */
  readonly zeroes: boolean;
}

/** Undefined: nothing is known to be written to it piece by piece. */
export function fillingOf({ memory, backing, source, zeroes }: Filled): Filling | undefined {
  const { cleanBytes, sizeBytes } = backing;
  if (cleanBytes !== undefined) {
    return {
      isGrowth: true,
      fromBytes: cleanBytes,
      doneBytes: zeroedOf(memory, cleanBytes),
      copiedUntil: 0n,
      wholeBytes: sizeBytes,
    };
  }
  const { copy } = memory ?? {};
  if (copy?.how !== 'Copy' && copy?.how !== 'Zero') {
    return undefined;
  }
  const copiedUntil = copy.how === 'Copy' ? BigInt(source?.sizeBytes ?? '0') : 0n;
  const doneBytes = BigInt(copy.copiedBytes);
  const wholeBytes = zeroes ? sizeBytes : copiedUntil;
  return { isGrowth: false, fromBytes: 0n, doneBytes, copiedUntil, wholeBytes };
}

/** What is remembered of a growth from another size says nothing. */
function zeroedOf(memory: ServerMemory | undefined, cleanBytes: bigint): bigint {
  const { growth } = memory ?? {};
  const isThis = growth !== undefined && BigInt(growth.fromBytes) === cleanBytes;
  return isThis && BigInt(growth.zeroedUntil) > cleanBytes ? BigInt(growth.zeroedUntil) : cleanBytes;
}

export const isFilled = ({ doneBytes, wholeBytes }: Filling): boolean => doneBytes >= wholeBytes;

/** In steps of five, since each is a write. */
export function percentOf({ fromBytes, doneBytes, wholeBytes }: Filling): number {
  const all = wholeBytes - fromBytes;
  return all <= 0n ? 100 : Number(((doneBytes - fromBytes) * 20n) / all) * 5;
}

/** The memory, with so much of it written. */
export function withDone(
  memory: ServerMemory,
  { isGrowth, fromBytes }: Filling,
  doneBytes: bigint,
): ServerMemory {
  const { copy } = memory;
  if (isGrowth) {
    const growth = { fromBytes: fromBytes.toString(), zeroedUntil: doneBytes.toString() };
    return { ...memory, growth };
  }
  return copy === undefined ? memory : { ...memory, copy: { ...copy, copiedBytes: doneBytes.toString() } };
}
