// kill -9 of every part at every step of the main job: the step is begun, the part is killed at once or a moment later and
// started again, and then the system comes to the same end, with the data intact and nothing left over.
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Guest } from '../harness/guest.ts';
import { loud } from '../harness/loud.ts';
import { waitFor } from '../harness/process.ts';
import { attachment, Heartbeat, openStory, type Story, volume } from '../harness/story.ts';
import { HYPERVISOR, SERVER, type System } from '../harness/system.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);

interface World {
  story: Story;
  a: Guest;
  b: Guest;
}

interface Part {
  readonly name: string;
  readonly kill: (system: System) => Promise<void>;
  readonly start: (system: System) => Promise<void>;
}

const program = (name: string): Part => ({
  name,
  kill: (system) => system.kill(name),
  start: (system) => system.run(name),
});

const tgtd: Part = {
  name: 'tgtd',
  kill: (system) => system.tgtd.kill(),
  start: (system) => system.tgtd.restart(),
};
const apiServer: Part = {
  name: 'API server',
  kill: (system) => system.controlPlane.killApiServer(),
  start: (system) => system.controlPlane.startApiServer(),
};
const libvirtd: Part = {
  name: 'libvirtd',
  kill: (system) => system.libvirtd.kill(),
  start: (system) => system.libvirtd.restart(),
};
const parts = [program('controller'), program(SERVER), program(HYPERVISOR), tgtd, apiServer, libvirtd];

/** Between the request and the kill: each step of each part meets another one. */
const delaysMs = [0, 30, 400, 120, 250, 60, 800, 180];
let turn = 0;

const kills = suite<World>('kill -9');

kills.before(
  loud(async (world) => {
    world.story = await openStory(log);
    // Nothing may owe its cure to the visit which everything gets every so often.
    await world.story.reconfigure(SERVER, { resyncSeconds: 3_600 });
    await world.story.reconfigure(HYPERVISOR, { resyncSeconds: 3_600 });
    world.a = await world.story.guest('vm-a');
    world.b = await world.story.guest('vm-b');
  }),
);

kills.after(loud(async ({ story }) => await story?.close()));

/** Begins the step, kills the part in the middle of it, and starts it again. */
async function inTheMiddle({ story }: World, part: Part, step: () => Promise<unknown>): Promise<void> {
  const delayMs = delaysMs[turn % delaysMs.length] ?? 0;
  turn += 1;
  await step();
  // Not a wait for anything: it chooses the moment of the crash.
  await sleep(delayMs);
  await part.kill(story.system);
  await part.start(story.system);
}

for (const part of parts) {
  kills(`${part.name}, at each step of the main job`, async (world) => {
    const { story, a, b } = world;
    const startedAt = Date.now();
    const marker = `written before ${part.name} was killed`;
    const db = `db-${parts.indexOf(part)}`;

    await inTheMiddle(world, part, () => story.makeVolume(db));
    await story.waitReady(volume(db));
    const id = await story.volumeID(db);

    await inTheMiddle(world, part, () => story.attach(`${db}-on-vm-a`, db, 'vm-a'));
    await story.waitReady(attachment(`${db}-on-vm-a`));
    await a.writeMarker(id, marker);
    assert.is(await a.readMarker(id), marker);

    const heartbeat = await Heartbeat.start(a, id);
    await inTheMiddle(world, part, () => heartbeat.count());
    await heartbeat.goesOn();
    assert.ok((await heartbeat.stop()) > 0, 'the guest wrote all the time and saw no error');

    await inTheMiddle(world, part, () => story.remove(attachment(`${db}-on-vm-a`)));
    await story.waitGone(attachment(`${db}-on-vm-a`));
    assert.is(await a.findDisk(id), undefined, 'the disk is out of the first guest');

    await inTheMiddle(world, part, () => story.attach(`${db}-on-vm-b`, db, 'vm-b'));
    await story.waitReady(attachment(`${db}-on-vm-b`));
    assert.is(await b.readMarker(id), marker, 'the data is what the first guest wrote');
    assert.is((await story.backingBytes(id, 0, marker.length)).toString(), marker);

    await story.removeAndWait(attachment(`${db}-on-vm-b`));
    await inTheMiddle(world, part, () => story.remove(volume(db)));
    await story.waitGone(volume(db));
    await story.nothingLeft();
    log(`${part.name}: killed six times, ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
  });
}

kills('tgtd comes back empty under a writing guest: its target is built again', async ({ story, a }) => {
  const id = await story.attached('busy', a);
  const heartbeat = await Heartbeat.start(a, id);
  for (const round of [1, 2, 3]) {
    await story.system.tgtd.restart();
    const startedAt = Date.now();
    await heartbeat.goesOn();
    log(
      `round ${round}: the guest writes again ${((Date.now() - startedAt) / 1000).toFixed(1)} s after tgtd started empty`,
    );
  }
  await heartbeat.stop();
  await story.waitReady(attachment('busy-on-vm-a'));
  await story.removeAndWait(attachment('busy-on-vm-a'), volume('busy'));
  await story.nothingLeft();
});

kills(
  'without an API server guests go on, and a target is rebuilt from the copies on disk',
  async (world) => {
    const { story, a } = world;
    const { system } = story;
    const id = await story.attached('alone', a);
    await a.writeMarker(id, 'before the outage');
    const heartbeat = await Heartbeat.start(a, id);
    await apiServer.kill(system);
    await heartbeat.goesOn();
    await Promise.all([system.kill(SERVER), system.kill(HYPERVISOR), tgtd.kill(system)]);
    await tgtd.start(system);
    assert.equal(await story.targets(), [], 'tgtd is empty');
    await Promise.all([system.run(SERVER), system.run(HYPERVISOR)]);
    await heartbeat.goesOn(120_000);
    assert.match((await story.targets()).join(), id);
    await apiServer.start(system);
    await story.waitReady(attachment('alone-on-vm-a'));
    await heartbeat.stop();
    assert.is(await a.readMarker(id), 'before the outage');
    await story.removeAndWait(attachment('alone-on-vm-a'), volume('alone'));
    await story.nothingLeft();
  },
);

kills('all of it at once: power is cut and comes back', async (world) => {
  const { story, a } = world;
  const { system } = story;
  const id = await story.attached('storm', a);
  await a.writeMarker(id, 'before the cut');
  await a.destroy();
  await Promise.all([
    ...['controller', SERVER, HYPERVISOR].map((name) => system.kill(name)),
    tgtd.kill(system),
    apiServer.kill(system),
    libvirtd.kill(system),
  ]);
  await system.controlPlane.killEtcd();
  await Promise.all([system.reboot(SERVER), system.reboot(HYPERVISOR)]);
  await system.controlPlane.startEtcd();
  await Promise.all([tgtd.start(system), libvirtd.start(system), apiServer.start(system)]);
  await Promise.all(['controller', SERVER, HYPERVISOR].map((name) => system.run(name)));
  await a.start();
  await waitFor({ what: 'the disk to be back in the guest', timeoutMs: 120_000 }, async () => {
    return (await a.findDisk(id)) !== undefined;
  });
  assert.is(await a.readMarker(id), 'before the cut');
  await story.waitReady(attachment('storm-on-vm-a'), 120_000);
  await story.removeAndWait(attachment('storm-on-vm-a'), volume('storm'));
  await story.nothingLeft();
});

kills.run();
