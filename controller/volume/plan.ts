// The controller's rules for one Volume: placement, grants, order, finalizer. Pure. Everything that must exclude each
// other is a compare-and-swap on this one object: a decision made on an old copy fails at the API server.
//
//   grant e ──► exported ──► connected ──► Released@e (H) ──► Withdrawn@e (S) ──► dropped
//        └──── Fencing ─────────────────────────────────────► Withdrawn@e (S) ──► dropped
import { type Attachment, isReadOnly, isReleased, isWithdrawn } from '../../api/attachment.ts';
import type { VolumeStatus } from '../../api/generated/v1alpha1.ts';
import type { Freshness } from '../../api/hosts.ts';
import { initiatorName } from '../../api/names.ts';
import {
  backendOf,
  type Grant,
  grantsOf,
  hasFinalizer,
  isDeleting,
  isEnding,
  isProvisioned,
  isUnclaimed,
  pinsOf,
  type Volume,
} from '../../api/volume.ts';
import { bind, type HypervisorView } from '../binding.ts';
import { planEnding } from '../ending.ts';
import { type PinWorld, planPins } from '../pins.ts';
import { goesToTrash, trashOfClass } from '../trash.ts';
import { planFormer } from './former.ts';
import { type PlacementWorld, place } from './placement.ts';
import { waitersOf } from './waiters.ts';

/** Everything one visit looked at. */
export interface VolumeWorld extends PlacementWorld, PinWorld {
  /** All Attachments that name this volume, or are bound to it. */
  readonly attachments: readonly Attachment[];
  /** UIDs in the grants for which a live list proved that no Attachment exists any more. */
  readonly goneAttachments: ReadonlySet<string>;
  readonly hypervisors: readonly HypervisorView[];
  /** Whether a host is heard, also when its object was deleted. */
  readonly freshnessOf: (host: string) => Freshness;
  /** The volumeID for this object, free of collisions. */
  readonly volumeID: string;
}

/** The controller's own fields of the status, conditions apart. */
export type VolumeChange = Pick<
  VolumeStatus,
  | 'volumeID'
  | 'className'
  | 'server'
  | 'pool'
  | 'placement'
  | 'source'
  | 'order'
  | 'trash'
  | 'grants'
  | 'pins'
>;

export type VolumePlan =
  | { readonly kind: 'add-finalizer' }
  | { readonly kind: 'write'; readonly change: VolumeChange; readonly why: string }
  | { readonly kind: 'remove-finalizer' }
  | { readonly kind: 'settled' };

const settled: VolumePlan = { kind: 'settled' };

/** The single next step. */
export function planVolume(world: VolumeWorld): VolumePlan {
  const { volume } = world;
  if (!hasFinalizer(volume)) {
    return isDeleting(volume) ? settled : { kind: 'add-finalizer' };
  }
  return (
    planGrants(world) ?? planPinning(world) ?? (isDeleting(volume) ? planRemoval(world) : planPresence(world))
  );
}

function planPinning(world: VolumeWorld): VolumePlan | undefined {
  const pins = planPins(world.volume, world);
  return pins && { kind: 'write', change: { pins: [...pins] }, why: 'what is copied from it has changed' };
}

/** Dropping and fencing go on whether or not the volume is being deleted. */
function planGrants(world: VolumeWorld): VolumePlan | undefined {
  const items = grantsOf(world.volume);
  const restored = planFormer(world);
  if (restored !== undefined) {
    return regrant(
      world.volume,
      restored,
      'grants of an earlier life stand on the server',
      backendOf(world.volume)?.appliedRevision ?? 0,
    );
  }
  const droppable = items.find((item) => mayDrop(item, world));
  if (droppable !== undefined) {
    return regrant(
      world.volume,
      items.filter((item) => item !== droppable),
      `grant ${droppable.epoch} of ${droppable.hypervisor} is withdrawn`,
    );
  }
  const doomed = items.find((item) => item.state === 'Granted' && mustFence(item, world));
  if (doomed !== undefined) {
    return regrant(
      world.volume,
      items.map((item) => (item === doomed ? { ...item, state: 'Fencing' } : item)),
      `grant ${doomed.epoch} of ${doomed.hypervisor} is to be cut off`,
    );
  }
  // A server which has applied more than we remember (our store was set back) accepts nothing below that.
  const applied = backendOf(world.volume)?.appliedRevision ?? 0;
  return applied > revisionOf(world.volume)
    ? regrant(world.volume, items, 'the server has applied a higher revision', applied)
    : undefined;
}

const revisionOf = (volume: Volume): number => volume.status?.grants?.revision ?? 0;

function regrant(volume: Volume, items: readonly Grant[], why: string, above = 0): VolumePlan {
  const revision = Math.max(revisionOf(volume), above) + 1;
  return { kind: 'write', change: { grants: { revision, items: [...items] } }, why };
}

/** Only facts that stay true: each Attachment says Withdrawn for this epoch, or is gone and the cut was applied. */
function mayDrop(item: Grant, world: VolumeWorld): boolean {
  const { volume, attachments, goneAttachments, lost } = world;
  const cut = item.state === 'Fencing' && backendOf(volume)?.appliedRevision === revisionOf(volume);
  if (isUnclaimed(item)) {
    return cut || lost;
  }
  return item.attachments.every((uid) => {
    const attachment = attachments.find(({ metadata }) => metadata.uid === uid);
    if (attachment === undefined) {
      return (cut || lost) && goneAttachments.has(uid);
    }
    // A lost server says nothing any more: what is left is the hypervisor's word, or that it was to be cut off in any case.
    return (
      isWithdrawn(attachment, item.epoch) ||
      (lost && (item.state === 'Fencing' || isReleased(attachment, item.epoch)))
    );
  });
}

function mustFence(item: Grant, world: VolumeWorld): boolean {
  const { attachments, goneAttachments, hypervisors, freshnessOf } = world;
  const hypervisor = hypervisors.find(({ host }) => host.metadata.name === item.hypervisor);
  if (hypervisor?.host.spec?.fenced === true) {
    return true;
  }
  if (isUnclaimed(item)) {
    return false;
  }
  if (item.attachments.every((uid) => goneAttachments.has(uid))) {
    return true;
  }
  const served = attachments.filter(({ metadata }) => item.attachments.includes(metadata.uid));
  return (
    (hypervisor?.freshness ?? freshnessOf(item.hypervisor)) === 'stale' &&
    served.length > 0 &&
    served.every((attachment) => isDeleting(attachment) && attachment.spec.detachPolicy === 'Fence')
  );
}

/** Its class wants it in the trash, and its pool has none, as far as is known. The order would be final, so it is not given. */
export const cannotBeTrashed = ({ volume, classes, lost, can }: VolumeWorld): boolean =>
  trashOfClass(volume, classes) !== undefined &&
  goesToTrash(volume) &&
  !isEnding(volume.status?.order) &&
  !lost &&
  can?.includes('Trash') !== true;

function planRemoval(world: VolumeWorld): VolumePlan {
  const { volume, classes, lost } = world;
  if (grantsOf(volume).length > 0 || pinsOf(volume).length > 0 || cannotBeTrashed(world)) {
    return settled;
  }
  const ending = planEnding(volume, lost, trashOfClass(volume, classes));
  if (ending === 'let-go') {
    return { kind: 'remove-finalizer' };
  }
  return ending === 'wait'
    ? settled
    : { kind: 'write', change: ending, why: 'deleted, and neither grant nor pin is left' };
}

function planPresence(world: VolumeWorld): VolumePlan {
  const { volume } = world;
  if (volume.status?.placement === undefined || backendOf(volume)?.refused === true) {
    return planPlacement(world);
  }
  const isFree = grantsOf(volume).length === 0 && !pinsOf(volume).some(({ still }) => still === true);
  return isUsable(volume) && isFree && !world.lost ? planGrant(world) : settled;
}

/** The first placement, or another one where the server has said for ever that it makes nothing of the last. */
function planPlacement(world: VolumeWorld): VolumePlan {
  const placement = place(world);
  if (placement.kind === 'waiting') {
    return settled;
  }
  const { className, server, pool, source, trash } = placement;
  const epoch = (world.volume.status?.placement?.epoch ?? 0) + 1;
  // Data whose object is lost keeps its ID: it may be open under it, and guests know it by that.
  const taken = source?.kind === 'Orphaned' ? source.id : undefined;
  const volumeID = world.volume.status?.volumeID ?? taken ?? world.volumeID;
  return {
    kind: 'write',
    change: {
      volumeID,
      className,
      server,
      pool,
      placement: { epoch, ...(trash === undefined ? {} : { trash }) },
      order: 'Keep',
      ...(source === undefined ? {} : { source }),
    },
    why: `placed on ${server}`,
  };
}

/** Complete on its server, and nothing stands against its use. */
export function isUsable(volume: Volume): boolean {
  return isProvisioned(volume) && backendOf(volume)?.problem === undefined;
}

/** Exclusive: one grant at a time, to the first waiter whose hypervisor may have it. */
function planGrant(world: VolumeWorld): VolumePlan {
  const { volume, hypervisors } = world;
  for (const attachment of waitersOf(world)) {
    const binding = bind(attachment, hypervisors);
    if (binding.kind === 'bound') {
      const epoch = revisionOf(volume) + 1;
      const { host } = binding.hypervisor;
      const grant: Grant = {
        epoch,
        hypervisor: host.metadata.name,
        initiator: host.status?.agent?.initiator ?? initiatorName(host.metadata.name),
        mode: isReadOnly(attachment) ? 'ReadOnly' : 'ReadWrite',
        attachments: [attachment.metadata.uid],
        state: 'Granted',
      };
      return {
        kind: 'write',
        change: { grants: { revision: epoch, items: [grant] } },
        why: `granted to ${grant.hypervisor} for Attachment ${attachment.metadata.name}`,
      };
    }
  }
  return settled;
}
