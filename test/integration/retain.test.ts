// Data with deletionPolicy Retain outlives its object: it is listed, is nobody's, and comes back byte for byte in a Volume which an
// administrator makes of it; of two such Volumes one gets it, and no crash loses or doubles it.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ServerAgent } from '../../api/hosts.ts';
import type { Guest } from '../harness/guest.ts';
import { loud } from '../harness/loud.ts';
import { waitFor } from '../harness/process.ts';
import { openStory, type Story, serverHost, snapshot, volume } from '../harness/story.ts';
import { SERVER } from '../harness/system.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const MI = 1024 * 1024;
const ROOT = path.resolve(import.meta.dirname, '../..');
const USER = 'tenant';

interface World {
  story: Story;
  a: Guest;
}

const test = suite<World>('retained data');

test.before(
  loud(async (world) => {
    const story = await openStory(log);
    world.story = story;
    world.a = await story.guest('vm-a');
    await story.kubectl('apply', '-f', path.join(ROOT, 'deploy', 'users.yaml'));
    for (const role of ['vbs-user-view', 'vbs-user-edit']) {
      await story.kubectl('create', 'rolebinding', role, `--clusterrole=${role}`, `--user=${USER}`);
    }
  }),
);
test.after(loud(async ({ story }) => await story?.close()));

const existing = (id: string) => ({ source: { existing: { volumeServer: SERVER, id } } });

async function retained(story: Story): Promise<NonNullable<ServerAgent['retained']>> {
  const agent = (await story.get(serverHost()))?.status?.agent as ServerAgent | undefined;
  return agent?.retained ?? [];
}

const listed = async (story: Story, id: string) =>
  await waitFor({ what: `${id} to be listed`, timeoutMs: 30_000 }, async () =>
    (await retained(story)).find((one) => one.id === id),
  );

const digest = async ({ system }: Story, file: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path.join(system.poolDir, file)))
    .digest('hex');

/** What the API server says to a user who is no administrator. */
async function asUser({ system }: Story, args: readonly string[], manifest?: object): Promise<string> {
  try {
    return await system.controlPlane.kubectl([`--as=${USER}`, ...args], manifest && JSON.stringify(manifest));
  } catch (error) {
    return (error as Error).message;
  }
}

const adopter = (name: string, id: string) => ({
  apiVersion: 'vbs.dev/v1alpha1',
  kind: 'Volume',
  metadata: { name, namespace: 'default' },
  spec: existing(id),
});

test('the data of a deleted Volume stays, and comes back in another one', async (world) => {
  const { story, a } = world;
  await story.makeVolume('db', { size: '16Mi' });
  await story.inGuest('db', a, (serial) => a.writeMarker(serial, 'dear data'));
  const id = await story.volumeID('db');
  const before = await digest(story, `${id}.raw`);
  // Thought of late, but not too late.
  await story.change(volume('db'), { deletionPolicy: 'Retain' });
  await story.removeAndWait(volume('db'));
  assert.equal(await story.system.poolContents(), [`${id}.json`, `${id}.retained`]);
  assert.equal(await story.targets(), []);
  assert.equal(await listed(story, id), {
    id,
    kind: 'Volume',
    pool: 'main',
    namespace: 'default',
    name: 'db',
    sizeBytes: String(16 * MI),
  });
  assert.match(await story.kubectl('describe', 'volumeserver', SERVER), new RegExp(`Retained:[^]*${id}`));
  await waitFor({ what: 'nothing but the data to be left', timeoutMs: 30_000 }, async () => {
    const left = (await story.leftovers()).filter((line) => !line.startsWith('pool file'));
    if (left.length > 0) {
      throw new Error(left.join('\n'));
    }
    return true;
  });

  const refusal = await asUser(story, ['apply', '-f', '-'], adopter('stolen', id));
  assert.match(refusal, /spec\.source\.existing: retained data of VolumeServer server-1/);
  assert.match(refusal, /verb adopt on volumeservers\.vbs\.dev/);
  await story.kubectl('create', 'clusterrole', 'adopt', '--verb=adopt', '--resource=volumeservers.vbs.dev');
  await story.kubectl('create', 'clusterrolebinding', 'adopt', '--clusterrole=adopt', `--user=${USER}`);
  await waitFor({ what: 'the right to adopt', timeoutMs: 10_000 }, async () => {
    const said = await asUser(story, ['apply', '--dry-run=server', '-f', '-'], adopter('mine', id));
    return said.includes('created');
  });
  await story.kubectl('delete', 'clusterrolebinding', 'adopt');

  await story.makeVolume('again', existing(id));
  const made = await story.waitReady(volume('again'));
  assert.is(made.status?.capacity, '16Mi');
  const newID = await story.volumeID('again');
  assert.is.not(newID, id, 'no key of the old one fits');
  assert.is(await digest(story, `${newID}.raw`), before);
  await story.inGuest('again', a, async (serial) => assert.is(await a.readMarker(serial), 'dear data'));
  await waitFor({ what: 'the list to be empty', timeoutMs: 30_000 }, async () => {
    return (await retained(story)).length === 0;
  });
  // The right is asked for once.
  assert.match(await asUser(story, ['label', 'volume', 'again', 'team=shop']), 'labeled');
  const size = JSON.stringify({ spec: { size: '32Mi' } });
  assert.match(await asUser(story, ['patch', 'volume', 'again', '--type=merge', '-p', size]), 'patched');
  await story.makeVolume('late', existing(id));
  await story.waitReason(volume('late'), {
    reason: 'NotRetained',
    message: /another Volume may have adopted it/,
  });
  await story.removeAndWait(volume('again'), volume('late'));
  await story.nothingLeft();
});

test('a retained Snapshot becomes a Volume that is written to', async (world) => {
  const { story, a } = world;
  await story.makeVolume('base', { size: '16Mi' });
  await story.inGuest('base', a, (serial) => a.writeMarker(serial, 'as it was'));
  await story.make(snapshot('monday'), { volumeRef: { name: 'base' }, deletionPolicy: 'Retain' });
  const made = await story.waitReady(snapshot('monday'));
  const id = String(made.status?.snapshotID);
  await story.removeAndWait(snapshot('monday'), volume('base'));
  assert.is((await listed(story, id)).kind, 'Snapshot');
  await story.makeVolume('small', existing(id));
  await story.waitReady(volume('small'));
  await story.change(volume('small'), { size: '32Mi' });
  await waitFor({ what: 'the Volume to grow', timeoutMs: 30_000 }, async () => {
    return (await story.get(volume('small')))?.status?.capacity === '32Mi';
  });
  await story.inGuest('small', a, async (serial) => {
    assert.is(await a.readMarker(serial), 'as it was');
    await a.writeMarker(serial, 'and goes on');
    assert.is(await a.readMarker(serial), 'and goes on');
  });
  await story.removeAndWait(volume('small'));
  await story.nothingLeft();
});

test('of many Volumes which name the same data one gets it, and the others say so', async ({ story }) => {
  await story.makeVolume('wanted', { deletionPolicy: 'Retain' });
  await story.waitReady(volume('wanted'));
  const id = await story.volumeID('wanted');
  await story.removeAndWait(volume('wanted'));
  await listed(story, id);
  const names = ['one', 'two', 'three', 'four'];
  await Promise.all(names.map((name) => story.makeVolume(name, existing(id))));
  const reasons = await waitFor({ what: 'everybody to know', timeoutMs: 30_000 }, async () => {
    const things = await Promise.all(names.map((name) => story.get(volume(name))));
    const ready = things.map((thing) => thing?.status?.conditions?.find(({ type }) => type === 'Ready'));
    const known = ready.every((one) => /^(Provisioned|NotRetained|RetainedGone)$/.test(one?.reason ?? ''));
    return known ? ready.map((one) => one?.reason) : undefined;
  });
  assert.is(reasons.filter((reason) => reason === 'Provisioned').length, 1, reasons.join(' '));
  assert.is((await story.system.poolContents()).filter((name) => name.endsWith('.raw')).length, 1);
  await story.removeAndWait(...names.map(volume));
  await story.nothingLeft();
});

test('everything is killed while data is put aside and adopted: it is always there once', async (world) => {
  const { story, a } = world;
  const { system } = story;
  await story.makeVolume('round-0', { size: '16Mi', deletionPolicy: 'Retain' });
  await story.inGuest('round-0', a, (serial) => a.writeMarker(serial, 'round and round'));
  const bytes = await digest(story, `${await story.volumeID('round-0')}.raw`);
  const killing = async (round: number) => {
    // Not a wait for anything: it chooses the moment of the crash.
    await sleep(40 * round);
    await Promise.all([system.kill(SERVER), ...(round % 3 === 0 ? [system.kill('controller')] : [])]);
    await Promise.all([system.run(SERVER), system.run('controller')]);
  };
  for (let round = 1; round <= 6; round += 1) {
    const last = volume(`round-${round - 1}`);
    const id = await story.volumeID(last.name);
    await story.remove(last);
    await killing(round);
    await story.waitGone(last);
    await listed(story, id);
    assert.is(await digest(story, `${id}.retained`), bytes);
    await story.makeVolume(`round-${round}`, { ...existing(id), deletionPolicy: 'Retain' });
    await killing(round);
    await story.waitReady(volume(`round-${round}`));
    const next = await story.volumeID(`round-${round}`);
    assert.equal(await system.poolContents(), [`${next}.json`, `${next}.raw`]);
    assert.is(await digest(story, `${next}.raw`), bytes);
  }
  await story.inGuest('round-6', a, async (serial) =>
    assert.is(await a.readMarker(serial), 'round and round'),
  );
  await story.change(volume('round-6'), { deletionPolicy: 'Delete' });
  await story.removeAndWait(volume('round-6'));
  await story.nothingLeft();
});

/** The one in quotes on that page. */
async function goTemplateIn(page: string): Promise<string> {
  const text = await readFile(path.join(ROOT, 'docs', page), 'utf8');
  return /-o go-template='([^']+)'/.exec(text)?.[1] ?? '';
}

test('data whose Volume was deleted past its finalizer is taken over by what the runbook prints', async (world) => {
  const { story, a } = world;
  await story.makeVolume('stripped', { size: '16Mi' });
  await story.inGuest('stripped', a, (serial) => a.writeMarker(serial, 'nobody ordered its removal'));
  const id = await story.volumeID('stripped');
  await story.system.kill('controller');
  await story.kubectl('delete', 'volume', 'stripped', '--wait=false');
  await story.kubectl(
    'patch',
    'volume',
    'stripped',
    '--type=merge',
    '-p',
    '{"metadata":{"finalizers":null}}',
  );
  await waitFor({ what: `${id} to be listed`, timeoutMs: 60_000 }, async () => {
    const agent = (await story.get(serverHost()))?.status?.agent as ServerAgent | undefined;
    return agent?.orphans?.some((one) => one.id === id) === true;
  });
  await story.system.run('controller');
  const template = await goTemplateIn('runbooks/VBSOrphanedData.md');
  const manifest = await story.kubectl('get', 'volumeserver', SERVER, '-o', `go-template=${template}`);
  await story.system.controlPlane.kubectl(['apply', '-f', '-'], manifest);
  await story.waitReady(volume('stripped'));
  assert.is(await story.volumeID('stripped'), id);
  await story.inGuest('stripped', a, async (serial) =>
    assert.is(await a.readMarker(serial), 'nobody ordered its removal'),
  );
  await story.change(volume('stripped'), { deletionPolicy: 'Delete' });
  await story.removeAndWait(volume('stripped'));
  await story.nothingLeft();
});

test('a Volume deleted while it adopts leaves the data whole, or takes it along', async ({ story }) => {
  await story.makeVolume('wanted', { deletionPolicy: 'Retain' });
  await story.waitReady(volume('wanted'));
  let id = await story.volumeID('wanted');
  await story.removeAndWait(volume('wanted'));
  for (let round = 0; round < 5; round += 1) {
    await listed(story, id);
    const name = `brief-${round}`;
    await story.makeVolume(name, { ...existing(id), deletionPolicy: 'Retain' });
    await sleep(25 * round);
    const taken = (await story.get(volume(name)))?.status?.volumeID;
    await story.removeAndWait(volume(name));
    const contents = await story.system.poolContents();
    const now = contents.find((file) => file.endsWith('.retained'))?.replace('.retained', '') ?? '';
    assert.ok([id, taken].includes(now) || taken === undefined, contents.join(' '));
    assert.equal(contents, [`${now}.json`, `${now}.retained`]);
    id = now;
  }
  await story.makeVolume('last', existing(id));
  await story.waitReady(volume('last'));
  await story.removeAndWait(volume('last'));
  await story.nothingLeft();
});

test.run();
