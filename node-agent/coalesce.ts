// One look serves all who asked before it began: a hundred volumes do not mean a hundred `tgtadm --op show`.
import { CannotLook } from './roles/errors.ts';

/** How long one look at a host may take. */
export const LOOK_LIMIT_MS = 60_000;

/** For the look itself: sooner, since it knows better what it waits for. */
export const lookSignal = (): AbortSignal => AbortSignal.timeout(LOOK_LIMIT_MS - 5_000);

/**
 * Calls made while a look is under way share the next one, which begins after all of them. A look beyond its limit hangs,
 * as file operations on a dead disk do: until it ends, everybody gets the same CannotLook at once and no other one begins.
 */
export function coalesced<T>(
  look: () => Promise<T>,
  timeoutMs: number = LOOK_LIMIT_MS,
  subject = 'the host',
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
    const timer = setTimeout(() => {
      hung = new CannotLook(subject, `a look has not ended within ${timeoutMs / 1000} s`);
      reject(hung);
    }, timeoutMs).unref();
    (async () => await look())()
      .then(resolve, reject)
      .finally(() => {
        clearTimeout(timer);
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
