// The pools of a volume server, by the names which Volumes know them by.
import { coalesced } from './coalesce.ts';
import type { PoolConfig } from './config.ts';
import type { BoundProfile } from './profiles/bind.ts';
import type { Program } from './program.ts';
import { PoolMissing } from './roles/errors.ts';
import type { Pool, PoolView } from './roles/pool.ts';
import { profiledPool } from './roles/profiled-pool.ts';
import { RecordStore } from './store.ts';

export interface OpenPool {
  readonly config: PoolConfig;
  readonly bound: BoundProfile;
  readonly pool: Pool;
  readonly look: () => Promise<PoolView>;
}

export async function openPools(
  program: Program,
  configs: readonly PoolConfig[],
): Promise<readonly OpenPool[]> {
  const identities = await RecordStore.open<string>(program.files, `${program.config.stateDir}/pools`);
  const opened: OpenPool[] = [];
  for (const config of configs) {
    const bound = await program.bindRole('pool', config);
    const pool = profiledPool(bound, {
      name: config.name,
      clusterID: program.clusterID,
      identity: () => identities.get(config.name),
    });
    const look = coalesced(
      async (signal) => {
        const view = await pool.observe(signal);
        if (identities.get(config.name) === undefined) {
          // From now on another pool mounted in its place is a missing pool.
          await identities.put(config.name, view.identity);
        }
        return view;
      },
      { subject: `pool ${config.name}`, clock: program.clock },
    );
    opened.push({ config, bound, pool, look });
  }
  return opened;
}

/** Throws PoolMissing also for a pool that this agent does not know. */
export function lookAt(pools: readonly OpenPool[], name: string): Promise<PoolView> {
  const open = pools.find(({ config }) => config.name === name);
  if (open === undefined) {
    throw new PoolUnknown(name);
  }
  return open.look();
}

class PoolUnknown extends PoolMissing {
  constructor(name: string) {
    super(name, 'it is not in the configuration of this agent');
  }
}
