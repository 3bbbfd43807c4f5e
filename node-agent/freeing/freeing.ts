// Gives the space of removed volumes back to their pools, in a queue of its own, so that neither other volumes nor what the host tells of itself
// wait for it: each is wiped piece by piece, with a rest as long as the work after each piece, and then freed. How far it is stands on
// this host's disk; a crash costs one piece.
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { Reconcile, Result } from '../../runtime/loop.ts';
import { nextRange } from '../exec/files.ts';
import { problemOf } from '../problems.ts';
import type { Backing, Pool, PoolView } from '../roles/pool.ts';
import type { RecordStore } from '../store.ts';
import {
  dyingIn,
  FIRST_RANGE_BYTES,
  leftOf,
  nextRangeBytes,
  nextToFree,
  type WipeMemory,
  wipedOf,
} from './plan.ts';

export interface FreeingDeps {
  readonly clock: Pick<Clock, 'monotonicMs' | 'after'>;
  readonly pools: ReadonlyMap<string, Pick<Pool, 'can' | 'wipe' | 'free'>>;
  /** Throws as Pool.observe does. */
  readonly lookAtPool: (name: string) => Promise<Pick<PoolView, 'backings'>>;
  readonly records: RecordStore<WipeMemory>;
  /** Asks for a visit of the pool. */
  readonly later: (pool: string) => void;
  /** Something was freed, or there is something to tell. */
  readonly onNews: () => void;
}

/** What there is to tell of what is being freed. */
export interface FreeingFact {
  /** Still to be wiped; undefined where a pool frees without that. */
  readonly leftBytes?: bigint;
  /** Why it cannot be freed. */
  readonly stuck?: string;
}

interface Stuck {
  readonly pool: string;
  readonly why: string;
  readonly againAtMs: number;
}

const RETRY_MS = 5_000;

export class Freeing {
  readonly #deps: FreeingDeps;
  /** Pools with something to do now. */
  readonly #busy = new Set<string>();
  readonly #stuck = new Map<string, Stuck>();
  readonly #last = new Map<string, string>();
  readonly #rangeBytes = new Map<string, bigint>();
  /** Called when a pool has nothing more to do. */
  #onIdle: () => void = () => {};
  #freed = 0;

  constructor(deps: FreeingDeps) {
    this.#deps = deps;
  }

  /** One step in one pool, whose name is the key: a piece is wiped, or a backing freed. */
  readonly visit: Reconcile = async (pool, { log, signal }): Promise<Result> => {
    const { clock, onNews } = this.#deps;
    const startedMs = clock.monotonicMs();
    const { backings } = await this.#deps.lookAtPool(pool).catch((error: unknown) => {
      // The look that follows begins anew.
      this.#rest(pool);
      throw error;
    });
    await this.#forget(pool, backings);
    const canTry = (id: string) => (this.#stuck.get(id)?.againAtMs ?? 0) <= startedMs;
    const next = nextToFree(backings, { last: this.#last.get(pool), canTry });
    if (next === undefined) {
      this.#rest(pool);
      return dyingIn(backings).length > 0 ? { requeueAfterMs: RETRY_MS } : {};
    }
    this.#last.set(pool, next.id);
    try {
      return { requeueAfterMs: await this.#step(pool, next, { log, signal }) };
    } catch (error) {
      signal.throwIfAborted();
      const isNews = !this.#stuck.has(next.id);
      const why = problemOf(error)?.message ?? (error instanceof Error ? error.message : String(error));
      this.#stuck.set(next.id, { pool, why, againAtMs: clock.monotonicMs() + RETRY_MS });
      log.warn({ volumeID: next.id, err: error }, 'Cannot free the space of a removed volume');
      if (isNews) {
        onNews();
      }
      return { requeueAfterMs: 0 };
    }
  };

  /** Sees to what is dying in these pools. Answers whether something was freed and all is done within so long. */
  async within(ms: number, pools: readonly string[]): Promise<boolean> {
    const before = this.#freed;
    for (const pool of pools.filter((name) => !this.#busy.has(name))) {
      this.#busy.add(pool);
      this.#deps.later(pool);
    }
    const isIdle = await new Promise<boolean>((resolve) => {
      const cancel = this.#deps.clock.after(ms, () => resolve(false));
      this.#onIdle = () => {
        if (!pools.some((pool) => this.#busy.has(pool))) {
          cancel();
          resolve(true);
        }
      };
      this.#onIdle();
    });
    return isIdle && this.#freed > before;
  }

  /** Of what was seen dying, by ID. */
  facts(seen: readonly { readonly name: string; readonly view: PoolView | undefined }[]) {
    return new Map(
      seen.flatMap(({ name, view }) =>
        dyingIn(view?.backings ?? []).map((backing) => [backing.id, this.#factOf(name, backing)] as const),
      ),
    );
  }

  #factOf(pool: string, backing: Backing): FreeingFact {
    const why = this.#stuck.get(backing.id)?.why;
    const wipes = this.#deps.pools.get(pool)?.can.wipes === true;
    const wiped = wipedOf(this.#deps.records.get(backing.id), backing);
    return {
      ...(wipes ? { leftBytes: leftOf(backing.sizeBytes, wiped) } : {}),
      ...(why === undefined ? {} : { stuck: why }),
    };
  }

  #rest(pool: string): void {
    this.#busy.delete(pool);
    this.#onIdle();
  }

  /** Answers how long to rest before the next step. */
  async #step(
    pool: string,
    backing: Backing,
    { log, signal }: { readonly log: Log; readonly signal: AbortSignal },
  ): Promise<number> {
    const { clock, pools, records, onNews } = this.#deps;
    const { id } = backing;
    const startedMs = clock.monotonicMs();
    if (await this.#wipe(pool, backing, signal)) {
      this.#stuck.delete(id);
      return clock.monotonicMs() - startedMs;
    }
    log.info({ volumeID: id }, 'Freeing the space of a removed volume');
    // Before the space: whatever gets the ID next is not wiped.
    if (records.get(id) !== undefined) {
      await records.remove(id);
    }
    await pools.get(pool)?.free(id, signal);
    this.#stuck.delete(id);
    this.#freed += 1;
    onNews();
    return 0;
  }

  /** False: there is nothing (more) to wipe. */
  async #wipe(pool: string, backing: Backing, signal: AbortSignal): Promise<boolean> {
    const { clock, pools, records, onNews } = this.#deps;
    const { id, sizeBytes } = backing;
    const offset = wipedOf(records.get(id), backing);
    const open = pools.get(pool);
    if (open?.can.wipes !== true || offset >= sizeBytes) {
      return false;
    }
    const most = this.#rangeBytes.get(pool) ?? FIRST_RANGE_BYTES;
    const range = nextRange(offset, sizeBytes, most);
    const startedMs = clock.monotonicMs();
    if (!(await open.wipe(id, range, signal))) {
      return false;
    }
    if (range.length === most) {
      this.#rangeBytes.set(pool, nextRangeBytes(most, clock.monotonicMs() - startedMs));
    }
    const wiped = offset + range.length;
    const memory = { id, pool, sizeBytes: sizeBytes.toString(), wipedBytes: wiped.toString() };
    await records.put(id, memory);
    if (leftOf(sizeBytes, wiped) !== leftOf(sizeBytes, offset)) {
      onNews();
    }
    return true;
  }

  /** What is not dying (any more) was not wiped. */
  async #forget(pool: string, backings: readonly Backing[]): Promise<void> {
    const dying = new Set(dyingIn(backings).map(({ id }) => id));
    for (const { id, pool: of } of this.#deps.records.list()) {
      if (of === pool && !dying.has(id)) {
        await this.#deps.records.remove(id);
      }
    }
    for (const [id, stuck] of this.#stuck) {
      if (stuck.pool === pool && !dying.has(id)) {
        this.#stuck.delete(id);
      }
    }
  }
}
