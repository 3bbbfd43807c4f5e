// Data of a Volume whose class has a trash stays for a time after its deletion: it is told for how long and how it comes back, it does
// come back, and it goes by itself.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ServerAgent } from '../../api/hosts.ts';
import { VOLUME_CLASSES } from '../../api/resources.ts';
import type { Guest } from '../harness/guest.ts';
import { loud } from '../harness/loud.ts';
import { waitFor } from '../harness/process.ts';
import { openStory, type Ref, type Story, serverHost, volume } from '../harness/story.ts';
import { SERVER } from '../harness/system.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const HOUR = 3_600;
/** Long enough to be seen, short enough to be waited for. */
const BRIEF = 5;

interface World {
  story: Story;
  a: Guest;
}

const test = suite<World>('the trash');

test.before(
  loud(async (world) => {
    const story = await openStory(log);
    world.story = story;
    world.a = await story.guest('vm-a');
    await story.make(classNamed('kept'), classWith(HOUR));
    await story.make(classNamed('brief'), classWith(BRIEF));
  }),
);
test.after(loud(async ({ story }) => await story?.close()));

type Retained = NonNullable<ServerAgent['retained']>[number];

const classNamed = (name: string): Ref => ({ resource: VOLUME_CLASSES, name });
const classWith = (ttlSeconds: number) => ({ poolSelector: { profile: 'file' }, trash: { ttlSeconds } });
const existing = (id: string, className: string) => ({
  className,
  source: { existing: { volumeServer: SERVER, id } },
});

const retained = async (story: Story, id: string): Promise<Retained | undefined> => {
  const agent = (await story.get(serverHost()))?.status?.agent as ServerAgent | undefined;
  return agent?.retained?.find((one) => one.id === id);
};

const listed = async (story: Story, id: string): Promise<Retained> =>
  await waitFor({ what: `${id} to be listed`, timeoutMs: 30_000 }, async () => await retained(story, id));

const digest = async ({ system }: Story, file: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path.join(system.poolDir, file)))
    .digest('hex');

interface Events {
  readonly items: readonly { readonly note: string; readonly type: string }[];
}

/** What people are told of the deletion, also when the object is gone. */
const told = async (story: Story): Promise<Events['items'][number]> =>
  await waitFor({ what: 'an Event', timeoutMs: 30_000 }, async () => {
    const query = ['get', 'events.events.k8s.io', '-o', 'json', '--field-selector', 'reason=Trashing'];
    return (JSON.parse(await story.kubectl(...query)) as Events).items[0];
  });

test('a deleted Volume is told of, has its time, and comes back byte for byte', async (world) => {
  const { story, a } = world;
  await story.makeVolume('db', { className: 'kept' });
  await story.inGuest('db', a, (serial) => a.writeMarker(serial, 'dear data'));
  const id = await story.volumeID('db');
  const before = await digest(story, `${id}.raw`);
  await story.removeAndWait(volume('db'));
  assert.equal(await story.system.poolContents(), [`${id}.json`, `${id}.retained`]);
  const { trash, name } = await listed(story, id);
  assert.equal([name, trash?.ttlSeconds], ['db', HOUR]);
  assert.ok(Date.parse(trash?.removedAfter ?? '') > Date.now());
  const event = await told(story);
  assert.is(event.type, 'Normal');
  assert.match(event.note, new RegExp(`for 1 hour: .*\\{volumeServer: ${SERVER}, id: ${id}\\}`));

  await Promise.all([story.system.kill(SERVER), story.system.kill('controller')]);
  await Promise.all([story.system.run(SERVER), story.system.run('controller')]);
  await story.makeVolume('again', existing(id, 'kept'));
  await story.waitReady(volume('again'));
  const newID = await story.volumeID('again');
  assert.is(await digest(story, `${newID}.raw`), before);
  await story.inGuest('again', a, async (serial) => assert.is(await a.readMarker(serial), 'dear data'));
  // To be rid of it sooner: by a class without trash.
  await story.removeAndWait(volume('again'));
  await listed(story, newID);
  await story.makeVolume('rid', existing(newID, 'standard'));
  await story.waitReady(volume('rid'));
  await story.removeAndWait(volume('rid'));
  await story.nothingLeft();
});

test('its time is over: it goes by itself, also when everything was killed meanwhile', async ({ story }) => {
  await story.makeVolume('brief', { className: 'brief' });
  await story.waitReady(volume('brief'));
  await story.remove(volume('brief'));
  await Promise.all([story.system.kill(SERVER), story.system.kill('controller')]);
  await Promise.all([story.system.run(SERVER), story.system.run('controller')]);
  await story.waitGone(volume('brief'));
  await story.nothingLeft();
});

test('what is to be retained stays, in whatever class', async ({ story }) => {
  await story.makeVolume('archive', { className: 'brief', deletionPolicy: 'Retain' });
  await story.makeVolume('brief', { className: 'brief' });
  await story.waitReady(volume('archive'));
  await story.waitReady(volume('brief'));
  const id = await story.volumeID('archive');
  await story.removeAndWait(volume('archive'), volume('brief'));
  await waitFor({ what: 'the other one to go', timeoutMs: 60_000 }, async () => {
    const contents = await story.system.poolContents();
    return contents.length === 2;
  });
  assert.equal(await story.system.poolContents(), [`${id}.json`, `${id}.retained`]);
  assert.is((await listed(story, id)).trash, undefined);
  await story.makeVolume('rid', existing(id, 'standard'));
  await story.waitReady(volume('rid'));
  await story.removeAndWait(volume('rid'));
  await story.nothingLeft();
});

test('the class decides at the deletion, and what it said at the placement when it is gone', async ({
  story,
}) => {
  for (const name of ['now', 'then']) {
    await story.makeVolume(name, { className: 'kept' });
    await story.waitReady(volume(name));
  }
  // Never placed: it tells what the controller has seen of the class.
  await story.makeVolume('probe', { className: 'kept', size: '1Pi' });
  await story.waitReason(volume('probe'), { reason: 'NoSpace', message: /kept/ });
  await story.change(classNamed('kept'), { trash: null, poolSelector: { name: 'none' } });
  await story.waitReason(volume('probe'), { reason: 'NoPool', message: /kept/ });
  const removed = await story.volumeID('now');
  await story.removeAndWait(volume('now'));
  await story.remove(classNamed('kept'));
  await story.waitReason(volume('probe'), { reason: 'ClassNotFound', message: /kept/ });
  const id = await story.volumeID('then');
  await story.removeAndWait(volume('then'), volume('probe'));
  assert.is((await listed(story, id)).trash?.ttlSeconds, HOUR);
  assert.is(await retained(story, removed), undefined);
  await story.makeVolume('rid', existing(id, 'standard'));
  await story.waitReady(volume('rid'));
  await story.removeAndWait(volume('rid'));
  await story.nothingLeft();
});

test('a time that is none is refused', async ({ story }) => {
  for (const ttlSeconds of [0, -1, 31_536_001, 1.5, '60']) {
    const refused = await story
      .make(classNamed('wrong'), { poolSelector: {}, trash: { ttlSeconds } })
      .catch((error: Error) => error.message);
    assert.match(String(refused), /spec\.trash\.ttlSeconds/);
  }
  const without = await story
    .make(classNamed('wrong'), { poolSelector: {}, trash: {} })
    .catch((error: Error) => error.message);
  assert.match(String(without), /spec\.trash\.ttlSeconds/);
});

test.run();
