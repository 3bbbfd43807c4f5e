// What a host says of itself: its own block on its VolumeServer or Hypervisor object. Pure.
import type { HypervisorAgent, PoolFact, ServerAgent } from '../../api/hosts.ts';
import type { FreeingFact } from '../freeing/freeing.ts';
import { dyingIn } from '../freeing/plan.ts';
import type { BackingState, PoolCan, PoolView } from '../roles/pool.ts';
import type { Export } from '../roles/target.ts';
import type { Instance } from '../roles/vmm.ts';
import type { TrashFact } from '../trash/keeper.ts';
import type { Problem } from '../volume/plan.ts';
import { orphanFacts, retainedFacts } from './retained.ts';

export type ProfileFact = NonNullable<ServerAgent['profiles']>[number];
type Ability = NonNullable<PoolFact['can']>[number];
export type Leftover = NonNullable<ServerAgent['leftovers']>[number];

/** What is the same for both roles of a host. */
export interface HostFacts {
  readonly bootID: string;
  readonly version: string;
  readonly clusterID: string;
  readonly profiles: readonly ProfileFact[];
  readonly problems: readonly Problem[];
}

export interface SeenPool {
  readonly name: string;
  readonly profile: string;
  readonly view: PoolView | undefined;
  readonly can: PoolCan;
  readonly problem: Problem | undefined;
}

export interface ServerScene extends HostFacts {
  readonly portals: readonly string[];
  /** It copies from other servers. */
  readonly remoteCopy: boolean;
  /** Its target shows a new size of what is in use. */
  readonly targetGrows: boolean;
  readonly pools: readonly SeenPool[];
  readonly exports: readonly Export[];
  /** volumeIDs that some object, or our own memory, accounts for. */
  readonly accounted: ReadonlySet<string>;
  /** volumeIDs whose grants are remembered, of which there is neither object nor data nor target. */
  readonly records?: readonly string[];
  /** What there is to tell of dying backings. */
  readonly freeing?: ReadonlyMap<string, FreeingFact>;
  /** What of the retained data is in the trash. */
  readonly trash?: ReadonlyMap<string, TrashFact>;
  readonly now: Date;
  /** What was said last. */
  readonly before: ServerAgent | undefined;
}

const common = ({ bootID, version, clusterID, profiles, problems }: HostFacts) => ({
  bootID,
  version,
  clusterID,
  profiles: [...profiles],
  problems: [...problems],
});

export function serverFacts(scene: ServerScene): ServerAgent {
  return {
    ...common(scene),
    portals: [...scene.portals],
    pools: scene.pools.map((pool) => poolFact(pool, scene)),
    leftovers: serverLeftovers(scene),
    ...freeingFacts(scene),
    ...retainedFacts(scene),
    ...orphanFacts(scene.pools, scene.accounted),
  };
}

function freeingFacts({ pools, freeing }: ServerScene): Pick<ServerAgent, 'wiping' | 'freeing'> {
  const all = pools
    .flatMap(({ name, view }) =>
      dyingIn(view?.backings ?? []).map(({ id, sizeBytes }) => {
        const left = freeing?.get(id)?.leftBytes;
        const more = left === undefined ? {} : { leftBytes: left.toString() };
        return { id, pool: name, sizeBytes: sizeBytes.toString(), ...more };
      }),
    )
    .sort((a, b) => a.id.localeCompare(b.id));
  return {
    wiping: all.map(({ id }) => id).slice(0, 1024),
    ...(all.length === 0 ? {} : { freeing: all.slice(0, 256) }),
  };
}

function poolFact({ name, profile, view, can, problem }: SeenPool, scene: ServerScene): PoolFact {
  const told = scene.before?.pools?.find((pool) => pool.name === name);
  if (view === undefined) {
    return { name, profile, ...(problem === undefined ? {} : { problem }) };
  }
  return {
    name,
    profile,
    totalBytes: view.totalBytes.toString(),
    freeBytes: steady(view, told?.freeBytes).toString(),
    extentBytes: view.extentBytes.toString(),
    can: abilities(can, scene),
    ...(problem === undefined ? {} : { problem }),
  };
}

/** Whatever reads the exports of others, or grows in use, needs more than its pool. */
const abilities = (can: PoolCan, { remoteCopy, targetGrows }: ServerScene): NonNullable<PoolFact['can']> => {
  const all = {
    CopyOnWrite: can.copyOnWrite,
    SnapshotAttached: can.snapshotAttached,
    SnapshotsOutlive: can.snapshotsOutlive,
    SnapshotsHoldSize: can.snapshotsHoldSize,
    Trash: can.trash,
    Readable: true,
    RemoteCopy: remoteCopy,
    GrowInUse: can.growOnline,
    GrowOnline: can.growOnline && targetGrows,
  } satisfies Record<Ability, boolean>;
  return (Object.keys(all) as Ability[]).filter((ability) => all[ability]);
};

/**
 * Free space moves all the time where others use the file system too. A change of less than a hundredth of the pool
 * is not told: placement leaves the last word to this server anyway.
 */
function steady({ freeBytes, totalBytes }: PoolView, told: string | undefined): bigint {
  const before = BigInt(told ?? '-1');
  const change = before > freeBytes ? before - freeBytes : freeBytes - before;
  return before >= 0n && change * 100n < totalBytes ? before : freeBytes;
}

/** What some object should account for. */
const isLive = (state: BackingState): boolean => state !== 'dying' && state !== 'retained';

/** Provably of this cluster, and accounted for by nothing: reported, never removed. Or removed in vain. */
function serverLeftovers({ pools, exports, accounted, freeing, records = [] }: ServerScene): Leftover[] {
  const backings = pools.flatMap(({ name, view }) =>
    (view?.backings ?? [])
      .filter(({ id, state, foreign }) => foreign !== true && isLive(state) && !accounted.has(id))
      .map(({ id, state }) => ({
        kind: 'Backing',
        name: id,
        message: `${state}, in pool ${name}`,
      })),
  );
  const stuck = pools.flatMap(({ name, view }) =>
    dyingIn(view?.backings ?? []).flatMap(({ id }) => {
      const why = freeing?.get(id)?.stuck;
      const message = `dying, in pool ${name}; its space cannot be freed: ${why}`.slice(0, 512);
      return why === undefined ? [] : { kind: 'Backing', name: id, message };
    }),
  );
  const targets = exports
    .filter(({ volumeID }) => !accounted.has(volumeID))
    .map(({ iqn }) => ({ kind: 'Export', name: iqn, message: 'no Volume accounts for this target' }));
  const remembered = records.map((name) => ({
    kind: 'Record',
    name,
    message: 'grants are remembered, and nothing else is left of it',
  }));
  return [...backings, ...stuck, ...targets, ...remembered]
    .sort((a, b) => a.name.localeCompare(b.name))
    .slice(0, 256);
}

export interface HypervisorScene extends HostFacts {
  readonly initiator: string;
  /** Absent until the VMM has answered once: none known is not none there. */
  readonly instances?: readonly Instance[];
  /** VMs without a UUID. */
  readonly unidentified: readonly string[];
  /** volumeIDs of our disks in running VMs, with the VM that holds each. */
  readonly disks: readonly { readonly volumeID: string; readonly instance: string }[];
  readonly accounted: ReadonlySet<string>;
  /** What is left beside disks, as lookForResidue tells it. */
  readonly residue?: readonly Leftover[];
  /** The controller remembers a fence of this boot and waits for the number of disks; nobody else needs it. */
  readonly fenced: boolean;
  /** The VMM has answered, for every VM: no disks means that there are none. */
  readonly isSeen: boolean;
}

const instanceFacts = (instances: readonly Instance[]) =>
  instances
    .map(({ name, uuid, state, vmid }) => ({
      name: name.slice(0, 256),
      uuid,
      state,
      ...(vmid === undefined ? {} : { vmid }),
    }))
    .sort((a, b) => a.uuid.localeCompare(b.uuid))
    .slice(0, 1024);

export function hypervisorFacts(scene: HypervisorScene): HypervisorAgent {
  return {
    ...common(scene),
    initiator: scene.initiator,
    ...(scene.fenced && scene.isSeen ? { disks: scene.disks.length } : {}),
    ...(scene.instances === undefined ? {} : { instances: instanceFacts(scene.instances) }),
    ...(scene.unidentified.length === 0
      ? {}
      : { unidentified: scene.unidentified.map((name) => name.slice(0, 256)).slice(0, 64) }),
    leftovers: [
      ...scene.disks
        .filter(({ volumeID }) => !scene.accounted.has(volumeID))
        .map(({ volumeID, instance }) => ({
          kind: 'Disk',
          name: volumeID,
          message: `in instance ${instance}; no Attachment accounts for it`.slice(0, 512),
        })),
      ...(scene.residue ?? []),
    ].slice(0, 256),
  };
}
