// One visit of one Snapshot.
import { snapshotIDFor } from '../../api/ids.ts';
import { SNAPSHOTS } from '../../api/resources.ts';
import { isEnding, type Snapshot } from '../../api/volume.ts';
import type { Reconcile, Result } from '../../runtime/loop.ts';
import { freeID, hostViews, snapshottedKeyOf } from '../caches.ts';
import { observeCopies, readCopies } from '../copies.ts';
import {
  addFinalizer,
  removeFinalizer,
  tell,
  type VisitContext,
  type Visited,
  type VolumeDeps,
  writePins,
} from '../visit.ts';
import { planSnapshot, type SnapshotChange, type SnapshotWorld } from './plan.ts';
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
    case 'write': {
      log.info({ why: plan.why }, 'Writing the Snapshot');
      const { change } = plan;
      return change.pins === undefined
        ? tell(subject, said(world, change), context)
        : writePins(snapshot, change.pins, context, (pins) =>
            tell(subject, said(world, { ...change, pins }), context),
          );
    }
    case 'settled':
      return tell(subject, said(world, {}), context);
  }
}

function said(world: SnapshotWorld, change: SnapshotChange) {
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
