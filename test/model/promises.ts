// The promises, as statements about one state (safety) and about a state in which nothing is left to do (convergence).
import { grantFor, grantsOf, isDeleting, isProvisioned, pinsOf } from '../../api/volume.ts';
import { HOSTS, RETAIN } from './fixtures.ts';
import { attachmentAt, type State, snapshotAt, targetOf, vmOf, volumeAt } from './state.ts';

const nameOf = (entry: string): string => entry.split('#')[0] ?? '';
const distinct = (entries: readonly string[]): number => new Set(entries.map(nameOf)).size;

/** What is wrong in this state; undefined when every promise holds. */
export function violation(state: State): string | undefined {
  const target = targetOf(state);
  if (
    target !== undefined &&
    (distinct(target.sessions) > 1 || distinct([...target.allowed, ...target.sessions]) > 1)
  ) {
    return `P1: two initiators at the target: ${JSON.stringify(target)}`;
  }
  if ((target?.sessions.length ?? 0) > 0 && state.backing !== 'complete') {
    return `P3: the backing is ${state.backing === '' ? 'gone' : state.backing} under a session`;
  }
  const robbed = ([0, 1] as const).find((host) => isRobbed(state, host));
  if (robbed !== undefined) {
    return `P3: VM ${robbed} is asked to give up a disk which nobody wants out`;
  }
  return spoiltCopy(state) ?? lostData(state);
}

function spoiltCopy({ snapshotBacking, copied }: State): string | undefined {
  if (copied === 'torn') {
    return 'P3: bytes are copied from a volume that is written to, or gone';
  }
  return snapshotBacking === 'complete' && copied !== 'all'
    ? `P3: a snapshot is called complete and holds ${copied}`
    : undefined;
}

function lostData(state: State): string | undefined {
  const volume = volumeAt(state);
  const wanted = volume !== undefined && !isDeleting(volume);
  if (state.everWritten && wanted && !(state.backing === 'complete' && state.data)) {
    return 'P3: a volume which nobody deleted has lost its bytes';
  }
  const kept = state.backing === 'complete' || state.backing === 'retained';
  if (state.everWritten && isToBeRetained(state) && !(kept && state.data)) {
    return 'P3: what was to be retained has lost its bytes';
  }
  if (state.everWritten && state.backing !== '' && state.backing !== 'dying' && !state.data) {
    return 'P3: an empty backing stands where written data was';
  }
  return undefined;
}

/** In this scenario the volume's policy is Retain, from the beginning. */
const isToBeRetained = ({ todo }: State): boolean => Object.hasOwn(todo, RETAIN);

/** The disk's grant stands, and its Attachment is neither going nor released. */
function isRobbed(state: State, host: 0 | 1): boolean {
  const { disk, detaching } = vmOf(state, host);
  const grant = grantsOf(volumeAt(state)).find(({ epoch }) => epoch === disk?.epoch);
  const attachment = disk === undefined ? undefined : attachmentAt(state, disk.attachment);
  return (
    detaching === true &&
    grant?.state === 'Granted' &&
    attachment !== undefined &&
    !isDeleting(attachment) &&
    attachment.status?.release !== true
  );
}

/** What is wrong with a state in which nobody has anything left to do. */
export function unfinished(state: State): string | undefined {
  return (
    leftOver(state) ??
    ([0, 1] as const).map((index) => unattached(state, index)).find((text) => text !== undefined) ??
    unmade(state)
  );
}

/** A Snapshot is made unless there is nothing (left) to make it of, and what is deleted goes. */
function unmade(state: State): string | undefined {
  const snapshot = snapshotAt(state);
  const volume = volumeAt(state);
  if (snapshot === undefined) {
    return state.snapshotBacking === '' ? undefined : 'P5: the snapshot is gone and its backing is not';
  }
  if (isDeleting(snapshot)) {
    return 'P4: a deleted snapshot stays';
  }
  const made = isProvisioned(snapshot);
  if (pinsOf(volume).length > 0) {
    return 'P4: a pin outlives the copy';
  }
  const isFree = volume !== undefined && !isDeleting(volume) && grantsOf(volume).length === 0;
  return isFree && !made ? 'P4: the snapshot of a free volume is never made' : undefined;
}

function leftOver(state: State): string | undefined {
  const volume = volumeAt(state);
  const holders = ([0, 1] as const).filter((index) => attachmentAt(state, index) !== undefined);
  const stays = isToBeRetained(state) && state.backing === 'retained';
  if (volume === undefined && ((state.backing !== '' && !stays) || state.target !== '')) {
    return 'P5: the volume is gone and its backing or target is not';
  }
  if (volume !== undefined && isDeleting(volume) && !holders.some((index) => granted(state, index))) {
    return 'P4: a deleted volume without grants stays';
  }
  if (volume !== undefined && !isDeleting(volume) && state.backing !== 'complete') {
    return 'P4: the volume was never provisioned';
  }
  const uids = holders.map((index) => attachmentAt(state, index)?.metadata.uid);
  if (grantsOf(volume).some(({ attachments }) => !attachments.some((uid) => uids.includes(uid)))) {
    return 'P5: a grant outlives its attachment';
  }
  return ([0, 1] as const).map((index) => hostLeftOver(state, index)).find((text) => text !== undefined);
}

function hostLeftOver(state: State, index: 0 | 1): string | undefined {
  const volume = volumeAt(state);
  const attachment = attachmentAt(state, index);
  if (state.fenced[index] && grantsOf(volume).some(({ hypervisor }) => hypervisor === HOSTS[index])) {
    return `P4: the fenced hypervisor ${index} keeps its grant`;
  }
  if (attachment !== undefined && isDeleting(attachment) && !excused(state, index)) {
    return `P4: attachment ${index} is never deleted`;
  }
  return diskLeftOver(state, index);
}

/** What was cut off stays until the VM is restarted, which only a person does. */
function diskLeftOver(state: State, index: 0 | 1): string | undefined {
  const volume = volumeAt(state);
  const { disk, closing } = vmOf(state, index);
  if (closing !== undefined && !mayBeCutOff(state)) {
    return `P4: VM ${index} stands still for ever`;
  }
  const holder = disk === undefined ? undefined : attachmentAt(state, disk.attachment);
  const left = holder === undefined && disk !== undefined && state.awake[index] && volume !== undefined;
  return left && !isCutOff(state, index) ? `P5: VM ${index} keeps a disk without an attachment` : undefined;
}

/** Somebody may have a hypervisor cut off in this scenario: a guest can then be caught between letting a disk go and closing it. */
const mayBeCutOff = ({ todo }: State): boolean => Object.keys(todo).some((what) => what.startsWith('fence'));

/** The VM holds a disk whose grant is gone. */
const isCutOff = (state: State, index: 0 | 1): boolean => {
  const { disk } = vmOf(state, index);
  return disk !== undefined && !grantsOf(volumeAt(state)).some(({ epoch }) => epoch === disk.epoch);
};

/** A silent hypervisor holds a graceful detach up: that is the promise, not a fault. */
const excused = (state: State, index: 0 | 1): boolean =>
  !state.awake[hostOf(state, index)] &&
  attachmentAt(state, index)?.spec.detachPolicy !== 'Fence' &&
  !state.fenced[hostOf(state, index)];

const hostOf = (state: State, index: 0 | 1): 0 | 1 =>
  attachmentAt(state, index)?.spec.hypervisor === HOSTS[0] ? 0 : 1;

const granted = (state: State, index: 0 | 1): boolean => {
  const uid = attachmentAt(state, index)?.metadata.uid;
  return uid !== undefined && grantFor(volumeAt(state), uid) !== undefined;
};

function unattached(state: State, index: 0 | 1): string | undefined {
  const attachment = attachmentAt(state, index);
  const volume = volumeAt(state);
  const usable = volume !== undefined && !isDeleting(volume);
  if (attachment === undefined || isDeleting(attachment)) {
    return undefined;
  }
  const other = index === 0 ? 1 : 0;
  const host = hostOf(state, index);
  if (granted(state, index)) {
    const disk = vmOf(state, host).disk;
    const live = targetOf(state)?.sessions.length === 1;
    const told = attachment.status?.connection?.state === 'Attached';
    const blocked = isCutOff(state, host) || vmOf(state, host).closing !== undefined;
    return state.awake[host] && !blocked && !(disk?.attachment === index && live && told)
      ? `P4: attachment ${index} has a grant and its VM has no working disk`
      : undefined;
  }
  const may = usable && state.awake[host] && !state.fenced[host] && !state.stale[host];
  return may && !granted(state, other) ? `P4: attachment ${index} waits for a free volume` : undefined;
}
