// The main job on the stack VBS is made for: a thin logical volume, exported by LIO, reached by open-iscsi, plugged into a
// running Xen guest; a snapshot of it, a copy of that; and all taken back until nothing is left anywhere.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HYPERVISOR, type Lab, openLab, SERVER, VG } from '../harness/lab/lab.ts';
import { table } from '../harness/lab/times.ts';
import { loud } from '../harness/loud.ts';
import { waitFor } from '../harness/process.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const MIB = 1024 ** 2;
/** Emulation is slow, and slower beside other work. */
const WAIT = '--timeout=300s';
const WAIT_MS = 330_000;
const MARKER = 'written in the guest';

interface World {
  lab?: Lab;
  /** Of the stories below; fewer at the end: something failed. */
  told: number;
}

const story = suite<World>('LVM, LIO, open-iscsi and Xen', { told: 0 });
const STORIES = 2;

story.before(
  loud(async (world) => {
    world.lab = await openLab({ log, keep: process.env.VBS_LAB_KEEP === '1' });
  }),
);

story.after(loud(async ({ lab, told }) => await lab?.close(told < STORIES)));

const labOf = ({ lab }: World): Lab => {
  assert.ok(lab, 'the lab is up');
  return lab;
};

const object = (kind: string, name: string, spec: object) =>
  JSON.stringify({ apiVersion: 'vbs.dev/v1alpha1', kind, metadata: { name }, spec });

const volume = (name: string, spec: object = { size: '64Mi' }) => object('Volume', name, spec);
const snapshot = (name: string, of: string) => object('Snapshot', name, { volumeRef: { name: of } });
const attachment = (name: string, guest: string) =>
  object('Attachment', `${name}-on-${guest}`, { volumeRef: { name }, instance: { name: guest } });

/** Runs one step, tells how long it took and which commands the agents ran for it. */
const timed = async <T>(lab: Lab, name: string, work: () => Promise<T>): Promise<T> => {
  await Promise.all([SERVER, HYPERVISOR].map(async (host) => await lab.agent(host).steps()));
  const startedAt = performance.now();
  const answer = await work();
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  log(`${name}: ${seconds} s; commands meanwhile (number, median, longest, sum in seconds):`);
  for (const host of [SERVER, HYPERVISOR]) {
    for (const line of table(await lab.agent(host).steps())) {
      log(`  ${host.padEnd(13)} ${line}`);
    }
  }
  return answer;
};

/** Gives a command that waits; when that is in vain, shows how the object stands. */
const waitedFor = async (lab: Lab, ref: string, args: readonly string[]): Promise<void> => {
  try {
    await lab.controlPlane.kubectl(args, undefined, WAIT_MS);
  } catch (error) {
    log(await lab.controlPlane.kubectl(['get', ref, '-o', 'yaml']).catch(String));
    throw error;
  }
};

const make = async (lab: Lab, ref: string, text: string): Promise<void> =>
  await timed(lab, `apply ${ref}`, async () => {
    await lab.controlPlane.kubectl(['apply', '-f', '-'], text);
    await waitedFor(lab, ref, ['wait', '--for=condition=Ready', WAIT, ref]);
  });

const remove = async (lab: Lab, ref: string): Promise<void> =>
  await timed(lab, `delete ${ref}`, async () => {
    await waitedFor(lab, ref, ['delete', WAIT, ref]);
  });

const fieldOf = async (lab: Lab, ref: string, field: string): Promise<string> =>
  await lab.controlPlane.kubectl(['get', ref, '-o', `jsonpath={${field}}`]);

/** Attaches the volume and answers the guest's name for the disk, once the guest has it. */
const plugIn = async (lab: Lab, name: string): Promise<string> => {
  const { guest } = lab;
  await make(lab, `vbsatt/${name}-on-${guest.name}`, attachment(name, guest.name));
  return await waitFor({ what: 'the disk in the guest', timeoutMs: 120_000 }, async () => {
    return (await guest.disks())[0];
  });
};

const unplug = async (lab: Lab, name: string): Promise<void> => {
  await remove(lab, `vbsatt/${name}-on-${lab.guest.name}`);
  assert.equal(await lab.guest.disks(), [], 'the disk is out of the guest when the Attachment is gone');
};

/** The text at the start of a logical volume, on the volume server. */
const onLogicalVolume = async ({ pair }: Lab, id: string): Promise<string> => {
  const dd = `dd if=/dev/${VG}/${id} bs=4096 count=1 iflag=direct status=none`;
  return (await pair.server.succeed(`${dd} | head -c 512`)).replaceAll('\0', '').trim();
};

const nothingLeft = async (lab: Lab): Promise<void> => {
  await waitFor({ what: 'nothing to be left', timeoutMs: 180_000, intervalMs: 1_000 }, async () => {
    const left = await lab.remains();
    if (left.length > 0) {
      throw new Error(`\n${left.join('\n')}`);
    }
    return true;
  });
};

story('a volume goes into a running guest, comes out and goes in again with its data', async (world) => {
  const lab = labOf(world);
  const { guest } = lab;
  assert.equal(await guest.disks(), [], 'the guest begins without disks');
  await make(lab, 'vbsvol/db', volume('db'));
  const id = await fieldOf(lab, 'vbsvol/db', '.status.volumeID');
  const sizes = await lab.pair.server.succeed(`lvs --noheadings -o lv_name,lv_size --units m ${VG}`);
  assert.match(sizes, new RegExp(`^ *${id} +64\\.00m *$`, 'm'));

  const device = await plugIn(lab, 'db');
  assert.is(await guest.sizeBytes(device), 64 * MIB, 'the guest sees the size asked for');
  assert.is(await guest.readMarker(device), '', 'a new volume is all zero');
  await guest.writeMarker(device, MARKER);
  assert.is(await onLogicalVolume(lab, id), MARKER, 'the bytes are on the logical volume');
  await unplug(lab, 'db');
  assert.is(await guest.readMarker(await plugIn(lab, 'db')), MARKER, 'the data came along');
  await unplug(lab, 'db');
  await remove(lab, 'vbsvol/db');
  await nothingLeft(lab);
  world.told += 1;
});

story('a volume made from a snapshot has the data of that moment', async (world) => {
  const lab = labOf(world);
  const { guest } = lab;
  assert.equal(await guest.disks(), [], 'the guest begins without disks');
  await make(lab, 'vbsvol/old', volume('old'));
  const device = await plugIn(lab, 'old');
  await guest.writeMarker(device, MARKER);
  await make(lab, 'vbssnap/then', snapshot('then', 'old'));
  await guest.writeMarker(device, 'written later');
  await unplug(lab, 'old');

  await make(lab, 'vbsvol/new', volume('new', { source: { snapshotRef: { name: 'then' } } }));
  assert.is(await guest.readMarker(await plugIn(lab, 'new')), MARKER, 'the copy is of that moment');
  assert.is(
    await onLogicalVolume(lab, await fieldOf(lab, 'vbsvol/old', '.status.volumeID')),
    'written later',
    'the original went on',
  );
  await unplug(lab, 'new');
  for (const ref of ['vbsvol/new', 'vbssnap/then', 'vbsvol/old']) {
    await remove(lab, ref);
  }
  await nothingLeft(lab);
  world.told += 1;
});

story.run();
