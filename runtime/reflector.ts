import { SHAPES } from '../api/generated/shapes.ts';
import { type KubeObject, keyOf, type Resource } from '../api/object.ts';
import { GROUP } from '../api/resources.ts';
import { misfitOf } from '../api/shape.ts';
import type { Api, Selection, WatchEvent } from './api.ts';
import { Backoff } from './backoff.ts';
import { type ChangeHandler, ObjectCache, versionOf } from './cache.ts';
import { type Clock, systemClock } from './clock.ts';
import { type Deadline, startDeadline } from './deadline.ts';
import { listAll } from './list.ts';
import type { Log } from './log.ts';
import { collect, mustListAgain, pauseAskedBy, refusesStreaming } from './watch-rules.ts';

export interface ReflectorMetrics {
  watchEvent(resource: string, type: WatchEvent<KubeObject>['type']): void;
  watchEnded(resource: string, how: 'closed' | 'failed' | 'gone' | 'silent'): void;
  synced(resource: string, objects: number): void;
}

export interface ReflectorOptions extends Selection {
  readonly api: Pick<Api, 'watch' | 'list'>;
  readonly resource: Resource;
  readonly log: Log;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly metrics?: ReflectorMetrics;
  /** A watch that says nothing for so long is dead; bookmarks come once a minute. */
  readonly silenceMs?: number;
}

const FIRST_BACKOFF_MS = 800;
const LONGEST_BACKOFF_MS = 30_000;
/** A connection that ends sooner than this is not a normal end. */
const SHORTEST_WATCH_MS = 1_000;
/** How often the API server says at least where a watch stands. */
const BOOKMARK_MS = 60_000;

/**
 * Keeps a read-only copy of the selected objects and says which keys changed. Outlives any failure of the API
 * server: it resumes where it was, or lists again and delivers the real differences. Register handlers and indexes
 * before `run`.
 */
export class Reflector<T extends KubeObject> {
  readonly synced: Promise<void>;
  readonly #options: ReflectorOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #cache: ObjectCache<T>;
  readonly #backoff: Backoff;
  readonly #random: () => number;
  readonly #silenceMs: number;
  /** Where the watch stands; undefined: must list. */
  #resourceVersion: string | undefined;
  #hasSynced = false;
  #streamsLists = true;
  #resolveSynced: () => void = () => {};
  #heardAtMs: number | undefined;
  #triedAtMs: number | undefined;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#silenceMs = options.silenceMs ?? 90_000;
    this.#log = options.log.child({ resource: options.resource.plural });
    this.#backoff = new Backoff(FIRST_BACKOFF_MS, LONGEST_BACKOFF_MS, this.#random);
    this.#cache = new ObjectCache<T>((error, key) =>
      this.#log.error({ err: error, object: key }, 'Handler failed'),
    );
    this.synced = new Promise((resolve) => {
      this.#resolveSynced = resolve;
    });
  }

  get resource(): Resource {
    return this.#options.resource;
  }

  /** True once the cache has held a complete list from the server; stays true through later outages. */
  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  get(key: string): T | undefined {
    return this.#cache.get(key);
  }

  list(): T[] {
    return this.#cache.list();
  }

  addIndex(name: string, valuesOf: (object: T) => readonly string[]): void {
    this.#cache.addIndex(name, valuesOf);
  }

  byIndex(name: string, value: string): T[] {
    return this.#cache.byIndex(name, value);
  }

  /**
   * Another UID under the same name arrives as gone, then new. The first sync announces every object; afterwards
   * only real changes are told. A handler that throws is logged and does not disturb the others.
   */
  onChange(handler: ChangeHandler<T>): void {
    this.#cache.onChange(handler);
  }

  /**
   * Shows the result of an own write at once, so that the next visit does not act on the state before it. Ignored
   * when the watch has already come this far. An object not yet here is taken up only without selectors: it may not
   * be selected, and then nothing would ever remove it.
   */
  written(object: T): void {
    const version = versionOf(object.metadata.resourceVersion);
    const reached = versionOf(this.#resourceVersion);
    const { fieldSelector, labelSelector, namespace } = this.#options;
    const unselected = fieldSelector === undefined && labelSelector === undefined;
    const ours = namespace === undefined || namespace === object.metadata.namespace;
    const known = this.#cache.get(keyOf(object))?.metadata.uid === object.metadata.uid;
    const isAhead = version !== undefined && (reached === undefined || version > reached);
    if (isAhead && ours && (known || unselected) && this.#isReadable(object)) {
      this.#cache.written(object);
    }
  }

  /** Objects from a copy of our own, to begin with while the server is away. The first sync replaces them. */
  seed(objects: Iterable<T>): void {
    if (!this.#hasSynced) {
      for (const object of objects) {
        this.#cache.observed(object);
      }
    }
  }

  /** Since the server last said something about this kind; Infinity before that. */
  lastEventAgeMs(): number {
    return this.#ageOf(this.#heardAtMs);
  }

  /** Since it last heard or tried something: stays small through an outage, grows only when this loop is stuck. */
  lastActivityAgeMs(): number {
    return this.#ageOf(this.#triedAtMs);
  }

  /** Resolves when the signal fires; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const startedMs = this.#clock.monotonicMs();
      this.#triedAtMs = startedMs;
      const failure = await this.#connection(signal);
      if (signal.aborted) {
        return;
      }
      const lastedMs = this.#clock.monotonicMs() - startedMs;
      this.#doubtPosition(startedMs, lastedMs);
      const pauseMs = this.#pauseAfter(failure?.error, lastedMs);
      this.#report(failure, pauseMs);
      await this.#clock.sleep(pauseMs, signal).catch(() => {});
    }
  }

  /**
   * A watch that is ahead of its server, whose database was restored from a backup, is not refused: it hears nothing, no bookmark either,
   * until the numbers have caught up, and never of what had them meanwhile. So a long silence is an end of the position too.
   */
  #doubtPosition(startedMs: number, lastedMs: number): void {
    const wasSilent = (this.#heardAtMs ?? Number.NEGATIVE_INFINITY) < startedMs;
    if (wasSilent && lastedMs >= BOOKMARK_MS) {
      this.#resourceVersion = undefined;
    }
  }

  async #connection(signal: AbortSignal): Promise<Failure | undefined> {
    const silence = startDeadline(this.#clock, this.#silenceMs, 'the next word of the watch', signal);
    try {
      await (this.#resourceVersion === undefined ? this.#listAndWatch(silence) : this.#watch(silence));
      silence.signal.throwIfAborted();
      return undefined;
    } catch (error) {
      if (mustListAgain(error)) {
        this.#resourceVersion = undefined;
        return { how: 'gone', error };
      }
      return { how: silence.expired() ? 'silent' : 'failed', error };
    } finally {
      silence.release();
    }
  }

  /** Streaming keeps the event loop free and is served from the server's cache; paging is for servers without it. */
  async #listAndWatch(silence: Deadline): Promise<void> {
    this.#cache.expectList();
    if (this.#streamsLists) {
      try {
        await this.#watch(silence, new Map());
        return;
      } catch (error) {
        if (!refusesStreaming(error) || this.#resourceVersion !== undefined) {
          throw error;
        }
        this.#streamsLists = false;
        this.#log.info({ err: error }, 'Server does not stream lists, paging instead');
      }
    }
    await this.#listByPages(silence);
    await this.#watch(silence);
  }

  async #listByPages(silence: Deadline): Promise<void> {
    const { api, resource } = this.#options;
    const { items, resourceVersion } = await listAll<T>(api, resource, this.#selection(), {
      signal: silence.signal,
      onPage: () => this.#heard(silence),
    });
    this.#complete(new Map(items.map((item) => [keyOf(item), item])), resourceVersion);
  }

  /** With `initial`, the events up to the marked bookmark are the list, not changes. */
  async #watch(silence: Deadline, initial?: Map<string, T>): Promise<void> {
    const { api, resource, metrics } = this.#options;
    let collecting = initial;
    const position = initial === undefined ? this.#position() : { sendInitialEvents: true };
    const query = {
      ...this.#selection(),
      ...position,
      timeoutSeconds: 300 + Math.floor(300 * this.#random()),
      onOpen: () => this.#backoff.reset(),
    };
    for await (const event of api.watch<T>(resource, query, silence.signal)) {
      this.#heard(silence);
      this.#backoff.reset();
      metrics?.watchEvent(resource.plural, event.type);
      if (collecting === undefined) {
        this.#apply(event);
      } else if (collect(event, collecting)) {
        this.#complete(collecting, event.object.metadata.resourceVersion);
        collecting = undefined;
      }
    }
  }

  #apply({ type, object }: WatchEvent<T>): void {
    // First the position: a handler that writes must find that the watch has come this far.
    this.#resourceVersion = object.metadata.resourceVersion;
    if (type === 'DELETED') {
      this.#cache.vanished(object);
    } else if (type !== 'BOOKMARK') {
      if (this.#isReadable(object)) {
        this.#cache.observed(object);
      } else {
        this.#cache.vanished(object);
      }
    }
  }

  /** One that is not must not stop others: whoever looks at many objects would fail at it. It is left out, as if it were not selected. */
  #isReadable(object: T): boolean {
    const { group, plural, kind } = this.resource;
    const shape = group === GROUP ? SHAPES[plural] : undefined;
    const why = shape && misfitOf(shape, object, kind);
    if (why !== undefined) {
      this.#log.error(
        { object: keyOf(object), why },
        'Object does not fit its schema and is left out; correct or delete it',
      );
    }
    return why === undefined;
  }

  #complete(listed: ReadonlyMap<string, T>, resourceVersion: string): void {
    const objects = new Map([...listed].filter(([, object]) => this.#isReadable(object)));
    this.#resourceVersion = resourceVersion;
    this.#cache.replaced(objects, resourceVersion, !this.#hasSynced);
    this.#hasSynced = true;
    this.#options.metrics?.synced(this.resource.plural, objects.size);
    this.#log.debug({ objects: objects.size, resourceVersion }, 'Synced');
    this.#resolveSynced();
  }

  #pauseAfter(error: unknown, lastedMs: number): number {
    const askedMs = pauseAskedBy(error);
    if (askedMs !== undefined) {
      return askedMs * (1 + this.#random() / 10);
    }
    return error === undefined && lastedMs >= SHORTEST_WATCH_MS ? 0 : this.#backoff.next();
  }

  #report(failure: Failure | undefined, pauseMs: number): void {
    this.#options.metrics?.watchEnded(this.resource.plural, failure?.how ?? 'closed');
    if (failure !== undefined) {
      const level = failure.how === 'gone' ? 'info' : 'warn';
      this.#log[level]({ err: failure.error, how: failure.how, pauseMs }, 'Watch ended, trying again');
    }
  }

  #selection(): Selection {
    const { namespace, fieldSelector, labelSelector } = this.#options;
    return {
      ...(namespace === undefined ? {} : { namespace }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
    };
  }

  #position(): { readonly resourceVersion?: string } {
    return this.#resourceVersion === undefined ? {} : { resourceVersion: this.#resourceVersion };
  }

  #heard(silence: Deadline): void {
    silence.restart(this.#silenceMs);
    this.#heardAtMs = this.#clock.monotonicMs();
    this.#triedAtMs = this.#heardAtMs;
  }

  #ageOf(atMs: number | undefined): number {
    return atMs === undefined ? Number.POSITIVE_INFINITY : this.#clock.monotonicMs() - atMs;
  }
}

interface Failure {
  readonly how: 'failed' | 'gone' | 'silent';
  readonly error: unknown;
}
