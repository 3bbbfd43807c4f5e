import { type Clock, sleeping } from '../../runtime/clock.ts';

interface Timer {
  readonly dueMs: number;
  readonly run: () => void;
}

/** Time that stands still until a test turns it. */
export class FakeClock implements Clock {
  readonly sleep = sleeping((ms, run) => this.after(ms, run));
  readonly #startMs: number;
  readonly #timers = new Set<Timer>();
  #elapsedMs = 0;

  constructor(start = new Date('2026-11-23T12:00:00Z')) {
    this.#startMs = start.getTime();
  }

  now(): Date {
    return new Date(this.#startMs + this.#elapsedMs);
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  /** How many timers are waiting: what a finished test must not leave behind. */
  get pending(): number {
    return this.#timers.size;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { dueMs: this.#elapsedMs + Math.max(0, ms), run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Turns time, runs every timer on its way in order, and lets all promises that follow from it settle. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#elapsedMs + ms;
    await settle();
    for (let timer = this.#next(endMs); timer !== undefined; timer = this.#next(endMs)) {
      this.#timers.delete(timer);
      this.#elapsedMs = Math.max(this.#elapsedMs, timer.dueMs);
      timer.run();
      await settle();
    }
    this.#elapsedMs = endMs;
    await settle();
  }

  /** The same time as another machine sees it: its wall clock is off, its monotonic clock began elsewhere. */
  elsewhere(skewMs: number): Clock {
    return {
      now: () => new Date(this.now().getTime() + skewMs),
      monotonicMs: () => this.monotonicMs() + Math.abs(skewMs) * 3,
      after: (ms, run) => this.after(ms, run),
      sleep: this.sleep,
    };
  }

  #next(endMs: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueMs <= endMs && (first === undefined || timer.dueMs < first.dueMs)) {
        first = timer;
      }
    }
    return first;
  }
}

/** Lets promise chains run dry: each turn of the event loop empties the whole microtask queue. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
