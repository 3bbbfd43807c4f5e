import type { Clock } from './clock.ts';
import type { Log } from './log.ts';

export interface TenureOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly retryMs: number;
  readonly renewDeadlineMs: number;
}

/** One time of holding: from winning until lost, or until stopped and the work has ended. */
export class Tenure {
  readonly #options: TenureOptions;
  readonly #lost = new AbortController();
  readonly #held = new AbortController();
  /** Fires when there is nothing more to renew for. */
  readonly #over = new AbortController();
  readonly #stop: AbortSignal;
  readonly #onStop = () => this.#held.abort(this.#stop.reason);
  #work: Promise<void> = Promise.resolve();
  #working = true;
  #cancelDeadline: () => void;
  #soon = false;

  constructor(options: TenureOptions, renewedMs: number, stop: AbortSignal) {
    this.#options = options;
    this.#stop = stop;
    this.#cancelDeadline = this.#armed(renewedMs);
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  begin(work: (held: AbortSignal) => void | Promise<void>): void {
    if (this.#stop.aborted) {
      this.#onStop();
    }
    this.#stop.addEventListener('abort', this.#onStop, { once: true });
    this.#held.signal.addEventListener('abort', () => this.#endWhenIdle(), { once: true });
    this.#work = (async () => work(this.#held.signal))()
      .catch((error) => this.#options.log.error({ err: error }, 'Work under the lease failed'))
      .finally(() => {
        this.#working = false;
        this.#endWhenIdle();
      });
  }

  /** True: renew now. False: it is over. */
  async untilNextRenewal(): Promise<boolean> {
    const pauseMs = this.#soon ? 0 : this.#options.retryMs;
    this.#soon = false;
    await this.#options.clock.sleep(pauseMs, this.#over.signal).catch(() => {});
    return !this.#over.signal.aborted;
  }

  renewed(startedMs: number): void {
    this.#cancelDeadline();
    this.#cancelDeadline = this.#armed(startedMs);
  }

  renewSoon(): void {
    this.#soon = true;
  }

  lose(reason: Error): void {
    this.#lost.abort(reason);
    this.#held.abort(reason);
    this.#over.abort(reason);
  }

  /** Waits for the work: the next tenure must not begin beside it. */
  async end(): Promise<void> {
    this.#cancelDeadline();
    this.#stop.removeEventListener('abort', this.#onStop);
    await this.#work;
  }

  #armed(renewedMs: number): () => void {
    const { clock, renewDeadlineMs } = this.#options;
    const leftMs = renewedMs + renewDeadlineMs - clock.monotonicMs();
    return clock.after(leftMs, () => this.lose(new Error(`not renewed for ${renewDeadlineMs} ms`)));
  }

  #endWhenIdle(): void {
    if (!this.#working && this.#held.signal.aborted) {
      this.#over.abort();
    }
  }
}
