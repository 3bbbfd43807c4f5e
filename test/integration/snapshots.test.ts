// Snapshots, and Volumes made from them and from other Volumes: the data is what it was, each goes its own way afterwards, a
// source stays as long as it is needed and no longer, and a crash costs no more than a chunk.
import { mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { VOLUME_CLASSES } from '../../api/resources.ts';
import type { Guest } from '../harness/guest.ts';
import { loud } from '../harness/loud.ts';
import { runCommand, waitFor } from '../harness/process.ts';
import { attachment, Heartbeat, openStory, type Story, snapshot, volume } from '../harness/story.ts';
import { SERVER } from '../harness/system.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const MI = 1024 * 1024;

interface World {
  story: Story;
  a: Guest;
}

const snapshots = suite<World>('snapshots');

snapshots.before(
  loud(async (world) => {
    world.story = await openStory(log);
    world.a = await world.story.guest('vm-a');
  }),
);
snapshots.after(loud(async ({ story }) => await story?.close()));

const from = (name: string, more: object = {}) => ({ source: { snapshotRef: { name } }, ...more });

snapshots('one Snapshot becomes many Volumes, which go their own ways', async (world) => {
  const { story, a } = world;
  await story.makeVolume('db');
  await story.waitReady(volume('db'));
  await story.inGuest('db', a, (serial) => a.writeMarker(serial, 'prepared'));
  await story.makeSnapshot('nightly', 'db');
  await story.waitReady(snapshot('nightly'));
  await story.inGuest('db', a, (serial) => a.writeMarker(serial, 'went on'));

  await Promise.all([
    story.makeVolume('copy-1', from('nightly')),
    story.makeVolume('copy-2', from('nightly', { size: '32Mi' })),
  ]);
  await story.waitReady(volume('copy-1'));
  const larger = await story.waitReady(volume('copy-2'));
  assert.is(larger.status?.capacity, '32Mi', 'larger than its source');
  for (const name of ['copy-1', 'copy-2']) {
    await story.inGuest(name, a, async (serial) => {
      assert.is(await a.readMarker(serial), 'prepared', name);
      await a.writeMarker(serial, `of ${name}`);
    });
  }
  await story.inGuest('copy-2', a, async (serial) => {
    assert.is(await a.readMarker(serial), 'of copy-2');
    const end = await a.read(serial, 31 * MI, 512);
    assert.ok(end.equals(Buffer.alloc(512)), 'what is beyond the source reads as zeroes');
  });
  await story.inGuest('db', a, async (serial) => assert.is(await a.readMarker(serial), 'went on'));

  await story.removeAndWait(volume('db'));
  await story.makeVolume('copy-3', from('nightly'));
  await story.waitReady(volume('copy-3'));
  await story.removeAndWait(snapshot('nightly'));
  await story.inGuest('copy-3', a, async (serial) => assert.is(await a.readMarker(serial), 'prepared'));
  await story.removeAndWait(volume('copy-1'), volume('copy-2'), volume('copy-3'));
  await story.nothingLeft();
});

snapshots('what a Snapshot or a source waits for is said, in any order of things', async (world) => {
  const { story, a } = world;
  await story.makeVolume('early', from('later'));
  await story.waitReason(volume('early'), {
    reason: 'SourceNotFound',
    message: /no Snapshot later \(spec\.source\)/,
  });
  await story.makeSnapshot('later', 'base');
  await story.waitReason(snapshot('later'), {
    reason: 'VolumeNotFound',
    message: /no Volume base \(spec\.volumeRef\)/,
  });
  await story.waitReason(volume('early'), { reason: 'SourceNotReady', message: /Snapshot later/ });
  await story.makeVolume('base');
  await story.waitReady(volume('early'));

  await story.makeVolume('small', from('later', { size: '8Mi' }));
  await story.waitReason(volume('small'), {
    reason: 'SizeBelowSource',
    message: /16Mi of Snapshot later; set 16Mi or more/,
  });
  await story.change(volume('small'), { size: '16Mi' });
  await story.waitReady(volume('small'));

  // This pool makes no copies of what is written to.
  const id = await story.attached('used', a);
  await a.writeMarker(id, 'in use');
  await story.makeSnapshot('of-used', 'used');
  await story.waitReason(snapshot('of-used'), {
    reason: 'WaitingForDetach',
    message: /Volume used is attached/,
  });
  await story.makeVolume('of-used-too', { source: { volumeRef: { name: 'used' } } });
  await story.waitReason(volume('of-used-too'), { reason: 'WaitingForSource', message: /attached nowhere/ });
  await story.removeAndWait(attachment('used-on-vm-a'));
  await story.waitReady(snapshot('of-used'));
  await story.waitReady(volume('of-used-too'));
  await story.inGuest('of-used-too', a, async (serial) => assert.is(await a.readMarker(serial), 'in use'));

  await story.removeAndWait(
    ...['early', 'base', 'small', 'used', 'of-used-too'].map(volume),
    ...['later', 'of-used'].map(snapshot),
  );
  await story.nothingLeft();
});

snapshots(
  'everything is killed while it copies, and the sources are deleted: nothing is lost',
  async (world) => {
    const { story, a } = world;
    const { system } = story;
    const size = 320;
    await story.makeVolume('big', { size: `${size}Mi` });
    await story.waitReady(volume('big'));
    const places = [0, 63, 64, 200, size - 1];
    await story.inGuest('big', a, async (serial) => {
      for (const place of places) {
        await a.write(serial, place * MI, Buffer.from(`block ${place}`.padEnd(512)));
      }
    });
    await story.makeSnapshot('big-snap', 'big');
    await story.makeVolume('big-copy', from('big-snap'));
    await story.remove(volume('big'));
    await story.waitReason(volume('big'), { reason: 'Pinned', message: /Snapshot big-snap/ });
    for (const [round, name] of [SERVER, 'controller', SERVER, SERVER, 'controller', SERVER].entries()) {
      // Not a wait for anything: it chooses the moment of the crash.
      await sleep(150 + 130 * round);
      await system.kill(name);
      await system.run(name);
    }
    await waitFor({ what: 'the snapshot to be made', timeoutMs: 120_000 }, async () => {
      const made = await story.get(snapshot('big-snap'));
      return (made?.status?.backend as { everProvisioned?: boolean } | undefined)?.everProvisioned === true;
    });
    await story.waitGone(volume('big'));
    await story.remove(snapshot('big-snap'));
    await story.waitReady(volume('big-copy'), 120_000);
    await story.waitGone(snapshot('big-snap'));
    await story.inGuest('big-copy', a, async (serial) => {
      for (const place of places) {
        assert.is((await a.read(serial, place * MI, 512)).toString().trim(), `block ${place}`);
      }
      assert.ok((await a.read(serial, 100 * MI, 512)).equals(Buffer.alloc(512)));
    });
    await story.removeAndWait(volume('big-copy'));
    await story.nothingLeft();
  },
);

snapshots('one that is deleted while it is made leaves nothing', async ({ story }) => {
  await story.makeVolume('base', { size: '256Mi' });
  await story.waitReady(volume('base'));
  await story.makeSnapshot('unwanted', 'base');
  await story.makeVolume('unwanted-too', from('unwanted'));
  await waitFor({ what: 'the copy to be begun', timeoutMs: 60_000 }, async () => {
    return (await story.system.poolContents()).some((name) => /^snap.*\.new$/.test(name));
  });
  await story.removeAndWait(volume('unwanted-too'), snapshot('unwanted'));
  await story.removeAndWait(volume('base'));
  await story.nothingLeft();
});

snapshots('where the pool copies on write, a volume in use has its snapshot in a moment', async (world) => {
  const { story, a } = world;
  const { system } = story;
  const image = path.join(system.dir, 'reflink.img');
  const dir = path.join(system.dir, 'reflink');
  await runCommand('truncate', ['--size', '1G', image]);
  await runCommand('mkfs.xfs', ['-q', '-m', 'reflink=1', image]);
  await mkdir(dir, { mode: 0o700 });
  await runCommand('mount', ['-o', 'loop', image, dir]);
  try {
    await addPool(story, { name: 'fast', profile: 'file-reflink', params: { dir } });
    await story.make({ resource: VOLUME_CLASSES, name: 'fast' }, { poolSelector: { name: 'fast' } });
    await story.makeVolume('live', { className: 'fast', size: '256Mi' });
    await story.attach('live-on-vm-a', 'live', 'vm-a');
    await story.waitReady(attachment('live-on-vm-a'));
    const id = await story.volumeID('live');
    await a.writeMarker(id, 'before the snapshot');
    const heartbeat = await Heartbeat.start(a, id);
    await story.makeSnapshot('moment', 'live');
    const made = await story.waitReady(snapshot('moment'));
    assert.is(made.status?.capacity, '256Mi');
    await heartbeat.goesOn();
    await heartbeat.stop();
    await a.writeMarker(id, 'after the snapshot');
    await story.removeAndWait(attachment('live-on-vm-a'));

    await story.makeVolume('clone', { className: 'fast', source: { volumeRef: { name: 'live' } } });
    await story.makeVolume('back', {
      className: 'fast',
      size: '300Mi',
      source: { snapshotRef: { name: 'moment' } },
    });
    // Another pool takes the bytes one by one.
    await story.makeVolume('moved', { source: { snapshotRef: { name: 'moment' } } });
    for (const [name, text] of [
      ['clone', 'after the snapshot'],
      ['back', 'before the snapshot'],
      ['moved', 'before the snapshot'],
    ] as const) {
      await story.waitReady(volume(name), 120_000);
      await story.inGuest(name, a, async (serial) => assert.is(await a.readMarker(serial), text, name));
    }
    assert.is((await story.get(volume('back')))?.status?.capacity, '300Mi');
    await story.removeAndWait(...['live', 'clone', 'back', 'moved'].map(volume), snapshot('moment'));
    await story.remove({ resource: VOLUME_CLASSES, name: 'fast' });
    await story.nothingLeft();
    assert.equal(await readdir(dir), ['.vbs-pool']);
  } finally {
    await system.kill(SERVER);
    await runCommand('umount', ['-l', dir]);
  }
});

/** Gives the volume server one more pool, made as an administrator does. */
async function addPool(story: Story, pool: object): Promise<void> {
  const { system } = story;
  const { volumeServer } = (await story.configOf(SERVER)) as { volumeServer: { pools: readonly object[] } };
  await story.reconfigure(SERVER, {
    volumeServer: { ...volumeServer, pools: [...volumeServer.pools, pool] },
  });
  await system.preparePools();
}

snapshots.run();
