// What an agent of an earlier version knows nothing of. Pure. Version 0.1.0 does not say what its pools are able to do; every later one
// does, as far as the CRDs let it.
import type { Claim } from '../api/conditions.ts';
import { type HostView, poolOf, type VolumeServer } from '../api/hosts.ts';

interface Asked {
  readonly server: string | undefined;
  readonly pool: string | undefined;
  /** What is asked of it, as in "which … ". */
  readonly lacks: string;
}

/** What to say where the agent of that server is too old; undefined where it is not, or nobody can tell. */
export function outdated(
  servers: readonly HostView<VolumeServer>[],
  { server, pool: name, lacks }: Asked,
): (Pick<Claim, 'message'> & { readonly reason: 'AgentOutdated' }) | undefined {
  const view = servers.find(({ host }) => host.metadata.name === server);
  const pool = poolOf(view?.host, name);
  // A pool which cannot be used is not told of in full.
  const isTold = pool !== undefined && pool.problem === undefined;
  return isTold && pool.can === undefined && view?.freshness === 'fresh'
    ? {
        reason: 'AgentOutdated',
        message: `the agent of ${server}, or its CRD, is of an earlier version, which ${lacks}; upgrade it`,
      }
    : undefined;
}
