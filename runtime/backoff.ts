/** Doubling, jittered pauses between `firstMs` and `longestMs`. */
export class Backoff {
  readonly #firstMs: number;
  readonly #longestMs: number;
  readonly #random: () => number;
  #failures = 0;

  constructor(firstMs: number, longestMs: number, random: () => number) {
    this.#firstMs = firstMs;
    this.#longestMs = longestMs;
    this.#random = random;
  }

  /** Up to a quarter longer than the plain value, so that those who failed together do not return together. */
  next(): number {
    const plainMs = this.#firstMs * 2 ** Math.min(this.#failures, 30);
    this.#failures += 1;
    return Math.min(this.#longestMs, plainMs * (1 + this.#random() / 4));
  }

  reset(): void {
    this.#failures = 0;
  }
}
