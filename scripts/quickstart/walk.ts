// The main job, step by step: a volume is made and written, a snapshot of it becomes two more, which go their own ways in two
// VMs, and all is deleted without a trace.
import { ATTACHMENTS, HYPERVISORS, SNAPSHOTS, VOLUME_SERVERS, VOLUMES } from '../../api/resources.ts';
import type { Guest } from '../../test/harness/guest.ts';
import { HYPERVISOR, SERVER, type System } from '../../test/harness/system.ts';
import type { Step, Telling } from './course.ts';
import type { Kubectl, Ref } from './kubectl.ts';
import { countChapKeys, proveNothingLeft } from './proof.ts';
import { tellConditions, tellLogs } from './trouble.ts';

/** What the steps work on; there from the moment the system is up. */
export interface Stage {
  readonly system: System;
  readonly kubectl: Kubectl;
  readonly vmA: Guest;
  readonly vmB: Guest;
}

const volume = (name: string): Ref => ({ resource: VOLUMES, short: 'vbsvol', name });
const attachment = (name: string): Ref => ({ resource: ATTACHMENTS, short: 'vbsatt', name });

const DB = volume('db');
const COPIES = [volume('db-copy-1'), volume('db-copy-2')] as const;
const SNAPSHOT: Ref = { resource: SNAPSHOTS, short: 'vbssnap', name: 'db-prepared' };
const ON_A = attachment('db-on-vm-a');
const ON_B = attachment('db-on-vm-b');
const COPY_ON_A = attachment('db-copy-1-on-vm-a');
const HOSTS: readonly Ref[] = [
  { resource: VOLUME_SERVERS, short: 'volumeserver', name: SERVER },
  { resource: HYPERVISORS, short: 'hypervisor', name: HYPERVISOR },
];
const MARKER = `vm-a wrote this at ${new Date().toISOString()}`;
const CHANGED = 'vm-a has changed its copy';

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
  return [
    step('Make a volume', [DB], make('examples/volume.yaml', DB)),
    step('Attach it to vm-a', [DB, ON_A], make('examples/attachment.yaml', ON_A)),
    step('Write to it in vm-a', [DB, ON_A], write),
    step('Detach it from vm-a', [DB, ON_A], detach(ON_A, DB, 'vmA')),
    step('Make a snapshot of it', [SNAPSHOT, DB], make('examples/snapshot.yaml', SNAPSHOT)),
    step('Make two volumes from the snapshot', [...COPIES, SNAPSHOT], makeCopies),
    step(
      'Attach the first copy to vm-a',
      [COPIES[0], COPY_ON_A],
      make('examples/attachment-copy.yaml', COPY_ON_A),
    ),
    step('Read and change it in vm-a', [COPIES[0], COPY_ON_A], change),
    step('Attach the volume itself to vm-b', [DB, ON_B], make('examples/attachment-vm-b.yaml', ON_B)),
    step('Read it in vm-b', [DB, ON_B], read),
    step('Detach both', [ON_A, ON_B, COPY_ON_A], detachBoth),
    step('Delete everything', [DB, ...COPIES, SNAPSHOT], deleteAll),
    step('Prove that nothing is left', [DB, ...COPIES, SNAPSHOT], prove),
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

async function makeCopies({ kubectl }: Stage, tell: Telling): Promise<void> {
  await kubectl.type(tell, 'apply', '-f', 'examples/restore.yaml');
  for (const copy of COPIES) {
    await kubectl.waitReady(tell, copy);
  }
  await kubectl.type(tell, 'get', 'vbsvol,vbssnap');
}

async function write({ kubectl, vmA, vmB }: Stage, tell: Telling): Promise<void> {
  const id = await volumeID(kubectl, DB);
  const device = await vmA.waitForDisk(id);
  await vmA.writeMarker(id, MARKER);
  tell.note(`vm-a has the disk ${id} as ${device}, ${await sizeIn(vmA, id)}`);
  tell.note(`vm-a wrote and flushed: "${MARKER}"`);
  if ((await vmB.findDisk(id)) !== undefined) {
    throw new Error('vm-b sees the disk which only vm-a may see');
  }
  tell.note('vm-b does not see the disk');
}

async function change({ kubectl, vmA }: Stage, tell: Telling): Promise<void> {
  const id = await volumeID(kubectl, COPIES[0]);
  await expectMarker(vmA, id, tell);
  await vmA.writeMarker(id, CHANGED);
  tell.note(`vm-a wrote and flushed: "${CHANGED}"`);
}

async function read({ kubectl, vmB }: Stage, tell: Telling): Promise<void> {
  await expectMarker(vmB, await volumeID(kubectl, DB), tell);
}

async function expectMarker(guest: Guest, id: string, tell: Telling): Promise<void> {
  const device = await guest.waitForDisk(id);
  const text = await guest.readMarker(id);
  tell.note(`${guest.name} has the disk ${id} as ${device}, ${await sizeIn(guest, id)}`);
  tell.note(`${guest.name} reads:             "${text}"`);
  if (text !== MARKER) {
    throw new Error(`${guest.name} should have read "${MARKER}"`);
  }
}

function detach(ref: Ref, of: Ref, vm: 'vmA' | 'vmB'): Action {
  return async ({ kubectl, ...stage }, tell) => {
    const id = await volumeID(kubectl, of);
    await kubectl.remove(tell, ref);
    await stage[vm].waitForNoDisk(id);
    tell.note(`${stage[vm].name} has no such disk any more`);
  };
}

async function detachBoth(stage: Stage, tell: Telling): Promise<void> {
  await detach(COPY_ON_A, COPIES[0], 'vmA')(stage, tell);
  await detach(ON_B, DB, 'vmB')(stage, tell);
}

async function deleteAll({ kubectl }: Stage, tell: Telling): Promise<void> {
  for (const ref of [DB, SNAPSHOT, ...COPIES]) {
    await kubectl.remove(tell, ref);
  }
}

async function prove({ system, kubectl: { api }, vmA, vmB }: Stage, tell: Telling): Promise<void> {
  await proveNothingLeft({ system, api, guests: [vmA.name, vmB.name] }, tell);
  tell.note(await countChapKeys(api));
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
