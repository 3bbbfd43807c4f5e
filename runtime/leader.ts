import type { Api } from './api.ts';
import type { Clock } from './clock.ts';
import { type LeaseEvents, LeaseHolder } from './lease.ts';
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
 * the lease is released only after `lead` has ended. `lost`, also when the server's store was set back: the caller must exit and start afresh; it is told at the
 * latest when another may lead, even if `lead` has not ended by then. Rejects with what `lead` threw.
 */
export async function runLeader(
  options: LeaderOptions,
  signal: AbortSignal,
  lead: (signal: AbortSignal) => Promise<void>,
): Promise<'lost' | 'stopped'> {
  const { leaseDurationMs = 15_000, renewDeadlineMs = 10_000, retryMs = 2_000, clock } = options;
  const times = { leaseDurationMs, renewDeadlineMs, retryMs };
  const lease = new LeaseHolder({ ...options, ...times, takeOverStale: true });
  const term = new Term(options, lead);
  const ended = lease.run(AbortSignal.any([signal, term.over]), term);
  let cancel = () => {};
  const othersMayLead = new Promise<void>((resolve) => {
    term.lost.addEventListener('abort', () => {
      cancel = clock.after(leaseDurationMs - renewDeadlineMs, resolve);
    });
  });
  await Promise.race([ended, othersMayLead]);
  cancel();
  if (term.lost.aborted) {
    return 'lost';
  }
  if (term.failure !== undefined && !signal.aborted) {
    throw term.failure.error;
  }
  return 'stopped';
}

/** The one time that this process leads. */
class Term implements LeaseEvents {
  failure: { readonly error: unknown } | undefined;
  readonly #options: LeaderOptions;
  readonly #lead: (signal: AbortSignal) => Promise<void>;
  readonly #over = new AbortController();
  readonly #lost = new AbortController();

  constructor(options: LeaderOptions, lead: (signal: AbortSignal) => Promise<void>) {
    this.#options = options;
    this.#lead = lead;
  }

  get over(): AbortSignal {
    return this.#over.signal;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async onHeld(held: AbortSignal): Promise<void> {
    const { log, name, holder, onLeading } = this.#options;
    log.info({ lease: name, holder }, 'Leading');
    onLeading?.(true);
    try {
      await this.#lead(held);
    } catch (error) {
      this.failure = { error };
    } finally {
      onLeading?.(false);
      this.#over.abort();
    }
  }

  onLost(): void {
    this.#lost.abort();
    this.#over.abort();
  }

  onSetBack(): void {
    const { log, name } = this.#options;
    log.error({ lease: name }, 'The store of the API server was set back');
    this.onLost();
  }

  onContender(leader: string): void {
    this.#options.log.info({ lease: this.#options.name, leader }, 'Waiting for the lease');
  }
}
