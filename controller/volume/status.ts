// What a person reads on a Volume. Computed from the same look at the world as the plan.
import { instanceLabel } from '../../api/attachment.ts';
import type { Claim } from '../../api/conditions.ts';
import type { VolumeStatus } from '../../api/generated/v1alpha1.ts';
import { isLost } from '../../api/hosts.ts';
import { formatBytes } from '../../api/quantity.ts';
import { backendOf, grantsOf, isDeleting, isExisting, pinsOf, type Volume } from '../../api/volume.ts';
import {
  doubt,
  type FactSource,
  factSource,
  no,
  silence,
  summarized,
  told,
  unheard,
  yes,
} from '../claims.ts';
import { ending, retainedAs } from '../ending.ts';
import { pinners } from '../pins.ts';
import { growthClaims } from './growth.ts';
import { place } from './placement.ts';
import { cannotBeTrashed, type VolumeWorld } from './plan.ts';

const serverOf = ({ volume, servers }: VolumeWorld): FactSource | undefined =>
  factSource(volume.status?.server, servers);

function placed(world: VolumeWorld): Claim {
  const { status } = world.volume;
  const refused = backendOf(world.volume)?.refused === true;
  if (status?.placement !== undefined && !refused) {
    return yes('Placed', 'Placed', `on ${status.server}, pool ${status.pool}`);
  }
  const placement = place(world);
  return placement.kind === 'waiting'
    ? no('Placed', placement.reason, placement.message)
    : no('Placed', 'Placing', `choosing ${placement.server}`);
}

function provisioned(world: VolumeWorld): Claim {
  const { volume } = world;
  const backend = backendOf(volume);
  if (volume.status?.placement === undefined || backend?.refused === true) {
    return no('Provisioned', 'NotPlaced', 'no server was chosen yet; see the condition Placed');
  }
  if (backend === undefined) {
    return silence('Provisioned', serverOf(world)) ?? making(world);
  }
  if (backend.absentAt !== undefined) {
    return no('Provisioned', 'Removed', `removed at ${backend.absentAt}`);
  }
  if (backend.retainedAt !== undefined) {
    return no('Provisioned', 'Retained', retainedAs(volume));
  }
  if (world.lost) {
    return no(
      'Provisioned',
      'ServerLost',
      `volume server ${volume.status.server} is lost (spec.lost), and the data with it; delete the Volume`,
    );
  }
  const doubts = doubt('Provisioned', serverOf(world), backend.bootID);
  if (doubts !== undefined) {
    return doubts;
  }
  if (backend.problem !== undefined) {
    return { type: 'Provisioned', status: 'False', ...told(backend.problem, volume.status.server) };
  }
  return backend.everProvisioned === true
    ? yes(
        'Provisioned',
        'Provisioned',
        `${formatBytes(BigInt(backend.sizeBytes ?? '0'))} on ${volume.status.server}`,
      )
    : making(world);
}

/** What the server is doing about data that is not complete. */
function making(world: VolumeWorld): Claim {
  const { source, backend, server } = world.volume.status ?? {};
  if (source === undefined) {
    const zeroed = backend?.progress === undefined ? '' : `; ${backend.progress} % of it is zeroed`;
    return no('Provisioned', 'Provisioning', `${server} makes the backing store${zeroed}`);
  }
  const { kind, name } = source;
  if (isExisting(world.volume)) {
    return no('Provisioned', 'Adopting', `${server} hands over ${source.id} (${name})`);
  }
  const from = world.servers.find(({ host }) => host.metadata.name === source.server);
  if (source.server !== server && isLost(from)) {
    return no(
      'Provisioned',
      'ServerLost',
      `volume server ${source.server} is lost (spec.lost), and ${kind} ${name} with it; delete the Volume`,
    );
  }
  const silent =
    source.server === server || from === undefined
      ? undefined
      : silence('Provisioned', factSource(source.server, world.servers));
  const where = source.server === server ? '' : ` from ${source.server}`;
  return (
    silent ?? no('Provisioned', 'Copying', `${backend?.progress ?? 0} % of ${kind} ${name} copied${where}`)
  );
}

function deleting(world: VolumeWorld): Omit<Claim, 'type'> {
  const { volume, attachments, servers, can } = world;
  const [grant] = grantsOf(volume);
  const status = 'False';
  if (grant !== undefined) {
    const holder = attachments.find(({ metadata }) => grant.attachments.includes(metadata.uid));
    const message =
      holder === undefined || isDeleting(holder)
        ? `waiting until the disk is given up by ${grant.hypervisor}${unheard(grant.hypervisor, world.hypervisors)}`
        : `in use by Attachment ${holder.metadata.name} (instance ${instanceLabel(holder)} on ${grant.hypervisor}); delete it first`;
    return { status, reason: 'InUse', message };
  }
  if (pinsOf(volume).length > 0) {
    return { status, reason: 'Pinned', message: `waiting for ${pinners(volume)}, made from this volume` };
  }
  if (can !== undefined && cannotBeTrashed(world)) {
    const { className, server, pool } = volume.status ?? {};
    const message = `class ${className} keeps deleted volumes in the trash, and pool ${pool} of ${server} has none; update its agent or profile, or take spec.trash off the class`;
    return { status, reason: 'Unsupported', message };
  }
  const problem = backendOf(volume)?.problem;
  return problem === undefined
    ? { status, ...ending(volume, servers) }
    : { status, ...told(problem, volume.status?.server) };
}

export function volumeClaims(world: VolumeWorld): readonly Claim[] {
  const stages = [placed(world), provisioned(world)];
  if (isDeleting(world.volume)) {
    return summarized(stages, deleting(world));
  }
  const behind = stages.find(({ status }) => status !== 'True');
  const { status, reason, message } = behind ?? yes('Ready', 'Provisioned', stages[1]?.message ?? '');
  return summarized([...stages, ...growthClaims(world)], { status, reason, message });
}

/** The controller's fields which follow from others. */
export function derivedFields({
  volume,
  attachments,
}: VolumeWorld): Pick<VolumeStatus, 'capacity' | 'attachedTo'> {
  return { capacity: capacityOf(volume), attachedTo: attachedTo(volume, attachments) } as Pick<
    VolumeStatus,
    'capacity' | 'attachedTo'
  >;
}

function capacityOf(volume: Volume): string | undefined {
  const { everProvisioned, sizeBytes } = backendOf(volume) ?? {};
  return everProvisioned === true && sizeBytes !== undefined
    ? formatBytes(BigInt(sizeBytes))
    : volume.status?.capacity;
}

function attachedTo(volume: Volume, attachments: VolumeWorld['attachments']): string | undefined {
  const [grant] = grantsOf(volume);
  const holder = attachments.find(({ metadata }) => grant?.attachments.includes(metadata.uid) === true);
  if (grant === undefined) {
    return undefined;
  }
  return holder === undefined
    ? grant.hypervisor
    : `${grant.hypervisor}/${instanceLabel(holder)}`.slice(0, 128);
}
