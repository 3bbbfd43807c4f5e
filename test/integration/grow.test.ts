// Growth while a volume is in a VM: a hop that cannot follow is named, and the volume grows when it is detached; where all can, the
// guest is shown a larger disk, whoever stops in the middle of it.
//
// No target that follows its device can be had everywhere, so tgt plays one: a profile of the test says that it can, and
// the test makes it look at its file again, which no agent may do to a disk in use (the LUN is off line for that moment).
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findCondition } from '../../api/conditions.ts';
import type { Guest } from '../harness/guest.ts';
import { loud } from '../harness/loud.ts';
import { waitFor } from '../harness/process.ts';
import { attachment, openStory, type Story, volume } from '../harness/story.ts';
import { HYPERVISOR, SERVER } from '../harness/system.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const MI = 1024 * 1024;
const shipped = path.resolve(import.meta.dirname, '../../node-agent/profiles/shipped');

interface World {
  story: Story;
  a: Guest;
}

const grow = suite<World>('growth');

grow.before(
  loud(async (world) => {
    world.story = await openStory(log);
    world.a = await world.story.guest('vm-a');
  }),
);
grow.after(loud(async ({ story }) => await story?.close()));

const resizedOf = async (story: Story, name: string) =>
  findCondition((await story.get(volume(name)))?.status?.conditions, 'Resized');

/** What the server, its target and the VM are said to have, in MiB. */
const sizesOf = async (story: Story, name: string): Promise<readonly number[]> => {
  const mib = (fact: unknown) => Number((fact as { sizeBytes?: string } | undefined)?.sizeBytes) / MI;
  const [stored, held] = await Promise.all([
    story.get(volume(name)),
    story.get(attachment(`${name}-on-vm-a`)),
  ]);
  return [mib(stored?.status?.backend), mib(held?.status?.export), mib(held?.status?.connection)];
};

const grown = async (story: Story, name: string, mib: number): Promise<void> => {
  await waitFor({ what: `${name} to be of ${mib} MiB everywhere`, timeoutMs: 60_000 }, async () => {
    const [sizes, resized] = [await sizesOf(story, name), await resizedOf(story, name)];
    if (sizes.some((size) => size !== mib) || resized !== undefined) {
      throw new Error(`${sizes.join(', ')}; ${resized?.reason}: ${resized?.message}`);
    }
    return true;
  });
};

grow('a target that keeps sizes is named, and the volume grows when it is detached', async ({ story, a }) => {
  const id = await story.attached('db', a);
  await a.writeMarker(id, 'before');
  await story.change(volume('db'), { size: '32Mi' });
  const waiting = await story.waitReason(volume('db'), {
    type: 'Resized',
    reason: 'WaitingForDetach',
    message: /32Mi.*target tgt of server-1 keeps the size.*delete Attachment db-on-vm-a/,
  });
  assert.is(findCondition(waiting.status?.conditions, 'Ready')?.status, 'True', 'it is in order meanwhile');
  assert.is(waiting.status?.capacity, '16Mi');
  assert.equal(await sizesOf(story, 'db'), [16, 16, 16]);
  assert.is(await a.readMarker(id), 'before');

  await story.removeAndWait(attachment('db-on-vm-a'));
  await waitFor({ what: 'db to have grown', timeoutMs: 60_000 }, async () => {
    const { status } = (await story.get(volume('db'))) ?? {};
    return status?.capacity === '32Mi' && (await resizedOf(story, 'db')) === undefined;
  });
  await story.attach('db-on-vm-a', 'db', 'vm-a');
  await story.waitReady(attachment('db-on-vm-a'));
  assert.is(await a.sizeBytes(id), BigInt(32 * MI));
  assert.is(await a.readMarker(id), 'before');
  await grown(story, 'db', 32);
  await story.removeAndWait(attachment('db-on-vm-a'), volume('db'));
  await story.nothingLeft();
});

/** The server starts afresh with a target that is said to follow its device. */
const letTargetFollow = async (story: Story): Promise<void> => {
  const directory = path.join(story.system.dir, 'profiles');
  await mkdir(directory, { mode: 0o755 });
  const text = await readFile(path.join(shipped, 'tgt.yaml'), 'utf8');
  const profile = text
    .replace('name: tgt\n', 'name: tgt-follows\n')
    .replace('resizeOnline: false', 'resizeOnline: true');
  await writeFile(path.join(directory, 'tgt-follows.yaml'), profile, { mode: 0o644 });
  const config = (await story.configOf(SERVER)) as { volumeServer: { target: object } };
  const target = { ...config.volumeServer.target, profile: 'tgt-follows' };
  await story.reconfigure(SERVER, {
    profileDirectories: [directory],
    volumeServer: { ...config.volumeServer, target },
  });
};

/** tgt looks at its file again. */
const follow = async ({ system: { tgtd, poolDir } }: Story, id: string): Promise<void> => {
  const shown = await tgtd.tgtadm(['--lld', 'iscsi', '--op', 'show', '--mode', 'target']);
  const tid = new RegExp(`^Target (\\d+): \\S+:${id}$`, 'm').exec(shown)?.[1] ?? '';
  for (const params of ['online=0', `path=${path.join(poolDir, `${id}.raw`)}`]) {
    const lun = ['--mode', 'logicalunit', '--tid', tid, '--lun', '1', '--params', params];
    await tgtd.tgtadm(['--lld', 'iscsi', '--op', 'update', ...lun]);
  }
};

grow('where every hop follows, a running guest is shown a larger disk', async ({ story, a }) => {
  await letTargetFollow(story);
  const id = await story.attached('live', a);
  await a.writeMarker(id, 'before');
  await story.change(volume('live'), { size: '32Mi' });
  // The device is looked at before the VM is: one that is not what the server says is shown to no guest.
  const late = await story.waitReason(volume('live'), {
    type: 'Resized',
    reason: 'Resizing',
    message: /instance vm-a on hypervisor-1 shows 16Mi of 32Mi: .*33554432 bytes.*16777216 bytes/,
  });
  assert.is(findCondition(late.status?.conditions, 'Ready')?.status, 'True');
  assert.is((await story.waitReady(attachment('live-on-vm-a'))).status?.device, undefined);
  assert.equal(await sizesOf(story, 'live'), [32, 32, 16]);
  assert.is(await a.readMarker(id), 'before');

  await follow(story, id);
  await grown(story, 'live', 32);
  assert.is(await a.sizeBytes(id), BigInt(32 * MI));
  assert.is(await a.readMarker(id), 'before');
  await a.write(id, 31 * MI, Buffer.from('at the end'));
  assert.is((await story.backingBytes(id, 31 * MI, 10)).toString(), 'at the end');
});

grow('and it gets there when both agents are killed meanwhile', async ({ story, a }) => {
  const id = await story.volumeID('live');
  await story.system.kill(HYPERVISOR);
  await story.change(volume('live'), { size: '48Mi' });
  await waitFor({ what: 'the target to be said to have grown', timeoutMs: 60_000 }, async () => {
    const [, exported] = await sizesOf(story, 'live');
    return exported === 48;
  });
  await story.system.kill(SERVER);
  await follow(story, id);
  await story.system.run(HYPERVISOR);
  await story.system.run(SERVER);
  await grown(story, 'live', 48);
  assert.is(await a.sizeBytes(id), BigInt(48 * MI));
  assert.is(await a.readMarker(id), 'before');

  // A VM that is started anew gets the disk as it is.
  await story.removeAndWait(attachment('live-on-vm-a'));
  await story.attach('live-on-vm-a', 'live', 'vm-a');
  await story.waitReady(attachment('live-on-vm-a'));
  await grown(story, 'live', 48);
  await story.removeAndWait(attachment('live-on-vm-a'), volume('live'));
  await story.nothingLeft();
});

grow('a disk that a VM may only read keeps its size, and that is said', async ({ story, a }) => {
  await story.attached('read', a, { readOnly: true });
  await story.change(volume('read'), { size: '32Mi' });
  await story.waitReason(volume('read'), {
    type: 'Resized',
    reason: 'WaitingForDetach',
    message: /hypervisor-1 cannot show a running VM that a read-only disk .*delete Attachment read-on-vm-a/,
  });
  assert.equal(await sizesOf(story, 'read'), [16, 16, 16]);
  await story.removeAndWait(attachment('read-on-vm-a'));
  await waitFor({ what: 'it to have grown', timeoutMs: 60_000 }, async () => {
    return (await story.get(volume('read')))?.status?.capacity === '32Mi';
  });
  await story.removeAndWait(volume('read'));
  await story.nothingLeft();
});

grow.run();
