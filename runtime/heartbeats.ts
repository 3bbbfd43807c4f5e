import { LEASES } from '../api/resources.ts';
import type { Api } from './api.ts';
import { type ChangeHandler, versionOf } from './cache.ts';
import type { Clock } from './clock.ts';
import { startDeadline } from './deadline.ts';
import type { Lease } from './lease.ts';
import type { Log } from './log.ts';

/**
 * fresh: renewed within its duration, as seen from here. stale: not renewed for its duration, and a live read said
 * so too. unknown: no lease, released, not watched for long enough, or the server cannot be asked.
 */
export type Freshness = 'fresh' | 'stale' | 'unknown';

export interface LeaseWatcherOptions {
  readonly leases: { onChange(handler: ChangeHandler<Lease>): void };
  readonly api: Pick<Api, 'get'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly onFreshness?: (key: string, freshness: Freshness) => void;
}

interface Watched {
  lease: Lease;
  freshness: Freshness;
  cancel: () => void;
}

const CHECK_DEADLINE_MS = 5_000;
const CHECK_AGAIN_MS = 5_000;

/**
 * Says which holders are alive, by our own monotonic time since their record last changed. Our own watch may be the
 * one that is dead, so nobody is called stale on its word alone.
 */
export class LeaseWatcher {
  readonly #options: LeaseWatcherOptions;
  readonly #watched = new Map<string, Watched>();

  /** Attach it before the leases are watched. */
  constructor(options: LeaseWatcherOptions) {
    this.#options = options;
    options.leases.onChange(({ key, object }) => {
      if (object === undefined) {
        this.#forget(key);
      } else {
        this.#seen(key, object);
      }
    });
  }

  freshness(key: string): Freshness {
    return this.#watched.get(key)?.freshness ?? 'unknown';
  }

  /** Undefined: no such lease, or released. */
  holder(key: string): string | undefined {
    return this.#watched.get(key)?.lease.spec?.holderIdentity || undefined;
  }

  /** Lets go of all timers. */
  stop(): void {
    for (const { cancel } of this.#watched.values()) {
      cancel();
    }
    this.#watched.clear();
  }

  #seen(key: string, lease: Lease): void {
    const before = this.#watched.get(key);
    if (before !== undefined && isOldNews(before.lease, lease)) {
      return;
    }
    if (before !== undefined && recordOf(before.lease) === recordOf(lease)) {
      before.lease = lease;
      return;
    }
    before?.cancel();
    // At first sight a record may be hours old: only a change proves life.
    const isAlive = before !== undefined && isHeld(lease);
    const watched = before ?? { lease, freshness: 'unknown' as const, cancel: () => {} };
    watched.lease = lease;
    watched.cancel = this.#checkIn(key, watched, durationMs(lease));
    this.#watched.set(key, watched);
    this.#judge(key, watched, isAlive ? 'fresh' : 'unknown');
  }

  #checkIn(key: string, watched: Watched, ms: number): () => void {
    return this.#options.clock.after(ms, () => void this.#check(key, watched));
  }

  /** Time is up: ask the server itself. Never rejects. */
  async #check(key: string, watched: Watched): Promise<void> {
    const { api, clock, log } = this.#options;
    if (watched.freshness === 'fresh') {
      this.#judge(key, watched, 'unknown');
    }
    const asked = watched.lease;
    const stillAsked = () =>
      this.#watched.get(key) === watched && recordOf(watched.lease) === recordOf(asked);
    const deadline = startDeadline(clock, CHECK_DEADLINE_MS, `reading the lease ${key}`);
    try {
      const current = await api.get<Lease>(LEASES, asked.metadata, { signal: deadline.signal });
      if (!stillAsked()) {
        return;
      }
      if (current === undefined) {
        this.#forget(key);
      } else if (recordOf(current) !== recordOf(asked)) {
        this.#seen(key, current);
      } else {
        this.#judge(key, watched, isHeld(current) ? 'stale' : 'unknown');
      }
    } catch (error) {
      log.debug({ err: error, lease: key }, 'Cannot read the lease');
      if (stillAsked()) {
        watched.cancel = this.#checkIn(key, watched, CHECK_AGAIN_MS);
      }
    } finally {
      deadline.release();
    }
  }

  #judge(key: string, watched: Watched, freshness: Freshness): void {
    if (watched.freshness !== freshness) {
      watched.freshness = freshness;
      this.#options.onFreshness?.(key, freshness);
    }
  }

  #forget(key: string): void {
    const watched = this.#watched.get(key);
    if (watched !== undefined) {
      watched.cancel();
      this.#watched.delete(key);
      this.#judge(key, watched, 'unknown');
    }
  }
}

/** A live read may have been ahead of the watch. */
function isOldNews(known: Lease, told: Lease): boolean {
  const [knownVersion, toldVersion] = [known, told].map(({ metadata }) =>
    versionOf(metadata.resourceVersion),
  );
  const same = known.metadata.uid === told.metadata.uid;
  return same && knownVersion !== undefined && toldVersion !== undefined && toldVersion < knownVersion;
}

const recordOf = ({ spec }: Lease): string => JSON.stringify([spec?.holderIdentity, spec?.renewTime]);

const isHeld = ({ spec }: Lease): boolean => (spec?.holderIdentity ?? '') !== '';

const durationMs = ({ spec }: Lease): number => (spec?.leaseDurationSeconds ?? 40) * 1000;
