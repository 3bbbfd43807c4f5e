import type { KubeObject } from '../api/object.ts';
import type { Api } from '../runtime/api.ts';
import { DroppedFields } from '../runtime/dropped.ts';
import { type JsonObject, patchStatusBlock, type StatusPatch } from '../runtime/patch.ts';

type Cache<T> = { written(object: T): void };

/** Of the objects in each cache, by UID: a role writes one block of each. */
const droppedIn = new WeakMap<object, DroppedFields>();

function droppedOf(cache: object): DroppedFields {
  const known = droppedIn.get(cache) ?? new DroppedFields();
  droppedIn.set(cache, known);
  return known;
}

/** Those of the owned keys that are there. */
const partOf = (status: object | undefined, owned: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(status ?? {}).filter(([key]) => Object.hasOwn(owned, key)));

/** Writes this host's block if it differs, and shows our own write to the cache at once. Throws what the API server throws. */
export async function writeBlock<T extends KubeObject & { readonly status?: object }>(
  api: Pick<Api, 'patch'>,
  cache: Cache<T>,
  patch: StatusPatch<T>,
): Promise<void> {
  const { object, owned } = patch;
  const { uid } = object.metadata;
  const dropped = droppedOf(cache);
  if (dropped.isFutile(uid, owned, partOf(object.status, owned))) {
    return;
  }
  const written = await patchStatusBlock<T>(api, patch);
  dropped.wrote(uid, owned, written && partOf(written.status, owned));
  if (written !== undefined) {
    cache.written(written);
  }
}
