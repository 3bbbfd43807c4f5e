// What a volume server tells of the data that outlives its objects. Pure.
import type { ServerAgent } from '../../api/hosts.ts';
import type { SeenPool } from './facts.ts';

type Retained = NonNullable<ServerAgent['retained']>[number];

/** As many as the schema takes. */
const MOST = 512;

/** Ours only, by ID; absent where there is none. What the list has no room for is counted. */
export function retainedFacts(pools: readonly SeenPool[]): Pick<ServerAgent, 'retained' | 'retainedOmitted'> {
  const all = pools.flatMap(retainedIn).sort((a, b) => (a.id < b.id ? -1 : 1));
  return {
    ...(all.length === 0 ? {} : { retained: all.slice(0, MOST) }),
    ...(all.length <= MOST ? {} : { retainedOmitted: all.length - MOST }),
  };
}

const retainedIn = ({ name: pool, view }: SeenPool): readonly Retained[] =>
  (view?.backings ?? [])
    .filter(({ state, foreign }) => state === 'retained' && foreign !== true)
    .map(({ id, owner, sizeBytes }) => ({
      id,
      kind: id.startsWith('snap') ? 'Snapshot' : 'Volume',
      pool,
      // An object of the API server has shorter ones; a file beside the data may hold anything.
      ...(owner === undefined
        ? {}
        : { namespace: owner.namespace.slice(0, 63), name: owner.name.slice(0, 253) }),
      sizeBytes: sizeBytes.toString(),
    }));
