// What a visit of a volume on its server works with, for its data and for its target.
import type { Attachment } from '../../api/attachment.ts';
import { sameJson } from '../../api/equal.ts';
import { isVolumeID, snapshotIDFor, volumeIDFor } from '../../api/ids.ts';
import { MANAGERS } from '../../api/names.ts';
import { SNAPSHOTS, VOLUMES } from '../../api/resources.ts';
import { type Backend, idOf, isSnapshot, type Snapshot, type Stored, type Volume } from '../../api/volume.ts';
import type { Api } from '../../runtime/api.ts';
import type { Log } from '../../runtime/log.ts';
import type { Reflector } from '../../runtime/reflector.ts';
import type { ChapOf } from '../chap.ts';
import type { Backing, Pool, PoolView } from '../roles/pool.ts';
import type { Export, Target } from '../roles/target.ts';
import type { RecordStore } from '../store.ts';
import type { TrashKeeper } from '../trash/keeper.ts';
import { writeBlock } from '../write-block.ts';
import type { ServerMemory } from './memory.ts';
import type { Problem } from './plan.ts';

export interface ServerDeps {
  readonly api: Api;
  readonly host: string;
  readonly clusterID: string;
  readonly bootID: string;
  readonly volumes: Reflector<Volume>;
  readonly snapshots: Reflector<Snapshot>;
  readonly attachments: Reflector<Attachment>;
  readonly memories: RecordStore<ServerMemory>;
  readonly trash: Pick<TrashKeeper, 'has' | 'begin' | 'forget'>;
  readonly pools: ReadonlyMap<string, Pool>;
  readonly lookAtPool: (name: string) => Promise<PoolView>;
  readonly target: Target;
  readonly lookAtTarget: () => Promise<readonly Export[]>;
  readonly chapOf: ChapOf;
  readonly now: () => Date;
  readonly resyncMs: number;
  /** A backing was retired, retained or adopted: the host has space to free, or something to tell. */
  readonly onRetired: () => void;
  /** Looks at the pools and tells of them; settled when that is told, so that a refusal never comes before its reason. */
  readonly tellHost: (signal: AbortSignal) => Promise<void>;
  /** Asks for bytes to be copied in the background, for the volume or snapshot of this ID; from another server or not. */
  readonly copyLater: (id: string, isRemote: boolean) => void;
  /**
   * IDs of provisional backings which this process made, or saw to that they can be written to: a killed command may leave one
   * inactive.
   */
  readonly ready: Set<string>;
  /** Why the last try to copy failed, by ID. */
  readonly copyFailures: ReadonlyMap<string, Problem>;
}

export interface ServerVisit {
  readonly deps: ServerDeps;
  /** The volumeID, or the snapshotID. */
  readonly volumeID: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** waiting: something stands in the way, look again soon. */
export interface Progress {
  readonly kind: 'acted' | 'waiting' | 'settled';
}

/**
 * Of several objects that say they are of one ID, the one whose data it is first: the one that this server remembers to be, else the one
 * whose UID the ID was made from, else the oldest that asks to take over orphaned data of it. Others are not believed.
 */
export const byClaim = <T extends Stored>(
  objects: readonly T[],
  memory: ServerMemory | undefined,
): readonly T[] => {
  if (objects.length < 2) {
    return objects;
  }
  const ranked = objects.map((object) => ({ object, rank: claimOf(object, memory) }));
  const order = ({ object: { metadata }, rank }: (typeof ranked)[number]) =>
    `${rank} ${metadata.creationTimestamp} ${metadata.uid}`;
  return ranked
    .filter(({ rank }) => rank < UNFOUNDED)
    .toSorted((a, b) => (order(a) < order(b) ? -1 : 1))
    .map(({ object }) => object);
};

const UNFOUNDED = 3;

function claimOf(stored: Stored, memory: ServerMemory | undefined): number {
  const { uid } = stored.metadata;
  const id = idOf(stored);
  const { source } = stored.status ?? {};
  if (uid === memory?.volumeUID) {
    return 0;
  }
  if (id === (isSnapshot(stored) ? snapshotIDFor(uid) : volumeIDFor(uid))) {
    return 1;
  }
  return source?.kind === 'Orphaned' && source.id === id ? 2 : UNFOUNDED;
}

const claimantsOf = ({ deps, volumeID }: ServerVisit): readonly Volume[] =>
  byClaim(deps.volumes.byIndex('volumeID', volumeID), deps.memories.get(volumeID));

export const volumeOf = (visit: ServerVisit): Volume | undefined => claimantsOf(visit)[0];

/** Those which name data that is another's. */
export const losersOf = (visit: ServerVisit): readonly Volume[] => claimantsOf(visit).slice(1);

/** What is remembered of the data of this object: what was so of one that had the ID before counts once it is taken over. */
export function memoryOf({ deps, volumeID }: ServerVisit, stored: Stored): ServerMemory | undefined {
  const memory = deps.memories.get(volumeID);
  const isOther = stored.status?.source?.kind === 'Orphaned' && memory?.volumeUID !== stored.metadata.uid;
  return isOther ? undefined : memory;
}

/** The Volume or Snapshot of this ID, as cached. */
export const storedOf = (visit: ServerVisit): Stored | undefined =>
  isVolumeID(visit.volumeID)
    ? volumeOf(visit)
    : byClaim(
        visit.deps.snapshots.byIndex('snapshotID', visit.volumeID),
        visit.deps.memories.get(visit.volumeID),
      )[0];

/** The pool in which the object was placed; undefined when this server has none of that name. */
export const poolFor = ({ deps }: ServerVisit, { status }: Stored): Pool | undefined =>
  deps.pools.get(status?.pool ?? '');

export interface SeenBacking {
  readonly view: PoolView;
  readonly backing: Backing | undefined;
}

export async function seeBacking(
  { deps, volumeID }: ServerVisit,
  pool: string | undefined,
): Promise<SeenBacking> {
  const view = await deps.lookAtPool(pool ?? '');
  const mine = view.backings.filter(({ id }) => id === volumeID);
  // A dying one beside another is the space of an earlier life, on its way out.
  return { view, backing: mine.find(({ state }) => state !== 'dying') ?? mine[0] };
}

/** The server's block, written only when it differs. */
export async function writeFact(
  { deps }: ServerVisit,
  stored: Stored,
  fact: Backend | undefined,
): Promise<Progress> {
  if (fact === undefined || sameJson(fact, stored.status?.backend)) {
    return { kind: fact?.problem === undefined ? 'settled' : 'waiting' };
  }
  const block = { owned: { backend: fact }, fieldManager: MANAGERS.server };
  await (isSnapshot(stored)
    ? writeBlock<Snapshot>(deps.api, deps.snapshots, { resource: SNAPSHOTS, object: stored, ...block })
    : writeBlock<Volume>(deps.api, deps.volumes, { resource: VOLUMES, object: stored, ...block }));
  return { kind: fact.problem === undefined ? 'settled' : 'waiting' };
}

/** The object as it is now; undefined when it is not the same object any more, with the same ID and server. */
export async function readLive(
  { deps, volumeID, signal }: ServerVisit,
  cached: Stored,
): Promise<Stored | undefined> {
  const { name, namespace, uid } = cached.metadata;
  const live = await deps.api.get<Stored>(
    isSnapshot(cached) ? SNAPSHOTS : VOLUMES,
    { name, ...(namespace === undefined ? {} : { namespace }) },
    { signal },
  );
  const isSame = live?.metadata.uid === uid && idOf(live) === volumeID && live.status?.server === deps.host;
  return isSame ? live : undefined;
}
