// What a volume server keeps on its own disk about a volume, written before it is reported, so that an API server which
// was set back to an earlier day, or is away, cannot make it forget.
import type { Grant } from '../../api/volume.ts';

/** How the data of a volume or snapshot is made from its source, remembered before it is begun. */
export interface CopyMemory {
  /** Empty where there is none. */
  readonly sourceID: string;
  /**
   * CopyOnWrite: the pool makes the copy in a moment. Copy: byte by byte, checked chunk by chunk. Zero: a blank volume in a pool whose
   * space holds what others left, chunk by chunk as well. Adopt: retained data gets another name, so that a provisional backing is the
   * whole data, and all there is of it.
   */
  readonly how: 'CopyOnWrite' | 'Copy' | 'Zero' | 'Adopt';
  /** Copied or zeroed, checked and durable, from the start on; decimal. */
  readonly copiedBytes: string;
}

/** How far the space behind the data of a volume is zeroed by which it grows; decimal. */
export interface GrowthMemory {
  readonly fromBytes: string;
  readonly zeroedUntil: string;
}

export interface GrantKey {
  readonly epoch: number;
  readonly key: string;
}

export interface ServerMemory {
  /** The volumeID, or the snapshotID: what this record is called. */
  readonly volumeID: string;
  readonly volumeUID: string;
  /** The complete backing store was seen once: never create it again. */
  readonly everProvisioned: boolean;
  /** The placement for which there was no room before anything was made: never make it for that one. */
  readonly refusedEpoch?: number;
  readonly copy?: CopyMemory;
  readonly growth?: GrowthMemory;
  /** Why its data is lost: said for ever, since what is not active any more tells nothing. */
  readonly fault?: string;
  /** The highest revision of the grants ever applied. */
  readonly revision: number;
  /** The grants of that revision, to rebuild targets from while the API is away. */
  readonly items: readonly Grant[];
  /** The CHAP keys with which they were opened: a session of a hypervisor comes back with the one it knows. */
  readonly keys?: readonly GrantKey[];
  /** Epochs which were withdrawn: never let in again. */
  readonly withdrawn: readonly number[];
  /** Every epoch below was withdrawn too: epochs only grow, and the controller drops none that was not. */
  readonly withdrawnBelow: number;
}

export const isWithdrawnEpoch = ({ withdrawn, withdrawnBelow }: ServerMemory, epoch: number): boolean =>
  epoch < withdrawnBelow || withdrawn.includes(epoch);

/**
 * Of a volume whose object is lost, when another one takes over its data and its ID: all that was true stays true, and what is granted is
 * granted still. Where it is forgotten, numbers go on above the seconds since 1970, which no volume ever had grants enough to reach.
 */
export function takenOver(
  memory: ServerMemory | undefined,
  { volumeID, volumeUID, now }: { readonly volumeID: string; readonly volumeUID: string; readonly now: Date },
): ServerMemory {
  if (memory !== undefined) {
    return { ...memory, volumeUID };
  }
  const revision = Math.floor(now.getTime() / 1_000);
  return { ...emptyServerMemory(volumeID, volumeUID), revision, withdrawnBelow: revision + 1 };
}

/** What stands of the grants remembered. */
export const standing = (memory: ServerMemory): readonly Grant[] =>
  memory.items.filter(({ epoch, state }) => state === 'Granted' && !isWithdrawnEpoch(memory, epoch));

export const emptyServerMemory = (volumeID: string, volumeUID: string): ServerMemory => ({
  volumeID,
  volumeUID,
  everProvisioned: false,
  revision: 0,
  items: [],
  withdrawn: [],
  withdrawnBelow: 0,
});
