// Several volume servers: volumes spread by free space, keep off what is cordoned, full or silent, and go where they are pinned.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ServerAgent } from '../../api/hosts.ts';
import type { Guest } from '../harness/guest.ts';
import { loud } from '../harness/loud.ts';
import { runCommand, waitFor } from '../harness/process.ts';
import { attachment, openStory, type Story, serverHost, snapshot, volume } from '../harness/story.ts';
import { SERVER } from '../harness/system.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const SECOND = 'server-2';
const THIRD = 'server-3';
/** Looks at its pool, and tells of it, only when it starts. */
const LATE = 'server-4';

interface World {
  story: Story;
  a: Guest;
  /** Of the servers whose pools are small file systems of their own. */
  pools: Record<string, string>;
}

const servers = suite<World>('several volume servers');

/** A server whose pool has a size of its own, since the others share this machine's file system. */
async function addServer(world: World, host: string, size: string, more: object = {}): Promise<void> {
  const { story } = world;
  const dir = path.join(story.system.dir, `${host}-pool`);
  await mkdir(dir, { mode: 0o700 });
  await runCommand('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=700`, 'none', dir]);
  world.pools[host] = dir;
  await story.addServer(host, { ...(await story.configOf(SERVER)), ...more }, dir);
}

servers.before(
  loud(async (world) => {
    world.pools = {};
    world.story = await openStory(log);
    world.a = await world.story.guest('vm-a');
    await addServer(world, SECOND, '200m');
    await addServer(world, THIRD, '300m');
    await addServer(world, LATE, '400m', { observeSeconds: 3_600, resyncSeconds: 3_600 });
    for (const host of [SERVER, LATE]) {
      await world.story.change(serverHost(host), { cordoned: true });
    }
  }),
);

servers.after(
  loud(async ({ story, pools }) => {
    for (const dir of Object.values(pools ?? {})) {
      await runCommand('umount', ['-l', dir]).catch(() => undefined);
    }
    await story?.close();
  }),
);

const serverOf = async (story: Story, name: string) => {
  const { status } = await story.waitReady(volume(name));
  return { server: status?.server, epoch: (status?.placement as { epoch?: number } | undefined)?.epoch };
};

/** Of the pools of all servers, as told. */
async function freeBytes(story: Story): Promise<bigint> {
  const hosts = await Promise.all([SECOND, THIRD].map((host) => story.get(serverHost(host))));
  const pools = hosts.flatMap((host) => (host?.status?.agent as ServerAgent | undefined)?.pools ?? []);
  return pools.reduce((sum, pool) => sum + BigInt(pool.freeBytes ?? '0'), 0n);
}

servers('volumes spread: each goes where most is free', async ({ story }) => {
  const places: unknown[] = [];
  for (const name of ['one', 'two', 'three']) {
    const before = await freeBytes(story);
    await story.makeVolume(name, { size: '90Mi' });
    places.push((await serverOf(story, name)).server);
    // A server tells of its space now and then; until it does, it is the last judge.
    await waitFor({ what: 'the server to tell of its space', timeoutMs: 30_000 }, async () => {
      return (await freeBytes(story)) < before - 80n * 1024n * 1024n;
    });
  }
  // 300 and 200 MiB: the larger takes one, which leaves 210, and another one, which leaves 120 beside 200.
  assert.equal(places, [THIRD, THIRD, SECOND]);
  await story.removeAndWait(...['one', 'two', 'three'].map(volume));
});

servers('a pinned volume goes where it is told, and waits for that one only', async ({ story }) => {
  await story.makeVolume('pinned', { volumeServer: SECOND });
  assert.is((await serverOf(story, 'pinned')).server, SECOND);
  await story.makeVolume('cordoned', { volumeServer: SERVER });
  await story.waitReason(volume('cordoned'), { reason: 'NoPool', message: /server-1.*cordoned/ });
  await story.makeVolume('nowhere', { volumeServer: 'server-9' });
  await story.waitReason(volume('nowhere'), { reason: 'VolumeServerNotFound', message: /server-9/ });
  await story.removeAndWait(...['pinned', 'cordoned', 'nowhere'].map(volume));
});

servers(
  'a server that has less room than it told refuses, and another one takes the volume',
  async (world) => {
    const { story, a } = world;
    await story.change(serverHost(LATE), { cordoned: false });
    const filler = path.join(world.pools[LATE] ?? '', 'of-others');
    await writeFile(filler, Buffer.alloc(330 * 1024 * 1024, 1));
    await story.makeVolume('refused', { size: '120Mi' });
    const { server, epoch } = await serverOf(story, 'refused');
    assert.is(server, THIRD);
    assert.ok(Number(epoch) >= 2 && Number(epoch) <= 4, `placed ${epoch} times`);
    const id = await story.plugIn('refused', a);
    await a.writeMarker(id, 'on another one');
    assert.is(await a.readMarker(id), 'on another one');
    await story.removeAndWait(attachment('refused-on-vm-a'), volume('refused'));
    await runCommand('rm', [filler]);
    await story.change(serverHost(LATE), { cordoned: true });
  },
);

servers(
  'one snapshot becomes volumes on its own server and on another one, with the same data',
  async (world) => {
    const { story, a } = world;
    await story.makeVolume('base', { volumeServer: SECOND, size: '65Mi' });
    await story.inGuest('base', a, (serial) => a.writeMarker(serial, 'one origin'));
    await story.makeSnapshot('snap', 'base');
    assert.is((await story.waitReady(snapshot('snap'))).status?.server, SECOND);
    const source = { snapshotRef: { name: 'snap' } };
    await story.makeVolume('near', { source });
    assert.is((await serverOf(story, 'near')).server, SECOND);
    await story.makeVolume('far', { source, volumeServer: THIRD });
    assert.is((await serverOf(story, 'far')).server, THIRD);
    for (const name of ['near', 'far']) {
      assert.is(await a.readMarker(await story.plugIn(name, a)), 'one origin');
    }
    await a.writeMarker(await story.volumeID('far'), 'gone its own way');
    assert.is(await a.readMarker(await story.volumeID('near')), 'one origin');
    // The target that was open to the other server is closed, and nothing is left of it.
    const read = (await story.get(snapshot('snap')))?.status;
    assert.equal(
      [read?.pins ?? [], (read?.backend as { export?: object } | undefined)?.export],
      [[], undefined],
    );
    const attachments = ['near', 'far'].map((name) => attachment(`${name}-on-vm-a`));
    await story.removeAndWait(...attachments, ...['near', 'far', 'base'].map(volume), snapshot('snap'));
  },
);

servers('a volume is copied onto another server, and waits while one of the two is silent', async (world) => {
  const { story, a } = world;
  await story.makeVolume('origin', { volumeServer: SECOND, size: '65Mi' });
  await story.waitReady(volume('origin'));
  await story.change(serverHost(SECOND), { cordoned: true });
  const silent = story.program(SECOND);
  process.kill(silent.pid, 'SIGSTOP');
  await story.waitReason(serverHost(SECOND), { reason: 'HostSilent', message: /server-2/ });
  await story.makeVolume('copy', { source: { volumeRef: { name: 'origin' } } });
  await story.waitReason(volume('copy'), { reason: 'SourceElsewhere', message: /server-2.*does not answer/ });
  process.kill(silent.pid, 'SIGCONT');
  assert.is((await serverOf(story, 'copy')).server, THIRD);
  await story.change(serverHost(SECOND), { cordoned: false });
  // Afterwards the origin may be written to again.
  await story.inGuest('origin', a, async (serial) => {
    await a.writeMarker(serial, 'written after the copy');
    assert.is(await a.readMarker(serial), 'written after the copy');
  });
  await story.removeAndWait(volume('origin'), volume('copy'));
});

servers('what a silent server holds says so, and nothing new goes there', async ({ story }) => {
  await story.makeVolume('held', { volumeServer: THIRD });
  await story.waitReady(volume('held'));
  const silent = story.program(THIRD);
  process.kill(silent.pid, 'SIGSTOP');
  await story.waitReason(volume('held'), { reason: 'HostSilent', message: /server-3 does not answer/ });
  await story.waitReason(serverHost(THIRD), { reason: 'HostSilent', message: /server-3/ });
  await story.makeVolume('next');
  assert.is((await serverOf(story, 'next')).server, SECOND);
  process.kill(silent.pid, 'SIGCONT');
  await story.waitReady(volume('held'));
  await story.removeAndWait(volume('held'), volume('next'));
});

servers('a lost server is lost when it is silent, and what it held can be deleted', async ({ story, a }) => {
  await story.makeVolume('gone', { volumeServer: THIRD });
  await story.makeSnapshot('gone-too', 'gone');
  await story.waitReady(snapshot('gone-too'));
  await story.makeVolume('used', { volumeServer: THIRD });
  await story.plugIn('used', a);
  const used = attachment(`used-on-${a.name}`);
  await story.change(serverHost(THIRD), { lost: true });
  await story.waitReason(serverHost(THIRD), { reason: 'LostRefused', message: /server-3 answers/ });
  await story.waitReady(volume('gone'));
  await story.program(THIRD).kill();
  await story.waitReason(serverHost(THIRD), { reason: 'Lost', message: /server-3/ });
  await story.waitReason(volume('gone'), { reason: 'ServerLost', message: /server-3.*delete the Volume/ });
  await story.waitReason(snapshot('gone-too'), { reason: 'ServerLost', message: /server-3/ });
  await story.waitReason(used, { reason: 'ServerLost', message: /server-3.*delete this Attachment/ });
  await story.removeAndWait(used, volume('used'), volume('gone'), snapshot('gone-too'));
});

servers.run();
