// One visit of one Snapshot.
import { snapshotIDFor } from '../../api/ids.ts';
import { SNAPSHOTS } from '../../api/resources.ts';
import { isEnding, type Snapshot } from '../../api/volume.ts';
import type { Reconcile, Result } from '../../runtime/loop.ts';
import { freeID, hostViews, snapshottedKeyOf } from '../caches.ts';
import { observeCopies, readCopies } from '../copies.ts';
import {
  addFinalizer,
  KEY_RETRY_MS,
  pinsWithKeys,
  removeFinalizer,
  tell,
  type VisitContext,
  type Visited,
  type VolumeDeps,
} from '../visit.ts';
import { planSnapshot, type SnapshotPlan, type SnapshotWorld } from './plan.ts';
import { snapshotClaims, snapshotFields } from './status.ts';

/** More steps than any object needs in a row; the queue goes on where a visit stops. */
const MOST_STEPS = 8;

export function snapshotReconciler(deps: VolumeDeps): Reconcile {
  const letGo = new Set<string>();
  return async (key, { log, signal }) => {
    const context = { deps, log, signal, letGo };
    for (let step = 0; step < MOST_STEPS; step += 1) {
      const snapshot = deps.caches.snapshots.get(key);
      if (snapshot === undefined) {
        return {};
      }
      const visited = await visit(snapshot, context);
      if (visited.kind === 'settled') {
        return { requeueAfterMs: visited.afterMs } satisfies Result;
      }
    }
    return { requeueAfterMs: 0 };
  };
}

async function visit(snapshot: Snapshot, context: VisitContext): Promise<Visited> {
  const { deps, log } = context;
  const subject = { resource: SNAPSHOTS, object: snapshot, cache: deps.caches.snapshots };
  const world = await observe(snapshot, context);
  const first = planSnapshot(world);
  const isLast = first.kind === 'write' && isEnding(first.change.order);
  const plan = isLast
    ? planSnapshot({ ...world, ...(await readCopies(snapshot, deps, context.signal)) })
    : first;
  switch (plan.kind) {
    case 'add-finalizer':
      return addFinalizer(subject, context);
    case 'remove-finalizer':
      return removeFinalizer(subject, context);
    case 'write':
      log.info({ why: plan.why }, 'Writing the Snapshot');
      return write(world, plan, context);
    case 'settled':
      return tell(subject, said(world, plan), context);
  }
}

type Write = SnapshotPlan & { readonly kind: 'write' };

/** Whoever is let in has a key by then; for want of one, a pin lets nobody read. */
async function write(world: SnapshotWorld, plan: Write, context: VisitContext): Promise<Visited> {
  const { snapshot } = world;
  const subject = { resource: SNAPSHOTS, object: snapshot, cache: context.deps.caches.snapshots };
  const { change } = plan;
  if (change.pins === undefined) {
    return tell(subject, said(world, plan), context);
  }
  const { pins, isWhole } = await pinsWithKeys(snapshot, change.pins, context);
  const kept = { ...plan, change: { ...change, pins: [...pins] } };
  const visited = await tell(subject, said(world, kept), context);
  return isWhole || visited.kind === 'again' ? visited : { kind: 'settled', afterMs: KEY_RETRY_MS };
}

function said(world: SnapshotWorld, plan: SnapshotPlan) {
  const change = plan.kind === 'write' ? plan.change : {};
  const snapshot: Snapshot = { ...world.snapshot, status: { ...world.snapshot.status, ...change } };
  return {
    fields: { ...change, ...snapshotFields(snapshot) },
    claims: snapshotClaims({ ...world, snapshot }),
  };
}

async function observe(snapshot: Snapshot, { deps, signal }: VisitContext): Promise<SnapshotWorld> {
  const { caches } = deps;
  return {
    snapshot,
    volume: caches.volumes.get(snapshottedKeyOf(snapshot)),
    snapshotID: freeID(snapshot, caches.snapshots, { index: 'snapshotID', idFor: snapshotIDFor }),
    servers: hostViews(caches.servers, caches.heartbeats),
    ...(await observeCopies(snapshot, deps, signal)),
  };
}
