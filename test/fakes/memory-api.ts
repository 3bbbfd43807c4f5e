import { type KubeObject, keyOf, type Resource } from '../../api/object.ts';
import type { Api, Draft, Ref } from '../../runtime/api.ts';
import { ApiError } from '../../runtime/errors.ts';
import { diffMerge } from '../../runtime/patch.ts';

type Stored = KubeObject & Record<string, unknown>;

/**
 * Objects in memory behind the reading and writing half of an Api: resourceVersions, UIDs, conflicts. `door` gives
 * one caller's view, which can be cut off: its requests then hang until their signal fires.
 */
export class MemoryApi {
  readonly objects = new Map<string, Stored>();
  readonly writes: string[] = [];
  #revision = 100;
  #uids = 0;

  door(): {
    readonly api: Pick<Api, 'get' | 'create' | 'patch'>;
    cut: boolean;
    failure: Error | undefined;
    /** Writes are done, and not answered. */
    losesAnswers: boolean;
  } {
    const state = { cut: false, failure: undefined as Error | undefined, losesAnswers: false };
    const through = async <T>(signal: AbortSignal | undefined, run: () => T): Promise<T> => {
      if (state.cut) {
        await new Promise((_, reject) => {
          signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
        });
      }
      if (state.failure !== undefined) {
        throw state.failure;
      }
      return run();
    };
    const api: Pick<Api, 'get' | 'create' | 'patch'> = {
      get: <T extends KubeObject>(resource: Resource, ref: Ref, { signal }: { signal?: AbortSignal } = {}) =>
        through(signal, () => this.find(resource, ref) as unknown as T | undefined),
      create: <T extends KubeObject>(
        resource: Resource,
        draft: Draft<T>,
        { signal }: { signal?: AbortSignal } = {},
      ) => through(signal, () => this.#create(resource, draft) as unknown as T),
      patch: <T extends KubeObject>(
        resource: Resource,
        ref: Ref,
        body: object,
        { signal }: { signal?: AbortSignal },
      ) =>
        through(signal, () => {
          const patched = this.#patch(resource, ref, body as Record<string, unknown>) as unknown as T;
          if (state.losesAnswers) {
            throw new ApiError('no answer', { status: 0, reason: 'Unreachable' });
          }
          return patched;
        }),
    };
    return Object.assign(state, { api });
  }

  find(resource: Resource, ref: Ref): Stored | undefined {
    return this.objects.get(addressOf(resource, ref));
  }

  remove(resource: Resource, ref: Ref): void {
    this.objects.delete(addressOf(resource, ref));
  }

  #create(resource: Resource, draft: Draft): Stored {
    const address = addressOf(resource, draft.metadata);
    if (this.objects.has(address)) {
      throw new ApiError('there already', { status: 409, reason: 'AlreadyExists' });
    }
    this.writes.push(`create ${address}`);
    this.#uids += 1;
    return this.#store(address, { ...draft, metadata: { ...draft.metadata, uid: `uid-${this.#uids}` } });
  }

  #patch(resource: Resource, ref: Ref, body: Record<string, unknown>): Stored {
    const address = addressOf(resource, ref);
    const stored = this.objects.get(address);
    if (stored === undefined) {
      throw new ApiError('not there', { status: 404, reason: 'NotFound' });
    }
    const { uid, resourceVersion } = (body.metadata ?? {}) as { uid?: string; resourceVersion?: string };
    if (resourceVersion !== undefined && resourceVersion !== stored.metadata.resourceVersion) {
      throw new ApiError('changed meanwhile', { status: 409, reason: 'Conflict' });
    }
    if (uid !== undefined && uid !== stored.metadata.uid) {
      throw new ApiError('another', { status: 422, reason: 'Invalid', causes: [{ field: 'metadata.uid' }] });
    }
    const merged = mergePatched({ ...stored }, body) as Stored;
    if (diffMerge({ ...stored }, merged) === undefined) {
      return stored;
    }
    this.writes.push(`patch ${address}`);
    return this.#store(address, merged);
  }

  #store(address: string, object: object & { readonly metadata: object }): Stored {
    this.#revision += 1;
    const metadata = { ...object.metadata, resourceVersion: String(this.#revision) };
    const stored = structuredClone({ ...object, metadata }) as Stored;
    this.objects.set(address, stored);
    return stored;
  }
}

/** Where an object is kept, among those of all kinds. */
export const addressOf = (resource: Resource, ref: Ref): string =>
  `${resource.plural} ${keyOf({ metadata: ref })}`;

/** RFC 7386. */
export function mergePatched(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) {
    return patch;
  }
  const isMap = typeof target === 'object' && target !== null && !Array.isArray(target);
  const merged = new Map<string, unknown>(isMap ? Object.entries(target) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) {
      merged.delete(key);
    } else {
      merged.set(key, mergePatched(merged.get(key), value));
    }
  }
  return Object.fromEntries(merged);
}
