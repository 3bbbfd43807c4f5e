import { type Clock, systemClock } from './clock.ts';

export interface WorkQueueOptions {
  readonly clock?: Clock;
  /** In [0, 1); spreads retries. */
  readonly random?: () => number;
  /** A key's first retry waits this long, each further one twice as long. */
  readonly firstRetryMs?: number;
  readonly longestRetryMs?: number;
  /** Told whenever a key is taken: how long it had been ready, and how many still are. */
  readonly onTake?: (waitedMs: number, depth: number) => void;
}

interface Delayed {
  readonly dueMs: number;
  readonly cancel: () => void;
}

interface Taker {
  readonly give: (key: string | undefined) => void;
}

/**
 * A set of keys that want a visit, in the order they asked. At most one visit per key at a time; asking twice
 * before it happens is one visit, asking during it is one more. A request is never lost: a delayed one stands even
 * when the key is visited earlier for another reason.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #firstRetryMs: number;
  readonly #longestRetryMs: number;
  readonly #onTake: (waitedMs: number, depth: number) => void;
  /** Ready keys, each with the moment it became ready. Maps keep the order of insertion. */
  readonly #ready = new Map<string, number>();
  readonly #visiting = new Set<string>();
  readonly #askedDuringVisit = new Set<string>();
  readonly #delayed = new Map<string, Delayed>();
  readonly #failures = new Map<string, number>();
  readonly #takers = new Set<Taker>();
  #shutDown = false;

  constructor(options: WorkQueueOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#firstRetryMs = options.firstRetryMs ?? 200;
    this.#longestRetryMs = options.longestRetryMs ?? 300_000;
    this.#onTake = options.onTake ?? (() => {});
  }

  /** Keys ready for a visit now; neither delayed nor being visited. */
  get length(): number {
    return this.#ready.size;
  }

  /** Keys that failed and were not forgotten since. */
  get failing(): number {
    return this.#failures.size;
  }

  /** Asks for a visit as soon as there is a hand free. */
  add(key: string): void {
    if (this.#shutDown) {
      return;
    }
    if (this.#visiting.has(key)) {
      this.#askedDuringVisit.add(key);
      return;
    }
    if (!this.#ready.has(key)) {
      this.#ready.set(key, this.#clock.monotonicMs());
      this.#serve();
    }
  }

  /** Asks for a visit `delayMs` from now. Of several delays the earliest wins. */
  addAfter(key: string, delayMs: number): void {
    if (delayMs <= 0) {
      this.add(key);
      return;
    }
    const dueMs = this.#clock.monotonicMs() + delayMs;
    const earlier = this.#delayed.get(key);
    if (this.#shutDown || (earlier !== undefined && earlier.dueMs <= dueMs)) {
      return;
    }
    earlier?.cancel();
    const cancel = this.#clock.after(delayMs, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { dueMs, cancel });
  }

  /** Like `addAfter`, with this key's own exponential backoff, never longer than `atMostMs`. */
  retry(key: string, atMostMs = this.#longestRetryMs): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const backoffMs = Math.min(
      this.#firstRetryMs * 2 ** Math.min(failures, 40),
      this.#longestRetryMs,
      atMostMs,
    );
    this.addAfter(key, backoffMs * (0.9 + 0.2 * this.#random()));
  }

  /** The key is healthy (or gone): its next retry starts from the shortest delay. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** Waits for a key and starts its visit; `done` must follow. Undefined: shut down, or the signal fired. */
  take(signal: AbortSignal): Promise<string | undefined> {
    if (this.#shutDown || signal.aborted) {
      return Promise.resolve(undefined);
    }
    return new Promise((resolve) => {
      const onAbort = () => taker.give(undefined);
      const taker: Taker = {
        give: (key) => {
          this.#takers.delete(taker);
          signal.removeEventListener('abort', onAbort);
          resolve(key);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#takers.add(taker);
      this.#serve();
    });
  }

  /** The visit is over; if the key was asked for meanwhile, it is ready again. */
  done(key: string): void {
    this.#visiting.delete(key);
    if (this.#askedDuringVisit.delete(key)) {
      this.add(key);
    }
  }

  /** No more visits: timers are gone, takers get undefined, adding does nothing. */
  shutdown(): void {
    this.#shutDown = true;
    for (const { cancel } of this.#delayed.values()) {
      cancel();
    }
    this.#delayed.clear();
    this.#ready.clear();
    for (const taker of [...this.#takers]) {
      taker.give(undefined);
    }
  }

  #serve(): void {
    for (const taker of this.#takers) {
      const next = this.#ready.entries().next();
      if (next.done) {
        return;
      }
      const [key, readySinceMs] = next.value;
      this.#ready.delete(key);
      this.#visiting.add(key);
      this.#onTake(this.#clock.monotonicMs() - readySinceMs, this.#ready.size);
      taker.give(key);
    }
  }
}
