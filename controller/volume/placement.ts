// Where a new volume goes. Pure.

import { isTrue } from '../../api/conditions.ts';
import type { HostView, PoolFact, VolumeServer } from '../../api/hosts.ts';
import { parseBytes, roundUp } from '../../api/quantity.ts';
import type { Reason } from '../../api/reasons.ts';
import type { Volume, VolumeClass } from '../../api/volume.ts';

export interface PlacementWorld {
  readonly volume: Volume;
  readonly classes: readonly VolumeClass[];
  readonly servers: readonly HostView<VolumeServer>[];
  /** Bytes promised in this pool to volumes which are placed and not yet provisioned. */
  readonly reservedBytes: (server: string, pool: string) => bigint;
}

export type Placement =
  | { readonly kind: 'placed'; readonly className: string; readonly server: string; readonly pool: string }
  | { readonly kind: 'waiting'; readonly reason: Reason; readonly message: string };

const waiting = (reason: Reason, message: string): Placement => ({ kind: 'waiting', reason, message });

function classOf({ volume, classes }: PlacementWorld): VolumeClass | Placement {
  const wanted = volume.spec.className;
  if (wanted !== undefined) {
    return (
      classes.find(({ metadata }) => metadata.name === wanted) ??
      waiting('ClassNotFound', `there is no VolumeClass ${wanted} (spec.className)`)
    );
  }
  const defaults = classes.filter(({ spec }) => spec.default === true);
  const [only, ...more] = defaults;
  if (only === undefined) {
    return waiting('NoDefaultClass', 'spec.className is absent and no VolumeClass has spec.default: true');
  }
  if (more.length > 0) {
    const names = defaults.map(({ metadata }) => metadata.name).join(', ');
    return waiting(
      'TwoDefaultClasses',
      `the classes ${names} are all marked default; leave one, or set spec.className`,
    );
  }
  return only;
}

const matches = (pool: PoolFact, { spec: { poolSelector } }: VolumeClass): boolean =>
  (poolSelector.name === undefined || poolSelector.name === pool.name) &&
  (poolSelector.profile === undefined || poolSelector.profile === pool.profile);

interface Candidate {
  readonly server: string;
  readonly pool: string;
  readonly freeBytes: bigint;
  readonly neededBytes: bigint;
}

function candidatesOf(world: PlacementWorld, found: VolumeClass): readonly Candidate[] {
  const { volume, servers, reservedBytes } = world;
  const size = parseBytes(volume.spec.size);
  return servers
    .filter(
      ({ host }) => volume.spec.volumeServer === undefined || volume.spec.volumeServer === host.metadata.name,
    )
    .filter(
      ({ host, freshness }) =>
        freshness === 'fresh' && host.spec?.cordoned !== true && isTrue(host.status?.conditions, 'HostSafe'),
    )
    .flatMap(({ host }) =>
      (host.status?.agent?.pools ?? [])
        .filter((pool) => pool.problem === undefined && matches(pool, found))
        .map((pool) => ({
          server: host.metadata.name,
          pool: pool.name,
          freeBytes: BigInt(pool.freeBytes ?? '0') - reservedBytes(host.metadata.name, pool.name),
          neededBytes: roundUp(size, BigInt(pool.extentBytes ?? '1')),
        })),
    );
}

/** Most free first; by name where equal. */
function byFreeBytes(a: Candidate, b: Candidate): number {
  if (a.freeBytes === b.freeBytes) {
    return `${a.server}/${a.pool}`.localeCompare(`${b.server}/${b.pool}`);
  }
  return a.freeBytes > b.freeBytes ? -1 : 1;
}

/** Chooses the fitting pool with the most space left, by name where equal. */
export function place(world: PlacementWorld): Placement {
  const found = classOf(world);
  if ('kind' in found && (found.kind === 'waiting' || found.kind === 'placed')) {
    return found as Placement;
  }
  const chosen = found as VolumeClass;
  const className = chosen.metadata.name;
  const pinned = world.volume.spec.volumeServer;
  if (pinned !== undefined && !world.servers.some(({ host }) => host.metadata.name === pinned)) {
    return waiting('VolumeServerNotFound', `there is no VolumeServer ${pinned} (spec.volumeServer)`);
  }
  const candidates = candidatesOf(world, chosen);
  if (candidates.length === 0) {
    const where = pinned === undefined ? 'no volume server' : `volume server ${pinned}`;
    return waiting(
      'NoPool',
      `${where} which answers, is safe and not cordoned has a pool of class ${className}`,
    );
  }
  const fitting = candidates
    .filter(({ freeBytes, neededBytes }) => freeBytes >= neededBytes)
    .toSorted(byFreeBytes);
  const [best] = fitting;
  if (best === undefined) {
    const most = candidates.toSorted(byFreeBytes)[0]?.freeBytes ?? 0n;
    const needed = candidates[0]?.neededBytes ?? 0n;
    return waiting(
      'NoSpace',
      `no pool of class ${className} has ${needed} bytes free (most: ${most}); free space, add a pool, or lower spec.size`,
    );
  }
  return { kind: 'placed', className, server: best.server, pool: best.pool };
}
