// The main job, as a user does it with kubectl and sees it in the guest: a volume moves from one VM to another with its data,
// and when it is deleted nothing is left anywhere.
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Guest } from '../harness/guest.ts';
import { loud } from '../harness/loud.ts';
import { attachment, openStory, type Story, volume } from '../harness/story.ts';
import { HYPERVISOR, SERVER } from '../harness/system.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const examples = path.resolve(import.meta.dirname, '../../examples');
const marker = 'written in vm-a';

interface World {
  story: Story;
  a: Guest;
  b: Guest;
}

const walk = suite<World>('the main job');

walk.before(
  loud(async (world) => {
    world.story = await openStory(log);
    world.a = await world.story.guest('vm-a');
    world.b = await world.story.guest('vm-b');
  }),
);

walk.after(loud(async ({ story }) => await story?.close()));

walk('a volume goes from one VM to another with its data', async ({ story, a, b }) => {
  const wait = '--timeout=60s';
  await story.kubectl('apply', '-f', path.join(examples, 'volume.yaml'));
  await story.kubectl('wait', '--for=condition=Ready', wait, 'vbsvol/db');
  const id = await story.volumeID('db');
  assert.match((await story.system.poolContents()).join(' '), id);

  await story.kubectl('apply', '-f', path.join(examples, 'attachment.yaml'));
  await story.kubectl('wait', '--for=condition=Ready', wait, 'vbsatt/db-on-vm-a');
  assert.is(await a.sizeBytes(id), 64n * 1024n * 1024n, 'the guest sees the size asked for');
  assert.is((await a.read(id, 0, 4096)).equals(Buffer.alloc(4096)), true, 'a new volume is all zero');
  await a.writeMarker(id, marker);
  assert.is((await story.backingBytes(id, 0, marker.length)).toString(), marker, 'the bytes are in the pool');
  assert.is(await b.findDisk(id), undefined, 'no other VM sees the disk');

  await story.kubectl('delete', wait, 'vbsatt/db-on-vm-a');
  assert.is(await a.findDisk(id), undefined, 'the disk is out of the guest when the Attachment is gone');
  assert.equal(await story.targets(), [], 'a detached volume is not exported');

  await story.attach('db-on-vm-b', 'db', 'vm-b');
  const attached = await story.waitReady(attachment('db-on-vm-b'));
  assert.is(attached.status?.hypervisor, 'hypervisor-1');
  assert.is(await b.readMarker(id), marker, 'the data came along');
  await b.writeMarker(id, 'and changed in vm-b');
  assert.match((await story.backingBytes(id, 0, 64)).toString(), /^and changed in vm-b\0/);

  await story.kubectl('delete', wait, 'vbsatt/db-on-vm-b');
  assert.is(await b.findDisk(id), undefined);
  await story.kubectl('delete', wait, 'vbsvol/db');
  await story.nothingLeft();
});

walk('many volumes in one VM at once, each with its own data', async ({ story, a }) => {
  const names = ['one', 'two', 'three', 'four'];
  const ids = await Promise.all(names.map((name) => story.attached(name, a)));
  for (const [index, id] of ids.entries()) {
    await a.writeMarker(id, names[index] ?? '');
  }
  for (const [index, id] of ids.entries()) {
    assert.is(await a.readMarker(id), names[index]);
    assert.match((await story.backingBytes(id, 0, 16)).toString(), names[index] ?? '?');
  }
  await story.removeAndWait(...names.map((name) => attachment(`${name}-on-vm-a`)), ...names.map(volume));
  await story.nothingLeft();
});

walk('a Volume and its Attachment deleted together, in the wrong order', async ({ story, a }) => {
  const id = await story.attached('both', a);
  await story.remove(volume('both'));
  await story.waitReason(volume('both'), {
    reason: 'InUse',
    message: /Attachment both-on-vm-a .*delete it first/,
  });
  await a.writeMarker(id, 'still writable');
  assert.is(await a.readMarker(id), 'still writable', 'nothing is taken from under a guest');
  await story.removeAndWait(attachment('both-on-vm-a'));
  await story.waitGone(volume('both'));
  await story.nothingLeft();
});

walk('every program ends by itself when it is asked to', async ({ story }) => {
  for (const name of ['controller', SERVER, HYPERVISOR]) {
    const program = story.system.programs.get(name)?.process;
    await program?.stop(30_000);
    assert.is(await program?.exited, 'exit code 0', name);
  }
});

walk.run();
