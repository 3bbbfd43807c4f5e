// The pool procedure over ordinary logical volumes and their copy-on-write snapshots, against a small LVM in memory.

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
  Mismatch,
  NoSpace,
  NotDone,
  NotOurs,
  PoolFaulty,
  PoolMissing,
  Unsupported,
} from '../../../node-agent/roles/errors.ts';
import type { Pool } from '../../../node-agent/roles/pool.ts';
import { profiledPool } from '../../../node-agent/roles/profiled-pool.ts';
import { FakeLvm, VG } from '../../fakes/lvm.ts';

const MIB = 1024n * 1024n;
const EXTENT = 4n * MIB;
const ID = 'vol0123456789abcdef0';
const OTHER = 'vol0123456789abcdef1';
const SNAP = 'snap0123456789abcdef';
const CLUSTER = '0b1c9f5e-4a55-4c6b-9a0e-3b2f1f6f7a01';
const owner = { clusterID: CLUSTER, namespace: 'team-a', name: 'db.main' };
const ours = [`vbs.cluster=${CLUSTER}`, 'vbs.owner=team-a/db.main'];
const { signal } = new AbortController();
const root = join(import.meta.dirname, '../../..');
const profile = await loadProfile(join(root, 'node-agent/profiles/shipped/lvm-thick.yaml'), 'pool');

const bound = (run: FakeLvm['run']) => bind(profile, { run, files: hostFiles, params: { vg: VG } });
const poolOn = (lvm: FakeLvm, more: object = {}): Pool =>
  profiledPool(bound(lvm.run), { name: 'p', clusterID: CLUSTER, ...more });
const world = async (vgExtents = 64) => {
  const lvm = new FakeLvm();
  lvm.thin = false;
  lvm.vgExtents = vgExtents;
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
const zeroes = (extents: bigint): readonly string[] => Array(Number(extents * 4n)).fill('');

/** As the procedure of a volume does it. */
const make = async (pool: Pool, id: string, sizeBytes: bigint): Promise<void> => {
  await pool.create(id, sizeBytes, owner, signal);
  const backing = (await pool.observe(signal)).backings.find((one) => one.id === id);
  if (backing?.state === 'provisional') {
    await pool.zero(id, { offset: 0n, length: backing.sizeBytes }, signal);
  }
  if (backing?.state !== 'growing') {
    await pool.complete(id, sizeBytes, signal);
  }
};
const makeGrow = async (pool: Pool, id: string, sizeBytes: bigint): Promise<void> => {
  await pool.grow(id, sizeBytes, signal);
  const backing = (await pool.observe(signal)).backings.find((one) => one.id === id);
  const { cleanBytes } = backing ?? {};
  if (backing !== undefined && cleanBytes !== undefined) {
    await pool.zero(id, { offset: cleanBytes, length: backing.sizeBytes - cleanBytes }, signal);
    await pool.grown(id, signal);
  }
};

const test = suite('a pool of ordinary logical volumes');

test('an empty volume group is marked once, and one with anything in it never', async () => {
  const { lvm, pool } = await world();
  const identity = await pool.prepare(signal);
  assert.equal(lvm.vgTags, [`vbs.pool=${identity}`]);
  lvm.vgTags = [];
  assert.instance(await failure(pool.observe(signal)), PoolMissing);
  lvm.addThick('root', 1);
  assert.instance(await failure(pool.prepare(signal)), NotOurs);
  assert.equal(lvm.vgTags, []);
});

test('a volume group that is not there, or is another one, is missing, never empty', async () => {
  const { lvm, pool } = await world();
  const stranger = poolOn(lvm, { identity: () => '11111111-2222-4333-8444-555555555555' });
  assert.instance(await failure(stranger.observe(signal)), PoolMissing);
  assert.instance(await failure(stranger.retire(ID, signal)), PoolMissing);
  lvm.note = '  Something else.\n';
  assert.instance(await failure(pool.observe(signal)), CannotLook);
  lvm.note = '';
  lvm.present = false;
  for (const look of [pool.observe(signal), pool.prepare(signal), pool.free(ID, signal)]) {
    assert.instance(await failure(look), PoolMissing);
  }
});

test('a volume group that cannot be looked at, or locked, is not missing', async () => {
  const { lvm } = await world();
  const unlocked = "  Can't get lock for vbs.\n  Cannot process volume group vbs\n";
  const looks: readonly FakeLvm['run'][] = [
    lvm.runAsNobody,
    async () => ({ exitCode: 5, stdout: '  {\n      "report": [\n      ]\n  }\n', stderr: unlocked }),
  ];
  for (const run of looks) {
    assert.instance(await failure(poolOn({ ...lvm, run } as FakeLvm).observe(signal)), CannotLook);
  }
});

test('a volume goes from its provisional to its final to its dying name, its owner in its tags', async () => {
  const { lvm, pool } = await world();
  await pool.create(ID, 1n, owner, signal);
  await pool.create(ID, 1n, owner, signal);
  assert.equal(lvm.lv(`${ID}.new`)?.tags, ours);
  await pool.complete(ID, 1n, signal);
  const { backings, freeBytes, totalBytes } = await pool.observe(signal);
  assert.equal(backings, [
    {
      id: ID,
      state: 'complete',
      sizeBytes: EXTENT,
      path: `/dev/${VG}/${ID}`,
      clusterID: CLUSTER,
      owner: { namespace: 'team-a', name: 'db.main' },
    },
  ]);
  assert.equal([totalBytes, freeBytes], [64n * EXTENT, 63n * EXTENT]);
  await pool.retire(ID, signal);
  assert.equal(names(lvm), [`${ID}.dying`]);
  assert.instance(await failure(pool.create(ID, 1n, owner, signal)), Busy);
  await pool.free(ID, signal);
  await pool.free(ID, signal);
  assert.equal(names(lvm), []);
});

test('one command tells of the whole pool, and a change takes three', async () => {
  const { lvm, pool } = await world();
  lvm.commands = [];
  await pool.create(ID, 1n, owner, signal);
  await pool.complete(ID, 1n, signal);
  await pool.observe(signal);
  assert.equal(lvm.commands, ['lvm', 'lvcreate', 'lvm', 'lvm', 'lvrename', 'lvm', 'lvm']);
});

test('what others left is zeroed in the range asked for, and nowhere where somebody has data', async () => {
  const { lvm, pool } = await world();
  await pool.create(ID, 2n * EXTENT, owner, signal);
  await pool.zero(ID, { offset: EXTENT, length: EXTENT }, signal);
  assert.equal(lvm.read(`${ID}.new`), [...Array(4).fill('old'), ...zeroes(1n)]);
  await pool.zero(ID, { offset: 0n, length: EXTENT }, signal);
  assert.equal(lvm.read(`${ID}.new`), zeroes(2n));
  assert.instance(await failure(pool.zero(ID, { offset: EXTENT, length: 2n * EXTENT }, signal)), Mismatch);
  await pool.complete(ID, EXTENT, signal);
  lvm.write(ID, 0, 'mine');
  assert.instance(await failure(pool.zero(ID, { offset: 0n, length: EXTENT }, signal)), Mismatch);
  assert.instance(await failure(pool.zero(OTHER, { offset: 0n, length: EXTENT }, signal)), BackingNotFound);
  assert.is(lvm.read(ID)[0], 'mine');
});

test('a device that somebody has open is not zeroed', async () => {
  const { lvm, pool } = await world();
  await pool.create(ID, EXTENT, owner, signal);
  Object.assign(lvm.lv(`${ID}.new`) ?? {}, { open: true });
  assert.instance(await failure(pool.zero(ID, { offset: 0n, length: EXTENT }, signal)), Busy);
});

const written = async (lvm: FakeLvm, pool: Pool, id: string, sizeBytes: bigint): Promise<void> => {
  await make(pool, id, sizeBytes);
  for (const at of zeroes(sizeBytes / EXTENT).keys()) {
    lvm.write(id, at, 'secret');
  }
};

test('what is removed is zeroed before it is freed: nothing of it is on the disks any more', async () => {
  const { lvm, pool } = await world();
  await written(lvm, pool, ID, 2n * EXTENT);
  const range = { offset: 0n, length: EXTENT };
  assert.instance(await failure(pool.wipe(ID, range, signal)), BackingNotFound, 'it is complete');
  await pool.retire(ID, signal);
  assert.ok(await pool.wipe(ID, range, signal));
  assert.equal(lvm.read(`${ID}.dying`), [...zeroes(1n), ...Array(4).fill('secret')]);
  const beyond = { offset: EXTENT, length: 2n * EXTENT };
  assert.instance(await failure(pool.wipe(ID, beyond, signal)), Mismatch);
  assert.ok(await pool.wipe(ID, { offset: EXTENT, length: EXTENT }, signal));
  await pool.free(ID, signal);
  assert.not.ok([...lvm.disk.values()].includes('secret'));
});

test('neither what snapshots go with is wiped, nor a snapshot, whose device is not its store, nor what is open', async () => {
  const { lvm, pool } = await world();
  await written(lvm, pool, ID, EXTENT);
  await pool.snapshot(SNAP, ID, owner, signal);
  await pool.complete(SNAP, EXTENT, signal);
  await pool.retire(SNAP, signal);
  await pool.retire(ID, signal);
  const range = { offset: 0n, length: EXTENT };
  assert.instance(await failure(pool.wipe(ID, range, signal)), Busy);
  assert.not.ok(await pool.wipe(SNAP, range, signal));
  assert.equal(lvm.read(`${ID}.dying`), Array(4).fill('secret'));
  await pool.free(SNAP, signal);
  const lv = lvm.lv(`${ID}.dying`);
  if (lv !== undefined) {
    lv.open = true;
  }
  assert.instance(await failure(pool.wipe(ID, range, signal)), Busy);
  if (lv !== undefined) {
    lv.open = false;
    lv.active = false;
  }
  assert.not.ok(await pool.wipe(ID, range, signal), 'it has no device');
});

test('zeroing makes nobody wait', async () => {
  const { lvm, pool } = await world();
  await pool.create(ID, EXTENT, owner, signal);
  let goOn = () => {};
  const held = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const slow = poolOn(lvm);
  const run: FakeLvm['run'] = async (command, end) => {
    if (command.file === 'blkdiscard') {
      await held;
    }
    return lvm.run(command, end);
  };
  const shared = profiledPool(bound(run), { name: 'p', clusterID: CLUSTER });
  const zeroing = shared.zero(ID, { offset: 0n, length: EXTENT }, signal);
  await shared.create(OTHER, EXTENT, owner, signal);
  assert.is((await slow.observe(signal)).backings.length, 2);
  goOn();
  await zeroing;
});

test('a growing volume has another name until its new space is zero, and tells where its data ends', async () => {
  const { lvm, pool } = await world();
  await make(pool, ID, EXTENT);
  lvm.write(ID, 3, 'mine');
  await pool.grow(ID, 2n * EXTENT, signal);
  assert.equal(names(lvm), [`${ID}.grow${EXTENT}`]);
  const [backing] = (await pool.observe(signal)).backings;
  assert.equal([backing?.state, backing?.cleanBytes, backing?.sizeBytes], ['growing', EXTENT, 2n * EXTENT]);
  const over = { offset: EXTENT - MIB, length: MIB };
  assert.instance(await failure(pool.zero(ID, over, signal)), Mismatch);
  await pool.zero(ID, { offset: EXTENT, length: EXTENT }, signal);
  await pool.grown(ID, signal);
  await pool.grown(ID, signal);
  assert.equal(lvm.read(ID), ['', '', '', 'mine', ...zeroes(1n)]);
  assert.equal(names(lvm), [ID]);
});

test('a growing volume is removed as it is, and never made complete for that', async () => {
  const { lvm, pool } = await world();
  await make(pool, ID, EXTENT);
  await pool.grow(ID, 2n * EXTENT, signal);
  const seen: string[] = [];
  lvm.before = () => seen.push(...names(lvm));
  await pool.retire(ID, signal);
  await pool.free(ID, signal);
  assert.not.ok(seen.includes(ID));
  assert.equal(names(lvm), []);
});

test('a volume that finds no room to grow gets its name back with the next steps', async () => {
  const { lvm, pool } = await world(4);
  await make(pool, ID, EXTENT);
  assert.instance(await failure(pool.grow(ID, 5n * EXTENT, signal)), NoSpace);
  assert.equal(names(lvm), [ID]);
  lvm.before = (command) => {
    if (command === 'lvextend') {
      lvm.addThick('greedy', 3);
    }
  };
  assert.instance(await failure(pool.grow(ID, 3n * EXTENT, signal)), NoSpace);
  lvm.before = () => undefined;
  await pool.grown(ID, signal);
  assert.equal([names(lvm), lvm.read(ID)], [[ID, 'greedy'].toSorted(), zeroes(1n)]);
});

test('a snapshot is as of one moment, under a writer, and its store holds all that may ever be written', async () => {
  const { lvm, pool } = await world();
  await make(pool, ID, 2n * EXTENT);
  Object.assign(lvm.lv(ID) ?? {}, { open: true });
  lvm.write(ID, 0, 'before');
  await pool.snapshot(SNAP, ID, owner, signal);
  await pool.snapshot(SNAP, ID, owner, signal);
  await pool.complete(SNAP, 2n * EXTENT, signal);
  for (let block = 0; block < 8; block += 1) {
    lvm.write(ID, block, 'after');
  }
  assert.equal(lvm.read(SNAP), ['before', ...Array(7).fill('')]);
  const { backings, freeBytes } = await pool.observe(signal);
  const snapshot = backings.find(({ id }) => id === SNAP);
  assert.equal(
    [snapshot?.sizeBytes, snapshot?.sourceID, snapshot?.fault],
    [2n * EXTENT, ID, undefined],
    'the size of what it shows',
  );
  assert.is(freeBytes, (64n - 2n - 3n) * EXTENT, 'and its store takes room');
  const argv = lvm.argvs.find((args) => args.includes('--snapshot')) ?? [];
  assert.not.ok(
    argv.some((arg) => arg.includes('%')),
    'of percentages LVM takes what there is',
  );
});

test('without room for a whole store there is no snapshot', async () => {
  const { lvm, pool } = await world(4);
  await make(pool, ID, 2n * EXTENT);
  assert.instance(await failure(pool.snapshot(SNAP, ID, owner, signal)), NoSpace);
  assert.equal(names(lvm), [ID]);
});

test('a snapshot whose store somebody made smaller overflows, and what it held is lost', async () => {
  const { lvm, pool } = await world();
  await make(pool, ID, EXTENT);
  await pool.snapshot(SNAP, ID, owner, signal);
  await pool.complete(SNAP, EXTENT, signal);
  Object.assign(lvm.lv(SNAP) ?? {}, { bytes: Number(2n * MIB) });
  lvm.write(ID, 0, 'after');
  lvm.write(ID, 1, 'after');
  const { backings } = await pool.observe(signal);
  assert.match(backings.find(({ id }) => id === SNAP)?.fault ?? '', /overflowed/);
  assert.is(backings.find(({ id }) => id === ID)?.fault, undefined);
  await pool.retire(SNAP, signal);
  await pool.free(SNAP, signal);
  assert.equal(names(lvm), [ID]);
});

test('one that is complete and shares with nothing any more is lost as well', async () => {
  const { lvm, pool } = await world();
  lvm.addThick(SNAP, 1, { tags: ours });
  assert.match((await pool.observe(signal)).backings[0]?.fault ?? '', /no snapshot/);
});

test('what has snapshots is neither removed nor does it grow, and they go first', async () => {
  const { lvm, pool } = await world();
  await make(pool, ID, EXTENT);
  await pool.snapshot(SNAP, ID, owner, signal);
  await pool.complete(SNAP, EXTENT, signal);
  assert.instance(await failure(pool.retire(ID, signal)), Busy);
  assert.instance(await failure(pool.grow(ID, 2n * EXTENT, signal)), Busy);
  assert.equal(names(lvm), [ID, SNAP].toSorted());
  await pool.retire(SNAP, signal);
  await pool.retire(ID, signal);
  assert.instance(await failure(pool.free(ID, signal)), Busy);
  assert.not.ok(lvm.commands.includes('lvremove'));
  await pool.free(SNAP, signal);
  await pool.free(ID, signal);
  assert.equal(names(lvm), []);
});

test('nor is what has snapshots of others, nor what is open', async () => {
  const { lvm, pool } = await world();
  const lv = lvm.addThick(`${ID}.dying`, 1, { tags: ours });
  const backup = lvm.addThick('backup', 2, { origin: lv });
  assert.instance(await failure(pool.free(ID, signal)), Busy);
  lvm.lvs = lvm.lvs.filter((one) => one !== backup);
  lv.open = true;
  assert.instance(await failure(pool.free(ID, signal)), Busy);
  assert.not.ok(lvm.commands.includes('lvremove'));
  lv.open = false;
  await pool.free(ID, signal);
  assert.equal(names(lvm), []);
});

test('a half-made snapshot is a plain volume of old bytes: it is made anew, never completed', async () => {
  const { lvm, pool } = await world();
  await make(pool, ID, EXTENT);
  lvm.isKilled = (command) => command === 'lvcreate';
  await failure(pool.snapshot(SNAP, ID, owner, signal));
  lvm.isKilled = () => false;
  assert.is(lvm.read(`${SNAP}.new`)[0], 'old');
  assert.is((await pool.observe(signal)).backings.find(({ id }) => id === SNAP)?.half, true);
  assert.instance(await failure(pool.complete(SNAP, 0n, signal)), BackingNotFound);
  await pool.snapshot(SNAP, ID, owner, signal);
  await pool.complete(SNAP, EXTENT, signal);
  assert.equal(lvm.read(SNAP), zeroes(1n));
});

test('a snapshot is taken of a whole volume only', async () => {
  const { pool } = await world();
  assert.instance(await failure(pool.snapshot(SNAP, ID, owner, signal)), BackingNotFound);
  await make(pool, ID, EXTENT);
  await pool.grow(ID, 2n * EXTENT, signal);
  assert.instance(await failure(pool.snapshot(SNAP, ID, owner, signal)), Busy);
});

test('retained data keeps its bytes and gets another name, owner and life; snapshots are not retained', async () => {
  const { lvm, pool } = await world();
  const heir = { clusterID: CLUSTER, namespace: 'team-b', name: 'heir' };
  await make(pool, ID, EXTENT);
  lvm.write(ID, 0, 'mine');
  await pool.snapshot(SNAP, ID, owner, signal);
  await pool.complete(SNAP, EXTENT, signal);
  assert.instance(await failure(pool.retain(SNAP, signal)), Unsupported);
  await pool.retire(SNAP, signal);
  await pool.free(SNAP, signal);
  await pool.retain(ID, signal);
  for (const refused of [pool.retire(ID, signal), pool.free(ID, signal)]) {
    assert.instance(await failure(refused), NotDone);
  }
  await pool.adopt(OTHER, ID, heir, signal);
  await pool.complete(OTHER, EXTENT, signal);
  assert.equal([names(lvm), lvm.read(OTHER)[0]], [[OTHER], 'mine']);
  assert.equal(lvm.lv(OTHER)?.tags, [`vbs.cluster=${CLUSTER}`, 'vbs.owner=team-b/heir']);
});

test('what had its time in the trash goes, but not with what somebody made of it', async () => {
  const { lvm, pool } = await world();
  await make(pool, ID, EXTENT);
  await pool.retain(ID, signal);
  // By hand: no snapshot of ours is made of what is retained.
  lvm.addThick(`${SNAP}`, 2, { origin: lvm.lv(`${ID}.retained`), tags: ours } as never);
  assert.instance(await failure(pool.retireRetained(ID, () => true, signal)), Busy);
  lvm.lvs.splice(
    lvm.lvs.findIndex(({ name }) => name === SNAP),
    1,
  );
  await pool.retireRetained(ID, () => true, signal);
  assert.equal(names(lvm), [`${ID}.dying`]);
  await pool.free(ID, signal);
  assert.equal(names(lvm), []);
});

test('volumes of others, by tag or name, are not ours, and take their room', async () => {
  const { lvm, pool } = await world();
  lvm.addThick(ID, 1, { tags: ['vbs.cluster=11111111-2222-4333-8444-555555555555'] });
  lvm.addThick(OTHER, 1);
  for (const name of ['root', `${ID}.bak`, `${ID}.grow`, `${ID}.new1`, 'vol0123', `x${ID}`]) {
    lvm.addThick(name, 1, { tags: ours });
  }
  const { backings, freeBytes } = await pool.observe(signal);
  assert.equal(
    backings.map(({ id, foreign }) => [id, foreign]),
    [
      [ID, true],
      [OTHER, true],
    ],
  );
  assert.is(freeBytes, (64n - 8n) * EXTENT);
  for (const refused of [
    pool.retire(ID, signal),
    pool.retire(OTHER, signal),
    pool.grow(ID, 2n * EXTENT, signal),
    pool.zero(ID, { offset: 0n, length: EXTENT }, signal),
    pool.create(OTHER, EXTENT, owner, signal),
  ]) {
    assert.instance(await failure(refused), NotOurs);
  }
  assert.is(lvm.lvs.length, 8);
});

test('a volume group of which a disk is missing takes nothing, and says why', async () => {
  const { lvm, pool } = await world();
  lvm.vgAttr = 'wz-pn-';
  const { freeBytes, fault } = await pool.observe(signal);
  assert.is(freeBytes, 0n);
  assert.match(fault ?? '', /missing/);
  assert.instance(await failure(pool.create(ID, MIB, owner, signal)), PoolFaulty);
});

/** A whole life, which goes on from wherever it was. */
const life = async (pool: Pool): Promise<void> => {
  await make(pool, ID, EXTENT);
  await makeGrow(pool, ID, 2n * EXTENT);
  await pool.snapshot(SNAP, ID, owner, signal);
  await pool.complete(SNAP, 2n * EXTENT, signal);
  for (const id of [SNAP, ID]) {
    await pool.retire(id, signal);
    await pool.free(id, signal);
  }
};

test('a command that dies at any point leaves something that the next try finishes, and no old byte is seen', async () => {
  const counter = await world();
  counter.lvm.commands = [];
  await life(counter.pool);
  const { length } = counter.lvm.commands;
  assert.ok(length > 30);
  for (const dies of ['before', 'midway'] as const) {
    for (let at = 0; at < length; at += 1) {
      const { lvm, pool } = await world();
      lvm.addThick('root', 1, { tags: [] });
      let left = at;
      const isTurn = () => {
        left -= 1;
        return left === -1;
      };
      lvm.isKilled = () => dies === 'midway' && isTurn();
      lvm.before = () => {
        for (const name of [ID, SNAP].filter((one) => lvm.lv(one) !== undefined)) {
          assert.not.ok(lvm.read(name).includes('old'), `${name}, command ${at} dies ${dies}`);
        }
        if (dies === 'before' && isTurn()) {
          throw new CommandError('lvm', 'ended by SIGKILL');
        }
      };
      const error = await failure(life(pool));
      assert.ok(error instanceof CommandError || error instanceof CannotLook, `command ${at}: ${error}`);
      const { backings } = await pool.observe(signal);
      for (const { id } of backings.filter(({ state }) => state === 'dying').toReversed()) {
        await pool.free(id, signal);
      }
      await life(pool);
      assert.equal([names(lvm), lvm.read('root')], [['root'], Array(4).fill('old')]);
    }
  }
});

test.run();
