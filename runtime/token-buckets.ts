import type { Clock } from './clock.ts';

interface Bucket {
  tokens: number;
  readonly filledMs: number;
}

/** Full buckets need not be remembered; beyond this many the least recently used is forgotten. */
const MOST_BUCKETS = 4_096;

/** One token bucket per key, in bounded memory. */
export class TokenBuckets {
  readonly #clock: Clock;
  readonly #burst: number;
  readonly #refillMs: number;
  readonly #buckets = new Map<string, Bucket>();

  /** `burst` tokens to begin with, one more every `refillMs`. */
  constructor(clock: Clock, burst: number, refillMs: number) {
    this.#clock = clock;
    this.#burst = burst;
    this.#refillMs = refillMs;
  }

  /** False when there is none. */
  take(key: string): boolean {
    const nowMs = this.#clock.monotonicMs();
    const { tokens, filledMs } = this.#buckets.get(key) ?? { tokens: this.#burst, filledMs: nowMs };
    const available = Math.min(this.#burst, tokens + (nowMs - filledMs) / this.#refillMs);
    const left = available >= 1 ? available - 1 : available;
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: left, filledMs: nowMs });
    const [oldest] = this.#buckets.keys();
    if (oldest !== undefined && this.#buckets.size > MOST_BUCKETS) {
      this.#buckets.delete(oldest);
    }
    return available >= 1;
  }
}
