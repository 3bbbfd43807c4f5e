// What a volume server tells of the data that outlives its objects, by a wish or by an accident. Pure.
import type { ServerAgent } from '../../api/hosts.ts';
import type { Backing } from '../roles/pool.ts';
import type { SeenPool } from './facts.ts';

type Held = NonNullable<ServerAgent['orphans']>[number];

/** As many as the schema takes. */
const MOST = 512;

const byID = (a: Held, b: Held): number => (a.id < b.id ? -1 : 1);

/** Ours only, by ID; absent where there is none. What the list has no room for is counted. */
export function retainedFacts(pools: readonly SeenPool[]): Pick<ServerAgent, 'retained' | 'retainedOmitted'> {
  const all = heldIn(pools, ({ state }) => state === 'retained');
  return {
    ...(all.length === 0 ? {} : { retained: all.slice(0, MOST) }),
    ...(all.length <= MOST ? {} : { retainedOmitted: all.length - MOST }),
  };
}

/** Complete, and no object's: of a Volume or Snapshot that nobody deleted in the ordinary way. */
export function orphanFacts(
  pools: readonly SeenPool[],
  accounted: ReadonlySet<string>,
): Pick<ServerAgent, 'orphans' | 'orphansOmitted'> {
  const all = heldIn(
    pools,
    ({ id, state }) => (state === 'complete' || state === 'growing') && !accounted.has(id),
  );
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
