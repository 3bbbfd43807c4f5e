// What a volume server keeps on its own disk about data in its trash, written before the data is put aside. Without it the data is
// retained without end: losing it loses nothing.
import { idOf, isSnapshot, type Stored, trashOf } from '../../api/volume.ts';
import type { Backing } from '../roles/pool.ts';

export interface TrashMemory {
  /** What this record is called. */
  readonly volumeID: string;
  readonly pool: string;
  /** As its tags told when it was put aside. What an adoption has begun with tells another one, and is not in the trash any more. */
  readonly owner?: NonNullable<Backing['owner']>;
  readonly ttlSeconds: number;
  /** Of these, how many this host has seen pass while the data was there and told of. */
  readonly elapsedSeconds: number;
}

/** As it begins, of what is ordered into the trash; undefined for all else. */
export function newTrash(stored: Stored, owner: Backing['owner']): TrashMemory | undefined {
  const trash = trashOf(stored);
  const volumeID = idOf(stored);
  if (trash === undefined || volumeID === undefined || isSnapshot(stored)) {
    return undefined;
  }
  const { ttlSeconds } = trash;
  const owned = owner === undefined ? {} : { owner };
  return { volumeID, pool: stored.status?.pool ?? '', ...owned, ttlSeconds, elapsedSeconds: 0 };
}
