import { isDeepStrictEqual } from 'node:util';
import type { KubeObject, Resource } from '../api/object.ts';
import type { Api } from './api.ts';
import { ApiError } from './errors.ts';

/** A JSON object, as far as merge patches care. */
export type JsonObject = { readonly [key: string]: unknown };

/**
 * The smallest JSON merge patch (RFC 7386) that turns `before` into `after`; undefined when they are equal. What is
 * gone becomes null, arrays are replaced whole. A key that holds undefined counts as gone. Merge patches cannot
 * store null: do not use it as a value.
 */
export function diffMerge(before: JsonObject, after: JsonObject): JsonObject | undefined {
  const patch: [string, unknown][] = [];
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const change = changeOf(own(before, key), own(after, key));
    if (change !== undefined) {
      patch.push([key, change]);
    }
  }
  // fromEntries defines properties; assignment would lose a key named __proto__.
  return patch.length === 0 ? undefined : Object.fromEntries(patch);
}

function changeOf(before: unknown, after: unknown): unknown {
  if (after === undefined || after === null) {
    return before === undefined || before === null ? undefined : null;
  }
  if (isObject(before) && isObject(after)) {
    return diffMerge(before, after);
  }
  if (isDeepStrictEqual(before, Array.isArray(after) ? asSent(after) : after)) {
    return undefined;
  }
  // An object replaces a scalar or an array by being merged into nothing: its undefined members must go.
  return isObject(after) ? (diffMerge({}, after) ?? {}) : after;
}

/** As the server will store it: members that hold undefined are not sent. */
const asSent = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

const own = (object: JsonObject, key: string): unknown =>
  Object.hasOwn(object, key) ? object[key] : undefined;

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

interface Target<T extends KubeObject> {
  readonly resource: Resource;
  /** As last read: its resourceVersion and UID make the write a compare-and-swap. */
  readonly object: T;
  readonly fieldManager: string;
}

export interface StatusPatch<T extends KubeObject> extends Target<T> {
  /** The writer's own top-level status keys; undefined removes one. Keys not named are left alone. */
  readonly owned: JsonObject;
}

/**
 * Writes those of the owned status keys that differ. Answers the object itself when nothing differs (no write),
 * undefined when the object is gone. Throws an ApiError with `isConflict` when somebody wrote in between.
 */
export async function patchStatusBlock<T extends KubeObject & { readonly status?: object }>(
  api: Pick<Api, 'patch'>,
  { resource, object, owned, fieldManager }: StatusPatch<T>,
): Promise<T | undefined> {
  const current: JsonObject = { ...object.status };
  const before = Object.fromEntries(Object.keys(owned).map((key) => [key, own(current, key)]));
  const status = diffMerge(before, owned);
  if (status === undefined) {
    return object;
  }
  const body = { metadata: identityOf(object), status };
  return undefinedWhenGone(
    api.patch<T>(resource, object.metadata, body, { subresource: 'status', fieldManager }),
  );
}

export interface FinalizersPatch<T extends KubeObject> extends Target<T> {
  /** The whole list as it shall be. */
  readonly finalizers: readonly string[];
}

/** Sets the list of finalizers, with the same answers as `patchStatusBlock`. */
export async function patchFinalizers<T extends KubeObject>(
  api: Pick<Api, 'patch'>,
  { resource, object, finalizers, fieldManager }: FinalizersPatch<T>,
): Promise<T | undefined> {
  if (isDeepStrictEqual(object.metadata.finalizers ?? [], [...finalizers])) {
    return object;
  }
  const body = {
    metadata: { ...identityOf(object), finalizers: finalizers.length === 0 ? null : finalizers },
  };
  return undefinedWhenGone(api.patch<T>(resource, object.metadata, body, { fieldManager }));
}

function identityOf({ metadata: { uid, resourceVersion } }: KubeObject) {
  return { uid, resourceVersion };
}

async function undefinedWhenGone<T>(written: Promise<T>): Promise<T | undefined> {
  try {
    return await written;
  } catch (error) {
    if (error instanceof ApiError && error.isNotFound) {
      return undefined;
    }
    throw error;
  }
}
