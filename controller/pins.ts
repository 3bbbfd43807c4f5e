// Pins: what is copied from a Volume or Snapshot, or depends on it, holds it. Pure. Granting, pinning and removing exclude each
// other, since all three are writes to the one object which carries grants and pins.
import { sameJson } from '../api/equal.ts';
import { copyInitiatorName } from '../api/names.ts';
import {
  backendOf,
  grantsOf,
  hasFinalizer,
  idOf,
  isDeleting,
  isEnded,
  isProvisioned,
  isSnapshot,
  type Pin,
  pinsOf,
  type Reader,
  type Stored,
  type Volume,
} from '../api/volume.ts';

export interface PinWorld {
  /** All Snapshots and Volumes which name this object as their source. */
  readonly copies: readonly Stored[];
  /** UIDs in the pins for which a live list proved that no object exists any more. */
  readonly goneCopies: ReadonlySet<string>;
  /** The server of this object is lost for good: nothing there is being copied any more. */
  readonly lost: boolean;
  /** What the pool of this object is able to do; undefined where its server does not say: it is away, or knows nothing of copies. */
  readonly can: readonly string[] | undefined;
  /** The copy is placed, or would be, but for the pin: one that is not would keep writers away for nothing. */
  readonly mayPlace: (copy: Stored) => boolean;
}

/** As many as the schema takes. */
const MOST = 256;

/** The pins as they should be; undefined when they are as they should be. */
export function planPins(stored: Stored, world: PinWorld): readonly Pin[] | undefined {
  const before = pinsOf(stored);
  const kept = before.filter((pin) => !mayDrop(pin, world)).map((pin) => adapted(pin, stored, world));
  const added = newPins(stored, world, kept).slice(0, MOST - kept.length);
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

const isInUse = (stored: Stored): boolean => !isSnapshot(stored) && grantsOf(stored as Volume).length > 0;

const byAge = (a: Stored, b: Stored): number =>
  `${a.metadata.creationTimestamp} ${a.metadata.uid}`.localeCompare(
    `${b.metadata.creationTimestamp} ${b.metadata.uid}`,
  );

function newPins(stored: Stored, world: PinWorld, kept: readonly Pin[]): readonly Pin[] {
  if (world.can === undefined) {
    return [];
  }
  return (
    world.copies
      .filter((copy) => hasFinalizer(copy) && !isDeleting(copy) && !isProvisioned(copy))
      .filter((copy) => isOpenTo(stored, copy))
      .filter(({ metadata }) => !kept.some(({ uid }) => uid === metadata.uid))
      // One that found another source under this name keeps that.
      .filter(({ status }) => status?.source === undefined || status.source.uid === stored.metadata.uid)
      .filter((copy) => world.mayPlace(copy))
      .toSorted(byAge)
      .map((copy) => pinOf(copy, stored, world))
      .filter(({ still }) => still !== true || !isInUse(stored))
  );
}

function pinOf(copy: Stored, of: Stored, { can }: PinWorld): Pin {
  const { uid, name } = copy.metadata;
  const kind = isSnapshot(copy) ? 'Snapshot' : 'Volume';
  // A Snapshot is never written to, and a copy of a volume in use is as of one moment only where the pool can do that.
  const still = !isSnapshot(of) && !(isSnapshot(copy) && can?.includes('SnapshotAttached') === true);
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
  if (never && !isDeleting(copy) && !world.mayPlace(copy)) {
    return true;
  }
  return isDeleting(copy) && (never || world.lost || isEnded(copy));
}

/** The copy shares blocks with its source for ever, and goes with it. */
const depends = ({ kind }: Pin, { can }: PinWorld): boolean =>
  kind === 'Snapshot' && can?.includes('SnapshotsOutlive') !== true;

/**
 * Once a dependent copy is made, its source may be written to again, but not removed. A pool that has lost an ability needs
 * writers kept away after all, as soon as there is none.
 */
function adapted(pin: Pin, stored: Stored, world: PinWorld): Pin {
  const copy = copyOf(pin, world);
  if (copy === undefined) {
    return pin;
  }
  if (isProvisioned(copy)) {
    const { still: _, reader: __, ...rest } = pin;
    return pin.still === true || pin.reader !== undefined ? rest : pin;
  }
  const wanted = world.can === undefined ? pin : pinOf(copy, stored, world);
  const kept = wanted.still === true && pin.still !== true && !isInUse(stored) ? wanted : pin;
  return withReader(kept, readerOf(copy, stored));
}

function withReader(pin: Pin, reader: Reader | undefined): Pin {
  if (sameJson(pin.reader, reader)) {
    return pin;
  }
  const { reader: _, ...rest } = pin;
  return reader === undefined ? rest : { ...rest, reader };
}

/** The server which makes the copy, where it is another one. */
function readerOf(copy: Stored, { status }: Stored): Reader | undefined {
  const { server, placement } = copy.status ?? {};
  const id = idOf(copy);
  const isElsewhere = server !== undefined && server !== status?.server;
  return isElsewhere && placement !== undefined && id !== undefined
    ? { server, initiator: copyInitiatorName(id, placement.epoch), epoch: placement.epoch }
    : undefined;
}

/** As it is without access for a server of these, which is let in later. */
export function withoutReader(pin: Pin, servers: readonly string[]): Pin {
  return pin.reader !== undefined && servers.includes(pin.reader.server) ? withReader(pin, undefined) : pin;
}

/** Hosts which are let in by these pins and were not by those before: each pair needs a key first. */
export const newReaders = (pins: readonly Pin[] | undefined, before: Stored): readonly string[] => {
  const known = pinsOf(before).map(({ reader }) => reader?.server);
  const servers = (pins ?? []).flatMap(({ reader }) => (reader === undefined ? [] : [reader.server]));
  return [...new Set(servers)].filter((server) => !known.includes(server));
};

/** For people: who holds it. */
export const pinners = (stored: Stored): string =>
  pinsOf(stored)
    .slice(0, 5)
    .map(({ kind, name }) => `${kind} ${name}`)
    .join(', ');
