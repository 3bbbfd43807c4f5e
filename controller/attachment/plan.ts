// The controller's rules for one Attachment: the finalizer, the copy of its grant, the release after a move. Pure.
import { type Attachment, isReleased, isWithdrawn } from '../../api/attachment.ts';
import type { AttachmentStatus } from '../../api/generated/v1alpha1.ts';
import type { Hypervisor } from '../../api/hosts.ts';
import { infoOf } from '../../api/reasons.ts';
import { type Grant, grantFor, hasFinalizer, isDeleting, type Volume } from '../../api/volume.ts';
import { findHypervisor, type HypervisorView, instanceOn } from '../binding.ts';

export interface AttachmentWorld {
  readonly attachment: Attachment;
  /** The Volume of the name in the spec; undefined when the cache has none. */
  readonly volume: Volume | undefined;
  readonly hypervisors: readonly HypervisorView[];
  /** The server that it was admitted to is lost for good: it closes nothing any more. */
  readonly lost: boolean;
}

/** The controller's own fields of the status, conditions apart. */
export type AttachmentChange = Pick<
  AttachmentStatus,
  'volumeUID' | 'volumeID' | 'server' | 'hypervisor' | 'instanceUID' | 'epoch' | 'release'
>;

export type AttachmentPlan =
  | { readonly kind: 'add-finalizer' }
  | { readonly kind: 'write'; readonly change: AttachmentChange; readonly why: string }
  | { readonly kind: 'remove-finalizer' }
  | { readonly kind: 'settled' };

const settled: AttachmentPlan = { kind: 'settled' };

export function planAttachment(world: AttachmentWorld): AttachmentPlan {
  const { attachment, volume } = world;
  if (!hasFinalizer(attachment)) {
    return isDeleting(attachment) ? settled : { kind: 'add-finalizer' };
  }
  const grant = grantFor(volume, attachment.metadata.uid);
  if (grant === undefined || volume === undefined) {
    return isDeleting(attachment) && mayForget(world) ? { kind: 'remove-finalizer' } : settled;
  }
  if (attachment.status?.epoch !== grant.epoch) {
    return admit(world, volume, grant);
  }
  const moved = !isDeleting(attachment) && attachment.status.release !== true && hasMoved(world, grant);
  return moved
    ? { kind: 'write', change: { release: true }, why: 'the VM runs on another hypervisor' }
    : settled;
}

/** Copies the grant: the two hosts are named here, and only now do they see the Attachment. */
function admit({ attachment, hypervisors }: AttachmentWorld, volume: Volume, grant: Grant): AttachmentPlan {
  const hypervisor = hypervisors.find(({ host }) => host.metadata.name === grant.hypervisor)?.host;
  const instance = hypervisor === undefined ? undefined : instanceOn(hypervisor, attachment);
  const { volumeID, server } = volume.status ?? {};
  if (volumeID === undefined || server === undefined) {
    return settled;
  }
  const change: AttachmentChange = {
    volumeUID: volume.metadata.uid,
    volumeID,
    server,
    hypervisor: grant.hypervisor,
    epoch: grant.epoch,
    ...(instance === undefined ? {} : { instanceUID: instance.uuid }),
    ...(attachment.status?.release === undefined ? {} : { release: false }),
  };
  return { kind: 'write', change, why: `grant ${grant.epoch} on ${grant.hypervisor}` };
}

/**
 * The finalizer may go: no grant names this Attachment, and none that it had is still open. The caller proves the first with a
 * live GET of the Volume, since the cached copy may be older than the grant. On a server that is lost nothing is open; there the hypervisor
 * lets go by what it reads of the Volume, or has let go where that is no more.
 */
export function mayForget({
  attachment,
  volume,
  lost,
}: Pick<AttachmentWorld, 'attachment' | 'volume' | 'lost'>): boolean {
  const { epoch } = attachment.status ?? {};
  return (
    grantFor(volume, attachment.metadata.uid) === undefined &&
    (epoch === undefined ||
      isWithdrawn(attachment, epoch) ||
      (lost && (volume !== undefined || isReleased(attachment, epoch))))
  );
}

/** The schema's limit: a longer list is cut, and then absence from it means nothing. */
const MOST_INSTANCES = 1024;

/** The host looked at its VMs and told of all of them: only then is a VM that is not listed not there. */
function listsAll({ status }: Hypervisor): boolean {
  const { instances, problems = [] } = status?.agent ?? {};
  const isSeen = problems.every(({ reason }) => infoOf(reason)?.setting === true);
  return isSeen && instances !== undefined && instances.length < MOST_INSTANCES;
}

/** A cold move: the bound hypervisor answers and no longer has the VM, and another one does. */
function hasMoved({ attachment, hypervisors }: AttachmentWorld, grant: Grant): boolean {
  const bound = hypervisors.find(({ host }) => host.metadata.name === grant.hypervisor);
  if (attachment.spec.hypervisor !== undefined || bound?.freshness !== 'fresh') {
    return false;
  }
  const target = findHypervisor(attachment, hypervisors);
  return (
    target.kind === 'bound' &&
    target.hypervisor.host.metadata.name !== grant.hypervisor &&
    listsAll(bound.host) &&
    instanceOn(bound.host, attachment) === undefined
  );
}
