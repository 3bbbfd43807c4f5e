// The controller's rules for one Snapshot. Pure.
//
//   finalizer ─► pin on the Volume ─► placed beside it ─► made by the server ─► pin dropped
//   deleted   ─► no pins of its own left ─► order: Remove ─► absentAt ─► finalizer off
//                                      └─► order: Retain ─► retainedAt ─┘
import type { SnapshotStatus } from '../../api/generated/v1alpha1.ts';
import type { HostView, VolumeServer } from '../../api/hosts.ts';
import {
  backendOf,
  hasFinalizer,
  isDeleting,
  isEnding,
  isProvisioned,
  pinsOf,
  type Snapshot,
  type Volume,
} from '../../api/volume.ts';
import { planEnding } from '../ending.ts';
import { type PinWorld, planPins } from '../pins.ts';

export interface SnapshotWorld extends PinWorld {
  readonly snapshot: Snapshot;
  /** The Volume of the name in spec.volumeRef. */
  readonly volume: Volume | undefined;
  /** The snapshotID for this object, free of collisions. */
  readonly snapshotID: string;
  readonly servers: readonly HostView<VolumeServer>[];
}

/** The controller's own fields of the status, conditions apart. */
export type SnapshotChange = Pick<
  SnapshotStatus,
  'snapshotID' | 'server' | 'pool' | 'placement' | 'source' | 'order' | 'pins'
>;

export type SnapshotPlan =
  | { readonly kind: 'add-finalizer' }
  | { readonly kind: 'write'; readonly change: SnapshotChange; readonly why: string }
  | { readonly kind: 'remove-finalizer' }
  | { readonly kind: 'settled' };

const settled: SnapshotPlan = { kind: 'settled' };

/** The single next step. */
export function planSnapshot(world: SnapshotWorld): SnapshotPlan {
  const { snapshot } = world;
  if (!hasFinalizer(snapshot)) {
    return isDeleting(snapshot) ? settled : { kind: 'add-finalizer' };
  }
  const pins = planPins(snapshot, world);
  if (pins !== undefined) {
    return { kind: 'write', change: { pins: [...pins] }, why: 'what is copied from it has changed' };
  }
  return isDeleting(snapshot) ? planRemoval(world) : planPlacement(world);
}

/** It goes with its Volume, as far as is known: nothing of it can be put aside. The order would be final, so it is not given. */
export const cannotBeRetained = ({ snapshot, lost, can }: SnapshotWorld): boolean =>
  snapshot.spec.deletionPolicy === 'Retain' &&
  isProvisioned(snapshot) &&
  !isEnding(snapshot.status?.order) &&
  !lost &&
  can?.includes('SnapshotsOutlive') !== true;

function planRemoval(world: SnapshotWorld): SnapshotPlan {
  const { snapshot, lost } = world;
  if (pinsOf(snapshot).length > 0 || cannotBeRetained(world)) {
    return settled;
  }
  const ending = planEnding(snapshot, lost);
  if (ending === 'let-go') {
    return { kind: 'remove-finalizer' };
  }
  return ending === 'wait' ? settled : { kind: 'write', change: ending, why: 'deleted, and no pin is left' };
}

/** Beside its Volume, and only with its own pin there: from then on nothing removes what is to be copied. */
function planPlacement({ snapshot, volume, snapshotID }: SnapshotWorld): SnapshotPlan {
  const source = snapshot.status?.placement === undefined ? pinnedSource(snapshot, volume) : undefined;
  return source === undefined
    ? settled
    : {
        kind: 'write',
        change: {
          snapshotID,
          server: source.server,
          pool: source.pool,
          placement: { epoch: 1 },
          source,
          order: 'Keep',
        },
        why: `made of ${source.id}`,
      };
}

function pinnedSource({ metadata }: Snapshot, volume: Volume | undefined): SnapshotStatus['source'] {
  const { volumeID, server, pool } = volume?.status ?? {};
  const sizeBytes = volume === undefined ? undefined : backendOf(volume)?.sizeBytes;
  const isPinned = pinsOf(volume).some(({ uid }) => uid === metadata.uid);
  if (volume === undefined || !isPinned || !isProvisioned(volume)) {
    return undefined;
  }
  if (volumeID === undefined || server === undefined || pool === undefined || sizeBytes === undefined) {
    return undefined;
  }
  const { uid, name } = volume.metadata;
  return { kind: 'Volume', uid, name, id: volumeID, server, pool, sizeBytes };
}
