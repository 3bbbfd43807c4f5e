import type { KubeObject, ObjectMeta, Resource } from '../api/object.ts';
import { type Clock, systemClock } from './clock.ts';
import { Credentials } from './credentials.ts';
import { Door, type RequestSeen } from './door.ts';
import { ApiError, apiErrorOf } from './errors.ts';
import type { Log } from './log.ts';
import { collectionPath, namespaceFor, objectPath, queryOf, type Ref } from './paths.ts';

export type { Ref } from './paths.ts';

/** The door to the API server: what the rest of the product may ask of it. */
export interface Api {
  /** A live quorum read, never from a cache. Absent: undefined. */
  get<T extends KubeObject>(resource: Resource, ref: Ref, options?: CallOptions): Promise<T | undefined>;
  /** One page; without `limit` everything. Without a namespace: all namespaces. */
  list<T extends KubeObject>(resource: Resource, query?: ListQuery, options?: CallOptions): Promise<Page<T>>;
  create<T extends KubeObject>(resource: Resource, object: Draft<T>, options?: CreateOptions): Promise<T>;
  /**
   * A JSON merge patch. Put `metadata.resourceVersion` and `metadata.uid` into the body to make it a
   * compare-and-swap; `ApiError.isConflict` says that it lost.
   */
  patch<T extends KubeObject>(resource: Resource, ref: Ref, body: object, options: PatchOptions): Promise<T>;
  /** Removing the absent succeeds; a precondition that does not hold is a conflict. */
  remove(resource: Resource, ref: Ref, options?: RemoveOptions): Promise<void>;
  /**
   * One connection. Ends quietly when the server closes it, throws an ApiError when the server refuses, sends an
   * ERROR event (410: `isGone`) or falls silent. Aborting the signal ends it.
   */
  watch<T extends KubeObject>(
    resource: Resource,
    query: WatchQuery,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>>;
}

/** An object to be created: no UID, no resourceVersion yet. */
export type Draft<T extends KubeObject = KubeObject> = Omit<T, 'metadata'> & {
  readonly metadata: Pick<ObjectMeta, 'name' | 'namespace' | 'labels' | 'annotations' | 'finalizers'>;
};

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface WriteOptions extends CallOptions {
  readonly fieldManager?: string;
}

export interface CreateOptions extends WriteOptions {
  /** Of the ServiceAccount of that name, which is there. */
  readonly subresource?: 'token';
}

export interface PatchOptions extends CallOptions {
  readonly fieldManager: string;
  readonly subresource?: 'status';
  readonly type?: 'merge';
}

export interface RemoveOptions extends CallOptions {
  readonly uid?: string;
  readonly resourceVersion?: string;
}

export interface Selection {
  readonly namespace?: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
}

export interface ListQuery extends Selection {
  readonly limit?: number;
  readonly continue?: string;
}

export interface Page<T extends KubeObject> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  /** Absent on the last page. */
  readonly continue?: string;
}

export interface WatchQuery extends Selection {
  readonly resourceVersion?: string;
  readonly sendInitialEvents?: boolean;
  readonly timeoutSeconds?: number;
  /** Called once, when the server has accepted the watch: a quiet kind sends nothing for a minute. */
  readonly onOpen?: () => void;
}

export interface WatchEvent<T extends KubeObject> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  /** A bookmark carries little more than `metadata.resourceVersion` and annotations. */
  readonly object: T;
}

export interface ApiSettings {
  /** Absent: the service account of the pod we run in. */
  readonly kubeconfigPath?: string;
  /** Instead of a file. */
  readonly kubeconfigText?: string;
  readonly log: Log;
  readonly clock?: Clock;
  readonly userAgent?: string;
  /** For metrics, and for counting writes in tests. */
  readonly onRequest?: (request: RequestSeen) => void;
  /** Whole requests, retries included. */
  readonly deadlineMs?: number;
  /** Until the server accepts a watch: a kept-alive connection may be dead. */
  readonly watchHeadersMs?: number;
  /** A watch without a byte for so long is dead; bookmarks come once a minute. */
  readonly silenceMs?: number;
}

/** An Api over HTTP. `close` breaks all its connections. */
export function createApi(settings: ApiSettings): Api & { close(): Promise<void> } {
  const clock = settings.clock ?? systemClock;
  const credentials = new Credentials({
    clock,
    log: settings.log,
    ...(settings.kubeconfigPath === undefined ? {} : { kubeconfigPath: settings.kubeconfigPath }),
    ...(settings.kubeconfigText === undefined ? {} : { kubeconfigText: settings.kubeconfigText }),
  });
  const door = new Door({
    credentials,
    clock,
    userAgent: settings.userAgent ?? 'virtual-block-store',
    onRequest: settings.onRequest ?? (() => {}),
    deadlineMs: settings.deadlineMs ?? 15_000,
    watchHeadersMs: settings.watchHeadersMs ?? 10_000,
    silenceMs: settings.silenceMs ?? 90_000,
  });
  return {
    ...readingVia(door),
    ...writingVia(door),
    watch: (resource, query, signal) => watchVia(door, { resource, query, signal, clock }),
    close: () => credentials.close(),
  };
}

function readingVia(door: Door): Pick<Api, 'get' | 'list'> {
  return {
    get: async <T extends KubeObject>(resource: Resource, ref: Ref, { signal }: CallOptions = {}) => {
      try {
        const path = objectPath(resource, ref);
        return (await door.send({ verb: 'get', method: 'GET', resource, path, signal })) as T;
      } catch (error) {
        return absentIfNotFound(error);
      }
    },
    list: async <T extends KubeObject>(
      resource: Resource,
      query: ListQuery = {},
      { signal }: CallOptions = {},
    ) => {
      const { namespace, ...parameters } = query;
      const path = collectionPath(resource, namespace) + queryOf({ ...parameters });
      const body = await door.send({ verb: 'list', method: 'GET', resource, path, signal });
      return pageOf<T>(resource, body as RawList<T>);
    },
  };
}

function writingVia(door: Door): Pick<Api, 'create' | 'patch' | 'remove'> {
  return {
    create: async <T extends KubeObject>(
      resource: Resource,
      object: Draft<T>,
      options: CreateOptions = {},
    ) => {
      const { fieldManager, subresource, signal } = options;
      const place =
        subresource === undefined
          ? collectionPath(resource, namespaceFor(resource, object.metadata))
          : `${objectPath(resource, object.metadata)}/${subresource}`;
      const path = place + queryOf({ fieldManager });
      return (await door.send({
        verb: 'create',
        method: 'POST',
        resource,
        path,
        body: object,
        subresource,
        signal,
      })) as T;
    },
    patch: async <T extends KubeObject>(
      resource: Resource,
      ref: Ref,
      body: object,
      options: PatchOptions,
    ) => {
      const { fieldManager, subresource, signal } = options;
      const suffix = subresource === undefined ? '' : `/${subresource}`;
      const path = objectPath(resource, ref) + suffix + queryOf({ fieldManager });
      return (await door.send({
        verb: 'patch',
        method: 'PATCH',
        resource,
        path,
        body,
        subresource,
        signal,
      })) as T;
    },
    remove: async (resource, ref, { uid, resourceVersion, signal } = {}) => {
      const preconditions = { uid, resourceVersion };
      const body = { kind: 'DeleteOptions', apiVersion: 'v1', preconditions };
      try {
        await door.send({
          verb: 'delete',
          method: 'DELETE',
          resource,
          path: objectPath(resource, ref),
          body,
          signal,
        });
      } catch (error) {
        absentIfNotFound(error);
      }
    },
  };
}

interface WatchCall {
  readonly resource: Resource;
  readonly query: WatchQuery;
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

async function* watchVia<T extends KubeObject>(door: Door, call: WatchCall): AsyncGenerator<WatchEvent<T>> {
  const { resource, signal, clock } = call;
  const { namespace, onOpen, ...parameters } = call.query;
  const match = parameters.sendInitialEvents ? { resourceVersionMatch: 'NotOlderThan' } : {};
  const query = queryOf({ watch: true, allowWatchBookmarks: true, ...parameters, ...match });
  const path = collectionPath(resource, namespace) + query;
  for await (const line of door.stream({ verb: 'watch', method: 'GET', resource, path, signal }, onOpen)) {
    const event = line as { readonly type: WatchEvent<T>['type'] | 'ERROR'; readonly object: T };
    if (event.type === 'ERROR') {
      const status = (event.object as { readonly code?: number }).code ?? 500;
      throw apiErrorOf(`watch ${resource.plural}`, { status, body: event.object }, clock.now());
    }
    yield { type: event.type, object: event.object };
  }
}

interface RawList<T> {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly T[] | null;
}

/** Lists of built-in kinds leave `apiVersion` and `kind` out of their items. */
function pageOf<T extends KubeObject>(resource: Resource, { metadata, items }: RawList<T>): Page<T> {
  const apiVersion = resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
  const token = metadata?.continue;
  return {
    items: (items ?? []).map((item) => ({ ...item, apiVersion, kind: resource.kind })),
    resourceVersion: metadata?.resourceVersion ?? '',
    ...(token === undefined || token === '' ? {} : { continue: token }),
  };
}

function absentIfNotFound(error: unknown): undefined {
  if (error instanceof ApiError && error.isNotFound) {
    return undefined;
  }
  throw error;
}
