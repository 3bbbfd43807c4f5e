// What a visit of a volume on its server works with, for its data and for its target.
import type { Attachment } from '../../api/attachment.ts';
import { sameJson } from '../../api/equal.ts';
import { MANAGERS } from '../../api/names.ts';
import { VOLUMES } from '../../api/resources.ts';
import type { Backend, Volume } from '../../api/volume.ts';
import type { Api } from '../../runtime/api.ts';
import type { Log } from '../../runtime/log.ts';
import type { Reflector } from '../../runtime/reflector.ts';
import type { ChapOf } from '../chap.ts';
import type { Backing, Pool, PoolView } from '../roles/pool.ts';
import type { Export, Target } from '../roles/target.ts';
import type { RecordStore } from '../store.ts';
import { writeBlock } from '../write-block.ts';
import type { ServerMemory } from './memory.ts';

export interface ServerDeps {
  readonly api: Api;
  readonly host: string;
  readonly clusterID: string;
  readonly bootID: string;
  readonly volumes: Reflector<Volume>;
  readonly attachments: Reflector<Attachment>;
  readonly memories: RecordStore<ServerMemory>;
  readonly pools: ReadonlyMap<string, Pool>;
  readonly lookAtPool: (name: string) => Promise<PoolView>;
  readonly target: Target;
  readonly lookAtTarget: () => Promise<readonly Export[]>;
  readonly chapOf: ChapOf;
  readonly now: () => Date;
  readonly resyncMs: number;
  /** A backing was retired: its space is to be freed. */
  readonly onRetired: () => void;
}

export interface ServerVisit {
  readonly deps: ServerDeps;
  readonly volumeID: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** waiting: something stands in the way, look again soon. */
export interface Progress {
  readonly kind: 'acted' | 'waiting' | 'settled';
}

export const volumeOf = ({ deps, volumeID }: ServerVisit): Volume | undefined =>
  deps.volumes.byIndex('volumeID', volumeID)[0];

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
  volume: Volume,
  fact: Backend | undefined,
): Promise<Progress> {
  if (fact === undefined || sameJson(fact, volume.status?.backend)) {
    return { kind: fact?.problem === undefined ? 'settled' : 'waiting' };
  }
  await writeBlock<Volume>(deps.api, deps.volumes, {
    resource: VOLUMES,
    object: volume,
    owned: { backend: fact },
    fieldManager: MANAGERS.server,
  });
  return { kind: fact.problem === undefined ? 'settled' : 'waiting' };
}
