// What the visits of all kinds share: their outcome, and the two writes that are the same for every kind.
import { FINALIZER, MANAGERS } from '../api/names.ts';
import type { KubeObject, Resource } from '../api/object.ts';
import type { Pin, Stored } from '../api/volume.ts';
import type { Api } from '../runtime/api.ts';
import type { Log } from '../runtime/log.ts';
import { patchFinalizers } from '../runtime/patch.ts';
import type { Caches } from './caches.ts';
import type { EnsureChapKey } from './chap.ts';
import { newReaders, withoutReader } from './pins.ts';
import type { Report, Reporter, WithStatus } from './report.ts';

export interface VolumeDeps {
  readonly api: Api;
  readonly caches: Caches;
  readonly reporter: Reporter;
  readonly ensureChapKey: EnsureChapKey;
  /** Drift check: nothing should happen, and if it does, it is found. */
  readonly resyncMs: number;
}

export interface VisitContext {
  readonly deps: VolumeDeps;
  /** UIDs of objects whose finalizer we took off and which the cache may still show. */
  readonly letGo: Set<string>;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** `again`: something was done, look once more. Else how soon to look if nothing happens. */
export type Visited = { readonly kind: 'again' } | { readonly kind: 'settled'; readonly afterMs: number };

export const again: Visited = { kind: 'again' };

/** An object of a kind, and the cache which learns of our own writes at once. */
export interface Subject<T extends KubeObject> {
  readonly resource: Resource;
  readonly object: T;
  readonly cache: { written(object: T): void };
}

export async function addFinalizer<T extends KubeObject>(
  subject: Subject<T>,
  { deps }: VisitContext,
): Promise<Visited> {
  const { resource, object, cache } = subject;
  const finalizers = [...(object.metadata.finalizers ?? []), FINALIZER];
  const written = await patchFinalizers<T>(deps.api, {
    resource,
    object,
    finalizers,
    fieldManager: MANAGERS.controller,
  });
  if (written === undefined) {
    return { kind: 'settled', afterMs: deps.resyncMs };
  }
  cache.written(written);
  return again;
}

/** Far more than a watch can be behind; forgetting one costs a request that finds nothing. */
const MOST_LET_GO = 10_000;

/** The last write: from here on the API server forgets the object. */
export async function removeFinalizer<T extends KubeObject>(
  { resource, object }: Subject<T>,
  { deps, log, letGo }: VisitContext,
): Promise<Visited> {
  const { uid } = object.metadata;
  if (letGo.has(uid)) {
    return { kind: 'settled', afterMs: deps.resyncMs };
  }
  log.info({ kind: resource.kind, name: object.metadata.name }, 'Letting the object go');
  const finalizers = (object.metadata.finalizers ?? []).filter((one) => one !== FINALIZER);
  await patchFinalizers<T>(deps.api, { resource, object, finalizers, fieldManager: MANAGERS.controller });
  if (letGo.size >= MOST_LET_GO) {
    letGo.clear();
  }
  letGo.add(uid);
  deps.reporter.letGo(resource, object);
  return { kind: 'settled', afterMs: deps.resyncMs };
}

/** Writes the status if it differs. */
export async function tell<T extends WithStatus>(
  { resource, object, cache }: Subject<T>,
  said: Pick<Report<T>, 'fields' | 'claims'>,
  { deps }: VisitContext,
): Promise<Visited> {
  const reported = await deps.reporter.report({ resource, object, ...said });
  switch (reported.kind) {
    case 'written':
      cache.written(reported.object);
      return again;
    case 'held-back':
      return { kind: 'settled', afterMs: reported.forMs };
    default:
      return { kind: 'settled', afterMs: deps.resyncMs };
  }
}

/** How soon to try again to make a CHAP key, as when a host's namespace is missing. */
const KEY_RETRY_MS = 5_000;
export const keyRetry: Visited = { kind: 'settled', afterMs: KEY_RETRY_MS };

/** Whoever is let in to the data needs a key in both hosts' namespaces first. Answers the hosts for which none can be made. */
export async function hostsWithoutKey(
  { status }: Stored,
  hosts: readonly string[],
  { deps, log, signal }: VisitContext,
): Promise<readonly string[]> {
  const server = status?.server ?? '';
  const failed: string[] = [];
  for (const host of hosts) {
    try {
      await deps.ensureChapKey(server, host, signal);
    } catch (error) {
      log.warn({ err: error, server, host }, 'Cannot make the CHAP key of a pair of hosts');
      failed.push(host);
    }
  }
  return failed;
}

/** Writes those pins which may be written now: a server without a key is let in later, and everything else goes on. */
export async function writePins(
  stored: Stored,
  pins: readonly Pin[],
  context: VisitContext,
  write: (pins: Pin[]) => Promise<Visited>,
): Promise<Visited> {
  const failed = await hostsWithoutKey(stored, newReaders(pins, stored), context);
  const visited = await write(pins.map((pin) => withoutReader(pin, failed)));
  return failed.length === 0 || visited.kind === 'again' ? visited : keyRetry;
}
