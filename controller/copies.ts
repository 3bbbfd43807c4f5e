// What is copied from a Volume or Snapshot, as the caches and, where they cannot tell, the API server have it.
import { type PoolFact, poolOf } from '../api/hosts.ts';
import { keyOf, type Resource } from '../api/object.ts';
import { SNAPSHOTS, VOLUMES } from '../api/resources.ts';
import { isSnapshot, pinsOf, type Stored } from '../api/volume.ts';
import type { Api } from '../runtime/api.ts';
import { type Caches, isOnLostServer, placementWorld } from './caches.ts';
import type { PinWorld } from './pins.ts';
import { place } from './volume/placement.ts';

/** The only look outside the caches: objects named in a pin and not cached may be gone, or just not seen yet. */
export async function observeCopies(
  stored: Stored,
  { api, caches }: { readonly api: Api; readonly caches: Caches },
  signal: AbortSignal,
): Promise<PinWorld> {
  const copies = copiesOf(stored, caches);
  const missing = missingFrom(copies, stored);
  const alive = missing.length === 0 ? [] : await liveUIDs(api, stored.metadata.namespace ?? '', signal);
  const gone = missing.filter((uid) => !alive.includes(uid));
  return pinWorld(stored, caches, { copies, gone });
}

/** The same, read live: before a removal is ordered, since what was asked for in time may not have come by the watch yet. */
export async function readCopies(
  stored: Stored,
  { api, caches }: { readonly api: Api; readonly caches: Caches },
  signal: AbortSignal,
): Promise<PinWorld> {
  const { name, namespace = '' } = stored.metadata;
  const named = async (resource: Resource, field: string): Promise<readonly Stored[]> => {
    const selection = { namespace, fieldSelector: `${field}=${name}` };
    return (await api.list<Stored>(resource, selection, { signal })).items;
  };
  const lists = isSnapshot(stored)
    ? [named(VOLUMES, 'spec.source.snapshotRef.name')]
    : [named(VOLUMES, 'spec.source.volumeRef.name'), named(SNAPSHOTS, 'spec.volumeRef.name')];
  const copies = (await Promise.all(lists)).flat();
  return pinWorld(stored, caches, { copies, gone: missingFrom(copies, stored) });
}

const pinWorld = (
  stored: Stored,
  caches: Caches,
  { copies, gone }: { readonly copies: readonly Stored[]; readonly gone: readonly string[] },
): PinWorld => ({
  copies,
  goneCopies: new Set(gone),
  lost: isOnLostServer(stored, caches),
  can: holderOf(stored, caches)?.can,
  mayPlace: (copy) => mayPlace(copy, stored, caches),
});

/** UIDs in the pins which are none of these objects'. */
const missingFrom = (copies: readonly Stored[], stored: Stored): readonly string[] =>
  pinsOf(stored)
    .map(({ uid }) => uid)
    .filter((uid) => !copies.some(({ metadata }) => metadata.uid === uid));

function copiesOf(stored: Stored, { volumes, snapshots }: Caches): readonly Stored[] {
  const key = keyOf(stored);
  return isSnapshot(stored)
    ? volumes.byIndex('sourceSnapshot', key)
    : [...snapshots.byIndex('volume', key), ...volumes.byIndex('sourceVolume', key)];
}

async function liveUIDs(api: Api, namespace: string, signal: AbortSignal): Promise<readonly string[]> {
  const lists = await Promise.all(
    [VOLUMES, SNAPSHOTS].map((resource) => api.list<Stored>(resource, { namespace }, { signal })),
  );
  return lists.flatMap(({ items }) => items.map(({ metadata }) => metadata.uid));
}

/** The pool that holds the data. */
const holderOf = ({ status }: Stored, { servers }: Caches): PoolFact | undefined =>
  poolOf(servers.get(status?.server ?? ''), status?.pool);

/** As the visit of the copy will decide once this object carries its pin. */
function mayPlace(copy: Stored, of: Stored, caches: Caches): boolean {
  if (copy.status?.placement !== undefined) {
    return true;
  }
  if (isSnapshot(copy)) {
    return hasRoom(of, caches);
  }
  const placement = place(placementWorld(copy, of, caches));
  return placement.kind === 'placed' || placement.reason === 'WaitingForSource';
}

/** A Snapshot is made beside its Volume. Where the pool copies on write it takes next to nothing, and the pool is the judge. */
function hasRoom(stored: Stored, caches: Caches): boolean {
  const pool = holderOf(stored, caches);
  const onWrite = pool?.can?.includes('CopyOnWrite') === true;
  return onWrite || BigInt(pool?.freeBytes ?? '0') >= BigInt(stored.status?.backend?.sizeBytes ?? '0');
}
