// The main job, step by step: a volume is made and written, a snapshot of it becomes three more, on both servers, which go their own
// ways in three VMs; one grows; and all is deleted without a trace.
import { ATTACHMENTS, HYPERVISORS, SNAPSHOTS, VOLUME_SERVERS, VOLUMES } from '../../api/resources.ts';
import type { Guest } from '../../test/harness/guest.ts';
import { HYPERVISOR, SECOND_SERVER, SERVER, type System } from '../../test/harness/system.ts';
import type { Step, Telling } from './course.ts';
import type { Kubectl, Ref } from './kubectl.ts';
import { countChapKeys, proveNothingLeft } from './proof.ts';
import { tellConditions, tellLogs } from './trouble.ts';

/** What the steps work on; there from the moment the system is up. */
export interface Stage {
  readonly system: System;
  readonly kubectl: Kubectl;
  readonly guests: readonly Guest[];
}

const volume = (name: string): Ref => ({ resource: VOLUMES, short: 'vbsvol', name });
const attachment = (name: string): Ref => ({ resource: ATTACHMENTS, short: 'vbsatt', name });

const DB = volume('db');
const SNAPSHOT: Ref = { resource: SNAPSHOTS, short: 'vbssnap', name: 'db-prepared' };
const ON_A = attachment('db-on-vm-a');
const ON_B = attachment('db-on-vm-b');
const LAST_ON_C = attachment('db-copy-3-on-vm-c');

interface Copy {
  readonly ref: Ref;
  readonly vm: string;
  readonly attachment: Ref;
}

const COPIES: readonly Copy[] = ['vm-a', 'vm-b', 'vm-c'].map((vm, index) => ({
  ref: volume(`db-copy-${index + 1}`),
  vm,
  attachment: attachment(`db-copy-${index + 1}-on-${vm}`),
}));
const LAST = volume('db-copy-3');
const GROWN = '96Mi';
const HOSTS: readonly Ref[] = [
  ...[SERVER, SECOND_SERVER].map((name) => ({ resource: VOLUME_SERVERS, short: 'volumeserver', name })),
  { resource: HYPERVISORS, short: 'hypervisor', name: HYPERVISOR },
];
/** Of hosts which have had to do with each other: both servers with the hypervisor, and one that copied from the other. */
const PAIRS = [
  [SERVER, HYPERVISOR],
  [SERVER, SECOND_SERVER],
  [SECOND_SERVER, HYPERVISOR],
] as const;
const MARKER = `vm-a wrote this at ${new Date().toISOString()}`;
const own = (vm: string): string => `${vm} has changed its copy`;

type Action = (stage: Stage, tell: Telling) => Promise<void>;

/** The steps; `stage` is asked only when a step runs. */
export function walkSteps(stage: () => Stage): readonly Step[] {
  const step = (title: string, refs: readonly Ref[], action: Action): Step => ({
    title,
    run: async (tell) => await action(stage(), tell),
    explain: async (tell) => {
      const { kubectl, system } = stage();
      await tellConditions(kubectl, [...refs, ...HOSTS], tell);
      await tellLogs(system.dir, [...system.programs.keys()], tell);
    },
  });
  const copies = COPIES.map(({ ref }) => ref);
  const attachments = COPIES.map((copy) => copy.attachment);
  return [
    step('Make a volume', [DB], make('examples/volume.yaml', DB)),
    step('Attach it to vm-a', [DB, ON_A], make('examples/attachment.yaml', ON_A)),
    step('Write to it in vm-a', [DB, ON_A], write),
    step('Detach it from vm-a', [DB, ON_A], detach(ON_A, DB, 'vm-a')),
    step('Make a snapshot of it', [SNAPSHOT, DB], make('examples/snapshot.yaml', SNAPSHOT)),
    step('Let a second volume server join', HOSTS, join),
    step('Make three volumes from the snapshot', [...copies, SNAPSHOT], makeCopies),
    step('Attach each to a VM', [...copies, ...attachments], attachCopies),
    step('Read and change each in its VM', [...copies, ...attachments], changeCopies),
    step('Grow the third', [LAST, LAST_ON_C], grow),
    step('Attach the first volume to vm-b', [DB, ON_B], make('examples/attachment-vm-b.yaml', ON_B)),
    step('Read it there as it was', [DB, ON_B], readInB),
    step('Detach everything', [ON_B, ...attachments], detachAll),
    step('Delete everything', [DB, SNAPSHOT, ...copies], deleteAll),
    step('Prove that nothing is left', [DB, SNAPSHOT, ...copies], prove),
  ];
}

/** Applies the file and waits for the object in it. */
function make(file: string, ref: Ref): Action {
  return async ({ kubectl }, tell) => {
    await kubectl.type(tell, 'apply', '-f', file);
    await kubectl.waitReady(tell, ref);
    await kubectl.type(tell, 'get', ref.short, ref.name);
  };
}

async function join({ kubectl, system }: Stage, tell: Telling): Promise<void> {
  tell.status(`starting the agent of ${SECOND_SERVER}`);
  await system.join(SECOND_SERVER);
  await kubectl.type(tell, 'get', 'volumeservers');
}

async function makeCopies({ kubectl }: Stage, tell: Telling): Promise<void> {
  await kubectl.type(tell, 'apply', '-f', 'examples/restore.yaml');
  for (const { ref } of COPIES) {
    await kubectl.waitReady(tell, ref);
  }
  await kubectl.type(tell, 'get', 'vbsvol,vbssnap');
}

async function attachCopies({ kubectl }: Stage, tell: Telling): Promise<void> {
  await kubectl.type(tell, 'apply', '-f', 'examples/attachment-copies.yaml');
  for (const copy of COPIES) {
    await kubectl.waitReady(tell, copy.attachment);
  }
  await kubectl.type(tell, 'get', 'vbsatt');
}

async function write(stage: Stage, tell: Telling): Promise<void> {
  const id = await volumeID(stage.kubectl, DB);
  const vmA = guestOf(stage, 'vm-a');
  const device = await vmA.waitForDisk(id);
  await vmA.writeMarker(id, MARKER);
  tell.note(`vm-a has the disk ${id} as ${device}, ${await sizeIn(vmA, id)}`);
  tell.note(`vm-a wrote and flushed: "${MARKER}"`);
  for (const other of stage.guests.filter(({ name }) => name !== 'vm-a')) {
    if ((await other.findDisk(id)) !== undefined) {
      throw new Error(`${other.name} sees the disk which only vm-a may see`);
    }
    tell.note(`${other.name} does not see the disk`);
  }
}

async function changeCopies(stage: Stage, tell: Telling): Promise<void> {
  for (const { ref, vm } of COPIES) {
    const [guest, id] = [guestOf(stage, vm), await volumeID(stage.kubectl, ref)];
    await expectMarker(guest, id, MARKER, tell);
    await guest.writeMarker(id, own(vm));
    tell.note(`${vm} wrote and flushed: "${own(vm)}"`);
  }
  for (const { ref, vm } of COPIES) {
    await expectMarker(guestOf(stage, vm), await volumeID(stage.kubectl, ref), own(vm), tell);
  }
}

async function readInB(stage: Stage, tell: Telling): Promise<void> {
  await expectMarker(guestOf(stage, 'vm-b'), await volumeID(stage.kubectl, DB), MARKER, tell);
}

async function expectMarker(guest: Guest, id: string, expected: string, tell: Telling): Promise<void> {
  const device = await guest.waitForDisk(id);
  const text = await guest.readMarker(id);
  tell.note(`${guest.name} reads from ${id} (${device}, ${await sizeIn(guest, id)}): "${text}"`);
  if (text !== expected) {
    throw new Error(`${guest.name} should have read "${expected}"`);
  }
}

/** The target of this walk keeps the size of a disk in use, so the volume grows when it is detached, and says so. */
async function grow(stage: Stage, tell: Telling): Promise<void> {
  const { kubectl } = stage;
  const patch = JSON.stringify({ spec: { size: GROWN } });
  await kubectl.type(tell, 'patch', LAST.short, LAST.name, '--type=merge', `--patch=${patch}`);
  await kubectl.waitFor(tell, LAST, 'condition=Resized=False');
  const resized = await kubectl.condition(LAST, 'Resized');
  tell.note(`${LAST.name} says: ${resized}`);
  if (resized?.includes('WaitingForDetach') !== true) {
    throw new Error(`${LAST.name} should wait until it is detached, and say which hop keeps its size`);
  }
  await detach(LAST_ON_C, LAST, 'vm-c')(stage, tell);
  await kubectl.waitFor(tell, LAST, `jsonpath={.status.capacity}=${GROWN}`);
  await make('examples/attachment-copies.yaml', LAST_ON_C)(stage, tell);
  await expectMarker(guestOf(stage, 'vm-c'), await volumeID(kubectl, LAST), own('vm-c'), tell);
}

function detach(ref: Ref, of: Ref, vm: string): Action {
  return async (stage, tell) => {
    const id = await volumeID(stage.kubectl, of);
    await stage.kubectl.remove(tell, ref);
    await guestOf(stage, vm).waitForNoDisk(id);
    tell.note(`${vm} has no such disk any more`);
  };
}

async function detachAll(stage: Stage, tell: Telling): Promise<void> {
  await detach(ON_B, DB, 'vm-b')(stage, tell);
  for (const { ref, vm, attachment: held } of COPIES) {
    await detach(held, ref, vm)(stage, tell);
  }
}

async function deleteAll({ kubectl }: Stage, tell: Telling): Promise<void> {
  for (const ref of [DB, SNAPSHOT, ...COPIES.map((copy) => copy.ref)]) {
    await kubectl.remove(tell, ref);
  }
}

async function prove({ system, kubectl: { api }, guests }: Stage, tell: Telling): Promise<void> {
  await proveNothingLeft({ system, api, guests: guests.map(({ name }) => name) }, tell);
  tell.note(await countChapKeys(api, PAIRS));
}

function guestOf({ guests }: Stage, name: string): Guest {
  const found = guests.find((guest) => guest.name === name);
  if (found === undefined) {
    throw new Error(`there is no virtual machine ${name}`);
  }
  return found;
}

async function volumeID(kubectl: Kubectl, ref: Ref): Promise<string> {
  const id = (await kubectl.get(ref))?.status?.volumeID;
  if (id === undefined) {
    throw new Error(`Volume ${ref.name} has no status.volumeID`);
  }
  return id;
}

const sizeIn = async (guest: Guest, id: string): Promise<string> =>
  `${(await guest.sizeBytes(id)) / (1024n * 1024n)} MiB`;
