import { createHash } from 'node:crypto';
import type { KubeObject } from '../api/object.ts';
import { EVENTS } from '../api/resources.ts';
import type { Api } from './api.ts';
import type { Clock } from './clock.ts';
import { startDeadline } from './deadline.ts';
import { ApiError } from './errors.ts';
import { microTime } from './lease.ts';
import type { Log } from './log.ts';
import { TokenBuckets } from './token-buckets.ts';

/** events.k8s.io/v1, as far as we read it. */
export interface KubeEvent extends KubeObject {
  readonly eventTime?: string;
  readonly type?: string;
  readonly reason?: string;
  readonly note?: string;
  readonly action?: string;
  readonly reportingController?: string;
  readonly reportingInstance?: string;
  readonly regarding?: ObjectReference;
  readonly series?: { readonly count: number; readonly lastObservedTime: string };
}

interface ObjectReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
  readonly uid: string;
}

/** Something a person may want to know about an object. */
export interface Occurrence {
  readonly regarding: KubeObject;
  /** CamelCase, the same word as in the object's conditions. */
  readonly reason: string;
  readonly message: string;
  /** Normal when absent. */
  readonly type?: 'Normal' | 'Warning';
  /** What we did or tried; the reason when absent. */
  readonly action?: string;
}

export interface EventRecorderOptions {
  readonly api: Pick<Api, 'get' | 'create' | 'patch'>;
  /** A qualified name: `vbs.dev/controller`. */
  readonly component: string;
  /** Which process of it. */
  readonly instance: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Occurrences an object may have at once, and how often it earns another. */
  readonly burst?: number;
  readonly refillMs?: number;
  /** Events waiting to be sent; more are dropped. */
  readonly capacity?: number;
  /** How long a stop waits for the rest to be sent. */
  readonly drainMs?: number;
}

interface Pending {
  readonly occurrence: Occurrence;
  count: number;
}

/**
 * Records events without ever failing or delaying the caller. The same words about the same object are one Event
 * with a rising count, whoever wrote it first: the name follows from UID, reason and message.
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #buckets: TokenBuckets;
  readonly #pending = new Map<string, Pending>();
  #wake: () => void = () => {};

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#buckets = new TokenBuckets(options.clock, options.burst ?? 25, options.refillMs ?? 300_000);
  }

  record(occurrence: Occurrence): void {
    const { capacity = 1_000, log } = this.#options;
    const { regarding, reason } = occurrence;
    const name = nameOf(occurrence);
    const waiting = this.#pending.get(name);
    if (waiting !== undefined) {
      waiting.count += 1;
      return;
    }
    if (this.#pending.size >= capacity || !this.#buckets.take(regarding.metadata.uid)) {
      log.debug({ reason, regarding: regarding.metadata.name }, 'Event dropped');
      return;
    }
    this.#pending.set(name, { occurrence, count: 1 });
    this.#wake();
  }

  /** Sends until the signal fires, then sends what is left for a short time. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#sendAll(signal);
      await this.#arrival(signal);
    }
    const deadline = startDeadline(
      this.#options.clock,
      this.#options.drainMs ?? 3_000,
      'sending the last events',
    );
    await this.#sendAll(deadline.signal);
    deadline.release();
  }

  async #sendAll(signal: AbortSignal): Promise<void> {
    for (const [name, { occurrence, count }] of this.#pending) {
      if (signal.aborted) {
        return;
      }
      this.#pending.delete(name);
      try {
        await this.#send(name, occurrence, { count, signal });
      } catch (error) {
        this.#options.log.debug({ err: error, event: name }, 'Event not recorded');
      }
    }
  }

  #arrival(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const finish = () => {
        signal.removeEventListener('abort', finish);
        this.#wake = () => {};
        resolve();
      };
      signal.addEventListener('abort', finish, { once: true });
      this.#wake = finish;
      if (this.#pending.size > 0 || signal.aborted) {
        finish();
      }
    });
  }

  async #send(name: string, occurrence: Occurrence, { count, signal }: Sending): Promise<void> {
    const { api, component } = this.#options;
    const options = { fieldManager: component, signal };
    const draft = this.#draft(name, occurrence, count);
    try {
      await api.create<KubeEvent>(EVENTS, draft, options);
    } catch (error) {
      if (!(error instanceof ApiError && error.isAlreadyExists)) {
        throw error;
      }
      const existing = await api.get<KubeEvent>(EVENTS, draft.metadata, { signal });
      if (existing !== undefined) {
        const series = this.#series((existing.series?.count ?? 1) + count);
        await api.patch<KubeEvent>(EVENTS, draft.metadata, { series }, options);
      }
    }
  }

  #draft(name: string, { regarding, reason, message, type, action }: Occurrence, count: number) {
    const { component, instance, clock } = this.#options;
    const { apiVersion, kind, metadata } = regarding;
    // Events about cluster-scoped objects live in `default`: the API server accepts no other place.
    const namespace = metadata.namespace ?? 'default';
    const reference = { apiVersion, kind, name: metadata.name, uid: metadata.uid };
    return {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name, namespace },
      eventTime: microTime(clock.now()),
      type: type ?? 'Normal',
      reason,
      action: action ?? reason,
      note: shortened(message, 1_024),
      reportingController: component,
      reportingInstance: instance.slice(0, 128),
      regarding: metadata.namespace === undefined ? reference : { ...reference, namespace },
      ...(count > 1 ? { series: this.#series(count) } : {}),
    };
  }

  #series(count: number) {
    return { count, lastObservedTime: microTime(this.#options.clock.now()) };
  }
}

interface Sending {
  readonly count: number;
  readonly signal: AbortSignal;
}

function nameOf({ regarding: { metadata }, reason, message }: Occurrence): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([metadata.uid, reason, message]))
    .digest('hex');
  return `${metadata.name.slice(0, 200).replace(/[.-]+$/, '')}.${hash.slice(0, 16)}`;
}

/** At most `bytes` of UTF-8, never half a character. */
function shortened(text: string, bytes: number): string {
  const encoded = new TextEncoder().encode(text);
  if (encoded.length <= bytes) {
    return text;
  }
  const kept = new TextDecoder().decode(encoded.subarray(0, bytes - 3), { stream: true });
  return `${kept}…`;
}
