// The main job, step by step: a volume is made, goes from one VM to another with its data, and is deleted without a trace.
import { ATTACHMENTS, HYPERVISORS, VOLUME_SERVERS, VOLUMES } from '../../api/resources.ts';
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

const VOLUME: Ref = { resource: VOLUMES, short: 'vbsvol', name: 'db' };
const ON_A: Ref = { resource: ATTACHMENTS, short: 'vbsatt', name: 'db-on-vm-a' };
const ON_B: Ref = { resource: ATTACHMENTS, short: 'vbsatt', name: 'db-on-vm-b' };
const HOSTS: readonly Ref[] = [
  { resource: VOLUME_SERVERS, short: 'volumeserver', name: SERVER },
  { resource: HYPERVISORS, short: 'hypervisor', name: HYPERVISOR },
];
const MARKER = `vm-a wrote this at ${new Date().toISOString()}`;

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
    step('Make a volume', [VOLUME], makeVolume),
    step('Attach it to vm-a', [VOLUME, ON_A], attachTo('examples/attachment.yaml', ON_A)),
    step('Write to it in vm-a', [VOLUME, ON_A], write),
    step('Detach it from vm-a', [VOLUME, ON_A], detach(ON_A, 'vmA')),
    step('Attach it to vm-b', [VOLUME, ON_B], attachTo('examples/attachment-vm-b.yaml', ON_B)),
    step('Read it in vm-b', [VOLUME, ON_B], read),
    step('Detach it from vm-b', [VOLUME, ON_B], detach(ON_B, 'vmB')),
    step('Delete the volume', [VOLUME], deleteVolume),
    step('Prove that nothing is left', [VOLUME], prove),
  ];
}

async function makeVolume({ kubectl }: Stage, tell: Telling): Promise<void> {
  await kubectl.type(tell, 'apply', '-f', 'examples/volume.yaml');
  await kubectl.waitReady(tell, VOLUME);
  await kubectl.type(tell, 'get', VOLUME.short, VOLUME.name);
}

function attachTo(file: string, attachment: Ref): Action {
  return async ({ kubectl }, tell) => {
    await kubectl.type(tell, 'apply', '-f', file);
    await kubectl.waitReady(tell, attachment);
    await kubectl.type(tell, 'get', attachment.short, attachment.name);
  };
}

async function write({ kubectl, vmA, vmB }: Stage, tell: Telling): Promise<void> {
  const id = await volumeID(kubectl);
  const device = await vmA.waitForDisk(id);
  await vmA.writeMarker(id, MARKER);
  tell.note(`vm-a has the disk ${id} as ${device}, ${await sizeIn(vmA, id)}`);
  tell.note(`vm-a wrote and flushed: "${MARKER}"`);
  if ((await vmB.findDisk(id)) !== undefined) {
    throw new Error('vm-b sees the disk which only vm-a may see');
  }
  tell.note('vm-b does not see the disk');
}

async function read({ kubectl, vmB }: Stage, tell: Telling): Promise<void> {
  const id = await volumeID(kubectl);
  const device = await vmB.waitForDisk(id);
  const text = await vmB.readMarker(id);
  tell.note(`vm-b has the disk ${id} as ${device}, ${await sizeIn(vmB, id)}`);
  tell.note(`vm-b reads:             "${text}"`);
  if (text !== MARKER) {
    throw new Error(`vm-b should have read "${MARKER}"`);
  }
}

function detach(attachment: Ref, vm: 'vmA' | 'vmB'): Action {
  return async ({ kubectl, ...stage }, tell) => {
    const id = await volumeID(kubectl);
    await kubectl.remove(tell, attachment);
    await stage[vm].waitForNoDisk(id);
    tell.note(`${stage[vm].name} has no such disk any more`);
  };
}

async function deleteVolume({ kubectl }: Stage, tell: Telling): Promise<void> {
  await kubectl.remove(tell, VOLUME);
}

async function prove({ system, kubectl: { api }, vmA, vmB }: Stage, tell: Telling): Promise<void> {
  await proveNothingLeft({ system, api, guests: [vmA.name, vmB.name] }, tell);
  tell.note(await countChapKeys(api));
}

async function volumeID(kubectl: Kubectl): Promise<string> {
  const id = (await kubectl.get(VOLUME))?.status?.volumeID;
  if (id === undefined) {
    throw new Error('the Volume has no status.volumeID');
  }
  return id;
}

const sizeIn = async (guest: Guest, id: string): Promise<string> =>
  `${(await guest.sizeBytes(id)) / (1024n * 1024n)} MiB`;
