/** Lock classes: commands of one class never run beside each other, whichever role asked for them. */

import { CommandTimeout } from './command.ts';

/** An earlier command of the class overran its deadline and still runs. Fails at once, so that one hung tool stops nobody else. */
export class LockStuck extends Error {
  override readonly name = 'LockStuck';
  readonly lock: string;
  constructor(lock: string, since: string) {
    super(`an earlier ${lock} command still runs (${since})`);
    this.lock = lock;
  }
}

export interface Locks {
  /** Runs the work when it is its turn, first come first served. Rejects with the signal's reason while it waits. */
  hold<T>(lock: string, signal: AbortSignal, work: () => Promise<T>): Promise<T>;
}

interface Line {
  tail: Promise<void>;
  waiting: number;
  stuck: LockStuck | undefined;
  /** Tells those who wait already that the command ahead of them hangs. */
  readonly alarms: Set<(stuck: LockStuck) => void>;
}

/** Rejects when the caller gives up or the command ahead hangs. */
const interrupted = (line: Line, signal: AbortSignal): { promise: Promise<never>; stop: () => void } => {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  line.alarms.add(reject);
  const stop = () => {
    signal.removeEventListener('abort', onAbort);
    line.alarms.delete(reject);
  };
  return { promise, stop };
};

const refuseStuck = ({ stuck }: Line): void => {
  if (stuck !== undefined) {
    throw stuck;
  }
};

/** Runs the work; the turn ends with it, or with the overdue command it left behind. */
const take = async <T>(lock: string, line: Line, release: () => void, work: () => Promise<T>): Promise<T> => {
  try {
    const result = await work();
    release();
    return result;
  } catch (error) {
    const overdue = findTimeout(error);
    if (overdue === undefined) {
      release();
    } else {
      const stuck = new LockStuck(lock, overdue.message);
      line.stuck = stuck;
      for (const alarm of line.alarms) {
        alarm(stuck);
      }
      void overdue.ended.then(() => {
        line.stuck = undefined;
        release();
      });
    }
    throw error;
  }
};

export const createLocks = (): Locks => {
  const lines = new Map<string, Line>();
  const enter = (lock: string): Line => {
    const line = lines.get(lock) ?? {
      tail: Promise.resolve(),
      waiting: 0,
      stuck: undefined,
      alarms: new Set(),
    };
    lines.set(lock, line);
    line.waiting += 1;
    return line;
  };
  const leave = (lock: string, line: Line): void => {
    line.waiting -= 1;
    if (line.waiting === 0) {
      lines.delete(lock);
    }
  };
  return {
    hold: async (lock, signal, work) => {
      signal.throwIfAborted();
      const line = enter(lock);
      const before = line.tail;
      const turn = Promise.withResolvers<void>();
      const release = () => {
        turn.resolve();
        leave(lock, line);
      };
      line.tail = before.then(() => turn.promise);
      const interrupt = interrupted(line, signal);
      try {
        refuseStuck(line);
        await Promise.race([before, interrupt.promise]);
      } catch (error) {
        void before.then(release);
        throw error;
      } finally {
        interrupt.stop();
      }
      return take(lock, line, release, work);
    },
  };
};

const findTimeout = (error: unknown): CommandTimeout | undefined => {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof CommandTimeout) {
      return at;
    }
  }
  return undefined;
};
