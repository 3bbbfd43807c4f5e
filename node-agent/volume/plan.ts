// The volume server's rules for the data of one Volume or Snapshot. Pure.
//
//   nothing ──create──► provisional ──complete──► complete ──retire──► dying ──free──► nothing
//           ──snapshot─►    │ copy      (the final name means complete)   (order: Remove only)
//                           │                              └──retain──► retained (order: Retain only)
//   retained ──retire retained──► dying   (its time in the trash is over: node-agent/trash/)
//   retained, of another ID ┴──adopt──► provisional, and whole
//   complete ──grow──► growing ──zero──► ──grown──► complete   (only where new space holds what others left; else it just grows)
//   no room before anything was made ──► refused, for ever, for this placement
import { roundUp } from '../../api/quantity.ts';
import type { Reason } from '../../api/reasons.ts';
import {
  type Backend,
  backendOf,
  grantsOf,
  hasFinalizer,
  idOf,
  isEnding,
  isSnapshot,
  pinsOf,
  type Source,
  type Stored,
  trashOf,
  wantedBytes,
} from '../../api/volume.ts';
import { type Backing, isWhole } from '../roles/pool.ts';
import { type Filling, fillingOf, isFilled, percentOf } from './filling.ts';
import { type CopyMemory, type ServerMemory, standing } from './memory.ts';

export interface BackingWorld {
  /** The cached copy; it names this server. */
  readonly stored: Stored;
  /** Of this object, and not of one that had the same ID before. */
  readonly memory: ServerMemory | undefined;
  /** Its backing; undefined means the pool was seen and has none. */
  readonly backing: Backing | undefined;
  readonly freeBytes: bigint;
  readonly extentBytes: bigint;
  /** The pool makes copies in a moment. */
  readonly copyOnWrite: boolean;
  /** What status.source names, where that is retained data and the pool has it. */
  readonly retained?: Backing | undefined;
  /** The same of a Snapshot whose object is lost: complete, and not retained yet. */
  readonly orphan?: Backing | undefined;
  /** Initiators which are logged in at the target of the volume, and of which nothing is remembered. */
  readonly sessions: readonly string[];
  /** Our disk says that its data is in the trash, if it is put aside. */
  readonly inTrash?: boolean;
  /** A target for the volume exists. */
  readonly exported: boolean;
  /** Every hop from here to the VM takes a new size while it is in use. */
  readonly growsOnline: boolean;
  /** The pool lets no volume grow of which there are snapshots. */
  readonly snapshotsHoldSize: boolean;
  /** Copies which the pool makes in a moment stay whole when their source goes. */
  readonly snapshotsOutlive: boolean;
  /** New space in the pool holds what others left there. */
  readonly zeroes: boolean;
  /** What there is to say of a target that is open to other servers. */
  readonly shared?: Backend['export'];
  readonly bootID: string;
  /** Time for absentAt, RFC 3339. */
  readonly now: string;
}

export type BackingStep =
  | { readonly kind: 'create'; readonly sizeBytes: bigint }
  /** Written before the copy is begun: it tells what a provisional backing is. */
  | { readonly kind: 'remember-copy'; readonly copy: CopyMemory }
  | { readonly kind: 'snapshot'; readonly sourceID: string }
  /** Only after a live list in which this object is the one with that volumeID: from then on the data is its own. */
  | { readonly kind: 'take-over' }
  /** Only after a live list in which no object has that ID: it is put aside, so that it can be adopted. */
  | { readonly kind: 'retain-orphan'; readonly sourceID: string }
  /** Only after a live GET that wants it: from then on the data is this volume's. */
  | { readonly kind: 'adopt'; readonly sourceID: string }
  /** `adoptedID`: the name under which the data was retained; what still stands beside that goes first. */
  | { readonly kind: 'complete'; readonly sizeBytes: bigint; readonly adoptedID?: string }
  | { readonly kind: 'remember-provisioned' }
  /** For ever, for this placement: written before it is told. */
  | { readonly kind: 'remember-refusal'; readonly epoch: number }
  | { readonly kind: 'grow'; readonly sizeBytes: bigint }
  /** All the space by which it grew is zero. */
  | { readonly kind: 'grown' }
  /** Its data is lost: written before it is told. */
  | { readonly kind: 'remember-fault'; readonly fault: string }
  /** A provisional backing of which nobody knows what it holds. */
  | { readonly kind: 'discard' }
  /** Irreversible: only after a live GET with the same UID, ID and order. */
  | { readonly kind: 'retire'; readonly adoptedID?: string }
  /** Final: only after such a GET, too, which also says whether it goes into the trash. */
  | { readonly kind: 'retain'; readonly owner?: NonNullable<Backing['owner']> }
  /** What was in the trash is retained without end. */
  | { readonly kind: 'keep' };

export interface Problem {
  readonly reason: Reason;
  readonly message: string;
}

export type BackingPlan =
  | { readonly kind: 'take'; readonly step: BackingStep }
  /** Nothing to do; the fact is what there is to say. Undefined: not ours to speak about. */
  | { readonly kind: 'report'; readonly fact: Backend | undefined }
  /**
   * Bytes are to be copied or zeroed in the background, meanwhile the fact is what there is to say. Without a source to copy from they
   * are zeroes.
   */
  | { readonly kind: 'copy'; readonly source: Source | undefined; readonly fact: Backend | undefined };

const take = (step: BackingStep): BackingPlan => ({ kind: 'take', step });

export function planBacking(world: BackingWorld): BackingPlan {
  const { stored, backing } = world;
  if (!hasFinalizer(stored) || stored.status?.placement === undefined || idOf(stored) === undefined) {
    return { kind: 'report', fact: undefined };
  }
  if (backing?.foreign === true) {
    const message = `${backing.path} belongs to another cluster, and nothing was touched; move it away, or delete the ${stored.kind}`;
    return report(world, { problem: { reason: 'NotOurs', message } });
  }
  if (isToTakeOver(world)) {
    return planTakeover(world);
  }
  return isEnding(stored.status.order) ? planEnding(world) : planPresence(world);
}

/** Orphaned data under its own ID, which is not this object's yet. */
const isToTakeOver = ({ stored, memory }: BackingWorld): boolean =>
  stored.status?.source?.kind === 'Orphaned' && memory === undefined;

/** Whoever was let in before the object was lost goes on; but where that is forgotten, nothing tells what it is. */
function planTakeover(world: BackingWorld): BackingPlan {
  const { stored, backing, sessions } = world;
  const id = idOf(stored);
  if (isEnding(stored.status?.order)) {
    return absent(world);
  }
  if (backing === undefined || !isWhole(backing)) {
    const message = `no data of ${id} is orphaned in pool ${stored.status?.pool} any more; another Volume has taken it over, or it was taken away. Delete this Volume`;
    return report(world, { problem: { reason: 'RetainedGone', message } });
  }
  const [user] = sessions;
  if (user !== undefined) {
    const message = `${user} has ${id} open, and this host has forgotten why; stop the instance that uses it, or take the disk out of it, and the Volume is Ready`;
    return report(world, { sizeBytes: backing.sizeBytes, problem: { reason: 'StillOpen', message } });
  }
  return take({ kind: 'take-over' });
}

const grants = (stored: Stored) => (isSnapshot(stored) ? [] : grantsOf(stored));

function planEnding(world: BackingWorld): BackingPlan {
  const { stored, exported } = world;
  if (grants(stored).length > 0 || pinsOf(stored).length > 0 || exported) {
    return report(world, {});
  }
  return stored.status?.order === 'Retain' ? planRetention(world) : planRemoval(world);
}

const absent = (world: BackingWorld): BackingPlan =>
  report(world, { absentAt: backendOf(world.stored)?.absentAt ?? world.now });

/** What is retained is no object's any more: no order of an object removes it. */
function planRemoval(world: BackingWorld): BackingPlan {
  const state = world.backing?.state;
  return state === 'complete' || state === 'growing' || state === 'provisional'
    ? take({ kind: 'retire', ...adoptedFrom(world) })
    : absent(world);
}

/** Nothing is freed here, whatever is found: what is not whole data stays as a leftover, for a person to look at. */
function planRetention(world: BackingWorld): BackingPlan {
  const { stored, backing, now } = world;
  if (backing?.state === 'retained') {
    if (world.inTrash === true && trashOf(stored) === undefined) {
      return take({ kind: 'keep' });
    }
    return report(world, { retainedAt: backendOf(stored)?.retainedAt ?? now });
  }
  if (backing?.state === 'complete') {
    return take({ kind: 'retain', ...(backing.owner === undefined ? {} : { owner: backing.owner }) });
  }
  if (backing?.state === 'growing') {
    return planGrowing(world, backing);
  }
  const { source } = stored.status ?? {};
  return backing?.state === 'provisional' && source?.kind === 'Retained'
    ? completed(world, source)
    : absent(world);
}

function planPresence(world: BackingWorld): BackingPlan {
  const { stored, memory, backing, extentBytes } = world;
  const wanted = wantedBytes(stored);
  if (wanted === undefined) {
    return report(world, {});
  }
  const sizeBytes = roundUp(wanted, extentBytes);
  if (backing !== undefined && isWhole(backing)) {
    if (memory?.everProvisioned !== true) {
      return take({ kind: 'remember-provisioned' });
    }
    return planWhole(world, backing, sizeBytes);
  }
  if (backing?.state === 'retained') {
    const where = world.inTrash === true ? 'in the trash of' : 'retained in';
    const message = `the data of ${idOf(stored)} is ${where} pool ${stored.status?.pool}, and no object's any more; adopt it in a new Volume (spec.source.existing)`;
    return report(world, { problem: { reason: 'DataMissing', message } });
  }
  if (memory?.everProvisioned === true || backendOf(stored)?.everProvisioned === true) {
    const message = `the data of ${idOf(stored)} is not in pool ${stored.status?.pool}; restore it there, or delete the ${stored.kind}. It is never made anew.`;
    return report(world, { problem: { reason: 'DataMissing', message } });
  }
  if (memory?.refusedEpoch === stored.status?.placement?.epoch) {
    return report(world, { refused: true, problem: noSpace(stored, sizeBytes) });
  }
  const { source } = stored.status ?? {};
  if (source?.kind === 'Retained') {
    return planAdoption(world, source);
  }
  return source === undefined ? planBlank(world, sizeBytes) : planCopy(world, source, sizeBytes);
}

function planWhole(world: BackingWorld, backing: Backing, sizeBytes: bigint): BackingPlan {
  const fault = world.memory?.fault;
  if (fault === undefined && backing.fault !== undefined) {
    return take({ kind: 'remember-fault', fault: backing.fault });
  }
  if (fault !== undefined) {
    const message = `${backing.id}: ${fault}; delete the ${world.stored.kind}, it is never good again`;
    const problem: Problem = { reason: 'DataLost', message };
    return report(world, { sizeBytes: backing.sizeBytes, problem });
  }
  return backing.state === 'growing' ? planGrowing(world, backing) : planGrowth(world, backing, sizeBytes);
}

/** For a volume with this source nothing else ever makes a provisional backing: it is the data, also when our disk has forgotten. */
function planAdoption(world: BackingWorld, source: Source): BackingPlan {
  const { stored, memory, backing, retained } = world;
  const { copy } = memory ?? {};
  if (copy?.how !== 'Adopt' || copy.sourceID !== source.id) {
    return take({ kind: 'remember-copy', copy: { sourceID: source.id, how: 'Adopt', copiedBytes: '0' } });
  }
  if (backing?.state === 'provisional') {
    return completed(world, source);
  }
  if (retained !== undefined) {
    return take({ kind: 'adopt', sourceID: source.id });
  }
  if (world.orphan !== undefined) {
    return take({ kind: 'retain-orphan', sourceID: source.id });
  }
  const message = `${source.id} (${source.name}) is not retained in pool ${stored.status?.pool} any more; another Volume has adopted it, or it was taken away. Delete this Volume`;
  return report(world, { problem: { reason: 'RetainedGone', message } });
}

/** Whole as it is; it grows when it is complete. */
const completed = (world: BackingWorld, { sizeBytes }: Source): BackingPlan =>
  take({ kind: 'complete', sizeBytes: BigInt(sizeBytes), ...adoptedFrom(world) });

function adoptedFrom({ stored, backing }: BackingWorld): { readonly adoptedID?: string } {
  const { source } = stored.status ?? {};
  return backing?.state === 'provisional' && source?.kind === 'Retained' ? { adoptedID: source.id } : {};
}

/** Data that cannot grow is in order as it is: why it does not is told apart from what is wrong with the data. */
function planGrowth(world: BackingWorld, backing: Backing, sizeBytes: bigint): BackingPlan {
  const moreBytes = sizeBytes - backing.sizeBytes;
  if (moreBytes <= 0n || !mayGrow(world)) {
    return report(world, { sizeBytes: backing.sizeBytes });
  }
  if (world.zeroes && pinsOf(world.stored).length > 0) {
    const message = 'its data is being copied, and it grows after that';
    return report(world, { sizeBytes: backing.sizeBytes, growth: { reason: 'Resizing', message } });
  }
  return world.freeBytes >= moreBytes
    ? take({ kind: 'grow', sizeBytes })
    : report(world, { sizeBytes: backing.sizeBytes, growth: noSpace(world.stored, moreBytes) });
}

/** What lies behind its data is nobody's before it is zero, and its size is that of its data until then. */
function planGrowing(world: BackingWorld, backing: Backing): BackingPlan {
  const { memory, zeroes } = world;
  const filling = fillingOf({ memory, backing, source: undefined, zeroes });
  if (filling === undefined || isFilled(filling)) {
    return take({ kind: 'grown' });
  }
  const message = `${percentOf(filling)} % of the new space is zeroed`;
  const fact = factOf(world, { sizeBytes: filling.fromBytes, growth: { reason: 'Resizing', message } });
  return { kind: 'copy', source: undefined, fact };
}

function mayGrow({ stored, exported, growsOnline, snapshotsHoldSize }: BackingWorld): boolean {
  const isFree = !exported && grants(stored).length === 0;
  const isHeld = snapshotsHoldSize && pinsOf(stored).some(({ kind }) => kind === 'Snapshot');
  return (isFree || growsOnline) && !isHeld;
}

const noSpace = (stored: Stored, sizeBytes: bigint): Problem => ({
  reason: 'NoSpace',
  message: `pool ${stored.status?.pool} has not the ${sizeBytes} bytes free which are needed; free space or lower spec.size`,
});

/** Nothing is made yet: without room, this server is not the one. Once begun it waits for room instead. */
function withRoom(world: BackingWorld, sizeBytes: bigint, step: BackingStep): BackingPlan {
  const { stored, backing, memory, freeBytes } = world;
  const neededBytes = sizeBytes - (backing?.sizeBytes ?? 0n);
  if (freeBytes >= neededBytes) {
    return take(step);
  }
  // A Snapshot has its place beside its Volume and nowhere else.
  const waits = backing !== undefined || memory?.copy !== undefined || isSnapshot(stored);
  return waits
    ? report(world, { problem: noSpace(stored, sizeBytes) })
    : take({ kind: 'remember-refusal', epoch: stored.status?.placement?.epoch ?? 0 });
}

const zeroing = { sourceID: '', how: 'Zero', copiedBytes: '0' } as const;

function planBlank(world: BackingWorld, sizeBytes: bigint): BackingPlan {
  const { backing, memory, zeroes } = world;
  const { copy } = memory ?? {};
  if (backing === undefined && copy?.how === 'Zero' && copy.copiedBytes !== '0') {
    // What was zeroed in a backing that is gone says nothing of the next one.
    return take({ kind: 'remember-copy', copy: zeroing });
  }
  if (backing?.state !== 'provisional' || backing.half || backing.sizeBytes < sizeBytes) {
    return withRoom(world, sizeBytes, { kind: 'create', sizeBytes });
  }
  if (zeroes && copy?.how !== 'Zero') {
    return take({ kind: 'remember-copy', copy: zeroing });
  }
  const filling = fillingOf({ memory, backing, source: undefined, zeroes });
  return zeroes && filling !== undefined
    ? planFilling(world, filling, { source: undefined, sizeBytes })
    : take({ kind: 'complete', sizeBytes });
}

function planFilling(
  world: BackingWorld,
  filling: Filling,
  { source, sizeBytes }: { readonly source: Source | undefined; readonly sizeBytes: bigint },
): BackingPlan {
  return isFilled(filling)
    ? take({ kind: 'complete', sizeBytes })
    : { kind: 'copy', source, fact: copyingFact(world, filling) };
}

function planCopy(world: BackingWorld, source: Source, sizeBytes: bigint): BackingPlan {
  const { stored, memory, backing, copyOnWrite, snapshotsOutlive } = world;
  const copy = memory?.copy;
  if (copy?.sourceID === source.id) {
    return copy.how === 'CopyOnWrite'
      ? planCopyOnWrite(world, source)
      : planByteCopy(world, { source, copy, sizeBytes });
  }
  if (backing?.state === 'provisional') {
    return take({ kind: 'discard' });
  }
  const isBeside = source.server === stored.status?.server && source.pool === stored.status?.pool;
  // A Snapshot holds its Volume for as long as it shares with it; a Volume is one by itself.
  const mayShare = isSnapshot(stored) || snapshotsOutlive;
  const how = copyOnWrite && isBeside && mayShare ? 'CopyOnWrite' : 'Copy';
  const step = { kind: 'remember-copy', copy: { sourceID: source.id, how, copiedBytes: '0' } } as const;
  // What is shared takes no room: the pool itself knows how much it wants.
  return how === 'CopyOnWrite' ? take(step) : withRoom(world, sizeBytes, step);
}

/** Whole as soon as it is there, in its source's size; it grows when it is complete. */
function planCopyOnWrite({ backing }: BackingWorld, source: Source): BackingPlan {
  if (backing?.state !== 'provisional' || backing.half) {
    return take({ kind: 'snapshot', sourceID: source.id });
  }
  return backing.fault === undefined
    ? take({ kind: 'complete', sizeBytes: BigInt(source.sizeBytes) })
    : take({ kind: 'discard' });
}

interface ByteCopy {
  readonly source: Source;
  readonly copy: CopyMemory;
  readonly sizeBytes: bigint;
}

function planByteCopy(world: BackingWorld, { source, copy, sizeBytes }: ByteCopy): BackingPlan {
  const { backing, memory, zeroes } = world;
  if (backing === undefined && copy.copiedBytes !== '0') {
    // What was copied into a backing that is gone is gone with it.
    return take({ kind: 'remember-copy', copy: { ...copy, copiedBytes: '0' } });
  }
  if (backing?.state !== 'provisional' || backing.half || backing.sizeBytes < sizeBytes) {
    return withRoom(world, sizeBytes, { kind: 'create', sizeBytes });
  }
  const filling = fillingOf({ memory, backing, source, zeroes });
  return filling === undefined
    ? take({ kind: 'discard' })
    : planFilling(world, filling, { source, sizeBytes });
}

/** Silence, until there is something to say: most copies are made before anybody reads of them. */
function copyingFact(world: BackingWorld, filling: Filling): Backend | undefined {
  const progress = percentOf(filling) === 0 ? undefined : percentOf(filling);
  return progress === undefined && backendOf(world.stored) === undefined
    ? undefined
    : factOf(world, { progress });
}

interface Seen {
  readonly sizeBytes?: bigint;
  readonly absentAt?: string;
  readonly retainedAt?: string;
  readonly refused?: true;
  readonly progress?: number | undefined;
  readonly shared?: Backend['export'];
  readonly problem?: Problem;
  readonly growth?: Problem;
}

const report = (world: BackingWorld, seen: Seen): BackingPlan => ({
  kind: 'report',
  fact: factOf(world, { ...seen, shared: world.shared }),
});

/** The controller of another life made them, and this one has not made any yet. */
function formerGrants(stored: Stored, memory: ServerMemory | undefined): Pick<Backend, 'former'> {
  const isTaken = isSnapshot(stored) || stored.status?.grants !== undefined;
  const isOrphan = stored.status?.source?.kind === 'Orphaned';
  const grants = isTaken || !isOrphan || memory === undefined ? [] : standing(memory);
  return grants.length === 0 ? {} : { former: grants.map(({ state: _, former: __, ...grant }) => grant) };
}

/** Told of its own accord for data that was taken over: it had grants in an earlier life, and those of this one go on above them. */
const appliedRevision = (stored: Stored, memory: ServerMemory | undefined): number | undefined =>
  backendOf(stored)?.appliedRevision ??
  (stored.status?.source?.kind === 'Orphaned' ? memory?.revision : undefined);

/** The server's block, from what was seen in this visit and what stays true. */
export function factOf(
  { stored, memory, bootID }: Pick<BackingWorld, 'stored' | 'memory' | 'bootID'>,
  { sizeBytes, absentAt, retainedAt, refused, progress, shared, problem, growth }: Seen,
): Backend | undefined {
  const placementEpoch = stored.status?.placement?.epoch;
  if (placementEpoch === undefined) {
    return undefined;
  }
  const before = backendOf(stored);
  const provisioned = memory?.everProvisioned === true || before?.everProvisioned === true;
  const size = sizeBytes?.toString() ?? before?.sizeBytes;
  const applied = appliedRevision(stored, memory);
  const gone = absentAt ?? before?.absentAt;
  const kept = retainedAt ?? before?.retainedAt;
  return {
    placementEpoch,
    bootID,
    ...(provisioned ? { everProvisioned: true } : {}),
    ...(size === undefined ? {} : { sizeBytes: size }),
    ...(applied === undefined ? {} : { appliedRevision: applied }),
    ...formerGrants(stored, memory),
    ...(refused === true || before?.refused === true ? { refused: true } : {}),
    ...(progress === undefined ? {} : { progress }),
    ...(shared === undefined ? {} : { export: shared }),
    ...(gone === undefined ? {} : { absentAt: gone }),
    ...(kept === undefined ? {} : { retainedAt: kept }),
    ...hindrances(problem, growth),
  };
}

const hindrances = (problem: Problem | undefined, growth: Problem | undefined): Partial<Backend> => ({
  ...(problem === undefined ? {} : { problem }),
  ...(growth === undefined ? {} : { growth }),
});
