// What a volume server tells of the data that outlives its objects, by a wish or by an accident. Pure.
import type { ServerAgent } from '../../api/hosts.ts';
import { type Backing, isWhole } from '../roles/pool.ts';
import type { TrashFact } from '../trash/keeper.ts';
import type { SeenPool, ServerScene } from './facts.ts';

type Held = NonNullable<ServerAgent['orphans']>[number];
type Retained = NonNullable<ServerAgent['retained']>[number];

/** As many as the schema takes. */
const MOST = 512;

type Scene = Pick<ServerScene, 'pools' | 'trash' | 'now' | 'before'>;

const byID = (a: Held, b: Held): number => (a.id < b.id ? -1 : 1);

/**
 * Ours only, by ID; absent where there is none. What the list has no room for is counted: of what is in the trash, that which goes
 * first; it crowds out nothing that is retained without end.
 */
export function retainedFacts(scene: Scene): Pick<ServerAgent, 'retained' | 'retainedOmitted'> {
  const all = heldIn(scene.pools, ({ state }) => state === 'retained').map(
    (one): Retained => ({ ...one, ...inTrash(one.id, scene) }),
  );
  const listed = all.toSorted(byWorth).slice(0, MOST).sort(byID);
  return {
    ...(all.length === 0 ? {} : { retained: listed }),
    ...(all.length <= MOST ? {} : { retainedOmitted: all.length - MOST }),
  };
}

/** Complete, and no object's: of a Volume or Snapshot that nobody deleted in the ordinary way. */
export function orphanFacts(
  pools: readonly SeenPool[],
  accounted: ReadonlySet<string>,
): Pick<ServerAgent, 'orphans' | 'orphansOmitted'> {
  const all = heldIn(pools, (backing) => isWhole(backing) && !accounted.has(backing.id));
  return {
    ...(all.length === 0 ? {} : { orphans: all.slice(0, MOST) }),
    ...(all.length <= MOST ? {} : { orphansOmitted: all.length - MOST }),
  };
}

const heldIn = (pools: readonly SeenPool[], isHeld: (backing: Backing) => boolean): Held[] =>
  pools
    .flatMap(({ name, view }) =>
      (view?.backings ?? [])
        .filter((backing) => backing.foreign !== true && isHeld(backing))
        .map((backing) => held(name, backing)),
    )
    .sort(byID);

const held = (pool: string, { id, owner, sizeBytes, cleanBytes }: Backing): Held => ({
  id,
  kind: id.startsWith('snap') ? 'Snapshot' : 'Volume',
  pool,
  // An object of the API server has shorter ones; a file beside the data may hold anything.
  ...(owner === undefined ? {} : { namespace: owner.namespace.slice(0, 63), name: owner.name.slice(0, 253) }),
  sizeBytes: (cleanBytes ?? sizeBytes).toString(),
});

/** Times of one format and zone: they sort as they read. */
const LAST = '~';

function byWorth(a: Retained, b: Retained): number {
  const [endOfA, endOfB] = [a, b].map(({ trash }) => trash?.removedAfter ?? LAST) as [string, string];
  return endOfA === endOfB ? byID(a, b) : endOfA > endOfB ? -1 : 1;
}

function inTrash(id: string, { trash, now, before }: Scene): Pick<Retained, 'trash'> {
  const fact = trash?.get(id);
  if (fact === undefined) {
    return {};
  }
  const told = before?.retained?.find((one) => one.id === id)?.trash;
  return { trash: { ttlSeconds: fact.ttlSeconds, removedAfter: steadyEnd(fact, now, told?.removedAfter) } };
}

/** For people: as told before, unless that is wrong by a fiftieth of the time, and by a minute. */
function steadyEnd({ ttlSeconds, leftMs }: TrashFact, now: Date, told: string | undefined): string {
  const endMs = now.getTime() + leftMs;
  const toldMs = Date.parse(told ?? '');
  const toleranceMs = Math.max(60_000, ttlSeconds * 20);
  // What is over and stays, since somebody wants it, would be over at another time with each look.
  const isGood = Math.abs(endMs - toldMs) <= toleranceMs || (leftMs === 0 && toldMs <= now.getTime());
  return told !== undefined && isGood ? told : new Date(endMs).toISOString().replace(/\.\d+Z$/, 'Z');
}
