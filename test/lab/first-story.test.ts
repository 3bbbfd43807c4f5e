// The main job on the stack VBS is made for: a thin logical volume, exported by LIO, reached by open-iscsi, plugged into a
// running Xen guest, and taken back until nothing is left anywhere.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HYPERVISOR, type Lab, openLab, SERVER } from '../harness/lab/lab.ts';
import { table } from '../harness/lab/times.ts';
import { loud } from '../harness/loud.ts';
import { waitFor } from '../harness/process.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const MIB = 1024 ** 2;
const WAIT = '--timeout=120s';
const MARKER = 'written in the guest';

interface World {
  lab?: Lab;
  hasFailed: boolean;
}

const story = suite<World>('LVM, LIO, open-iscsi and Xen', { hasFailed: true });

story.before(
  loud(async (world) => {
    world.lab = await openLab({ log, keep: process.env.VBS_LAB_KEEP === '1' });
  }),
);

story.after(loud(async ({ lab, hasFailed }) => await lab?.close(hasFailed)));

const volume = (name: string) => ({
  apiVersion: 'vbs.dev/v1alpha1',
  kind: 'Volume',
  metadata: { name },
  spec: { size: '64Mi' },
});

const attachment = (name: string, guest: string) => ({
  apiVersion: 'vbs.dev/v1alpha1',
  kind: 'Attachment',
  metadata: { name: `${name}-on-${guest}` },
  spec: { volumeRef: { name }, instance: { name: guest } },
});

/** Runs one step, tells how long it took and which commands the agents ran for it. */
const timed = async <T>(lab: Lab, name: string, work: () => Promise<T>): Promise<T> => {
  await Promise.all([SERVER, HYPERVISOR].map(async (host) => await lab.agent(host).steps()));
  const startedAt = performance.now();
  const answer = await work();
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  log(`${name}: ${seconds} s, of which commands (count × median, longest, sum):`);
  for (const host of [SERVER, HYPERVISOR]) {
    for (const line of table(await lab.agent(host).steps())) {
      log(`  ${host.padEnd(13)} ${line}`);
    }
  }
  return answer;
};

story('a volume goes into a running guest and out again, and leaves nothing', async (world) => {
  const { lab } = world;
  assert.ok(lab);
  const { guest, controlPlane } = lab;
  const apply = async (object: object) =>
    await controlPlane.kubectl(['apply', '-f', '-'], JSON.stringify(object));
  const kubectl = async (...args: string[]) => await controlPlane.kubectl(args);
  const name = `db-on-${guest.name}`;
  assert.equal(await guest.disks(), [], 'the guest begins without disks');

  await timed(lab, 'create', async () => {
    await apply(volume('db'));
    await kubectl('wait', '--for=condition=Ready', WAIT, 'vbsvol/db');
  });
  const id = await kubectl('get', 'vbsvol/db', '-o', 'jsonpath={.status.volumeID}');
  const lvs = await lab.pair.server.succeed('lvs --noheadings -o lv_name,lv_size --units m vbs');
  assert.match(lvs, new RegExp(`^ *${id} +64\\.00m$`, 'm'));

  await timed(lab, 'attach', async () => {
    await apply(attachment('db', guest.name));
    await kubectl('wait', '--for=condition=Ready', WAIT, `vbsatt/${name}`);
  });
  const device = await waitFor({ what: 'the disk in the guest', timeoutMs: 30_000 }, async () => {
    return (await guest.disks())[0];
  });
  assert.is(await guest.sizeBytes(device), 64 * MIB, 'the guest sees the size asked for');
  assert.is(await guest.readMarker(device), '', 'a new volume is all zero');
  await timed(lab, 'write and flush in the guest', async () => await guest.writeMarker(device, MARKER));
  const backing = await lab.pair.server.succeed(
    `dd if=/dev/vbs/${id} bs=4096 count=1 iflag=direct status=none | head -c 512`,
  );
  assert.is(backing.trim(), MARKER, 'the bytes are on the logical volume');

  await timed(lab, 'detach', async () => await kubectl('delete', WAIT, `vbsatt/${name}`));
  assert.equal(await guest.disks(), [], 'the disk is out of the guest when the Attachment is gone');

  await timed(lab, 'attach again', async () => {
    await apply(attachment('db', guest.name));
    await kubectl('wait', '--for=condition=Ready', WAIT, `vbsatt/${name}`);
  });
  const [again] = await guest.disks();
  assert.ok(again, 'the disk is back');
  assert.is(await guest.readMarker(again), MARKER, 'with its data');

  await timed(lab, 'detach again', async () => await kubectl('delete', WAIT, `vbsatt/${name}`));
  await timed(lab, 'delete', async () => await kubectl('delete', WAIT, 'vbsvol/db'));
  await waitFor({ what: 'nothing to be left', timeoutMs: 60_000, intervalMs: 1_000 }, async () => {
    const left = await lab.remains();
    if (left.length > 0) {
      throw new Error(`\n${left.join('\n')}`);
    }
    return true;
  });
  world.hasFailed = false;
});

story.run();
