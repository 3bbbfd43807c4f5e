import type { Api } from './api.ts';
import type { Clock } from './clock.ts';
import { LeaseHolder } from './lease.ts';
import type { Log } from './log.ts';

export interface LeaderOptions {
  readonly api: Pick<Api, 'get' | 'create' | 'patch'>;
  readonly namespace: string;
  readonly name: string;
  /** Unique per process. */
  readonly holder: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly leaseDurationMs?: number;
  readonly renewDeadlineMs?: number;
  readonly retryMs?: number;
  readonly onLeading?: (leading: boolean) => void;
}

/**
 * Waits to be elected, then runs `lead` once. Its signal fires when leadership is in doubt or on a stop; on a stop
 * the lease is released only after `lead` has ended. `lost`: the caller should exit and start afresh.
 */
export async function runLeader(
  options: LeaderOptions,
  signal: AbortSignal,
  lead: (signal: AbortSignal) => Promise<void>,
): Promise<'lost' | 'stopped'> {
  const { api, namespace, name, holder, clock, log, onLeading = () => {} } = options;
  const lease = new LeaseHolder({
    api,
    namespace,
    name,
    holder,
    clock,
    log,
    leaseDurationMs: options.leaseDurationMs ?? 15_000,
    renewDeadlineMs: options.renewDeadlineMs ?? 10_000,
    retryMs: options.retryMs ?? 2_000,
    takeOverStale: true,
  });
  const once = new AbortController();
  let lost = false;
  let failure: { readonly error: unknown } | undefined;
  await lease.run(AbortSignal.any([signal, once.signal]), {
    onHeld: async (held) => {
      log.info({ lease: name, holder }, 'Leading');
      onLeading(true);
      await lead(held)
        .catch((error) => {
          failure = { error };
        })
        .finally(() => {
          onLeading(false);
          once.abort();
        });
    },
    onLost: () => {
      lost = true;
      once.abort();
    },
    onContender: (leader) => log.info({ lease: name, leader }, 'Waiting for the lease'),
  });
  if (failure !== undefined && !lost && !signal.aborted) {
    throw failure.error;
  }
  return lost ? 'lost' : 'stopped';
}
