// The volume server's part in the adoption of data that is there already: retained data gets another name, orphaned data another owner.
// Whose it becomes is decided on what the API server says now.
import { isVolumeID } from '../../api/ids.ts';
import type { Resource } from '../../api/object.ts';
import { SNAPSHOTS, VOLUMES } from '../../api/resources.ts';
import { idOf, isDeleting, type Snapshot, type Stored, type Volume } from '../../api/volume.ts';
import { ReportedProblem } from '../problems.ts';
import type { Backing, PoolView } from '../roles/pool.ts';
import { takenOver } from './memory.ts';
import { type BackingStep, planBacking } from './plan.ts';
import { byClaim, losersOf, poolFor, readLive, type ServerVisit, writeFact } from './visit.ts';

export type AdoptionStep = Extract<BackingStep, { readonly kind: 'take-over' | 'retain-orphan' | 'adopt' }>;

export async function actOnAdoption(visit: ServerVisit, stored: Stored, step: AdoptionStep): Promise<void> {
  const { deps, volumeID, signal } = visit;
  const pool = poolFor(visit, stored);
  if (step.kind === 'take-over') {
    await takeOver(visit, stored);
    return;
  }
  if (step.kind === 'retain-orphan') {
    await expectOrphaned(visit, step.sourceID);
  }
  if (!(await isWantedLive(visit, stored, step.sourceID))) {
    return;
  }
  if (step.kind === 'retain-orphan') {
    await pool?.retain(step.sourceID, signal);
    return;
  }
  const { namespace = '', name } = stored.metadata;
  await pool?.adopt(volumeID, step.sourceID, { clusterID: deps.clusterID, namespace, name }, signal);
  deps.onRetired();
}

/** What status.source names, as long as it is retained in this pool. */
export function retainedSource({ status }: Stored, { backings }: PoolView): Backing | undefined {
  const { source } = status ?? {};
  return source?.kind === 'Retained'
    ? backings.find(({ id, state }) => id === source.id && state === 'retained')
    : undefined;
}

/** The data of a Snapshot whose object is lost, as far as is known here. */
export function orphanedSource(
  { deps }: ServerVisit,
  { status }: Stored,
  { backings }: PoolView,
): Backing | undefined {
  const { source } = status ?? {};
  const isOrphan =
    source?.kind === 'Retained' && deps.snapshots.byIndex('snapshotID', source.id).length === 0;
  return isOrphan
    ? backings.find(({ id, state, foreign }) => id === source.id && state === 'complete' && foreign !== true)
    : undefined;
}

/** The objects of this server which say that they are of that ID: as they are now, not as cached. */
async function claimantsLive<T extends Stored>(
  { deps, signal }: ServerVisit,
  resource: Resource,
  id: string,
): Promise<readonly T[]> {
  const query = { fieldSelector: `status.server=${deps.host}` };
  const { items } = await deps.api.list<T>(resource, query, { signal });
  return items.filter((one) => idOf(one) === id);
}

/** Throws RetainedGone for what is some object's. */
async function expectOrphaned(visit: ServerVisit, snapshotID: string): Promise<void> {
  const [owner] = await claimantsLive<Snapshot>(visit, SNAPSHOTS, snapshotID);
  if (owner !== undefined) {
    throw new ReportedProblem(
      'RetainedGone',
      `${snapshotID} is the data of Snapshot ${owner.metadata.namespace}/${owner.metadata.name}`,
    );
  }
}

/** Of several which name the same data, one has it. Throws RetainedGone. */
async function takeOver(visit: ServerVisit, cached: Stored): Promise<void> {
  const { deps, volumeID } = visit;
  const claimants = await claimantsLive<Volume>(visit, VOLUMES, volumeID);
  const memory = deps.memories.get(volumeID);
  const owner = byClaim(claimants, memory)[0];
  if (owner === undefined || isDeleting(owner) || owner.status?.order !== 'Keep') {
    return;
  }
  const { uid: volumeUID, namespace, name } = owner.metadata;
  if (volumeUID !== cached.metadata.uid) {
    throw new ReportedProblem('RetainedGone', `${volumeID} is the data of Volume ${namespace}/${name}`);
  }
  await deps.memories.put(volumeID, takenOver(memory, { volumeID, volumeUID, now: deps.now() }));
}

/** Data that was adopted by an object which is gone would be nobody's, so it is asked for live. */
async function isWantedLive(visit: ServerVisit, cached: Stored, sourceID: string): Promise<boolean> {
  const live = await readLive(visit, cached);
  return (
    live !== undefined &&
    !isDeleting(live) &&
    live.status?.order === 'Keep' &&
    live.status.source?.id === sourceID
  );
}

/** Volumes which name orphaned data that is another's: for them there is none. */
export async function tellLosers(visit: ServerVisit): Promise<void> {
  const { deps } = visit;
  for (const stored of isVolumeID(visit.volumeID) ? losersOf(visit) : []) {
    const plan = planBacking({ ...NOTHING, stored, bootID: deps.bootID, now: deps.now().toISOString() });
    if (plan.kind === 'report') {
      await writeFact(visit, stored, plan.fact);
    }
  }
}

/** What a server has of a volume of which it has nothing. */
const NOTHING = {
  memory: undefined,
  backing: undefined,
  freeBytes: 0n,
  extentBytes: 1n,
  copyOnWrite: false,
  exported: false,
  growsOnline: false,
  snapshotsHoldSize: false,
  snapshotsOutlive: false,
  zeroes: false,
  sessions: [],
} as const;
