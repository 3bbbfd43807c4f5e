// Freeing the space of removed volumes, over ordinary logical volumes in memory.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CommandError, type RunCommand } from '../../../node-agent/exec/command.ts';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { Freeing } from '../../../node-agent/freeing/freeing.ts';
import type { WipeMemory } from '../../../node-agent/freeing/plan.ts';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import { profiledPool } from '../../../node-agent/roles/profiled-pool.ts';
import { RecordStore } from '../../../node-agent/store.ts';
import type { Result } from '../../../runtime/loop.ts';
import { FakeClock } from '../../fakes/clock.ts';
import { FakeLvm, VG } from '../../fakes/lvm.ts';

const test = suite('freeing the space of removed volumes');

const CLUSTER = '0b1c9f5e-4a55-4c6b-9a0e-3b2f1f6f7a01';
const BIG = 'vol0123456789abcdef0';
const SMALL = 'vol0123456789abcdef1';
const SNAP = 'snap0123456789abcdef';
const EXTENTS = 40;
const root = join(import.meta.dirname, '../../..');
const profile = await loadProfile(join(root, 'node-agent/profiles/shipped/lvm-thick.yaml'), 'pool');
const { signal } = new AbortController();
const silent = { info: () => {}, warn: () => {} };
const visiting = { signal, log: silent } as never;

const setUp = async (directory: string, lvm = new FakeLvm(), clock = new FakeClock()) => {
  lvm.thin = false;
  lvm.vgTags = ['vbs.pool=11111111-2222-4333-8444-555555555555'];
  const commands: string[] = [];
  const run: RunCommand = async (command, of) => {
    if (!['lvs', 'lvm'].includes(command.file)) {
      commands.push(command.file);
    }
    if (command.file === 'blkdiscard') {
      // It takes its time.
      await clock.advance(700);
    }
    return lvm.run(command, of);
  };
  const pool = profiledPool(bind(profile, { run, files: hostFiles, params: { vg: VG } }), {
    name: 'main',
    clusterID: CLUSTER,
  });
  const asked: string[] = [];
  let news = 0;
  const records = await RecordStore.open<WipeMemory>(hostFiles, join(directory, 'wipes'));
  const freeing = new Freeing({
    clock,
    pools: new Map([['main', pool]]),
    lookAtPool: () => pool.observe(signal),
    records,
    later: (name) => asked.push(name),
    onNews: () => {
      news += 1;
    },
  });
  const look = async () => [{ name: 'main', view: await pool.observe(signal) }];
  const visit = (): Promise<Result> => freeing.visit('main', visiting);
  return { lvm, clock, pool, freeing, records, asked, commands, look, visit, news: () => news };
};

type Scene = Awaited<ReturnType<typeof setUp>>;

const withScene = async (work: (scene: Scene, directory: string) => Promise<void>): Promise<void> => {
  const directory = await mkdtemp(join(tmpdir(), 'vbs-freeing-'));
  try {
    await work(await setUp(directory), directory);
  } finally {
    await rm(directory, { recursive: true });
  }
};

const dying = ({ lvm }: Pick<Scene, 'lvm'>, id: string, extents: number): void => {
  lvm.addThick(`${id}.dying`, extents, { tags: [`vbs.cluster=${CLUSTER}`] });
  for (let at = 0; at < extents * 4; at += 1) {
    lvm.write(`${id}.dying`, at, 'secret');
  }
};

const run = async ({ visit, clock }: Pick<Scene, 'visit' | 'clock'>): Promise<readonly number[]> => {
  const rests: number[] = [];
  for (let result = await visit(); result.requeueAfterMs !== undefined; result = await visit()) {
    rests.push(result.requeueAfterMs);
    await clock.advance(result.requeueAfterMs);
    assert.ok(rests.length < 50, 'it comes to no end');
  }
  return rests;
};

test('each is wiped piece by piece, with a rest as long as the work, a small one is not held up, and then it is freed', () =>
  withScene(async (scene) => {
    dying(scene, BIG, EXTENTS);
    dying(scene, SMALL, 1);
    const rests = await run(scene);
    assert.equal(rests, [700, 700, 700, 0, 700, 0]);
    assert.equal(scene.commands, [
      'blkdiscard',
      'blkdiscard',
      'blkdiscard',
      'lvremove',
      'blkdiscard',
      'lvremove',
    ]);
    assert.equal(scene.lvm.lvs, []);
    assert.not.ok([...scene.lvm.disk.values()].includes('secret'));
    assert.equal(scene.records.list(), []);
  }));

test('how much is left is told in steps, and goes on where it was in the next process', () =>
  withScene(async (scene, directory) => {
    dying(scene, BIG, EXTENTS);
    await scene.visit();
    const left = 160n - (160n * 8n) / 20n;
    assert.equal(scene.freeing.facts(await scene.look()).get(BIG), { leftBytes: left * 1024n * 1024n });
    assert.is(scene.news(), 1);
    const next = await setUp(directory, scene.lvm);
    assert.equal(next.freeing.facts(await next.look()).get(BIG), { leftBytes: left * 1024n * 1024n });
    await run(next);
    assert.equal(next.commands, ['blkdiscard', 'blkdiscard', 'lvremove']);
    assert.not.ok([...next.lvm.disk.values()].includes('secret'));
  }));

test('whoever waits hears of what is free within a moment, and does not wait for more', () =>
  withScene(async (scene) => {
    dying(scene, SMALL, 1);
    const quick = scene.freeing.within(1_500, ['main']);
    assert.equal(scene.asked, ['main']);
    await run(scene);
    assert.ok(await quick);
    dying(scene, BIG, EXTENTS);
    const slow = scene.freeing.within(1_500, ['main']);
    await scene.visit();
    await scene.clock.advance(1_500);
    assert.not.ok(await slow);
    scene.freeing.within(1_500, ['main']);
    assert.equal(scene.asked, ['main', 'main'], 'a pool that is being worked on is not asked again');
    await run(scene);
    await scene.clock.advance(1_500);
  }));

test('one that cannot be freed stops no other, is told, and is tried again', () =>
  withScene(async (scene) => {
    dying(scene, BIG, 1);
    dying(scene, SMALL, 1);
    const lv = scene.lvm.lv(`${BIG}.dying`);
    assert.ok(lv);
    lv.open = true;
    const waiting = scene.freeing.within(60_000, ['main']);
    let result = await scene.visit();
    while (result.requeueAfterMs !== 5_000) {
      await scene.clock.advance(result.requeueAfterMs ?? 0);
      result = await scene.visit();
    }
    assert.ok(await waiting, 'something was freed, and nothing more is to be done now');
    assert.equal(
      scene.lvm.lvs.map(({ name }) => name),
      [`${BIG}.dying`],
    );
    assert.match(scene.freeing.facts(await scene.look()).get(BIG)?.stuck ?? '', 'busy');
    const again = scene.freeing.within(1_500, ['main']);
    await scene.visit();
    assert.not.ok(await again, 'nothing was freed');
    lv.open = false;
    await scene.clock.advance(5_000);
    await run(scene);
    assert.equal(scene.lvm.lvs, []);
    assert.is(scene.freeing.facts(await scene.look()).size, 0);
  }));

test('what shares with a volume goes first, and is not wiped itself', () =>
  withScene(async (scene) => {
    dying(scene, BIG, 2);
    const origin = scene.lvm.lv(`${BIG}.dying`);
    scene.lvm.addThick(`${SNAP}.dying`, 3, { tags: [`vbs.cluster=${CLUSTER}`], origin });
    await run(scene);
    assert.equal(scene.commands, ['lvremove', 'blkdiscard', 'lvremove']);
    assert.equal(scene.lvm.lvs, []);
  }));

test('what was wiped of something that went by other hands says nothing of the next one', () =>
  withScene(async (scene) => {
    dying(scene, BIG, EXTENTS);
    await scene.visit();
    scene.lvm.lvs = [];
    await scene.visit();
    assert.equal(scene.records.list(), []);
    dying(scene, BIG, EXTENTS);
    await run(scene);
    assert.not.ok([...scene.lvm.disk.values()].includes('secret'));
  }));

test('a command that dies in the midst is done again, and a pool that is not there is no work', () =>
  withScene(async (scene) => {
    dying(scene, BIG, 2);
    scene.lvm.isKilled = (command) => command === 'blkdiscard';
    await scene.visit();
    assert.ok(scene.freeing.facts(await scene.look()).get(BIG)?.stuck);
    scene.lvm.isKilled = () => false;
    await scene.clock.advance(5_000);
    await run(scene);
    assert.not.ok([...scene.lvm.disk.values()].includes('secret'));
    scene.lvm.before = () => {
      throw new CommandError('lvm', 'is not there');
    };
    const waiting = scene.freeing.within(60_000, ['main']);
    await scene.visit().then(
      () => assert.unreachable('it was seen'),
      () => undefined,
    );
    assert.not.ok(await waiting);
  }));

test.run();
