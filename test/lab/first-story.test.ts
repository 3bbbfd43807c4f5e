// The main job on the stack VBS is made for: a thin logical volume, exported by LIO, reached by open-iscsi, plugged into a
// running Xen guest; a snapshot of it, a copy of that, which grows in the guest; and all taken back until nothing is left anywhere.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HYPERVISOR, type Lab, openLab, SERVER, VG } from '../harness/lab/lab.ts';
import { table } from '../harness/lab/times.ts';
import { loud } from '../harness/loud.ts';
import { waitFor } from '../harness/process.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const MIB = 1024 ** 2;
/** Ends what hangs. No measure: emulation is slow, and many times slower beside other work. */
const WAIT = '--timeout=900s';
const WAIT_MS = 960_000;
const THEN = 'written in the guest';
const LATER = 'written later';

interface World {
  lab?: Lab;
  /** False at the end: something failed. */
  isTold: boolean;
}

const story = suite<World>('LVM, LIO, open-iscsi and Xen', { isTold: false });

story.before(
  loud(async (world) => {
    world.lab = await openLab({ log, keep: process.env.VBS_LAB_KEEP === '1' });
  }),
);

story.after(loud(async ({ lab, isTold }) => await lab?.close(!isTold)));

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

/** Gives a command that waits; when that is in vain, shows how the objects stand. */
const waitedFor = async (lab: Lab, refs: readonly string[], args: readonly string[]): Promise<void> => {
  try {
    await lab.controlPlane.kubectl([...args, WAIT, ...refs], undefined, WAIT_MS);
  } catch (error) {
    log(await lab.controlPlane.kubectl(['get', ...refs, '-o', 'yaml']).catch(String));
    throw error;
  }
};

const make = async (lab: Lab, refs: readonly string[], text: string): Promise<void> =>
  await timed(lab, `apply ${refs.join(' ')}`, async () => {
    await lab.controlPlane.kubectl(['apply', '-f', '-'], text);
    await waitedFor(lab, refs, ['wait', '--for=condition=Ready']);
  });

const remove = async (lab: Lab, refs: readonly string[]): Promise<void> =>
  await timed(lab, `delete ${refs.join(' ')}`, async () => await waitedFor(lab, refs, ['delete']));

const fieldOf = async (lab: Lab, ref: string, field: string): Promise<string> =>
  await lab.controlPlane.kubectl(['get', ref, '-o', `jsonpath={${field}}`]);

/** Attaches the volumes and answers the guest's names for their disks, once the guest has them. */
const plugIn = async (lab: Lab, ...names: string[]): Promise<readonly string[]> => {
  const { guest } = lab;
  const refs = names.map((name) => `vbsatt/${name}-on-${guest.name}`);
  await make(lab, refs, names.map((name) => attachment(name, guest.name)).join('\n'));
  const devices: string[] = [];
  for (const ref of refs) {
    devices.push(await fieldOf(lab, ref, '.status.connection.device'));
  }
  await waitFor({ what: `${devices.join(' and ')} in the guest`, timeoutMs: 300_000 }, async () => {
    const disks = await guest.disks();
    return disks.length === devices.length && devices.every((device) => disks.includes(device));
  });
  return devices;
};

/** Raises the size of a volume that is in the guest, until the guest sees it and all hosts say so. */
const grow = async (lab: Lab, name: string, device: string, mebibytes: number): Promise<void> => {
  const { guest, controlPlane } = lab;
  const patch = JSON.stringify({ spec: { size: `${mebibytes}Mi` } });
  await timed(lab, `grow vbsvol/${name} in the guest`, async () => {
    await controlPlane.kubectl(['patch', `vbsvol/${name}`, '--type=merge', `--patch=${patch}`]);
    await waitFor(
      { what: `${mebibytes} MiB in the guest`, timeoutMs: WAIT_MS, intervalMs: 500 },
      async () => {
        // The guest asks its disk for nothing meanwhile: Xen's backend looks at the size of its device by itself.
        return (await guest.sizeBytes(device)) === mebibytes * MIB;
      },
    );
    const told = `--for=jsonpath={.status.connection.sizeBytes}=${mebibytes * MIB}`;
    await waitedFor(lab, [`vbsatt/${name}-on-${guest.name}`], ['wait', told]);
    await waitedFor(lab, [`vbsvol/${name}`], ['wait', `--for=jsonpath={.status.capacity}=${mebibytes}Mi`]);
  });
};

const unplug = async (lab: Lab, ...names: string[]): Promise<void> => {
  await remove(
    lab,
    names.map((name) => `vbsatt/${name}-on-${lab.guest.name}`),
  );
  assert.equal(await lab.guest.disks(), [], 'no disk is in the guest when its Attachment is gone');
};

/** The text at the start of a logical volume, on the volume server. */
const onLogicalVolume = async ({ pair }: Lab, id: string): Promise<string> => {
  const dd = `dd if=/dev/${VG}/${id} bs=4096 count=1 iflag=direct status=none`;
  return (await pair.server.succeed(`${dd} | head -c 512`)).replaceAll('\0', '').trim();
};

const nothingLeft = async (lab: Lab): Promise<void> => {
  await waitFor({ what: 'nothing to be left', timeoutMs: 600_000, intervalMs: 1_000 }, async () => {
    const left = await lab.remains();
    if (left.length > 0) {
      throw new Error(`\n${left.join('\n')}`);
    }
    return true;
  });
};

story('a running guest writes; what it wrote is there again, and in a copy of that moment', async (world) => {
  const lab = labOf(world);
  const { guest } = lab;
  assert.equal(await guest.disks(), [], 'the guest begins without disks');
  await make(lab, ['vbsvol/db'], volume('db'));
  const id = await fieldOf(lab, 'vbsvol/db', '.status.volumeID');
  const sizes = await lab.pair.server.succeed(`lvs --noheadings -o lv_name,lv_size --units m ${VG}`);
  assert.match(sizes, new RegExp(`^ *${id} +64\\.00m *$`, 'm'));

  const [first = ''] = await plugIn(lab, 'db');
  assert.is(await guest.sizeBytes(first), 64 * MIB, 'the guest sees the size asked for');
  assert.is(await guest.readMarker(first), '', 'a new volume is all zero');
  await guest.writeMarker(first, THEN);
  assert.is(await onLogicalVolume(lab, id), THEN, 'the bytes are on the logical volume');
  await make(lab, ['vbssnap/then'], snapshot('then', 'db'));
  await guest.writeMarker(first, LATER);
  await unplug(lab, 'db');
  assert.is(await onLogicalVolume(lab, id), LATER, 'the original went on');

  await make(lab, ['vbsvol/copy'], volume('copy', { source: { snapshotRef: { name: 'then' } } }));
  const [original = '', copy = ''] = await plugIn(lab, 'db', 'copy');
  assert.is(await guest.readMarker(original), LATER, 'the data came along');
  assert.is(await guest.readMarker(copy), THEN, 'the copy is of the moment of its Snapshot');
  assert.is(await guest.sizeBytes(copy), 64 * MIB, 'the copy has the size of its source');
  await grow(lab, 'copy', copy, 96);
  assert.is(await guest.readMarker(copy), THEN, 'what has grown holds what it held');
  await unplug(lab, 'db', 'copy');

  await remove(lab, ['vbsvol/copy', 'vbssnap/then', 'vbsvol/db']);
  await nothingLeft(lab);
  world.isTold = true;
});

story.run();
