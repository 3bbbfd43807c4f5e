// One visit of one Volume and of all Attachments that name it: they exclude each other, so they share a key.
import type { Attachment } from '../../api/attachment.ts';
import { volumeIDFor } from '../../api/ids.ts';
import { keyOf } from '../../api/object.ts';
import { ATTACHMENTS, VOLUMES } from '../../api/resources.ts';
import { grantsOf, isEnding, type Stored, type Volume } from '../../api/volume.ts';
import type { Api } from '../../runtime/api.ts';
import type { Reconcile, Result } from '../../runtime/loop.ts';
import { visitAttachment } from '../attachment/reconcile.ts';
import { type Caches, freeID, freshnessOf, hostViews, placementWorld, sourceKeyOf } from '../caches.ts';
import { observeCopies, readCopies } from '../copies.ts';
import {
  addFinalizer,
  again,
  hostsWithoutKey,
  keyRetry,
  removeFinalizer,
  tell,
  type VisitContext,
  type Visited,
  type VolumeDeps,
  writePins,
} from '../visit.ts';
import { planVolume, type VolumePlan, type VolumeWorld } from './plan.ts';
import { derivedFields, volumeClaims } from './status.ts';

/** More steps than any object needs in a row; the queue goes on where a visit stops. */
const MOST_STEPS = 12;

export function volumeReconciler(deps: VolumeDeps): Reconcile {
  const letGo = new Set<string>();
  return async (key, { log, signal }) => {
    const context = { deps, log, signal, letGo };
    for (let step = 0; step < MOST_STEPS; step += 1) {
      const visited = await visitOnce(key, context);
      if (visited.kind === 'gone') {
        return {};
      }
      if (visited.kind === 'settled') {
        return { requeueAfterMs: visited.afterMs } satisfies Result;
      }
    }
    return { requeueAfterMs: 0 };
  };
}

async function visitOnce(key: string, context: VisitContext): Promise<Visited | { readonly kind: 'gone' }> {
  const { caches, resyncMs } = context.deps;
  const results: Visited[] = [];
  const volume = caches.volumes.get(key);
  if (volume !== undefined) {
    results.push(await visitVolume(volume, context));
  }
  for (const attachment of caches.attachments.byIndex('volume', key)) {
    results.push(await visitAttachment(attachment, context));
  }
  if (results.length === 0) {
    return { kind: 'gone' };
  }
  if (results.some(({ kind }) => kind === 'again')) {
    return again;
  }
  const soonest = results.map((result) => (result.kind === 'settled' ? result.afterMs : resyncMs));
  return { kind: 'settled', afterMs: Math.min(resyncMs, ...soonest) };
}

const subjectOf = (volume: Volume, { deps }: VisitContext) => ({
  resource: VOLUMES,
  object: volume,
  cache: deps.caches.volumes,
});

async function visitVolume(volume: Volume, context: VisitContext): Promise<Visited> {
  const { deps, log, signal } = context;
  const world = await observe(volume, deps, signal);
  const first = planVolume(world);
  const plan = isLast(first) ? planVolume({ ...world, ...(await readCopies(volume, deps, signal)) }) : first;
  switch (plan.kind) {
    case 'add-finalizer':
      return addFinalizer(subjectOf(volume, context), context);
    case 'remove-finalizer':
      return removeFinalizer(subjectOf(volume, context), context);
    case 'write':
      log.info({ why: plan.why }, 'Writing the Volume');
      return write(world, plan, context);
    case 'settled':
      return report(world, plan, context);
  }
}

type Write = VolumePlan & { readonly kind: 'write' };

/** Whoever is let in has a key by then; for want of one, a grant is not made, and a pin lets nobody read. */
async function write(world: VolumeWorld, plan: Write, context: VisitContext): Promise<Visited> {
  const { volume } = world;
  const { change } = plan;
  const before = grantsOf(volume);
  const added = (change.grants?.items ?? []).filter(
    ({ epoch }) => !before.some((one) => one.epoch === epoch),
  );
  const hypervisors = [...new Set(added.map(({ hypervisor }) => hypervisor))];
  if (hypervisors.length > 0 && (await hostsWithoutKey(volume, hypervisors, context)).length > 0) {
    return keyRetry;
  }
  return change.pins === undefined
    ? report(world, plan, context)
    : writePins(volume, change.pins, context, (pins) =>
        report(world, { ...plan, change: { ...change, pins } }, context),
      );
}

/** It orders what becomes of the data, for ever. */
const isLast = (plan: VolumePlan): boolean => plan.kind === 'write' && isEnding(plan.change.order);

/** The only look outside the caches: Attachments named in a grant and not cached may be gone, or just not seen yet. */
async function observe(
  volume: Volume,
  { api, caches }: VolumeDeps,
  signal: AbortSignal,
): Promise<VolumeWorld> {
  const key = keyOf(volume);
  const attachments = caches.attachments.byIndex('volume', key);
  const missing = grantsOf(volume)
    .flatMap(({ attachments: uids }) => uids)
    .filter((uid) => !attachments.some(({ metadata }) => metadata.uid === uid));
  const alive = missing.length === 0 ? [] : await liveUIDs(api, volume.metadata.namespace ?? '', signal);
  return {
    ...placementWorld(volume, sourceOf(volume, caches), caches),
    attachments,
    goneAttachments: new Set(missing.filter((uid) => !alive.includes(uid))),
    hypervisors: hostViews(caches.hypervisors, caches.heartbeats),
    freshnessOf: (host) => freshnessOf(host, caches.heartbeats),
    volumeID: freeID(volume, caches.volumes, { index: 'volumeID', idFor: volumeIDFor }),
    ...(await observeCopies(volume, { api, caches }, signal)),
  };
}

function sourceOf(volume: Volume, { volumes, snapshots }: Caches): Stored | undefined {
  const source = sourceKeyOf(volume);
  if (source === undefined) {
    return undefined;
  }
  return source.kind === 'Snapshot' ? snapshots.get(source.key) : volumes.get(source.key);
}

async function liveUIDs(api: Api, namespace: string, signal: AbortSignal): Promise<readonly string[]> {
  const { items } = await api.list<Attachment>(ATTACHMENTS, { namespace }, { signal });
  return items.map(({ metadata }) => metadata.uid);
}

async function report(world: VolumeWorld, plan: VolumePlan, context: VisitContext): Promise<Visited> {
  const change = plan.kind === 'write' ? plan.change : {};
  const volume: Volume = { ...world.volume, status: { ...world.volume.status, ...change } };
  const after = { ...world, volume };
  const said = { fields: { ...change, ...derivedFields(after) }, claims: volumeClaims(after) };
  return tell(subjectOf(world.volume, context), said, context);
}
