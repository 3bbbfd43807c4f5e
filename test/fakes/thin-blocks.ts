// What is in a thin volume: blocks that it shares with whatever was copied from it, until one of them writes. Every mebibyte is a block.

interface Block {
  readonly word: string;
}

export class ThinBlocks {
  #blocks = new Map<number, Block>();

  constructor(like?: ThinBlocks) {
    if (like !== undefined) {
      this.share(like);
    }
  }

  /** Nothing was written there: the pool zeroes new blocks. */
  read(at: number): string {
    return this.#blocks.get(at)?.word ?? '';
  }

  /** Into a block of its own, whoever shares the old one. */
  write(at: number, word: string): void {
    this.#blocks.set(at, { word });
  }

  /** They are discarded: whoever shares them keeps them. */
  drop(from: number, until: number): void {
    for (const at of [...this.#blocks.keys()].filter((one) => one >= from && one < until)) {
      this.#blocks.delete(at);
    }
  }

  /** All of the other's blocks, shared. */
  share(other: ThinBlocks): void {
    this.#blocks = new Map(other.#blocks);
  }

  get size(): number {
    return this.#blocks.size;
  }

  /** How many blocks the pool has given out to all of them. */
  static used(all: readonly ThinBlocks[]): number {
    return new Set(all.flatMap((one) => [...one.#blocks.values()])).size;
  }
}
