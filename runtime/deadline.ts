import type { Clock } from './clock.ts';

export interface Deadline {
  readonly signal: AbortSignal;
  /** True when time ran out, false when the parent was aborted or nothing happened yet. */
  readonly expired: () => boolean;
  /** Starts the time anew. Without effect once the signal has fired. */
  readonly restart: (ms: number) => void;
  /** Takes the timer away; the parent still aborts. */
  readonly stopTimer: () => void;
  /** Must be called: lets go of the timer and of the parent. */
  readonly release: () => void;
}

/** The work was not done in time. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
}

/** A signal that fires when `ms` have passed or when a parent fires, whichever is first. */
export function startDeadline(clock: Clock, ms: number, what: string, parent?: AbortSignal): Deadline {
  const controller = new AbortController();
  let expired = false;
  const onParent = () => controller.abort(parent?.reason);
  const arm = (duration: number) =>
    clock.after(duration, () => {
      expired = !controller.signal.aborted;
      controller.abort(new DeadlineError(`${what} took longer than ${duration} ms`));
    });
  let cancel = arm(ms);
  if (parent?.aborted) {
    onParent();
  }
  parent?.addEventListener('abort', onParent, { once: true });
  return {
    signal: controller.signal,
    expired: () => expired,
    restart: (duration) => {
      cancel();
      cancel = arm(duration);
    },
    stopTimer: () => cancel(),
    release: () => {
      cancel();
      parent?.removeEventListener('abort', onParent);
    },
  };
}
