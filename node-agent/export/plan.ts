// The volume server's rules for the target of one volume: exactly the granted initiators are let in, one step at a time. Pure.
//
//   wanted grant:    remember revision ─► open ─► allow ─► report Exported@e
//   unwanted grant:  deny ─► cut ─► close ─► remember withdrawn e ─► report Withdrawn@e
//   unwanted means: the hypervisor wrote Released@e, or the item is Fencing. Absence of anything means nothing.
//
// Where no grant is wanted, the servers which a pin names may read: they write nothing, so they are let in beside each other, and
// shut out as soon as the pin is gone.

import { type Attachment, type ExportFact, isReleased } from '../../api/attachment.ts';
import { sameJson } from '../../api/equal.ts';
import type { Reason } from '../../api/reasons.ts';
import {
  backendOf,
  type Grant,
  grantsOf,
  hasFinalizer,
  isUnclaimed,
  type Reader,
  type Volume,
} from '../../api/volume.ts';
import type { Backing } from '../roles/pool.ts';
import type { Export } from '../roles/target.ts';
import { emptyServerMemory, isWithdrawnEpoch, type ServerMemory } from '../volume/memory.ts';

export interface ExportWorld {
  readonly volumeID: string;
  /** Undefined when it left the cache, which orders nothing. */
  readonly volume: Volume | undefined;
  /** The Attachments bound to this volume on this server. */
  readonly attachments: readonly Attachment[];
  readonly memory: ServerMemory | undefined;
  /** Servers which may read the data, to copy it. */
  readonly readers: readonly Reader[];
  /** The complete backing; undefined when there is none. */
  readonly backing: Backing | undefined;
  /** The target as it is; undefined means the daemon was asked and has none. */
  readonly target: Export | undefined;
  /** The target decides it for each initiator; else for all of a LUN. */
  readonly readOnlyPerInitiator: boolean;
  readonly portals: readonly string[];
  readonly bootID: string;
}

export type ExportStep =
  | { readonly kind: 'remember'; readonly memory: ServerMemory }
  | { readonly kind: 'open'; readonly readOnly: boolean }
  | { readonly kind: 'allow'; readonly grant: Grant }
  | { readonly kind: 'allow-reader'; readonly reader: Reader }
  | { readonly kind: 'deny'; readonly initiator: string; readonly grant: Grant | undefined }
  | { readonly kind: 'cut'; readonly initiator: string }
  | { readonly kind: 'close' }
  | { readonly kind: 'report'; readonly attachment: Attachment; readonly fact: ExportFact }
  | { readonly kind: 'report-revision'; readonly revision: number };

export type ExportPlan =
  | { readonly kind: 'take'; readonly step: ExportStep; readonly why: string }
  | { readonly kind: 'wait'; readonly reason: Reason; readonly message: string }
  | { readonly kind: 'settled' };

const take = (step: ExportStep, why: string): ExportPlan => ({ kind: 'take', step, why });
const settled: ExportPlan = { kind: 'settled' };

export function planExport(world: ExportWorld): ExportPlan {
  const memory = recalled(world);
  if (memory === undefined) {
    return settled;
  }
  if (memory !== world.memory) {
    return take({ kind: 'remember', memory }, `revision ${memory.revision} is new`);
  }
  const wanted = memory.items.filter((item) => isWanted(item, memory, world.attachments));
  const readers = wanted.length === 0 ? world.readers : [];
  return (
    planBehind(world, memory) ??
    planShut(world, memory, [...wanted, ...readers]) ??
    planWithdrawn(world, memory, wanted) ??
    planWanted(world, wanted) ??
    planReaders(world, readers) ??
    planFenced(world, memory) ??
    settled
  );
}

/** The memory to act on: the API's grants when their revision is not lower than the highest applied, else our own. */
function recalled({ volume, volumeID, memory }: ExportWorld): ServerMemory | undefined {
  const grants = volume !== undefined && hasFinalizer(volume) ? volume.status?.grants : undefined;
  if (volume === undefined || grants === undefined) {
    return memory;
  }
  const items = grants.items ?? [];
  if (memory !== undefined && grants.revision <= memory.revision) {
    // Two revisions of one number are of two histories: the store was set back. Neither is taken up; the controller has to go beyond.
    const isOther = grants.revision === memory.revision && !sameJson(items, memory.items);
    return isOther ? { ...memory, revision: memory.revision + 1 } : memory;
  }
  const base = memory ?? emptyServerMemory(volumeID, volume.metadata.uid);
  const oldest = Math.min(grants.revision + 1, ...items.map(({ epoch }) => epoch));
  const withdrawnBelow = Math.max(base.withdrawnBelow, oldest);
  const withdrawn = base.withdrawn.filter((epoch) => epoch >= withdrawnBelow);
  const keys = base.keys?.filter(({ epoch }) => items.some((item) => item.epoch === epoch));
  return {
    ...base,
    revision: grants.revision,
    items,
    withdrawn,
    withdrawnBelow,
    ...(keys === undefined ? {} : { keys }),
  };
}

export const isWanted = (item: Grant, memory: ServerMemory, attachments: readonly Attachment[]): boolean =>
  item.state === 'Granted' && !isWithdrawnEpoch(memory, item.epoch) && !isGivenUp(item, attachments);

/** The hypervisor gave the grant up for every Attachment it serves. */
function isGivenUp(item: Grant, attachments: readonly Attachment[]): boolean {
  const isReleasedBy = (uid: string): boolean => {
    const attachment = attachments.find(({ metadata }) => metadata.uid === uid);
    return attachment !== undefined && isReleased(attachment, item.epoch);
  };
  return !isUnclaimed(item) && item.attachments.every(isReleasedBy);
}

/** Nobody but the wanted is allowed or connected: access off first, then the sessions, then the target itself. */
function planShut(
  { target }: ExportWorld,
  memory: ServerMemory,
  wanted: readonly Pick<Grant, 'initiator'>[],
): ExportPlan | undefined {
  if (target === undefined) {
    return undefined;
  }
  const isStranger = (initiator: string) => !wanted.some((item) => item.initiator === initiator);
  const allowed = target.allowed.find(isStranger);
  if (allowed !== undefined) {
    const grant = memory.items.find(({ initiator }) => initiator === allowed);
    return take({ kind: 'deny', initiator: allowed, grant }, `${allowed} has no grant any more`);
  }
  const connected = target.sessions.find(isStranger);
  if (connected !== undefined) {
    return take({ kind: 'cut', initiator: connected }, `${connected} has no grant and a session`);
  }
  if (target.allowed.length > 0 || target.sessions.length > 0) {
    return undefined;
  }
  if (wanted.length === 0) {
    return take({ kind: 'close' }, 'nobody is to be let in');
  }
  // A target may take any of its accounts under any name that is allowed: nobody is let in beside one that nobody has.
  return target.chapUsers.length > 0
    ? take({ kind: 'close' }, 'an account of others is left on the target')
    : undefined;
}

/** Reached only when no unwanted initiator is allowed or connected: what is unwanted is withdrawn, for ever. */
function planWithdrawn(
  world: ExportWorld,
  memory: ServerMemory,
  wanted: readonly Grant[],
): ExportPlan | undefined {
  const fresh = memory.items.filter(
    (item) => !wanted.includes(item) && !isWithdrawnEpoch(memory, item.epoch),
  );
  if (fresh.length > 0) {
    const withdrawn = [...memory.withdrawn, ...fresh.map(({ epoch }) => epoch)];
    return take(
      { kind: 'remember', memory: { ...memory, withdrawn } },
      'nobody unwanted is allowed or connected',
    );
  }
  for (const attachment of world.attachments) {
    const { epoch } = attachment.status ?? {};
    const told = attachment.status?.export;
    if (epoch !== undefined && isWithdrawnEpoch(memory, epoch)) {
      if (told?.epoch !== epoch || told.state !== 'Withdrawn') {
        const fact: ExportFact = { epoch, bootID: world.bootID, state: 'Withdrawn' };
        return take({ kind: 'report', attachment, fact }, `grant ${epoch} is withdrawn`);
      }
    }
  }
  return undefined;
}

function planWanted(world: ExportWorld, wanted: readonly Grant[]): ExportPlan | undefined {
  const { target, backing } = world;
  for (const grant of wanted) {
    if (backing === undefined) {
      return {
        kind: 'wait',
        reason: 'DataMissing',
        message: 'the data of the volume is not on this server; see the Volume’s Ready condition',
      };
    }
    const readOnly = grant.mode === 'ReadOnly';
    if (target === undefined || mustOpen(world, readOnly)) {
      return take({ kind: 'open', readOnly }, 'a grant needs the target');
    }
    if (!target.allowed.includes(grant.initiator)) {
      // On an Exclusive volume nobody is added beside another who is allowed or connected.
      const others = [...target.allowed, ...target.sessions].filter((one) => one !== grant.initiator);
      return others.length > 0
        ? {
            kind: 'wait',
            reason: 'WaitingForOther',
            message: `${others[0]} still has access; this hypervisor is let in when that has gone`,
          }
        : take({ kind: 'allow', grant }, `grant ${grant.epoch}`);
    }
    const untold = reportOf(world, grant, target, backing);
    if (untold !== undefined) {
      return untold;
    }
  }
  return undefined;
}

/** Not there, not whole, or made for others: what is open to nobody can still be changed. */
function mustOpen({ target, readOnlyPerInitiator }: ExportWorld, readOnly: boolean): boolean {
  if (target?.ready !== true) {
    return true;
  }
  const isEmpty = target.allowed.length === 0 && target.sessions.length === 0;
  return isEmpty && !readOnlyPerInitiator && target.readOnly !== readOnly;
}

function planReaders(world: ExportWorld, readers: readonly Reader[]): ExportPlan | undefined {
  const { target, backing } = world;
  const reader = readers.find(({ initiator }) => target?.allowed.includes(initiator) !== true);
  if (readers.length === 0 || backing === undefined) {
    return undefined;
  }
  if (target === undefined || mustOpen(world, true)) {
    return take({ kind: 'open', readOnly: true }, 'another server copies the data');
  }
  return reader && take({ kind: 'allow-reader', reader }, `${reader.server} copies the data`);
}

function reportOf(
  { attachments, portals, bootID }: ExportWorld,
  grant: Grant,
  target: Export,
  backing: Backing,
): ExportPlan | undefined {
  const fact: ExportFact = {
    epoch: grant.epoch,
    bootID,
    state: 'Exported',
    iqn: target.iqn,
    lun: target.lun,
    portals: [...portals],
    // A target that cannot be looked at for it keeps the size with which it was opened, and no volume of it grows meanwhile.
    sizeBytes: (target.sizeBytes ?? backing.sizeBytes).toString(),
    ...(target.serial === undefined ? {} : { serial: target.serial }),
  };
  const attachment = attachments.find(
    ({ metadata, status }) =>
      grant.attachments.includes(metadata.uid) &&
      status?.epoch === grant.epoch &&
      !sameJson(status.export, fact),
  );
  return attachment === undefined
    ? undefined
    : take({ kind: 'report', attachment, fact }, `grant ${grant.epoch} is open`);
}

/**
 * The controller knows less than was applied here, as when its store was set back: it is told before it hears of anything else, so that
 * what it decides from here on has numbers of its own.
 */
function planBehind(world: ExportWorld, memory: ServerMemory): ExportPlan | undefined {
  const grants = world.volume?.status?.grants;
  return grants !== undefined && grants.revision < memory.revision
    ? planRevision(world, memory, 'the controller knows less than was applied')
    : undefined;
}

/** The controller drops a cut grant whose Attachment is gone once it knows that the cut was applied. */
function planFenced(world: ExportWorld, memory: ServerMemory): ExportPlan | undefined {
  return grantsOf(world.volume).some(({ state }) => state === 'Fencing')
    ? planRevision(world, memory, 'the controller waits for the cut')
    : undefined;
}

function planRevision(
  { volume }: ExportWorld,
  { revision }: ServerMemory,
  why: string,
): ExportPlan | undefined {
  const backend = volume === undefined || !hasFinalizer(volume) ? undefined : backendOf(volume);
  return backend === undefined || backend.appliedRevision === revision
    ? undefined
    : take({ kind: 'report-revision', revision }, why);
}
