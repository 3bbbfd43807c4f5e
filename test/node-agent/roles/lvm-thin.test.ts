// The pool procedure over logical volumes, against a small LVM in memory.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CommandError } from '../../../node-agent/exec/command.ts';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import {
  BackingNotFound,
  Busy,
  CannotLook,
  NoSpace,
  NotDone,
  NotOurs,
  PoolFaulty,
  PoolMissing,
  Unsupported,
} from '../../../node-agent/roles/errors.ts';
import type { Pool } from '../../../node-agent/roles/pool.ts';
import { profiledPool } from '../../../node-agent/roles/profiled-pool.ts';
import { FakeLvm, THIN_POOL, VG } from '../../fakes/lvm.ts';

const MIB = 1024n * 1024n;
const EXTENT = 4n * MIB;
const ID = 'vol0123456789abcdef0';
const OTHER = 'vol0123456789abcdef1';
const SNAP = 'snap0123456789abcdef';
const CLUSTER = '0b1c9f5e-4a55-4c6b-9a0e-3b2f1f6f7a01';
const owner = { clusterID: CLUSTER, namespace: 'team-a', name: 'db.main' };
const { signal } = new AbortController();
const root = join(import.meta.dirname, '../../..');
const fixture = (name: string): string => readFileSync(join(root, 'test/fixtures/lvm', name), 'utf8');
const profile = await loadProfile(join(root, 'node-agent/profiles/shipped/lvm-thin.yaml'), 'pool');

const bound = (run: FakeLvm['run']) =>
  bind(profile, { run, files: hostFiles, params: { vg: VG, thinpool: THIN_POOL } });
const poolOn = (lvm: Pick<FakeLvm, 'run'>, more: object = {}): Pool =>
  profiledPool(bound(lvm.run), { name: 'p', clusterID: CLUSTER, ...more });
const world = async () => {
  const lvm = new FakeLvm();
  const pool = poolOn(lvm);
  await pool.prepare(signal);
  return { lvm, pool };
};
const failure = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );
const names = ({ lvs }: FakeLvm) => lvs.map(({ name }) => name).toSorted();

const make = async (pool: Pool, id: string, sizeBytes: bigint): Promise<void> => {
  await pool.create(id, sizeBytes, owner, signal);
  await pool.complete(id, sizeBytes, signal);
};

const test = suite('a pool of thin logical volumes');

test('an empty thin pool is marked once, and one with anything in it never', async () => {
  const { lvm, pool } = await world();
  const identity = await pool.prepare(signal);
  assert.equal(lvm.poolTags, [`vbs.pool=${identity}`]);
  lvm.poolTags = [];
  assert.instance(await failure(pool.observe(signal)), PoolMissing);
  lvm.add('root');
  assert.instance(await failure(pool.prepare(signal)), NotOurs);
  assert.equal(lvm.poolTags, []);
});

test('a pool that is not there, is another one, or is no thin pool is missing, never empty', async () => {
  const { lvm, pool } = await world();
  const stranger = poolOn(lvm, { identity: () => '11111111-2222-4333-8444-555555555555' });
  assert.instance(await failure(stranger.observe(signal)), PoolMissing);
  lvm.poolAttr = '-wi-a-----';
  assert.instance(await failure(pool.observe(signal)), PoolMissing);
  lvm.present = false;
  assert.instance(await failure(pool.observe(signal)), PoolMissing);
  assert.instance(await failure(pool.prepare(signal)), PoolMissing);
  assert.is((await bound(lvm.run).call('look', {}, signal)).outcome, 'absent');
});

test('one command tells of a whole pool, and a change takes three: a look before and one after it', async () => {
  const { lvm, pool } = await world();
  lvm.commands = [];
  await pool.observe(signal);
  assert.equal(lvm.commands, ['lvs']);
  lvm.commands = [];
  await pool.create(ID, 1n, owner, signal);
  await pool.complete(ID, 1n, signal);
  await pool.grow(ID, EXTENT + 1n, signal);
  assert.equal(
    lvm.commands,
    ['lvcreate', 'lvrename', 'lvextend'].flatMap((change) => ['lvs', change, 'lvs']),
  );
});

test('a thin pool that is out of order takes nothing, and says why; what is in it is still seen', async () => {
  for (const [poolAttr, why] of [
    ['twi-aotzD-', /out of data space/],
    ['twi-aotzM-', /read-only/],
    ['twi-aotzF-', /has failed/],
    ['twi-cotz--', /must be checked/],
  ] as const) {
    const { lvm, pool } = await world();
    await pool.create(ID, MIB, owner, signal);
    lvm.poolAttr = poolAttr;
    const { fault, freeBytes, backings } = await pool.observe(signal);
    assert.match(fault ?? '', why);
    assert.equal([freeBytes, backings.length], [0n, 1]);
    assert.instance(await failure(pool.create(OTHER, MIB, owner, signal)), PoolFaulty);
  }
});

test('a thin pool that does not zero is refused, with the way out', async () => {
  const { lvm, pool } = await world();
  lvm.poolAttr = 'twi-aot---';
  const refusal = await failure(pool.create(ID, MIB, owner, signal));
  assert.instance(refusal, Unsupported);
  assert.match(String(refusal), /lvcreate --type thin-pool --zero y/);
  lvm.poolTags = [];
  assert.instance(await failure(pool.prepare(signal)), Unsupported);
  assert.equal(lvm.poolTags, []);
});

test('a volume goes from its provisional to its final to its dying name, and its owner stands in its tags', async () => {
  const { lvm, pool } = await world();
  await pool.create(ID, 1n, owner, signal);
  assert.equal(lvm.lv(`${ID}.new`)?.tags, [`vbs.cluster=${CLUSTER}`, 'vbs.owner=team-a/db.main']);
  await pool.create(ID, 1n, owner, signal);
  await pool.complete(ID, 1n, signal);
  const [backing] = (await pool.observe(signal)).backings;
  assert.equal(backing, {
    id: ID,
    state: 'complete',
    sizeBytes: EXTENT,
    path: `/dev/${VG}/${ID}`,
    clusterID: CLUSTER,
    owner: { namespace: 'team-a', name: 'db.main' },
  });
  await pool.retire(ID, signal);
  assert.equal(names(lvm), [`${ID}.dying`]);
  assert.instance(await failure(pool.create(ID, 1n, owner, signal)), Busy);
  await pool.free(ID, signal);
  await pool.free(ID, signal);
  assert.equal(names(lvm), []);
});

test('LVM is asked for absolute bytes, for no question, and zeroing is left to the pool', async () => {
  const { lvm, pool } = await world();
  await pool.create(ID, 5n * MIB, owner, signal);
  const argv = lvm.argvs.find((args) => args.includes('--virtualsize')) ?? [];
  assert.is(argv[argv.indexOf('--virtualsize') + 1], `${8n * MIB}b`);
  assert.ok(argv.includes('--yes') && !argv.includes('--zero'));
  assert.is(argv[argv.indexOf('--wipesignatures') + 1], 'y');
  assert.is(argv[argv.indexOf('--setactivationskip') + 1], 'n');
});

test('sizes grow by extents of the volume group, never shrink, and what is already so is no failure', async () => {
  const { pool } = await world();
  await pool.create(ID, 1n, owner, signal);
  await pool.complete(ID, 1n, signal);
  await pool.grow(ID, EXTENT + 1n, signal);
  await pool.grow(ID, EXTENT + 1n, signal);
  await pool.grow(ID, 1n, signal);
  assert.is((await pool.observe(signal)).backings[0]?.sizeBytes, 2n * EXTENT);
  assert.is((await pool.observe(signal)).extentBytes, EXTENT);
});

test('what is removed gives its blocks back piece by piece, and takes nothing from its copies', async () => {
  const { lvm, pool } = await world();
  await make(pool, ID, 2n * EXTENT);
  const range = { offset: 0n, length: EXTENT };
  for (let at = 0; at < 8; at += 1) {
    lvm.write(ID, at, 'secret');
  }
  await pool.snapshot(SNAP, ID, owner, signal);
  await pool.complete(SNAP, 2n * EXTENT, signal);
  await pool.retire(ID, signal);
  assert.ok(await pool.wipe(ID, range, signal));
  assert.is(lvm.lv(`${ID}.dying`)?.percent, 50);
  assert.equal(lvm.read(SNAP), Array(8).fill('secret'));
  assert.ok(await pool.wipe(ID, { offset: EXTENT, length: EXTENT }, signal));
  lvm.commands = [];
  assert.not.ok(await pool.wipe(ID, range, signal), 'it has no blocks any more');
  assert.equal(lvm.commands, ['lvs']);
});

test('where a pool takes no discards nothing is wiped', async () => {
  const { lvm } = await world();
  const stderr = 'blkdiscard: /dev/vbs/x: BLKDISCARD ioctl failed: Operation not supported';
  const deaf = poolOn({
    run: async (command, of) =>
      command.file === 'blkdiscard' ? { exitCode: 1, stdout: '', stderr } : lvm.run(command, of),
  });
  await make(deaf, ID, EXTENT);
  lvm.write(ID, 0, 'secret');
  await deaf.retire(ID, signal);
  assert.not.ok(await deaf.wipe(ID, { offset: 0n, length: EXTENT }, signal));
  await deaf.free(ID, signal);
  assert.equal(lvm.lvs, []);
});

test('a snapshot is a volume of its own that outlives its source', async () => {
  const { lvm, pool } = await world();
  await pool.create(ID, 1n, owner, signal);
  await pool.complete(ID, 1n, signal);
  await pool.snapshot(SNAP, ID, owner, signal);
  await pool.snapshot(SNAP, ID, owner, signal);
  assert.equal(names(lvm), [`${SNAP}.new`, ID]);
  await pool.complete(SNAP, EXTENT, signal);
  await pool.retire(ID, signal);
  await pool.free(ID, signal);
  assert.equal(names(lvm), [SNAP]);
});

const heir = { clusterID: CLUSTER, namespace: 'team-b', name: 'heir' };

test('retained data keeps its blocks and gets another name, owner and life', async () => {
  const { lvm, pool } = await world();
  await pool.create(ID, EXTENT, owner, signal);
  await pool.complete(ID, EXTENT, signal);
  await pool.retain(ID, signal);
  assert.equal(names(lvm), [`${ID}.retained`]);
  assert.is((await pool.observe(signal)).freeBytes, 63n * EXTENT);
  for (const refused of [pool.retire(ID, signal), pool.free(ID, signal)]) {
    assert.instance(await failure(refused), NotDone);
  }
  await pool.adopt(OTHER, ID, heir, signal);
  await pool.free(ID, signal);
  await pool.complete(OTHER, EXTENT, signal);
  assert.equal(names(lvm), [OTHER]);
  assert.equal(lvm.lv(OTHER)?.tags, [`vbs.cluster=${CLUSTER}`, 'vbs.owner=team-b/heir']);
});

test('what had its time in the trash goes, and nothing else does', async () => {
  const { lvm, pool } = await world();
  for (const id of [ID, OTHER]) {
    await pool.create(id, EXTENT, owner, signal);
    await pool.complete(id, EXTENT, signal);
    await pool.retain(id, signal);
  }
  await pool.retireRetained(ID, ({ owner: last }) => last?.name === owner.name, signal);
  assert.equal(names(lvm), [`${ID}.dying`, `${OTHER}.retained`]);
  assert.instance(await failure(pool.adopt(SNAP, ID, heir, signal)), BackingNotFound);
  await pool.free(ID, signal);
  assert.equal(names(lvm), [`${OTHER}.retained`]);
});

test('what an adoption has begun with is another owner’s, and does not go when its time is over', async () => {
  const seen = new Set<string>();
  for (let at = 0; ; at += 1) {
    const { lvm, pool } = await world();
    await pool.create(ID, EXTENT, owner, signal);
    await pool.complete(ID, EXTENT, signal);
    await pool.retain(ID, signal);
    let left = at;
    lvm.before = () => {
      left -= 1;
      if (left === -1) {
        throw new CommandError('lvm', 'ended by SIGKILL');
      }
    };
    const died = await failure(pool.adopt(OTHER, ID, heir, signal));
    lvm.before = () => undefined;
    const hasBegun = lvm.lv(`${ID}.retained`)?.tags.includes('vbs.owner=team-a/db.main') === false;
    await pool.retireRetained(ID, ({ owner: last }) => last?.name === owner.name, signal);
    assert.is(lvm.lvs.length, 1);
    seen.add(`${hasBegun} ${names(lvm)[0]}`);
    if (died === undefined) {
      break;
    }
  }
  assert.equal([...seen], [`false ${ID}.dying`, `true ${ID}.retained`, `false ${OTHER}.new`]);
});

test('data is adopted again by an object of the same name, and by one of which its tags tell nothing', async () => {
  const { lvm, pool } = await world();
  for (const tags of [[`vbs.owner=team-b/heir`], []]) {
    lvm.add(`${ID}.retained`, { percent: undefined, tags: [`vbs.cluster=${CLUSTER}`, ...tags] });
    await pool.adopt(OTHER, ID, heir, signal);
    assert.equal(lvm.lv(`${OTHER}.new`)?.tags, [`vbs.cluster=${CLUSTER}`, 'vbs.owner=team-b/heir']);
    assert.is(lvm.lv(`${OTHER}.new`)?.percent, 0, 'active');
    await pool.retire(OTHER, signal);
    await pool.free(OTHER, signal);
  }
});

test('a snapshot is adopted only where there is room for what will be written to it', async () => {
  const { lvm, pool } = await world();
  lvm.poolBytes = Number(4n * EXTENT);
  lvm.add(`${SNAP}.retained`, { bytes: Number(2n * EXTENT), percent: 0, tags: [`vbs.cluster=${CLUSTER}`] });
  await pool.create(OTHER, 3n * EXTENT, owner, signal);
  assert.instance(await failure(pool.adopt(ID, SNAP, heir, signal)), NoSpace);
  assert.equal(names(lvm), [`${SNAP}.retained`, `${OTHER}.new`].toSorted());
  await pool.retire(OTHER, signal);
  await pool.free(OTHER, signal);
  await pool.adopt(ID, SNAP, heir, signal);
  await pool.complete(ID, 2n * EXTENT, signal);
  assert.equal(names(lvm), [ID]);
});

test('nothing is promised twice: neither blocks not yet written, nor blocks that copies still share', async () => {
  const { lvm, pool } = await world();
  lvm.poolBytes = Number(4n * EXTENT);
  await pool.create(ID, EXTENT, owner, signal);
  await pool.complete(ID, EXTENT, signal);
  assert.is((await pool.observe(signal)).freeBytes, 3n * EXTENT);
  const source = lvm.lv(ID);
  assert.ok(source);
  source.percent = 100;
  lvm.poolPercent = '25.00';
  await pool.snapshot(SNAP, ID, owner, signal);
  await pool.complete(SNAP, EXTENT, signal);
  // The pool holds one extent, shared by both; the volume may yet write all of its own.
  assert.is((await pool.observe(signal)).freeBytes, 2n * EXTENT);
  assert.instance(await failure(pool.create(OTHER, 3n * EXTENT, owner, signal)), NoSpace);
  await pool.create(OTHER, 2n * EXTENT, owner, signal);
  assert.is((await pool.observe(signal)).freeBytes, 0n);
  const second = 'snap0123456789abcde0';
  assert.instance(await failure(pool.snapshot(second, ID, owner, signal)), NoSpace);
  assert.equal(names(lvm), [SNAP, ID, `${OTHER}.new`].toSorted());
});

test('percentages are rounded against us, and an inactive volume is counted whole', async () => {
  const { lvm, pool } = await world();
  lvm.poolBytes = 1_000_000 * 4;
  lvm.add(ID, { bytes: 1_000_000, percent: 50, tags: [`vbs.cluster=${CLUSTER}`] });
  lvm.poolPercent = '12.50';
  // Free: all but 12.51 %; owed: all but 49.99 %; the promise itself: all but its size.
  assert.is((await pool.observe(signal)).freeBytes, 4_000_000n - 500_400n - 500_100n);
  lvm.add(SNAP, { bytes: 1_000_000, percent: undefined, tags: [`vbs.cluster=${CLUSTER}`] });
  assert.is((await pool.observe(signal)).freeBytes, 2_000_000n);
  lvm.poolPercent = 'about half';
  assert.instance(await failure(pool.observe(signal)), CannotLook);
});

test('a pool whose data or own records are nearly full takes nothing more', async () => {
  for (const change of [{ metadataPercent: '70.10' }, { poolPercent: '80.10' }]) {
    const { lvm, pool } = await world();
    assert.not.equal((await pool.observe(signal)).freeBytes, 0n);
    Object.assign(lvm, change);
    assert.is((await pool.observe(signal)).freeBytes, 0n);
    assert.instance(await failure(pool.create(ID, MIB, owner, signal)), NoSpace);
  }
});

test('a half-made volume is activated and brought to its size', async () => {
  const { lvm, pool } = await world();
  lvm.add(`${ID}.new`, { percent: undefined, tags: [`vbs.cluster=${CLUSTER}`] });
  await pool.create(ID, 2n * EXTENT, owner, signal);
  const lv = lvm.lv(`${ID}.new`);
  assert.equal([lv?.percent, lv?.bytes], [0, Number(2n * EXTENT)]);
  const half = lvm.add(`${SNAP}.new`, { percent: undefined, tags: [`vbs.cluster=${CLUSTER}`] });
  await pool.complete(ID, EXTENT, signal);
  half.bytes = Number(2n * EXTENT);
  await pool.snapshot(SNAP, ID, owner, signal);
  assert.is(lvm.lv(`${SNAP}.new`)?.percent, 0);
});

test('what a killed lvcreate left is half, and activated before it is called complete', async () => {
  const { lvm, pool } = await world();
  await pool.create(OTHER, MIB, owner, signal);
  await pool.complete(OTHER, MIB, signal);
  lvm.write(OTHER, 0, 'word');
  lvm.isKilled = (command) => command === 'lvcreate';
  await failure(pool.create(ID, MIB, owner, signal));
  await failure(pool.snapshot(SNAP, OTHER, owner, signal));
  lvm.isKilled = () => false;
  const left = (await pool.observe(signal)).backings.filter(({ half }) => half);
  assert.equal(left.map(({ id }) => id).toSorted(), [SNAP, ID].toSorted());
  await pool.complete(ID, MIB, signal);
  await pool.complete(SNAP, MIB, signal);
  assert.ok(lvm.lv(ID)?.active);
  assert.is(lvm.read(SNAP)[0], 'word');
});

test('what is open, or has thick snapshots of its own, is not removed', async () => {
  const { lvm, pool } = await world();
  const lv = lvm.add(`${ID}.dying`, { open: true, tags: [`vbs.cluster=${CLUSTER}`] });
  assert.instance(await failure(pool.free(ID, signal)), Busy);
  lv.open = false;
  lv.thickOrigin = true;
  assert.instance(await failure(pool.free(ID, signal)), Busy);
  assert.not.ok(lvm.commands.includes('lvremove'));
  lv.thickOrigin = false;
  await pool.free(ID, signal);
  assert.equal(names(lvm), []);
});

test('volumes of others, by tag, pool or name, are not ours', async () => {
  const { lvm, pool } = await world();
  lvm.add(ID, { tags: ['vbs.cluster=11111111-2222-4333-8444-555555555555'] });
  lvm.add(OTHER, { tags: [] });
  lvm.add(SNAP, { pool: 'thin1', tags: [`vbs.cluster=${CLUSTER}`] });
  for (const name of ['root', `${ID}.bak`, 'vol0123', `x${ID}`]) {
    lvm.add(name);
  }
  const { backings } = await pool.observe(signal);
  assert.equal(
    backings.map(({ id, foreign }) => [id, foreign]),
    [
      [ID, true],
      [OTHER, true],
    ],
  );
  assert.instance(await failure(pool.retire(ID, signal)), NotOurs);
  assert.instance(await failure(pool.retire(OTHER, signal)), NotOurs);
});

test("LVM's note about its archive in the midst of a report is no part of it, and anything else is refused", async () => {
  const { lvm, pool } = await world();
  await pool.create(ID, 1n, owner, signal);
  lvm.note =
    '  Consider pruning vbs VG archive with more then 128 MiB in 8192 files (check archiving is needed in lvm.conf).\n';
  assert.is((await pool.observe(signal)).backings.length, 1);
  lvm.note = '  Something else.\n';
  assert.instance(await failure(pool.observe(signal)), CannotLook);
});

test('a command that dies at any point leaves something that the next try finishes', async () => {
  const path = async (pool: Pool) => {
    await pool.create(ID, 1n, owner, signal);
    await pool.complete(ID, 1n, signal);
    await pool.snapshot(SNAP, ID, owner, signal);
    await pool.complete(SNAP, 1n, signal);
    for (const id of [ID, SNAP]) {
      await pool.retire(id, signal);
      await pool.free(id, signal);
    }
  };
  const counter = await world();
  counter.lvm.commands = [];
  await path(counter.pool);
  const { length } = counter.lvm.commands;
  assert.ok(length > 16);
  for (let at = 0; at < length; at += 1) {
    const { lvm, pool } = await world();
    let left = at;
    lvm.before = () => {
      left -= 1;
      if (left === -1) {
        throw new CommandError('lvm', 'ended by SIGKILL');
      }
    };
    const error = await failure(path(pool));
    assert.ok(error instanceof CommandError || error instanceof CannotLook, `command ${at}: ${error}`);
    const { backings } = await pool.observe(signal);
    for (const { id } of backings.filter(({ state }) => state === 'dying')) {
      await pool.free(id, signal);
    }
    await path(pool);
    assert.equal(names(lvm), []);
  }
});

test('an adoption that dies at any command is finished by the next try', async () => {
  for (let at = 0; ; at += 1) {
    const { lvm, pool } = await world();
    lvm.add(`${ID}.retained`, { tags: [`vbs.cluster=${CLUSTER}`, 'vbs.owner=team-a/db'] });
    let left = at;
    lvm.before = () => {
      left -= 1;
      if (left === -1) {
        throw new CommandError('lvm', 'ended by SIGKILL');
      }
    };
    const died = await failure(pool.adopt(OTHER, ID, heir, signal));
    lvm.before = () => undefined;
    await pool.adopt(OTHER, ID, heir, signal);
    assert.equal(names(lvm), [`${OTHER}.new`]);
    assert.equal(lvm.lv(`${OTHER}.new`)?.tags, [`vbs.cluster=${CLUSTER}`, 'vbs.owner=team-b/heir']);
    if (died === undefined) {
      assert.ok(at > 6);
      break;
    }
  }
});

test('recorded reports read as they should', async () => {
  const report = fixture('lvs --reportformat json --units b --nosuffix -o COLUMNS vbs.json');
  const saying = (stdout: string, exitCode = 0) =>
    bound(async () => ({
      exitCode,
      stdout,
      stderr: exitCode === 0 ? '' : '  Failed to find logical volume "vbs/nope"\n',
    }));
  const { rows: seen } = await saying(report).call('look', {}, signal);
  assert.equal(
    seen.map(({ kind }) => kind),
    ['pool'],
  );
  const contents = await saying(report).call('contents', {}, signal);
  assert.is(contents.rows.length, 8);
  const renamed = report
    .replaceAll('"thin-1"', `"${ID}"`)
    .replace(
      '"lv_tags":"", "lv_uuid":"zeT',
      `"lv_tags":"a,vbs.cluster=${CLUSTER}", "lv_path":"/dev/vbs/${ID}", "lv_uuid":"zeT`,
    );
  const { rows } = await saying(renamed).call('look', {}, signal);
  assert.equal(rows, [
    { kind: 'pool', total: '536870912', usedPercent: '0.00', metadataPercent: '11.04' },
    {
      kind: 'volume',
      id: ID,
      state: 'complete',
      size: '1073741824',
      path: `/dev/vbs/${ID}`,
      allocatedPercent: '0.00',
      cluster: CLUSTER,
    },
  ]);
  const nothing = fixture('lvs --reportformat json vbs_nope.json');
  assert.is((await saying(nothing, 5).call('look', {}, signal)).outcome, 'absent');
  assert.equal((await saying(nothing).call('look', {}, signal)).rows, []);
  assert.equal((await saying(fixture('lvm version.txt')).version(signal))?.version, '2.03.16(2)');
});

test.run();
