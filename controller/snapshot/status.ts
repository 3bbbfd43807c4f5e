// What a person reads on a Snapshot. Computed from the same look at the world as the plan.
import type { Claim } from '../../api/conditions.ts';
import type { SnapshotStatus } from '../../api/generated/v1alpha1.ts';
import { formatBytes } from '../../api/quantity.ts';
import {
  backendOf,
  grantsOf,
  isDeleting,
  isEnding,
  isProvisioned,
  pinsOf,
  type Snapshot,
} from '../../api/volume.ts';
import { doubt, type FactSource, factSource, no, silence, summarized, told, yes } from '../claims.ts';
import { ending, retainedAs } from '../ending.ts';
import { outdated } from '../outdated.ts';
import { isAskedInTime, pinners } from '../pins.ts';
import { cannotBeRetained, type SnapshotWorld } from './plan.ts';

const serverOf = ({ snapshot, servers }: SnapshotWorld): FactSource | undefined =>
  factSource(snapshot.status?.server, servers);

function waitsFor({ snapshot, volume, servers }: SnapshotWorld): Claim {
  const { name } = snapshot.spec.volumeRef;
  if (volume === undefined) {
    return no(
      'Created',
      'VolumeNotFound',
      `there is no Volume ${name} (spec.volumeRef); create it, or name another in a new Snapshot`,
    );
  }
  if (isEnding(volume.status?.order) || !isAskedInTime(volume, snapshot)) {
    return no(
      'Created',
      'VolumeDeleting',
      `Volume ${name} is being deleted, and there is nothing left to snapshot; delete this Snapshot`,
    );
  }
  if (!isProvisioned(volume)) {
    return no('Created', 'VolumeNotReady', `Volume ${name} is not ready yet; see its Ready condition`);
  }
  const { server, pool } = volume.status ?? {};
  const old = outdated(servers, { server, pool, lacks: 'makes no copies' });
  if (old !== undefined) {
    return no('Created', old.reason, old.message);
  }
  return grantsOf(volume).length > 0
    ? no(
        'Created',
        'WaitingForDetach',
        `Volume ${name} is attached, and its pool makes no copies of volumes in use; made when it is detached`,
      )
    : no('Created', 'WaitingForVolume', `waiting for Volume ${name}`);
}

function created(world: SnapshotWorld): Claim {
  const { snapshot } = world;
  const { status } = snapshot;
  if (status?.placement === undefined) {
    return waitsFor(world);
  }
  const backend = backendOf(snapshot);
  if (backend?.absentAt !== undefined) {
    return no('Created', 'Removed', `removed at ${backend.absentAt}`);
  }
  if (backend?.retainedAt !== undefined) {
    return no('Created', 'Retained', retainedAs(snapshot));
  }
  if (isProvisioned(snapshot)) {
    const size = formatBytes(BigInt(backend?.sizeBytes ?? '0'));
    return yes('Created', 'Created', `${size} on ${status.server}, pool ${status.pool}`);
  }
  if (backend?.problem !== undefined) {
    const { reason, message } = told(backend.problem, status.server);
    return no('Created', reason, message);
  }
  return (
    silence('Created', serverOf(world)) ??
    no('Created', 'Copying', `${backend?.progress ?? 0} % of Volume ${status.source?.name} copied`)
  );
}

/** What was made stays made; whether it can be read is another question, answered only by a server that is heard. */
function healthy(world: SnapshotWorld): Claim {
  const { snapshot, lost } = world;
  const backend = backendOf(snapshot);
  if (backend === undefined || !isProvisioned(snapshot)) {
    return no('Healthy', 'NotCreated', 'it is not made yet; see the condition Created');
  }
  if (lost) {
    return no('Healthy', 'ServerLost', lostWith(snapshot));
  }
  const doubts = doubt('Healthy', serverOf(world), backend.bootID);
  if (doubts !== undefined) {
    return doubts;
  }
  if (backend.problem === undefined) {
    return yes('Healthy', 'Healthy', `seen on ${snapshot.status?.server}`);
  }
  const { reason, message } = told(backend.problem, snapshot.status?.server);
  return no('Healthy', reason, message);
}

const lostWith = ({ status }: Snapshot): string =>
  `volume server ${status?.server} is lost (spec.lost), and the data with it; delete the Snapshot`;

function deleting(world: SnapshotWorld): Omit<Claim, 'type'> {
  const { snapshot, servers, can } = world;
  const status = 'False';
  if (pinsOf(snapshot).length > 0) {
    return { status, reason: 'Pinned', message: `waiting for ${pinners(snapshot)}, made from this snapshot` };
  }
  if (can !== undefined && cannotBeRetained(world)) {
    const message = `a Snapshot in pool ${snapshot.status?.pool} goes with its Volume and cannot be retained; set spec.deletionPolicy: Delete`;
    return { status, reason: 'Unsupported', message };
  }
  const problem = backendOf(snapshot)?.problem;
  return problem === undefined
    ? { status, ...ending(snapshot, servers) }
    : { status, ...told(problem, snapshot.status?.server) };
}

export function snapshotClaims(world: SnapshotWorld): readonly Claim[] {
  const { snapshot } = world;
  const stages = [created(world), healthy(world)];
  if (isDeleting(snapshot)) {
    return summarized(stages, deleting(world));
  }
  const behind = stages.find(({ status }) => status !== 'True');
  const { status, reason, message } = behind ?? yes('Ready', 'Created', stages[0]?.message ?? '');
  return summarized(stages, { status, reason, message });
}

/** The controller's fields which follow from others. */
export function snapshotFields(snapshot: Snapshot): Pick<SnapshotStatus, 'capacity'> {
  const sizeBytes = isProvisioned(snapshot) ? backendOf(snapshot)?.sizeBytes : undefined;
  return {
    capacity: sizeBytes === undefined ? snapshot.status?.capacity : formatBytes(BigInt(sizeBytes)),
  } as Pick<SnapshotStatus, 'capacity'>;
}
