// Where a new volume goes. Pure.

import { isTrue } from '../../api/conditions.ts';
import { type HostView, type PoolFact, poolOf, type VolumeServer } from '../../api/hosts.ts';
import { roundUp } from '../../api/quantity.ts';
import type { Reason } from '../../api/reasons.ts';
import {
  backendOf,
  type Source,
  type Stored,
  type Trash,
  type Volume,
  type VolumeClass,
  wantedBytes,
} from '../../api/volume.ts';
import { outdated } from '../outdated.ts';
import { findExisting } from './adoption.ts';
import { sourceOf, untilPinned } from './source.ts';

export interface PlacementWorld {
  readonly volume: Volume;
  readonly classes: readonly VolumeClass[];
  readonly servers: readonly HostView<VolumeServer>[];
  /** What spec.source names; undefined when it names nothing, or nothing that exists. */
  readonly source: Stored | undefined;
  /** Bytes promised in this pool to volumes which are placed and not yet provisioned. */
  readonly reservedBytes: (server: string, pool: string) => bigint;
  /** Another Volume which has this volumeID. */
  readonly holderOf: (volumeID: string) => Volume | undefined;
}

export type Placement =
  | {
      readonly kind: 'placed';
      readonly className: string;
      readonly server: string;
      readonly pool: string;
      readonly source?: Source;
      /** What the class says of deleted volumes. */
      readonly trash?: Trash;
    }
  | { readonly kind: 'waiting'; readonly reason: Reason; readonly message: string };

const waiting = (reason: Reason, message: string): Placement => ({ kind: 'waiting', reason, message });

function classOf({ volume, classes }: PlacementWorld): VolumeClass | Placement {
  const wanted = volume.spec.className ?? volume.status?.className;
  if (wanted !== undefined) {
    return (
      classes.find(({ metadata }) => metadata.name === wanted) ??
      waiting(
        'ClassNotFound',
        `there is no VolumeClass ${wanted} (spec.className); create it, or make the Volume anew with another`,
      )
    );
  }
  const defaults = classes.filter(({ spec }) => spec.default === true);
  const [only, ...more] = defaults;
  if (only === undefined) {
    return waiting(
      'NoDefaultClass',
      'spec.className is absent and no VolumeClass has spec.default: true; set it in one, or make the Volume anew with spec.className',
    );
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
  /** It can reach what is to be copied. */
  readonly canCopy: boolean;
  readonly freeBytes: bigint;
  readonly neededBytes: bigint;
}

const isPlacement = (value: VolumeClass | Placement): value is Placement =>
  value.kind === 'waiting' || value.kind === 'placed';

/** A server had less room than it told: from then on every one is taken at a little less than its word. */
const wasRefused = ({ volume }: PlacementWorld): boolean =>
  backendOf(volume)?.refused === true || (volume.status?.placement?.epoch ?? 1) > 1;

/** A server tells of changes of a hundredth of its pool and more. */
const caution = (pool: PoolFact): bigint => BigInt(pool.totalBytes ?? '0') / 100n;

/** The source's own server can, and others which are told how, while the source's server answers. */
function canCopy(world: PlacementWorld, server: string, { can }: PoolFact, source: Source): boolean {
  // A server that does not say what its pools are able to do knows nothing of copies, and would make an empty volume.
  return server === source.server
    ? can !== undefined
    : can?.includes('RemoteCopy') === true && isReadable(world, source);
}

/** Its server answers and knows how to let others read. */
function isReadable(world: PlacementWorld, { server, pool }: Source): boolean {
  const { can } = poolOf(viewOf(world, server)?.host, pool) ?? {};
  return isHeard(world, server) && can?.includes('Readable') === true;
}

const viewOf = (
  { servers }: PlacementWorld,
  server: string | undefined,
): HostView<VolumeServer> | undefined => servers.find(({ host }) => host.metadata.name === server);

const isHeard = (world: PlacementWorld, server: string): boolean =>
  viewOf(world, server)?.freshness === 'fresh';

/** Pools in which the volume may be made, room apart. */
function candidatesOf(
  world: PlacementWorld,
  found: VolumeClass,
  source: Source | undefined,
): readonly Candidate[] {
  const { volume, servers, reservedBytes } = world;
  const size = wantedBytes(volume) ?? BigInt(source?.sizeBytes ?? '0');
  const careful = wasRefused(world);
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
          canCopy: source === undefined || canCopy(world, host.metadata.name, pool, source),
          freeBytes:
            BigInt(pool.freeBytes ?? '0') -
            reservedBytes(host.metadata.name, pool.name) -
            (careful ? caution(pool) : 0n),
          neededBytes: roundUp(size, BigInt(pool.extentBytes ?? '1')),
        })),
    );
}

/** The extent of the pool which holds the source, as its server last said. */
function extentOf(world: PlacementWorld): bigint {
  const { server, pool } = world.source?.status ?? {};
  return BigInt(poolOf(viewOf(world, server)?.host, pool)?.extentBytes ?? '1');
}

/** Most free first; by name where equal. */
function byFreeBytes(a: Candidate, b: Candidate): number {
  if (a.freeBytes === b.freeBytes) {
    return `${a.server}/${a.pool}`.localeCompare(`${b.server}/${b.pool}`);
  }
  return a.freeBytes > b.freeBytes ? -1 : 1;
}

/** Where the data is already. */
function placeExisting(
  { volume, servers, holderOf }: PlacementWorld,
  found: VolumeClass,
  existing: Parameters<typeof findExisting>[1],
): Placement {
  const className = found.metadata.name;
  const selects = (pool: PoolFact) => matches(pool, found);
  const source = findExisting({ volume, servers, holderOf, className, selects }, existing);
  return source.kind === 'waiting'
    ? source
    : { kind: 'placed', className, server: source.server, pool: source.pool, source };
}

/** Chooses the fitting pool with the most space left, by name where equal; with a source the nearest to it. */
export function place(world: PlacementWorld): Placement {
  const chosen = classOf(world);
  if (isPlacement(chosen)) {
    return chosen;
  }
  const { existing } = world.volume.spec.source ?? {};
  const placement = existing === undefined ? placeNew(world, chosen) : placeExisting(world, chosen, existing);
  const { trash } = chosen.spec;
  return placement.kind === 'waiting' || trash === undefined ? placement : { ...placement, trash };
}

function placeNew(world: PlacementWorld, chosen: VolumeClass): Placement {
  const found = sourceOf(world.volume, world.source, extentOf(world));
  if (found?.kind === 'waiting') {
    return found;
  }
  const source = found?.source;
  const className = chosen.metadata.name;
  const pinned = world.volume.spec.volumeServer;
  if (pinned !== undefined && viewOf(world, pinned) === undefined) {
    return waiting(
      'VolumeServerNotFound',
      `there is no VolumeServer ${pinned} (spec.volumeServer); start the agent of that host, or make the Volume anew with another`,
    );
  }
  const usable = candidatesOf(world, chosen, source);
  const candidates = usable.filter(({ canCopy }) => canCopy);
  if (source !== undefined && usable.length > 0 && candidates.length === 0) {
    return elsewhere(world, source);
  }
  if (candidates.length === 0) {
    return noPool(world, chosen);
  }
  const fitting = candidates
    .filter(({ freeBytes, neededBytes }) => freeBytes >= neededBytes)
    .toSorted(byFreeBytes);
  const best = nearest(fitting, source);
  if (best === undefined) {
    const [most] = candidates.toSorted(byFreeBytes);
    const needed = candidates[0]?.neededBytes ?? 0n;
    return waiting(
      'NoSpace',
      `no pool of class ${className} has ${needed} bytes free (most: ${most?.freeBytes}, in pool ${most?.pool} of ${most?.server}); free space, add a pool, or lower spec.size`,
    );
  }
  if (source !== undefined && found?.isPinned !== true) {
    return untilPinned(source);
  }
  const { server, pool } = best;
  return { kind: 'placed', className, server, pool, ...(source === undefined ? {} : { source }) };
}

/** So many servers are told of by name. */
const MOST_TOLD = 8;

/** For people: what stands against each server that was looked at. */
function noPool({ volume, servers }: PlacementWorld, found: VolumeClass): Placement {
  const asked = servers.filter(
    ({ host }) => volume.spec.volumeServer === undefined || volume.spec.volumeServer === host.metadata.name,
  );
  const told = asked
    .slice(0, MOST_TOLD)
    .map((view) => `${view.host.metadata.name} ${whyNot(view, found)}`)
    .join(', ');
  const others = asked.length > MOST_TOLD ? `, and ${asked.length - MOST_TOLD} others` : '';
  const why = told === '' ? 'there is no VolumeServer' : `${told}${others}`;
  return waiting(
    'NoPool',
    `no pool of class ${found.metadata.name} can be used: ${why}; start an agent, uncordon a server, or add a pool`,
  );
}

function whyNot({ host, freshness }: HostView<VolumeServer>, found: VolumeClass): string {
  if (freshness !== 'fresh') {
    return 'does not answer';
  }
  if (host.spec?.cordoned === true) {
    return 'is cordoned';
  }
  if (!isTrue(host.status?.conditions, 'HostSafe')) {
    return 'is not safe (HostSafe)';
  }
  const pool = host.status?.agent?.pools?.find((one) => matches(one, found));
  return pool?.problem === undefined ? 'has no such pool' : `says ${pool.problem.message}`;
}

/** In the source's own pool a copy is made soonest, then on its server; of those as near, the one with most room. */
function nearest(fitting: readonly Candidate[], source: Source | undefined): Candidate | undefined {
  const onServer = fitting.filter(({ server }) => server === source?.server);
  return onServer.find(({ pool }) => pool === source?.pool) ?? onServer[0] ?? fitting[0];
}

function elsewhere(world: PlacementWorld, source: Source): Placement {
  const old = outdated(world.servers, { ...source, lacks: 'makes no copies and lets nobody read' });
  if (old !== undefined) {
    return waiting(old.reason, old.message);
  }
  const { kind, name, server } = source;
  const what = `${kind} ${name} is on ${server}`;
  return waiting(
    'SourceElsewhere',
    isHeard(world, server)
      ? `${what}, and no other server that may hold this Volume copies from there; set volumeServer.initiator in the configuration of its agent`
      : `${what}, which does not answer; it is copied when ${server} is back`,
  );
}
