// One look serves all who asked before it began: a hundred volumes do not mean a hundred `tgtadm --op show`.
import type { Clock } from '../runtime/clock.ts';
import { startDeadline } from '../runtime/deadline.ts';
import { CannotLook } from './roles/errors.ts';

/** How long one look at a host may take. */
const LOOK_LIMIT_MS = 60_000;
/** The look itself is told to end so much sooner, since it knows better what it waits for. */
const AHEAD_MS = 5_000;

export interface LookOptions {
  /** In its failures. */
  readonly subject: string;
  readonly clock: Clock;
}

/**
 * Calls made while a look is under way share the next one, which begins after all of them. A look beyond its limit hangs,
 * as file operations on a dead disk do: until it ends, everybody gets the same CannotLook at once and no other one begins.
 */
export function coalesced<T>(
  look: (signal: AbortSignal) => Promise<T>,
  { subject, clock }: LookOptions,
): () => Promise<T> {
  let running: Promise<unknown> | undefined;
  let next: Promise<T> | undefined;
  let hung: CannotLook | undefined;
  const begin = (): Promise<T> => {
    next = undefined;
    if (hung !== undefined) {
      return Promise.reject(hung);
    }
    const { promise: mine, resolve, reject } = Promise.withResolvers<T>();
    const deadline = startDeadline(clock, LOOK_LIMIT_MS - AHEAD_MS, `the look at ${subject}`);
    const giveUp = clock.after(LOOK_LIMIT_MS, () => {
      hung = new CannotLook(subject, `a look has not ended within ${LOOK_LIMIT_MS / 1000} s`);
      reject(hung);
    });
    (async () => await look(deadline.signal))()
      .then(resolve, reject)
      .finally(() => {
        giveUp();
        deadline.release();
        hung = undefined;
      });
    const ended = mine
      .catch(() => {})
      .finally(() => {
        if (running === ended) {
          running = undefined;
        }
      });
    running = ended;
    return mine;
  };
  return () => {
    if (running === undefined) {
      return begin();
    }
    next ??= running.then(begin);
    return next;
  };
}
