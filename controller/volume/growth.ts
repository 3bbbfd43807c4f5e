// What a person reads of a Volume's growth: which hop, from its server to the VM, lags behind or keeps the size of what is in use.
import { type Attachment, connectionAt, exportAt, instanceLabel } from '../../api/attachment.ts';
import type { Claim } from '../../api/conditions.ts';
import { type PoolFact, poolOf, type VolumeServer } from '../../api/hosts.ts';
import { formatBytes } from '../../api/quantity.ts';
import {
  backendOf,
  type Grant,
  grantsOf,
  type Pin,
  pinsOf,
  type Volume,
  wantedBytes,
} from '../../api/volume.ts';
import { no } from '../claims.ts';
import { pinners } from '../pins.ts';
import type { VolumeWorld } from './plan.ts';

/** Claimed while the size wanted is above the size allocated, or some hop behind the server is not there yet. */
export function growthClaims(world: VolumeWorld): Claim[] {
  const { volume } = world;
  const { sizeBytes, everProvisioned } = backendOf(volume) ?? {};
  if (sizeBytes === undefined || everProvisioned !== true) {
    return [];
  }
  return (wantedBytes(volume) ?? 0n) > BigInt(sizeBytes) ? [growing(world)] : behindServer(world, sizeBytes);
}

/** What the server waits for before it lets the data grow. */
function growing(world: VolumeWorld): Claim {
  const { volume } = world;
  const { size } = volume.spec;
  const pins = pinsOf(volume);
  if (canOf(world)?.includes('SnapshotsHoldSize') === true && pins.some(isSnapshotPin)) {
    return no('Resized', 'SnapshotsExist', `grows to ${size} when ${pinners(volume)} is deleted`);
  }
  const [grant] = grantsOf(volume);
  const rigid = grant === undefined ? undefined : rigidHop(world, grant);
  if (rigid !== undefined) {
    return waiting(`grows to ${size} when it is detached`, rigid);
  }
  if (grant === undefined && pins.some(({ reader }) => reader !== undefined)) {
    return no('Resized', 'Resizing', `grows to ${size} when ${pinners(volume)} is made, which copies it`);
  }
  const { growth } = backendOf(volume) ?? {};
  return growth === undefined
    ? no('Resized', 'Resizing', `growing to ${size}`)
    : no(
        'Resized',
        growth.reason === 'NoSpace' ? 'NoSpace' : 'Resizing',
        `growing to ${size} on ${volume.status?.server}: ${growth.message}`,
      );
}

const isSnapshotPin = ({ kind }: Pin): boolean => kind === 'Snapshot';

const serverOf = ({ volume, servers }: VolumeWorld): VolumeServer | undefined =>
  servers.find(({ host }) => host.metadata.name === volume.status?.server)?.host;

const canOf = (world: VolumeWorld): PoolFact['can'] =>
  poolOf(serverOf(world), world.volume.status?.pool)?.can;

interface RigidHop {
  /** Which, and what it does. */
  readonly why: string;
  /** The Attachment in its way. */
  readonly holder: Attachment | undefined;
}

const waiting = (what: string, { why, holder }: RigidHop): Claim =>
  no(
    'Resized',
    'WaitingForDetach',
    `${what}: ${why}${holder === undefined ? '' : `; delete Attachment ${holder.metadata.name} to let it grow`}`,
  );

/** The first hop, from the server on, which keeps the size of what is in use; undefined when none does. */
function rigidHop(world: VolumeWorld, grant: Grant): RigidHop | undefined {
  const { server, pool: name } = world.volume.status ?? {};
  const [holder] = holdersOf(world, grant);
  const can = canOf(world);
  if (can?.includes('GrowOnline') === true) {
    const fact = holder && connectionAt(holder, grant.epoch);
    return holder !== undefined && fact?.state === 'Attached' && fact.growsOnline !== true
      ? { why: cannotShow(grant, holder), holder }
      : undefined;
  }
  if (can === undefined) {
    return { why: `${server} does not tell what its pool ${name} can`, holder };
  }
  const target = serverOf(world)?.status?.agent?.profiles?.find(({ role }) => role === 'target')?.name ?? '';
  const why = can.includes('GrowInUse')
    ? `target ${target} of ${server} keeps the size of what is on line`
    : `pool ${name} of ${server} keeps the size of what is in use`;
  return { why, holder };
}

const cannotShow = ({ hypervisor }: Grant, { spec }: Attachment): string =>
  `${hypervisor} cannot show a running VM that a ${spec.readOnly === true ? 'read-only ' : ''}disk of it has grown`;

const holdersOf = ({ attachments }: VolumeWorld, grant: Grant): readonly Attachment[] =>
  attachments.filter(({ metadata }) => grant.attachments.includes(metadata.uid));

/** The target or the VM still shows less than the server has. */
function behindServer(world: VolumeWorld, sizeBytes: string): Claim[] {
  return grantsOf(world.volume)
    .flatMap((grant) =>
      holdersOf(world, grant).map((holder) => lateHop(world.volume, grant, { holder, sizeBytes })),
    )
    .filter((claim) => claim !== undefined)
    .slice(0, 1);
}

interface Hold {
  readonly holder: Attachment;
  readonly sizeBytes: string;
}

function lateHop({ status }: Volume, grant: Grant, { holder, sizeBytes }: Hold): Claim | undefined {
  const isLess = (bytes: string | undefined): bytes is string =>
    bytes !== undefined && BigInt(bytes) < BigInt(sizeBytes);
  const shows = (who: string, bytes: string) =>
    `${who} shows ${formatBytes(BigInt(bytes))} of ${formatBytes(BigInt(sizeBytes))}`;
  const exported = exportAt(holder, grant.epoch)?.sizeBytes;
  if (isLess(exported)) {
    return no('Resized', 'Resizing', shows(`the target on ${status?.server}`, exported));
  }
  const fact = connectionAt(holder, grant.epoch);
  if (fact?.state !== 'Attached' || !isLess(fact.sizeBytes)) {
    return undefined;
  }
  const what = shows(`instance ${instanceLabel(holder)} on ${grant.hypervisor}`, fact.sizeBytes);
  if (fact.growsOnline !== true) {
    return waiting(what, { why: cannotShow(grant, holder), holder });
  }
  const why = fact.problem?.message;
  return no('Resized', 'Resizing', why === undefined ? what : `${what}: ${why}`);
}
