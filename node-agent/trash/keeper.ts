// The trash of a volume server: what is in it, how much of its time has passed, and its end. It counts in step with the visits of the host.
import { VOLUMES } from '../../api/resources.ts';
import { idOf, isEnding, type Stored, type Volume } from '../../api/volume.ts';
import type { Api } from '../../runtime/api.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { problemOf } from '../problems.ts';
import type { Backing, Pool, PoolCan, PoolView } from '../roles/pool.ts';
import type { RecordStore } from '../store.ts';
import { newTrash, type TrashMemory } from './memory.ts';
import { countedMs, isTrash, leftMs, noted, planTrash } from './plan.ts';

export interface TrashDeps {
  readonly api: Pick<Api, 'list'>;
  readonly host: string;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Pick<Log, 'info' | 'warn'>;
  readonly records: RecordStore<TrashMemory>;
  /** Of this server. */
  readonly volumes: { readonly hasSynced: boolean; list(): readonly Volume[] };
  readonly pools: ReadonlyMap<string, Pool>;
}

/** A pool as the visit saw it; without a view it was not seen. */
export interface SeenTrashPool {
  readonly name: string;
  readonly view: PoolView | undefined;
  readonly can: Pick<PoolCan, 'trash'>;
}

/** What there is to tell of data in the trash. */
export interface TrashFact {
  readonly ttlSeconds: number;
  readonly leftMs: number;
}

export class TrashKeeper {
  readonly #deps: TrashDeps;
  /** Time that counts and is not written down yet, by ID. */
  readonly #passedMs = new Map<string, number>();
  /** When each was last found, by this process's monotonic clock. */
  readonly #foundAtMs = new Map<string, number>();

  constructor(deps: TrashDeps) {
    this.#deps = deps;
  }

  has(volumeID: string): boolean {
    return this.#deps.records.get(volumeID) !== undefined;
  }

  /** Before the data of a live object is put aside: whether that is the trash. `owner`: as its tags tell. Whatever was known under this ID is over. */
  async begin(volumeID: string, live: Stored, owner: Backing['owner']): Promise<void> {
    await this.forget(volumeID);
    const record = newTrash(live, owner);
    if (record !== undefined) {
      await this.#deps.records.put(volumeID, record);
    }
  }

  /** From now on it is retained without end, if it is there at all. */
  async forget(volumeID: string): Promise<void> {
    if (this.has(volumeID)) {
      await this.#deps.records.remove(volumeID);
    }
    this.#passedMs.delete(volumeID);
    this.#foundAtMs.delete(volumeID);
  }

  /** IDs which some object has. To be asked before the pools are looked at; undefined while that is not known. */
  accounted(): ReadonlySet<string> | undefined {
    const { volumes } = this.#deps;
    return volumes.hasSynced ? idsOf(volumes.list()) : undefined;
  }

  /** What is in the trash, by ID. */
  facts(seen: readonly SeenTrashPool[]): ReadonlyMap<string, TrashFact> {
    return new Map(
      [...this.#found(seen)].map(([volumeID, record]) => {
        const { ttlSeconds } = record;
        return [volumeID, { ttlSeconds, leftMs: leftMs(record, this.#passed(record)) }];
      }),
    );
  }

  /** What passes until the next look does not count: nobody was told what can be had back. */
  pause(): void {
    this.#foundAtMs.clear();
  }

  /**
   * Counts the time since the last call, when `seen` was told to the API server, and gives what has had its time the dying name. Answers
   * whether anything got that. `accounted` is of before the look. Throws what the API server throws.
   */
  async tend(
    accounted: ReadonlySet<string> | undefined,
    seen: readonly SeenTrashPool[],
    signal: AbortSignal,
  ): Promise<boolean> {
    const nowMs = this.#deps.clock.monotonicMs();
    const found = this.#found(seen);
    const visible = new Set(withTrash(seen).flatMap(({ name, view }) => (view === undefined ? [] : [name])));
    const wanted = wantedBy(this.#deps.volumes.list());
    const over: TrashMemory[] = [];
    for (const record of this.#deps.records.list()) {
      const { volumeID, pool } = record;
      const isThere = visible.has(pool) ? found.has(volumeID) : undefined;
      const isAccounted = accounted?.has(volumeID) !== false;
      this.#count(record, isThere === true && !isAccounted ? nowMs : undefined);
      const passedMs = this.#passed(record);
      const plan = planTrash({ record, passedMs, isThere, isAccounted, isWanted: wanted.has(volumeID) });
      if (plan === 'remove') {
        over.push(record);
      } else if (plan === 'forget') {
        await this.forget(volumeID);
      } else if (plan === 'note') {
        await this.#note(record);
      }
    }
    return over.length > 0 && (await this.#remove(over, signal));
  }

  /** Records of what is there, put aside as it was recorded, by ID. */
  #found(seen: readonly SeenTrashPool[]): ReadonlyMap<string, TrashMemory> {
    const { records } = this.#deps;
    return new Map(
      withTrash(seen).flatMap(({ name, view }) =>
        (view?.backings ?? []).flatMap((backing): (readonly [string, TrashMemory])[] => {
          const record = records.get(backing.id);
          return record?.pool === name && isTrash(record, backing) ? [[backing.id, record]] : [];
        }),
      ),
    );
  }

  /** Undefined: it does not count now. */
  #count(record: TrashMemory, nowMs: number | undefined): void {
    const { volumeID } = record;
    if (nowMs === undefined) {
      this.#foundAtMs.delete(volumeID);
      return;
    }
    const moreMs = countedMs(this.#foundAtMs.get(volumeID), nowMs);
    this.#passedMs.set(volumeID, this.#passed(record) + moreMs);
    this.#foundAtMs.set(volumeID, nowMs);
  }

  #passed({ volumeID }: TrashMemory): number {
    return this.#passedMs.get(volumeID) ?? 0;
  }

  async #note(record: TrashMemory): Promise<void> {
    const after = noted(record, this.#passed(record));
    const writtenMs = (after.elapsedSeconds - record.elapsedSeconds) * 1_000;
    await this.#deps.records.put(record.volumeID, after);
    this.#passedMs.set(record.volumeID, this.#passed(record) - writtenMs);
  }

  /** The caches may not know yet of an object that came back, or of one that is about to adopt: it is asked for live. */
  async #remove(over: readonly TrashMemory[], signal: AbortSignal): Promise<boolean> {
    const { api, host, records, pools, log } = this.#deps;
    const selection = { fieldSelector: `status.server=${host}` };
    const { items } = await api.list<Volume>(VOLUMES, selection, { signal });
    const [ids, wanted] = [idsOf(items), wantedBy(items)];
    let removed = false;
    const free = over.filter(({ volumeID }) => !ids.has(volumeID) && !wanted.has(volumeID));
    for (const record of free) {
      const { volumeID } = record;
      const mayGo = (found: Backing) => records.get(volumeID) === record && isTrash(record, found);
      log.info({ volumeID }, 'Its time in the trash is over');
      try {
        await pools.get(record.pool)?.retireRetained(volumeID, mayGo, signal);
        removed = true;
      } catch (error) {
        signal.throwIfAborted();
        if (problemOf(error) === undefined) {
          throw error;
        }
        log.warn({ volumeID, err: error }, 'Cannot remove it from the trash');
      }
    }
    return removed;
  }
}

const idsOf = (volumes: readonly Volume[]): ReadonlySet<string> =>
  new Set(volumes.flatMap((volume) => idOf(volume) ?? []));

/** IDs of retained data which a Volume adopts, or has adopted. */
const wantedBy = (volumes: readonly Volume[]): ReadonlySet<string> =>
  new Set(
    volumes.flatMap(({ status }) =>
      status?.source?.kind === 'Retained' && !isEnding(status.order) ? [status.source.id] : [],
    ),
  );

const withTrash = (seen: readonly SeenTrashPool[]): readonly SeenTrashPool[] =>
  seen.filter(({ can }) => can.trash);
