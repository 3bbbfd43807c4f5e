// Lets others wait for a visit of a key that is visited over and over.
import type { Reconcile } from '../runtime/loop.ts';

export interface Awaitable {
  /** The visits, watched. */
  watched(reconcile: Reconcile): Reconcile;
  /** Asks for a visit; settled when one that began after this call has succeeded. Rejects when the signal fires. */
  next(signal: AbortSignal): Promise<void>;
}

export function awaitable(ask: () => void): Awaitable {
  let waiting: (() => void)[] = [];
  return {
    watched: (reconcile) => async (key, visit) => {
      const served = waiting;
      waiting = [];
      try {
        const result = await reconcile(key, visit);
        for (const tell of served) {
          tell();
        }
        return result;
      } catch (error) {
        waiting = [...served, ...waiting];
        throw error;
      }
    },
    next: (signal) =>
      new Promise((resolve, reject) => {
        signal.throwIfAborted();
        const stop = () => reject(signal.reason);
        signal.addEventListener('abort', stop, { once: true });
        waiting.push(() => {
          signal.removeEventListener('abort', stop);
          resolve();
        });
        ask();
      }),
  };
}
