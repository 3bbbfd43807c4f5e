// Programs and CRDs of version 0.1.0 beside those of today. What both know works, what only one knows is told and harms nothing,
// and goes on by itself once the other is upgraded.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type AuditEvent, AuditLog, isWrite, programOf } from '../harness/audit.ts';
import { waitFor } from '../harness/process.ts';
import { commitOf, findRelease } from '../harness/release.ts';
import { log, type MixedWorld, mainJob, mixed } from '../harness/skew.ts';
import {
  attachment,
  Heartbeat,
  type Story,
  serverHost,
  snapshot,
  type Thing,
  volume,
} from '../harness/story.ts';
import { ROOT, SERVER } from '../harness/system.ts';

const VERSION = '0.1.0';

// All that is awaited comes before the first suite runs: uvu begins as soon as it can.
const release = await findRelease(VERSION);
const audit = await AuditLog.make({ bodies: false });

const there = suite('the release');

there(`CHANGELOG.md names the commit of ${VERSION}`, async () => {
  const changelog = await readFile(path.join(ROOT, 'CHANGELOG.md'), 'utf8');
  assert.match(commitOf(changelog, VERSION), /^[0-9a-f]{40}$/);
});

// A clone that was made without history cannot have it; any other has lost it.
if (release.kind === 'missing' && process.env.CI === 'true' && !release.shallow) {
  there('is in the history of this checkout', () => {
    throw new Error(release.why);
  });
}
there.after(() => audit.remove());

/** A Volume that holds a text. */
async function written(
  { story, a }: MixedWorld,
  name: string,
  text: string,
  spec: object = {},
): Promise<string> {
  await story.makeVolume(name, spec);
  return await story.inGuest(name, a, async (id) => {
    await a.writeMarker(id, text);
    return id;
  });
}

/** Whole data of volumes in the pool, as files. */
const dataIn = async ({ system }: Story): Promise<readonly string[]> =>
  (await system.poolContents()).filter((name) => name.endsWith('.raw'));

const agentOf = (thing: Thing | undefined) =>
  (thing?.status?.agent ?? {}) as {
    readonly pools?: readonly { readonly can?: readonly string[] }[];
    readonly retained?: readonly { readonly id: string }[];
  };

const told = (story: Story, what: string, test: (agent: ReturnType<typeof agentOf>) => boolean) =>
  waitFor({ what: `${SERVER} to tell of ${what}`, timeoutMs: 300_000 }, async () =>
    test(agentOf(await story.get(serverHost()))),
  );

const oldAgents = mixed({
  name: 'agents of 0.1.0 with the controller and the CRDs of today',
  release,
  options: (old) => ({ sources: { agents: old } }),
});

oldAgents('the main job', async (world) => {
  await mainJob(world, 'db');
  await world.story.nothingLeft();
});

oldAgents('what they cannot do is told and left alone, and done when they are upgraded', async (world) => {
  const { story, a } = world;
  const id = await written(world, 'db', 'to be copied');
  const keptID = await written(world, 'kept', 'to be retained', { deletionPolicy: 'Retain' });
  await story.makeSnapshot('nightly', 'db');
  await story.makeVolume('copy', { source: { volumeRef: { name: 'db' } } });
  const outdated = { reason: 'AgentOutdated', message: /agent of server-1.*upgrade/ };
  await story.waitReason(snapshot('nightly'), outdated);
  await story.waitReason(volume('copy'), outdated);

  await story.remove(volume('kept'));
  await story.waitReason(volume('kept'), outdated);
  await story.makeVolume('adopted', { source: { existing: { volumeServer: SERVER, id: keptID } } });
  await story.waitReason(volume('adopted'), outdated);

  await story.plugIn('db', a);
  await story.change(volume('db'), { size: '32Mi' });
  await story.waitReason(volume('db'), {
    type: 'Resized',
    reason: 'WaitingForDetach',
    message: /server-1 does not tell what its pool main can/,
  });
  assert.is(await a.sizeBytes(id), 16n << 20n);
  await story.removeAndWait(attachment('db-on-vm-a'));
  await waitFor({ what: 'db to grow when it is detached', timeoutMs: 60_000 }, async () => {
    return (await story.get(volume('db')))?.status?.capacity === '32Mi';
  });

  await mainJob(world, 'meanwhile');
  assert.equal(await dataIn(story), [`${id}.raw`, `${keptID}.raw`].sort(), 'nothing was made');

  await story.system.replaceAgents(ROOT);
  await story.waitGone(volume('kept'));
  await story.waitReady(snapshot('nightly'));
  await story.waitReady(volume('copy'));
  await story.waitReady(volume('adopted'));
  await story.inGuest('copy', a, async (serial) => assert.is(await a.readMarker(serial), 'to be copied'));
  await story.inGuest('adopted', a, async (serial) =>
    assert.is(await a.readMarker(serial), 'to be retained'),
  );
  await story.removeAndWait(volume('db'), volume('copy'), volume('adopted'), snapshot('nightly'));
  await story.nothingLeft();
});

const oldController = mixed({
  name: 'the controller of 0.1.0 with agents and CRDs of today',
  release,
  options: (old) => ({ sources: { controller: old } }),
});

oldController('the main job', async (world) => {
  await mainJob(world, 'db');
  await world.story.nothingLeft();
});

oldController('what it does not know of costs no data, and is done when it is upgraded', async (world) => {
  const { story, a } = world;
  const { system } = story;
  const id = await written(world, 'db', 'to be copied');
  const keptID = await written(world, 'kept', 'to be retained', { deletionPolicy: 'Retain' });
  await story.makeSnapshot('nightly', 'db');
  await story.makeVolume('copy', { size: '16Mi', source: { volumeRef: { name: 'db' } } });
  await story.makeVolume('sizeless', { source: { snapshotRef: { name: 'nightly' } } });
  await story.remove(volume('kept'));
  await waitFor({ what: 'the API server to refuse both', timeoutMs: 60_000 }, async () => {
    const said = await readFile(system.logFile('controller'), 'utf8');
    return /status\.source/.test(said) && /order: Remove/.test(said);
  });
  await mainJob(world, 'meanwhile');
  assert.equal(await dataIn(story), [`${id}.raw`, `${keptID}.raw`].sort());
  assert.is((await story.backingBytes(keptID, 0, 14)).toString(), 'to be retained');

  await system.replaceController(ROOT);
  await story.waitGone(volume('kept'));
  await story.waitReady(snapshot('nightly'));
  await story.waitReady(volume('copy'));
  await story.waitReady(volume('sizeless'));
  await told(story, 'what it retains', ({ retained = [] }) => retained.some((one) => one.id === keptID));
  await story.inGuest('copy', a, async (serial) => assert.is(await a.readMarker(serial), 'to be copied'));
  await story.makeVolume('adopted', { source: { existing: { volumeServer: SERVER, id: keptID } } });
  await story.waitReady(volume('adopted'));
  await story.removeAndWait(
    ...['db', 'copy', 'sizeless', 'adopted'].map((name) => volume(name)),
    snapshot('nightly'),
  );
  await story.nothingLeft();
});

const oldCluster = mixed({
  name: 'agents of today with the controller and the CRDs of 0.1.0',
  release,
  options: (old) => ({ sources: { cluster: old, controller: old }, apiServerArgs: audit.apiServerArgs }),
});

const isRead = ({ verb, objectRef }: AuditEvent): boolean =>
  verb === 'get' && objectRef.resource === 'volumeservers';

/** A host reads its object again every twelfth time that it looks at itself. */
const LOOKS_A_READ = 12;

/** Until the server has looked at itself some more. */
async function someLooksLater(from: number): Promise<readonly AuditEvent[]> {
  return await waitFor({ what: 'the agents to look some more', timeoutMs: 120_000 }, async () => {
    const events = (await audit.between(from)).filter((event) => programOf(event) !== 'vbs-controller');
    return events.filter(isRead).length >= 3 && events;
  });
}

oldCluster('the main job, and no write without end of what the API server drops', async (world) => {
  const { story, a } = world;
  await mainJob(world, 'db');
  await story.attached('still', a);
  await audit.quiet(4_000);
  const events = await someLooksLater(await audit.end());
  const looks = events.filter(isRead).length * LOOKS_A_READ;
  const writes = events.filter(isWrite).map(({ objectRef }) => `${objectRef.resource}/${objectRef.name}`);
  log(`${writes.length} writes in ${looks} looks: ${writes.join(', ')}`);
  assert.ok(writes.length <= 2, writes.join(', '));
});

oldCluster('a controller of today waits for its CRDs, says so, and guests go on', async (world) => {
  const { story, a } = world;
  const { system } = story;
  const heartbeat = await Heartbeat.start(a, await story.volumeID('still'));
  await system.replaceController(ROOT);
  await waitFor({ what: 'the controller to name what it waits for', timeoutMs: 60_000 }, async () => {
    const answer = await fetch(`http://127.0.0.1:${system.controllerPort}/readyz`);
    return /not all caches are filled yet: snapshots\b/.test(await answer.text());
  });
  await heartbeat.goesOn();
  await system.replaceCluster(ROOT);
  await told(story, 'what its pools can', ({ pools = [] }) => pools.every(({ can }) => can !== undefined));
  await story.waitReady(attachment('still-on-vm-a'));
  await heartbeat.stop();
  await story.makeSnapshot('nightly', 'still');
  await story.removeAndWait(attachment('still-on-vm-a'));
  await story.waitReady(snapshot('nightly'));
  await story.removeAndWait(snapshot('nightly'), volume('still'));
  await story.nothingLeft();
});

oldAgents.run();
oldController.run();
oldCluster.run();
// Last: it removes the audit log.
there.run();
