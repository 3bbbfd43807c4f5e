// What the API server dropped of a block that was written: CRDs of an earlier version do not know all of its fields. The block comes back
// without them, and must not be written again each time it is looked at.
import { sameJson } from '../api/equal.ts';

interface Written {
  readonly wanted: unknown;
  readonly kept: unknown;
  /** How often the same was wanted since. */
  passedOver: number;
}

/** In case the CRDs were upgraded meanwhile. */
const OFFER_EVERY = 60;

/** Remembers, for each block of which something was dropped, what was written and what there was of it then. */
export class DroppedFields {
  readonly #blocks = new Map<string, Written>();

  /** The same was written before, and this is what there was of it then. Now and then it is worth a try all the same. */
  isFutile(block: string, wanted: unknown, now: unknown): boolean {
    const written = this.#blocks.get(block);
    if (written === undefined || !sameJson(written.wanted, wanted) || !sameJson(written.kept, now)) {
      return false;
    }
    written.passedOver += 1;
    return written.passedOver % OFFER_EVERY !== 0;
  }

  /** `kept`: what the API server answered; undefined when there is no such object any more. */
  wrote(block: string, wanted: unknown, kept: unknown): void {
    if (kept === undefined || sameJson(wanted, kept)) {
      this.#blocks.delete(block);
    } else {
      this.#blocks.set(block, { wanted, kept, passedOver: 0 });
    }
  }
}
