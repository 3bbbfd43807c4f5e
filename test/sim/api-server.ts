// An API server in memory: resourceVersions, generations, defaults of our schemas, finalizers, the status subresource, lists, and watches that
// lag, break, expire and say nothing. What it does is checked against the real one by test/integration/simulated-api.test.ts.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { uuidFrom } from '../../api/ids.ts';
import type { KubeObject, Resource } from '../../api/object.ts';
import { API_VERSION, GROUP, NAMESPACES, OUR_KINDS } from '../../api/resources.ts';
import type {
  Api,
  Draft,
  ListQuery,
  Page,
  Ref,
  Selection,
  WatchEvent,
  WatchQuery,
} from '../../runtime/api.ts';
import type { Clock } from '../../runtime/clock.ts';
import { ApiError } from '../../runtime/errors.ts';
import { diffMerge } from '../../runtime/patch.ts';
import { addressOf, mergePatched } from '../fakes/memory-api.ts';

type Json = Record<string, unknown>;
export type Stored = KubeObject & { readonly spec?: Json; readonly status?: Json };

interface Change {
  readonly revision: number;
  readonly atMs: number;
  readonly plural: string;
  readonly before: Stored | undefined;
  /** As it is afterwards, or was last. */
  readonly object: Stored;
  readonly isGone: boolean;
}

/** How one client reaches the server. */
export interface Line {
  readonly clock: Clock;
  /** Carries a read there and back; throws when it does not come through. */
  read<T>(what: string, answer: () => T, signal?: AbortSignal): Promise<T>;
  write<T>(what: string, answer: () => T, signal?: AbortSignal): Promise<T>;
  /** False: connections to the server break, and none can be made. */
  readonly isUp: () => boolean;
  /** How old events are when they come. */
  readonly lagMs: () => number;
}

const CRDS = path.join(import.meta.dirname, '../../crds');
const BOOKMARK_MS = 60_000;
const isOurs = ({ apiVersion }: KubeObject): boolean => apiVersion === API_VERSION;
const kindsWithStatus = (resource: Resource): boolean => resource.group === GROUP;

interface Schema {
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
}

const schemas = new Map<string, Schema>();
const schemaOf = ({ plural, kind }: Resource): Schema => {
  const known = schemas.get(plural);
  if (known !== undefined) {
    return known;
  }
  const crd = parse(readFileSync(path.join(CRDS, `${kind.toLowerCase()}.yaml`), 'utf8')) as {
    readonly spec: {
      readonly versions: readonly { readonly schema: { readonly openAPIV3Schema: Schema } }[];
    };
  };
  const schema = crd.spec.versions[0]?.schema.openAPIV3Schema ?? {};
  schemas.set(plural, schema);
  return schema;
};

/** Structural defaulting: below what is there, as the API server does it. */
const defaulted = (value: unknown, { default: given, properties = {} }: Schema): unknown => {
  const present = value === undefined ? structuredClone(given) : value;
  if (typeof present !== 'object' || present === null || Array.isArray(present)) {
    return present;
  }
  const filled: Json = { ...present };
  for (const [name, schema] of Object.entries(properties)) {
    const inner = defaulted(filled[name], schema);
    if (inner !== undefined) {
      filled[name] = inner;
    }
  }
  return filled;
};

export class ApiServer {
  readonly #clock: Clock;
  readonly #objects = new Map<string, Stored>();
  readonly #changes: Change[] = [];
  readonly #connections = new Set<Connection>();
  /** How often an object of that name was made. */
  readonly #births = new Map<string, number>();
  #revision = 100;
  #hasKinds = true;
  #compactedUpTo = 0;

  constructor(clock: Clock, clusterID: string) {
    this.#clock = clock;
    this.#store(NAMESPACES, undefined, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'kube-system', uid: clusterID, resourceVersion: '' },
    });
  }

  /** For users and judges, who see what is there now. */
  find<T extends KubeObject>(resource: Resource, ref: Ref): T | undefined {
    return this.#objects.get(addressOf(resource, ref)) as T | undefined;
  }

  all<T extends KubeObject>({ plural }: Resource): readonly T[] {
    return [...this.#objects].flatMap(([address, object]) =>
      address.startsWith(`${plural} `) ? [object as unknown as T] : [],
    );
  }

  /** Objects may have come back that somebody had deleted. */
  wasRestored = false;

  /** What a backup of its database would hold. */
  backup(): { readonly objects: ReadonlyMap<string, Stored>; readonly revision: number } {
    return { objects: new Map(this.#objects), revision: this.#revision };
  }

  restore({ objects, revision }: ReturnType<ApiServer['backup']>): void {
    this.wasRestored = true;
    this.#objects.clear();
    for (const [address, object] of objects) {
      this.#objects.set(address, object);
    }
    this.#changes.length = 0;
    this.#revision = revision;
    this.#compactedUpTo = 0;
    this.breakWatches();
  }

  /** Our kinds are deleted by an administrator, by force: all of their objects go at once, and nobody knows the kinds any more. */
  dropKinds(): void {
    for (const object of [...this.#objects.values()].filter(isOurs)) {
      const resource = OUR_KINDS.find(({ kind }) => kind === object.kind);
      if (resource !== undefined) {
        this.remove(resource, object.metadata);
        this.patchIfThere(resource, object.metadata, { metadata: { finalizers: [] } });
      }
    }
    this.#hasKinds = false;
    this.breakWatches();
  }

  /** Without any of the objects that were. */
  bringKinds(): void {
    this.#hasKinds = true;
  }

  #expectKind(resource: Resource): void {
    if (!this.#hasKinds && resource.group === GROUP) {
      const what = 'the server could not find the requested resource';
      throw new ApiError(what, { status: 404, reason: 'NotFound' });
    }
  }

  patchIfThere(resource: Resource, ref: Ref, body: object): void {
    if (this.find(resource, ref) !== undefined) {
      this.patch(resource, ref, body);
    }
  }

  /** As when the same address leads to another cluster. */
  becomeCluster(uid: string): void {
    const known = this.find<Stored>(NAMESPACES, { name: 'kube-system' });
    if (known !== undefined) {
      this.#store(NAMESPACES, known, { ...known, metadata: { ...known.metadata, uid } });
    }
    this.breakWatches();
  }

  /** As when its store is lost, and another cluster takes its place: nothing is in it. */
  startAnew(uid: string, annotations: Readonly<Record<string, string>> = {}): void {
    const namespace = this.find<Stored>(NAMESPACES, { name: 'kube-system' });
    this.#objects.clear();
    this.#changes.length = 0;
    this.#revision = 0;
    this.#compactedUpTo = 0;
    if (namespace !== undefined) {
      this.#store(NAMESPACES, undefined, {
        ...namespace,
        metadata: { ...namespace.metadata, uid, annotations },
      });
    }
    this.breakWatches();
  }

  breakWatches(): void {
    this.#endWatches(new Error('the other side closed'));
  }

  #endWatches(error: Error): void {
    for (const connection of [...this.#connections]) {
      connection.end(error);
    }
  }

  /** Connections stay, and nothing comes through any more. */
  freezeWatches(): void {
    for (const connection of this.#connections) {
      connection.freeze();
    }
  }

  /** Nobody can go on from before this moment. */
  compact(): void {
    this.#changes.length = 0;
    this.#compactedUpTo = this.#revision;
    this.#endWatches(new ApiError('too old resource version', { status: 410, reason: 'Expired' }));
  }

  create<T extends KubeObject>(resource: Resource, draft: Draft<T>): T {
    this.#expectKind(resource);
    const address = addressOf(resource, draft.metadata);
    if (this.#objects.has(address)) {
      throw new ApiError(`${address} is there already`, { status: 409, reason: 'AlreadyExists' });
    }
    const births = (this.#births.get(address) ?? 0) + 1;
    this.#births.set(address, births);
    const metadata = {
      ...draft.metadata,
      // The same object of the same world has the same UID, whatever happened before.
      uid: uuidFrom(`${address} ${births}`),
      creationTimestamp: this.#clock.now().toISOString(),
      ...(kindsWithStatus(resource) ? { generation: 1 } : {}),
    };
    const { status: _, ...rest } = draft as Draft<T> & { readonly status?: unknown };
    const plain = kindsWithStatus(resource) ? rest : draft;
    return this.#store(resource, undefined, { ...plain, metadata } as unknown as Stored) as unknown as T;
  }

  patch<T extends KubeObject>(resource: Resource, ref: Ref, body: object, subresource?: 'status'): T {
    this.#expectKind(resource);
    const stored = this.#objects.get(addressOf(resource, ref));
    if (stored === undefined) {
      throw new ApiError(`${addressOf(resource, ref)} is not there`, { status: 404, reason: 'NotFound' });
    }
    const {
      metadata: { uid, resourceVersion, ...metadata } = {},
      status,
      ...rest
    } = body as {
      readonly metadata?: { readonly uid?: string; readonly resourceVersion?: string };
      readonly status?: object;
    };
    // The real one does not look at the UID of a status patch; the resourceVersion that comes with it decides.
    if (subresource === undefined && uid !== undefined && uid !== stored.metadata.uid) {
      throw new ApiError('it is another', {
        status: 422,
        reason: 'Invalid',
        causes: [{ field: 'metadata.uid' }],
      });
    }
    if (resourceVersion !== undefined && resourceVersion !== stored.metadata.resourceVersion) {
      throw new ApiError('it was changed meanwhile', { status: 409, reason: 'Conflict' });
    }
    const hasStatus = kindsWithStatus(resource);
    const wanted =
      subresource === 'status'
        ? { status }
        : { metadata, ...rest, ...(hasStatus || status === undefined ? {} : { status }) };
    const merged = mergePatched({ ...stored }, wanted) as Stored;
    return this.#changed(resource, stored, merged) as unknown as T;
  }

  /** As somebody does who may write anything: no schema, no defaults, no admission, and a status at once. */
  plant(resource: Resource, object: object & { readonly metadata: Ref }): Stored {
    const known = this.#objects.get(addressOf(resource, object.metadata));
    const uid = known?.metadata.uid ?? uuidFrom(`${addressOf(resource, object.metadata)} planted`);
    const { creationTimestamp = this.#clock.now().toISOString() } = known?.metadata ?? {};
    const metadata = { creationTimestamp, generation: 1, ...object.metadata, uid, resourceVersion: '' };
    const stored = this.#numbered({ ...object, metadata } as unknown as Stored);
    this.#objects.set(addressOf(resource, metadata), stored);
    this.#announce({ plural: resource.plural, before: known, object: stored, isGone: false });
    return stored;
  }

  remove(
    resource: Resource,
    ref: Ref,
    { uid, resourceVersion }: { uid?: string; resourceVersion?: string } = {},
  ): void {
    const stored = this.#objects.get(addressOf(resource, ref));
    if (stored === undefined) {
      return;
    }
    const { metadata } = stored;
    if (
      (uid ?? metadata.uid) !== metadata.uid ||
      (resourceVersion ?? metadata.resourceVersion) !== metadata.resourceVersion
    ) {
      throw new ApiError('it was changed meanwhile', { status: 409, reason: 'Conflict' });
    }
    if ((metadata.finalizers ?? []).length === 0) {
      this.#forget(resource, stored);
    } else if (metadata.deletionTimestamp === undefined) {
      const deletionTimestamp = this.#clock.now().toISOString();
      const generation = (metadata.generation ?? 0) + 1;
      this.#store(resource, stored, { ...stored, metadata: { ...metadata, deletionTimestamp, generation } });
    }
  }

  list<T extends KubeObject>(resource: Resource, query: ListQuery = {}): Page<T> {
    this.#expectKind(resource);
    const items = this.all<Stored>(resource).filter((object) => isSelected(object, query));
    return { items: items as unknown as readonly T[], resourceVersion: String(this.#revision) };
  }

  #changed(resource: Resource, before: Stored, merged: Stored): Stored {
    if (diffMerge({ ...before }, { ...merged }) === undefined) {
      return before;
    }
    const isOtherSpec = diffMerge({ ...before.spec }, { ...merged.spec }) !== undefined;
    const generation = (before.metadata.generation ?? 0) + (isOtherSpec ? 1 : 0);
    const counted = kindsWithStatus(resource) ? { generation } : {};
    const after = { ...merged, metadata: { ...merged.metadata, ...counted } };
    const { deletionTimestamp, finalizers = [] } = after.metadata;
    if (deletionTimestamp !== undefined && finalizers.length === 0) {
      return this.#forget(resource, after);
    }
    return this.#store(resource, before, after);
  }

  #store(resource: Resource, before: Stored | undefined, object: Stored): Stored {
    const filled = (kindsWithStatus(resource) ? defaulted(object, schemaOf(resource)) : object) as Stored;
    const stored = this.#numbered(filled);
    this.#objects.set(addressOf(resource, stored.metadata), stored);
    this.#announce({ plural: resource.plural, before, object: stored, isGone: false });
    return stored;
  }

  /** Whoever took the last finalizer off is answered with the number from before; watches see another one. */
  #forget(resource: Resource, last: Stored): Stored {
    const before = this.#objects.get(addressOf(resource, last.metadata));
    this.#objects.delete(addressOf(resource, last.metadata));
    const object = this.#numbered(last);
    this.#announce({ plural: resource.plural, before, object, isGone: true });
    return last;
  }

  #numbered(object: Stored): Stored {
    this.#revision += 1;
    const metadata = { ...object.metadata, resourceVersion: String(this.#revision) };
    return structuredClone({ ...object, metadata });
  }

  #announce(change: Omit<Change, 'revision' | 'atMs'>): void {
    this.#changes.push({ ...change, revision: this.#revision, atMs: this.#clock.monotonicMs() });
    for (const connection of this.#connections) {
      connection.wake();
    }
  }

  door(line: Line): Api {
    return {
      get: (resource, ref, { signal } = {}) =>
        line.read(`get ${addressOf(resource, ref)}`, () => this.find(resource, ref), signal),
      list: (resource, query, { signal } = {}) =>
        line.read(`list ${resource.plural}`, () => this.list(resource, query), signal),
      create: (resource, draft, { signal } = {}) =>
        line.write(
          `create ${addressOf(resource, draft.metadata)}`,
          () => this.create(resource, draft),
          signal,
        ),
      patch: (resource, ref, body, { signal, subresource }) => {
        const what = `patch ${addressOf(resource, ref)} ${shown(body)}`;
        const answer = () => this.patch(resource, ref, body, subresource);
        return line.write(what, answer as never, signal);
      },
      remove: (resource, ref, { signal, ...preconditions } = {}) =>
        line.write(
          `delete ${addressOf(resource, ref)}`,
          () => this.remove(resource, ref, preconditions),
          signal,
        ),
      watch: <T extends KubeObject>(resource: Resource, query: WatchQuery, signal: AbortSignal) =>
        this.#watch(line, { resource, query, signal }) as AsyncGenerator<WatchEvent<T>>,
    };
  }

  async *#watch(
    line: Line,
    { resource, query, signal }: { resource: Resource; query: WatchQuery; signal: AbortSignal },
  ): AsyncGenerator<WatchEvent<Stored>> {
    const begin = await line.read(`watch ${resource.plural}`, () => this.#begin(resource, query), signal);
    query.onOpen?.();
    const connection = new Connection(line.clock, signal);
    this.#connections.add(connection);
    try {
      yield* begin.initial;
      let position = begin.revision;
      const endMs = line.clock.monotonicMs() + (query.timeoutSeconds ?? 300) * 1_000;
      let bookmarkMs = line.clock.monotonicMs() + BOOKMARK_MS;
      while (line.clock.monotonicMs() < endMs) {
        const now = line.clock.monotonicMs();
        const next = this.#changes.find(({ revision }) => revision > position);
        const dueMs = next === undefined ? endMs : next.atMs + line.lagMs();
        await connection.wait(Math.min(dueMs, bookmarkMs, endMs) - now, next === undefined);
        if (!line.isUp()) {
          throw new Error('the other side closed');
        }
        if (next !== undefined && line.clock.monotonicMs() >= dueMs) {
          position = next.revision;
          yield* eventOf(next, resource, query);
        }
        if (line.clock.monotonicMs() >= bookmarkMs) {
          bookmarkMs += BOOKMARK_MS;
          // Whoever is ahead of the server, as after a restored backup, hears nothing until it has caught up.
          if (this.#revision >= position) {
            yield bookmark(String(position));
          }
        }
      }
    } finally {
      this.#connections.delete(connection);
    }
  }

  #begin(
    resource: Resource,
    query: WatchQuery,
  ): { readonly initial: readonly WatchEvent<Stored>[]; readonly revision: number } {
    this.#expectKind(resource);
    if (query.sendInitialEvents === true) {
      const { items } = this.list<Stored>(resource, query);
      const added = items.map((object): WatchEvent<Stored> => ({ type: 'ADDED', object }));
      const end = bookmark(String(this.#revision), { 'k8s.io/initial-events-end': 'true' });
      return { initial: [...added, end], revision: this.#revision };
    }
    const revision = Number(query.resourceVersion);
    if (revision < this.#compactedUpTo) {
      throw new ApiError('too old resource version', { status: 410, reason: 'Expired' });
    }
    return { initial: [], revision };
  }
}

class Connection {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #error: Error | undefined;
  #isFrozen = false;
  #wake: () => void = () => {};
  #onNews: () => void = () => {};

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
  }

  end(error: Error): void {
    this.#error = error;
    this.#wake();
  }

  freeze(): void {
    this.#isFrozen = true;
  }

  wake(): void {
    this.#onNews();
  }

  /** For so long, or until there is news. */
  async wait(ms: number, untilNews: boolean): Promise<void> {
    if (ms > 0) {
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(ms, () => finish());
        const finish = () => {
          cancel();
          this.#signal.removeEventListener('abort', finish);
          resolve();
        };
        this.#wake = finish;
        this.#onNews = () => {
          if (untilNews) {
            finish();
          }
        };
        this.#signal.addEventListener('abort', finish, { once: true });
        if (this.#signal.aborted || this.#error !== undefined) {
          finish();
        }
      });
      this.#onNews = () => {};
    }
    if (this.#isFrozen && this.#error === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    this.#signal.throwIfAborted();
    if (this.#error !== undefined) {
      throw this.#error;
    }
  }
}

function* eventOf(
  { before, object, isGone, plural }: Change,
  resource: Resource,
  query: WatchQuery,
): Generator<WatchEvent<Stored>> {
  if (plural !== resource.plural) {
    return;
  }
  const was = before !== undefined && isSelected(before, query);
  const is = !isGone && isSelected(object, query);
  if (is) {
    yield { type: was ? 'MODIFIED' : 'ADDED', object };
  } else if (was) {
    // The object as it was while it was selected, under the number of the change that took it away.
    const { resourceVersion } = object.metadata;
    yield { type: 'DELETED', object: { ...before, metadata: { ...before.metadata, resourceVersion } } };
  }
}

const isSelected = (object: Stored, { namespace, fieldSelector, labelSelector }: Selection): boolean =>
  (namespace === undefined || object.metadata.namespace === namespace) &&
  (fieldSelector ?? '').split(',').every((term) => {
    const [field = '', value] = term.split('=');
    return field === '' || String(at(object, field.split('.')) ?? '') === value;
  }) &&
  (labelSelector ?? '').split(',').every((term) => {
    const [label = '', value] = term.split('=');
    const labels = object.metadata.labels ?? {};
    return label === '' || (value === undefined ? label in labels : labels[label] === value);
  });

const at = (value: unknown, steps: readonly string[]): unknown =>
  steps.reduce((inner: unknown, step) => (inner as Json | undefined)?.[step], value);

const bookmark = (resourceVersion: string, annotations: Record<string, string> = {}): WatchEvent<Stored> => ({
  type: 'BOOKMARK',
  object: { apiVersion: '', kind: '', metadata: { name: '', uid: '', resourceVersion, annotations } },
});

/** The gist of a patch, for stories. */
const shown = (body: object): string => {
  const { metadata: _, status, ...rest } = body as { readonly metadata?: unknown; readonly status?: Json };
  const { conditions: __, ...said } = status ?? {};
  return JSON.stringify({ ...rest, ...said }).slice(0, 160);
};
