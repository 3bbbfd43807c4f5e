import { type KubeObject, keyOf } from '../api/object.ts';
import type { WatchEvent } from './api.ts';
import { frozen } from './cache.ts';
import { ApiError } from './errors.ts';

/** Whatever a server asks for, we look again within a minute. */
const LONGEST_ASKED_PAUSE_MS = 60_000;

/** Takes one event of the initial list; true when it was the last. */
export function collect<T extends KubeObject>(
  { type, object }: WatchEvent<T>,
  objects: Map<string, T>,
): boolean {
  if (type === 'BOOKMARK') {
    return object.metadata.annotations?.['k8s.io/initial-events-end'] === 'true';
  }
  if (type === 'DELETED') {
    objects.delete(keyOf(object));
  } else {
    objects.set(keyOf(object), frozen(object));
  }
  return false;
}

/** Compacted, or from another life of the database: a restored one counts from an earlier number. */
export function mustListAgain(error: unknown): boolean {
  return (
    error instanceof ApiError &&
    (error.isGone || error.causes.some(({ reason }) => reason === 'ResourceVersionTooLarge'))
  );
}

export function refusesStreaming(error: unknown): boolean {
  return error instanceof ApiError && [400, 422, 500].includes(error.status);
}

/** Retry-After, as long as it is sensible; undefined when nothing was asked. */
export function pauseAskedBy(error: unknown): number | undefined {
  return error instanceof ApiError && error.retryAfterMs !== undefined
    ? Math.min(error.retryAfterMs, LONGEST_ASKED_PAUSE_MS)
    : undefined;
}
