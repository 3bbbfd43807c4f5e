import type { KubeObject } from '../api/object.ts';
import type { Api } from '../runtime/api.ts';
import { patchStatusBlock, type StatusPatch } from '../runtime/patch.ts';

/** Writes this host's block if it differs, and shows our own write to the cache at once. Throws what the API server throws. */
export async function writeBlock<T extends KubeObject & { readonly status?: object }>(
  api: Pick<Api, 'patch'>,
  cache: { written(object: T): void },
  patch: StatusPatch<T>,
): Promise<void> {
  const written = await patchStatusBlock<T>(api, patch);
  if (written !== undefined) {
    cache.written(written);
  }
}
