// Pins: what is copied from a Volume or Snapshot, or depends on it, holds it. Pure. Granting, pinning and removing exclude each
// other, since all three are writes to the one object which carries grants and pins.
import {
  backendOf,
  grantsOf,
  hasFinalizer,
  isDeleting,
  isProvisioned,
  isSnapshot,
  type Pin,
  pinsOf,
  type Stored,
  type Volume,
} from '../api/volume.ts';

export interface PinWorld {
  /** All Snapshots and Volumes which name this object as their source. */
  readonly copies: readonly Stored[];
  /** UIDs in the pins for which a live list proved that no object exists any more. */
  readonly goneCopies: ReadonlySet<string>;
  /** The server of this object, and so of its copies, is lost for good: nothing there is being copied any more. */
  readonly lost: boolean;
  /** What the pool of this object is able to do. */
  readonly can: readonly string[];
}

/** The pins as they should be; undefined when they are as they should be. */
export function planPins(stored: Stored, world: PinWorld): readonly Pin[] | undefined {
  const before = pinsOf(stored);
  const kept = before.filter((pin) => !mayDrop(pin, world)).map((pin) => relaxed(pin, world));
  const added = newPins(stored, world, kept);
  const pins = [...kept, ...added];
  const isSame = pins.length === before.length && pins.every((pin, index) => pin === before[index]);
  return isSame ? undefined : pins;
}

/** Complete, in order, and to stay at least as long as it takes: this may be copied from it. */
export const isOpenTo = (stored: Stored, copy: Stored): boolean =>
  hasFinalizer(stored) &&
  isProvisioned(stored) &&
  backendOf(stored)?.problem === undefined &&
  stored.status?.order === 'Keep' &&
  isAskedInTime(stored, copy);

/** What was there before the source was deleted still gets its copy; both times are the API server's. */
export const isAskedInTime = (stored: Stored, copy: Stored): boolean =>
  !isDeleting(stored) || (copy.metadata.creationTimestamp ?? '') <= (stored.metadata.deletionTimestamp ?? '');

function newPins(stored: Stored, world: PinWorld, kept: readonly Pin[]): readonly Pin[] {
  const inUse = !isSnapshot(stored) && grantsOf(stored as Volume).length > 0;
  return (
    world.copies
      .filter((copy) => hasFinalizer(copy) && !isDeleting(copy) && !isProvisioned(copy))
      .filter((copy) => isOpenTo(stored, copy))
      .filter(({ metadata }) => !kept.some(({ uid }) => uid === metadata.uid))
      // One that found another source under this name keeps that.
      .filter(({ status }) => status?.source === undefined || status.source.uid === stored.metadata.uid)
      .map((copy) => pinOf(copy, stored, world))
      .filter(({ still }) => still !== true || !inUse)
  );
}

function pinOf(copy: Stored, of: Stored, { can }: PinWorld): Pin {
  const { uid, name } = copy.metadata;
  const kind = isSnapshot(copy) ? 'Snapshot' : 'Volume';
  // A Snapshot is never written to, and a copy of a volume in use is as of one moment only where the pool can do that.
  const still = !isSnapshot(of) && !(isSnapshot(copy) && can.includes('SnapshotAttached'));
  return { uid, kind, name, ...(still ? { still } : {}) };
}

const copyOf = ({ uid }: Pin, { copies }: PinWorld): Stored | undefined =>
  copies.find(({ metadata }) => metadata.uid === uid);

/** Only facts that stay true: the copy is made, or its server has nothing of it, or it was never placed, or it is gone. */
function mayDrop(pin: Pin, world: PinWorld): boolean {
  const copy = copyOf(pin, world);
  if (copy === undefined) {
    return world.goneCopies.has(pin.uid);
  }
  if (isProvisioned(copy) && !depends(pin, world)) {
    return true;
  }
  const never = copy.status?.placement === undefined;
  return isDeleting(copy) && (never || world.lost || backendOf(copy)?.absentAt !== undefined);
}

/** The copy shares blocks with its source for ever, and goes with it. */
const depends = ({ kind }: Pin, { can }: PinWorld): boolean =>
  kind === 'Snapshot' && !can.includes('SnapshotsOutlive');

/** Once a dependent copy is made, its source may be written to again, but not removed. */
function relaxed(pin: Pin, world: PinWorld): Pin {
  const copy = copyOf(pin, world);
  if (pin.still !== true || copy === undefined || !isProvisioned(copy)) {
    return pin;
  }
  const { still: _, ...rest } = pin;
  return rest;
}

/** For people: who holds it. */
export const pinners = (stored: Stored): string =>
  pinsOf(stored)
    .slice(0, 5)
    .map(({ kind, name }) => `${kind} ${name}`)
    .join(', ');
