import { randomUUID } from 'node:crypto';
import type { Clock } from './clock.ts';
import { type Deadline, startDeadline } from './deadline.ts';
import { ApiError, TerminalError } from './errors.ts';
import type { Log } from './log.ts';
import type { WorkQueue } from './workqueue.ts';

export interface Result {
  /** Visit this key again, this much later, even if nothing happens. */
  readonly requeueAfterMs?: number;
}

export interface Visit {
  /** Fires at the visit's deadline and when the program has stopped waiting for it. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** Told which key, never why. Idempotent; expected outcomes are results, exceptions are "could not". */
export type Reconcile = (key: string, visit: Visit) => Promise<Result>;

export type VisitOutcome = 'success' | 'conflict' | 'terminal' | 'error' | 'stopped' | 'hung';

export interface LoopMetrics {
  visited(controller: string, outcome: VisitOutcome, durationMs: number): void;
}

export interface LoopOptions {
  /** The controller's name in logs and metrics. */
  readonly name: string;
  readonly queue: WorkQueue;
  readonly reconcile: Reconcile;
  /** Visits at a time, of different keys. */
  readonly concurrency: number;
  /** A visit's signal fires after so long. */
  readonly deadlineMs: number;
  /** How long a visit may outlive its deadline before its place is given away; how long a stop waits for visits. */
  readonly graceMs: number;
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics?: LoopMetrics;
  readonly signal: AbortSignal;
}

/** The loser of a compare-and-swap looks again soon: the winner's write is on its way to the cache. */
const LONGEST_CONFLICT_RETRY_MS = 5_000;
/** Between telling the last visits to stop and leaving without them. */
const LAST_WAIT_MS = 2_000;

/**
 * Visits the queue's keys until the signal fires, then takes no more, waits up to `graceMs` for the visits under
 * way, aborts the rest and resolves. The only place that decides what an error means.
 */
export async function runLoop(options: LoopOptions): Promise<void> {
  const { queue, signal } = options;
  const loop = new Loop(options);
  while (await loop.place(signal)) {
    const key = await queue.take(signal);
    if (key === undefined) {
      break;
    }
    loop.start(key);
  }
  await loop.drain();
}

class Loop {
  readonly #options: LoopOptions;
  readonly #running = new Map<string, Promise<void>>();
  readonly #giveUp = new AbortController();
  #busyPlaces = 0;
  #onFreePlace: () => void = () => {};

  constructor(options: LoopOptions) {
    this.#options = options;
  }

  /** True when there is room for one more visit, false when the loop must end. */
  async place(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted && this.#busyPlaces >= this.#options.concurrency) {
      await this.#freePlace(signal);
    }
    return !signal.aborted;
  }

  #freePlace(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const finish = () => {
        signal.removeEventListener('abort', finish);
        resolve();
      };
      this.#onFreePlace = finish;
      signal.addEventListener('abort', finish, { once: true });
    });
  }

  start(key: string): void {
    const { queue } = this.#options;
    this.#busyPlaces += 1;
    const visit = this.#visit(key).finally(() => {
      this.#running.delete(key);
      queue.done(key);
    });
    this.#running.set(key, visit);
  }

  async drain(): Promise<void> {
    const { clock, graceMs, log, name } = this.#options;
    await this.#settledWithin(clock, graceMs);
    if (this.#running.size > 0) {
      log.warn(
        { controller: name, visits: [...this.#running.keys()] },
        'Stopping without waiting for visits',
      );
      this.#giveUp.abort(new Error('the program is stopping'));
      await this.#settledWithin(clock, LAST_WAIT_MS);
    }
  }

  async #settledWithin(clock: Clock, ms: number): Promise<void> {
    let cancel = () => {};
    const timeout = new Promise<void>((resolve) => {
      cancel = clock.after(ms, resolve);
    });
    await Promise.race([Promise.all(this.#running.values()), timeout]);
    cancel();
  }

  /** Never rejects. Gives its place away when it hangs; the key stays busy until the promise settles. */
  async #visit(key: string): Promise<void> {
    const { clock, deadlineMs, graceMs, reconcile, name } = this.#options;
    const log = this.#options.log.child({ controller: name, object: key, reconcileId: randomUUID() });
    const deadline = startDeadline(clock, deadlineMs, `visiting ${key}`, this.#giveUp.signal);
    const startedMs = clock.monotonicMs();
    const leave = this.#place();
    const cancelHang = clock.after(deadlineMs + graceMs, () => {
      log.error({ deadlineMs, graceMs }, 'Visit ignores its deadline, going on without it');
      this.#options.metrics?.visited(name, 'hung', clock.monotonicMs() - startedMs);
      leave();
    });
    const outcome = await this.#judged({ key, log, deadline }, () =>
      reconcile(key, { signal: deadline.signal, log }),
    );
    cancelHang();
    deadline.release();
    this.#options.metrics?.visited(name, outcome, clock.monotonicMs() - startedMs);
    leave();
  }

  /** Gives the place back once, however often it is called. */
  #place(): () => void {
    let held = true;
    return () => {
      if (held) {
        held = false;
        this.#busyPlaces -= 1;
        this.#onFreePlace();
      }
    };
  }

  async #judged(visit: Judged, run: () => Promise<Result>): Promise<VisitOutcome> {
    const { queue } = this.#options;
    try {
      const { requeueAfterMs } = await run();
      queue.forget(visit.key);
      if (requeueAfterMs !== undefined) {
        queue.addAfter(visit.key, requeueAfterMs);
      }
      return 'success';
    } catch (error) {
      return this.#judge(visit, error);
    }
  }

  #judge({ key, log }: Judged, error: unknown): VisitOutcome {
    const { queue } = this.#options;
    if (this.#giveUp.signal.aborted) {
      log.info({ err: error }, 'Visit stopped');
      return 'stopped';
    }
    if (error instanceof ApiError && error.isConflict) {
      log.debug({ err: error }, 'Lost a race, looking again');
      queue.retry(key, LONGEST_CONFLICT_RETRY_MS);
      return 'conflict';
    }
    if (error instanceof TerminalError) {
      log.error({ err: error, reason: error.reason }, 'Visit failed for good');
      queue.forget(key);
      return 'terminal';
    }
    log.error({ err: error }, 'Visit failed');
    queue.retry(key);
    return 'error';
  }
}

interface Judged {
  readonly key: string;
  readonly log: Log;
  readonly deadline: Deadline;
}
