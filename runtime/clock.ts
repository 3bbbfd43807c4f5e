/** Time as it is handed in, so that tests and simulated worlds can turn it themselves. */
export interface Clock {
  /** Wall time: for timestamps a person reads, never for measuring. */
  now(): Date;
  /** Milliseconds that never go backwards; the zero point means nothing. */
  monotonicMs(): number;
  /** Runs `run` once, `ms` from now. The answer cancels it; cancelling twice is fine. */
  after(ms: number, run: () => void): () => void;
  /** Rejects with the signal's reason when the signal fires first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Longer timers would overflow and fire at once; an early wake-up is harmless. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

function after(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, Math.min(Math.max(0, ms), LONGEST_TIMER_MS));
  return () => clearTimeout(timer);
}

/** Builds `sleep` from `after`, so that every clock treats signals alike. */
export function sleeping(after: Clock['after']): Clock['sleep'] {
  return (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = () => {
        cancel();
        reject(signal?.reason);
      };
      const cancel = after(ms, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    });
}

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  after,
  sleep: sleeping(after),
};
