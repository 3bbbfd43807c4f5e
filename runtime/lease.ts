import type { KubeObject } from '../api/object.ts';
import { LEASES } from '../api/resources.ts';
import type { Api } from './api.ts';
import { versionOf } from './cache.ts';
import type { Clock } from './clock.ts';
import { startDeadline } from './deadline.ts';
import { ApiError } from './errors.ts';
import type { Log } from './log.ts';
import { Tenure } from './tenure.ts';

const FIELD_MANAGER = 'lease-holder';

/** coordination.k8s.io/v1. */
export interface Lease extends KubeObject {
  readonly spec?: {
    /** Empty: released. */
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

/**
 * The times of renewal that this holder has written, or tried to write last, kept through restarts: a lease in our own name with
 * another one was renewed by somebody else, such as a copy of this machine.
 */
export interface LeaseJournal {
  /** Undefined: never kept. Then our name is enough. */
  readonly renewTimes: () => readonly string[] | undefined;
  readonly keep: (renewTimes: readonly string[]) => Promise<void>;
  /** As if never kept: what cannot be kept up to date would tell a stranger from us wrongly. */
  readonly drop: () => Promise<void>;
}

export interface LeaseOptions {
  readonly api: Pick<Api, 'get' | 'create' | 'patch'>;
  readonly namespace: string;
  readonly name: string;
  /** Who we are; the same string after a restart takes the lease up again at once. */
  readonly holder: string;
  /** Where nobody else can have our name there is none. */
  readonly journal?: LeaseJournal;
  /** Others may take the lease when its record has not changed for so long. */
  readonly leaseDurationMs: number;
  /** We stop believing that we hold it when no renewal has succeeded for so long. Less than the duration. */
  readonly renewDeadlineMs: number;
  /** Between renewals, and between attempts to get it. */
  readonly retryMs: number;
  readonly labels?: Readonly<Record<string, string>>;
  /** Whether a lease that another holder no longer renews may be taken. */
  readonly takeOverStale: boolean;
  /** False for heartbeats: a restart shall not look like a farewell. */
  readonly releaseOnStop?: boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly random?: () => number;
}

export interface LeaseEvents {
  /**
   * We hold it. The signal fires when we can no longer be sure of that, or when `run` is asked to stop; the lease
   * is kept (and renewed) until the promise settles.
   */
  onHeld(held: AbortSignal): void | Promise<void>;
  /** We held it and lost it. Not called on a stop. */
  onLost?(): void;
  /** Somebody else holds it; once per holder seen. */
  onContender?(holder: string): void;
  /**
   * The server tells of an older state of the lease than it has told before: its store was restored from a backup, and whatever else was
   * learned from it may be of a history that has never been. Whoever keeps copies has to begin anew.
   */
  onSetBack?(): void;
}

/** More are not sent within a renew deadline. */
const MOST_UNANSWERED = 16;

interface Grip {
  readonly lease: Lease;
  /** Taken before the request left: others saw the record change later than this. */
  readonly renewedMs: number;
}

/**
 * Holds a Lease object, for leader elections and heartbeats. Expiry is judged by our own monotonic time since the
 * record last changed; clocks of machines are never compared. A lease is no fence: writes stay compare-and-swap.
 */
export class LeaseHolder {
  readonly #options: LeaseOptions;
  #seenRecord = '';
  #seenChangeMs = 0;
  #contender: string | undefined;
  #unreachable = false;
  /** Renewals that were sent and of which no answer says what became of them. */
  #unanswered: readonly string[] = [];
  /** Of the lease, as far as the server has told; each of its states has a higher one. */
  #highest = -1n;
  #onSetBack: () => void = () => {};

  constructor(options: LeaseOptions) {
    if (options.renewDeadlineMs >= options.leaseDurationMs || options.retryMs >= options.renewDeadlineMs) {
      throw new RangeError('a lease needs retryMs < renewDeadlineMs < leaseDurationMs');
    }
    this.#options = options;
  }

  /** Tries for the lease until the signal fires; then lets the work finish, releases and resolves. */
  async run(signal: AbortSignal, events: LeaseEvents): Promise<void> {
    const { clock, retryMs, random = Math.random } = this.#options;
    this.#onSetBack = () => events.onSetBack?.();
    while (!signal.aborted) {
      const grip = await this.#tryToTake(signal, events);
      if (grip === undefined) {
        await clock.sleep(retryMs * (0.9 + 0.2 * random()), signal).catch(() => {});
      } else {
        await this.#hold(grip, signal, events);
      }
    }
  }

  async #tryToTake(signal: AbortSignal, events: LeaseEvents): Promise<Grip | undefined> {
    try {
      const grip = await this.#within(signal, (limit) => this.#take(limit, events));
      this.#unreachable = false;
      return grip;
    } catch (error) {
      this.#complain(error, signal);
      return undefined;
    }
  }

  /** Once per outage. Losing a race is no trouble. */
  #complain(error: unknown, signal: AbortSignal): void {
    const lostRace = error instanceof ApiError && (error.isConflict || error.isAlreadyExists);
    if (!signal.aborted && !lostRace && !this.#unreachable) {
      this.#unreachable = true;
      this.#options.log.warn({ err: error, lease: this.#options.name }, 'Cannot reach the lease, trying on');
    }
  }

  async #take(signal: AbortSignal, events: LeaseEvents): Promise<Grip | undefined> {
    const { api, clock, name, namespace, labels } = this.#options;
    const lease = await this.#read(signal);
    const renewedMs = clock.monotonicMs();
    if (lease === undefined) {
      const metadata = { name, namespace, ...(labels === undefined ? {} : { labels }) };
      const spec = this.#taken(undefined);
      await this.#keep(spec, undefined);
      const draft = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec };
      return {
        lease: await api.create<Lease>(LEASES, draft, { fieldManager: FIELD_MANAGER, signal }),
        renewedMs,
      };
    }
    if (!this.#isFree(lease)) {
      this.#tellContender(lease, events);
      return undefined;
    }
    return { lease: await this.#write(lease, this.#taken(lease), signal), renewedMs };
  }

  #isFree({ spec }: Lease): boolean {
    const { clock, leaseDurationMs, takeOverStale } = this.#options;
    const record = JSON.stringify(spec);
    if (record !== this.#seenRecord) {
      this.#seenRecord = record;
      this.#seenChangeMs = clock.monotonicMs();
    }
    const grantedMs =
      spec?.leaseDurationSeconds === undefined ? leaseDurationMs : spec.leaseDurationSeconds * 1000;
    const stale = clock.monotonicMs() - this.#seenChangeMs >= grantedMs;
    const mayTakeOver = takeOverStale && stale && this.#isNotBehind(spec);
    return (spec?.holderIdentity ?? '') === '' || this.#isOurs(spec) || mayTakeOver;
  }

  /**
   * A lease that was renewed after all that we remember was renewed by another who remembers more: our disk is a copy of its, from
   * before. Its silence says nothing, as it may only be cut off; a person who knows that it is gone deletes the lease. A store that was
   * set back shows an older renewal of ours.
   */
  #isNotBehind(spec: Lease['spec']): boolean {
    const written = this.#options.journal?.renewTimes() ?? [];
    const { renewTime = '' } = spec ?? {};
    return written.length === 0 || written.some((one) => renewTime <= one);
  }

  #isOurs(spec: Lease['spec']): boolean {
    const written = this.#options.journal?.renewTimes();
    const { holderIdentity, renewTime = '' } = spec ?? {};
    return holderIdentity === this.#options.holder && written?.includes(renewTime) !== false;
  }

  #tellContender({ spec }: Lease, events: LeaseEvents): void {
    const contender = spec?.holderIdentity ?? '';
    if (contender !== this.#contender) {
      this.#contender = contender;
      events.onContender?.(contender);
    }
  }

  async #hold(first: Grip, stop: AbortSignal, events: LeaseEvents): Promise<void> {
    const tenure = new Tenure(this.#options, first.renewedMs, stop);
    this.#contender = undefined;
    tenure.begin((held) => events.onHeld(held));
    const last = await this.#renewWhile(tenure, first.lease);
    if (tenure.lost.aborted) {
      this.#options.log.warn(
        { lease: this.#options.name, reason: String(tenure.lost.reason) },
        'Lost the lease',
      );
      events.onLost?.();
    }
    await tenure.end();
    if (!tenure.lost.aborted && this.#options.releaseOnStop !== false) {
      await this.#release(last);
    }
  }

  async #renewWhile(tenure: Tenure, first: Lease): Promise<Lease> {
    let lease = first;
    while (await tenure.untilNextRenewal()) {
      const startedMs = this.#options.clock.monotonicMs();
      try {
        lease = await this.#within(tenure.lost, (signal) => this.#write(lease, this.#renewed(), signal));
        tenure.renewed(startedMs);
      } catch (error) {
        lease = await this.#afterFailedRenewal(error, lease, tenure);
      }
    }
    return lease;
  }

  /** A conflict may be a stranger's label or another holder; anything else is tried again until the deadline. */
  async #afterFailedRenewal(error: unknown, lease: Lease, tenure: Tenure): Promise<Lease> {
    const { log, name } = this.#options;
    if (!tenure.lost.aborted) {
      log.debug({ err: error, lease: name }, 'Lease not renewed');
    }
    if (!(error instanceof ApiError && (error.isConflict || error.isNotFound))) {
      return lease;
    }
    try {
      const current = await this.#within(tenure.lost, (signal) => this.#read(signal));
      if (current !== undefined && this.#isOurs(current.spec)) {
        tenure.renewSoon();
        return current;
      }
      tenure.lose(new Error(`the lease is held by ${current?.spec?.holderIdentity ?? 'nobody'}`));
    } catch (failure) {
      log.debug({ err: failure, lease: name }, 'Lease not read');
    }
    return lease;
  }

  async #release(lease: Lease): Promise<void> {
    const never = new AbortController().signal;
    const spec = { ...this.#renewed(), holderIdentity: '', leaseDurationSeconds: 1 };
    try {
      await this.#within(never, (signal) => this.#write(lease, spec, signal));
    } catch (error) {
      this.#options.log.debug(
        { err: error, lease: this.#options.name },
        'Lease not released, it will expire',
      );
    }
  }

  async #read(signal: AbortSignal): Promise<Lease | undefined> {
    const { api, name, namespace } = this.#options;
    const lease = await api.get<Lease>(LEASES, { name, namespace }, { signal });
    const version = versionOf(lease?.metadata.resourceVersion);
    if (version !== undefined) {
      const isOlder = version < this.#highest;
      this.#highest = version;
      if (isOlder) {
        this.#onSetBack();
      }
    }
    return lease;
  }

  async #write(before: Lease, spec: NonNullable<Lease['spec']>, signal: AbortSignal): Promise<Lease> {
    const { api, labels } = this.#options;
    const { metadata } = before;
    await this.#keep(spec, before);
    const { uid, resourceVersion } = metadata;
    const body = { metadata: { uid, resourceVersion, ...(labels === undefined ? {} : { labels }) }, spec };
    const written = await api.patch<Lease>(LEASES, metadata, body, { fieldManager: FIELD_MANAGER, signal });
    this.#highest = versionOf(written.metadata.resourceVersion) ?? this.#highest;
    this.#unanswered = [];
    return written;
  }

  /** Before it is sent: the answer may be lost, and this process end. */
  async #keep({ renewTime = '' }: NonNullable<Lease['spec']>, before: Lease | undefined): Promise<void> {
    const { journal, log, name } = this.#options;
    if (journal === undefined) {
      return;
    }
    this.#unanswered = [...this.#unanswered, renewTime].slice(-MOST_UNANSWERED);
    const known = before !== undefined && this.#isOurs(before.spec) ? [before.spec?.renewTime ?? ''] : [];
    await journal.keep([...known, ...this.#unanswered]).catch((error) => {
      log.warn({ err: error, lease: name }, 'Cannot keep when the lease was renewed');
      return journal.drop().catch(() => undefined);
    });
  }

  #taken(previous: Lease | undefined): NonNullable<Lease['spec']> {
    const { clock, holder } = this.#options;
    const spec = previous?.spec;
    const transitions = spec?.leaseTransitions ?? 0;
    const isNew = previous !== undefined && spec?.holderIdentity !== holder;
    return {
      ...this.#renewed(),
      holderIdentity: holder,
      acquireTime: microTime(clock.now()),
      leaseTransitions: isNew ? transitions + 1 : transitions,
    };
  }

  #renewed(): NonNullable<Lease['spec']> {
    const { clock, leaseDurationMs, journal, random = Math.random } = this.#options;
    // What tells two holders of one name apart must not be the same by chance.
    const micros = journal === undefined ? 0 : Math.floor(random() * 1000);
    return {
      renewTime: microTime(clock.now(), micros),
      leaseDurationSeconds: Math.ceil(leaseDurationMs / 1000),
    };
  }

  /** One request may take half the renew deadline: after a dead connection there is time for another. */
  async #within<T>(parent: AbortSignal, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { clock, renewDeadlineMs, name } = this.#options;
    const deadline = startDeadline(clock, renewDeadlineMs / 2, `asking for the lease ${name}`, parent);
    try {
      return await run(deadline.signal);
    } finally {
      deadline.release();
    }
  }
}

/** metav1.MicroTime wants exactly six digits. */
export const microTime = (date: Date, micros = 0): string =>
  date.toISOString().replace('Z', `${String(micros).padStart(3, '0')}Z`);
