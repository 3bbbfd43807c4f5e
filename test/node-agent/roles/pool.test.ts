import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RunCommand } from '../../../node-agent/exec/command.ts';
import { type Files, hostFiles } from '../../../node-agent/exec/files.ts';
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
  PoolMissing,
  Unsupported,
} from '../../../node-agent/roles/errors.ts';
import type { Pool } from '../../../node-agent/roles/pool.ts';
import { profiledPool } from '../../../node-agent/roles/profiled-pool.ts';

const MIB = 1024n * 1024n;
const ID = 'vol0123456789abcdef0';
const CLUSTER = '0b1c9f5e-4a55-4c6b-9a0e-3b2f1f6f7a01';
const owner = { clusterID: CLUSTER, namespace: 'default', name: 'db' };
const { signal } = new AbortController();
const SHIPPED = join(import.meta.dirname, '../../../node-agent/profiles/shipped/file.yaml');
const profile = await loadProfile(SHIPPED, 'pool');

/** A fallocate that allocates nothing: sizes are what these tests are about. */
const fallocate: RunCommand = async () => ({ exitCode: 0, stdout: '', stderr: '' });

class Crash extends Error {}

/** Files that die for good at the n-th change, before it takes effect; looks do not count. */
const dyingFiles = (at: number): Files => {
  let changes = 0;
  let dead = false;
  const changing = new Set(['write', 'writeAtomic', 'rename', 'unlink', 'extend', 'sync']);
  return new Proxy(hostFiles, {
    get: (target, name: keyof Files) => {
      const real = target[name] as (...args: never[]) => Promise<unknown>;
      return async (...args: never[]) => {
        changes += changing.has(name) ? 1 : 0;
        dead ||= changes > at;
        if (dead) {
          throw new Crash('power cut');
        }
        return real(...args);
      };
    },
  });
};

const poolOn = (dir: string, files: Files = hostFiles, more: object = {}, run = fallocate): Pool =>
  profiledPool(bind(profile, { run, files, params: { dir } }), { name: 'p', clusterID: CLUSTER, ...more });

const test = suite<{ dir: string; pool: Pool }>('a pool of files');

test.before.each(async (context) => {
  context.dir = await mkdtemp(join(tmpdir(), 'vbs-test-'));
  context.pool = poolOn(context.dir);
  await context.pool.prepare(signal);
});
test.after.each(({ dir }) => rm(dir, { recursive: true, force: true }));

const failure = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );
const only = async (pool: Pool) => {
  const { backings } = await pool.observe(signal);
  assert.ok(backings.length <= 1);
  return backings[0];
};

test('a place is made a pool once, keeps its identity, and never when something is in it', async ({
  dir,
  pool,
}) => {
  const identity = await pool.prepare(signal);
  assert.is(await pool.prepare(signal), identity);
  assert.is((await pool.observe(signal)).identity, identity);
  await rm(join(dir, '.vbs-pool'));
  await mkdir(join(dir, 'lost+found'));
  await pool.prepare(signal);
  await rm(join(dir, '.vbs-pool'));
  await writeFile(join(dir, 'photos'), '');
  assert.instance(await failure(pool.prepare(signal)), NotOurs);
  assert.equal(await readdir(dir), ['lost+found', 'photos']);
});

test('a marker that is damaged tells no identity, and is left as it is', async ({ dir, pool }) => {
  const identity = await pool.prepare(signal);
  const marker = join(dir, '.vbs-pool');
  for (const text of [identity.slice(0, 20), '\0'.repeat(37), `${identity}0\n`, 'somebody else\n']) {
    await writeFile(marker, text);
    assert.instance(await failure(pool.observe(signal)), CannotLook, text);
    assert.instance(await failure(pool.prepare(signal)), CannotLook, text);
    assert.is(await readFile(marker, 'utf8'), text);
  }
  await writeFile(marker, '');
  assert.instance(await failure(pool.observe(signal)), PoolMissing);
});

test('another pool in its place is a missing pool', async ({ dir }) => {
  const stranger = poolOn(dir, hostFiles, {
    identity: () => '11111111-2222-4333-8444-555555555555',
  });
  assert.instance(await failure(stranger.observe(signal)), PoolMissing);
  assert.instance(await failure(stranger.create(ID, MIB, owner, signal)), PoolMissing);
});

test('sizes are rounded up to the extent, and free space is what is not yet promised', async ({ dir }) => {
  // Others use the file system, too.
  const space = async () => ({ totalBytes: 16n * MIB, freeBytes: 8n * MIB });
  const pool = poolOn(dir, { ...hostFiles, space });
  const before = await pool.observe(signal);
  await pool.create(ID, 1n, owner, signal);
  const after = await pool.observe(signal);
  assert.is(after.backings[0]?.sizeBytes, MIB);
  assert.is(before.freeBytes - after.freeBytes, MIB);
});

test('files that are no volumes are left alone', async ({ dir, pool }) => {
  for (const name of ['notes.txt', 'vol1.raw', `${ID}.raw.bak`, `${ID}.json`, 'vol0123456789ABCDEF0.raw']) {
    await writeFile(join(dir, name), '');
  }
  assert.equal((await pool.observe(signal)).backings, []);
});

test('a volume whose owner is unknown, unreadable or another is foreign', async ({ dir, pool }) => {
  await pool.create(ID, MIB, owner, signal);
  const tags = join(dir, `${ID}.json`);
  await writeFile(tags, '{"cluster":"11111111-2222-4333-8444-555555555555"}');
  assert.is((await only(pool))?.foreign, true);
  assert.instance(await failure(pool.complete(ID, MIB, signal)), NotOurs);
  await rm(tags);
  assert.is((await only(pool))?.foreign, true);
  assert.instance(await failure(pool.retire(ID, signal)), NotOurs);
  await writeFile(tags, '{"clus');
  assert.is((await only(pool))?.foreign, true);
  assert.instance(await failure(pool.retire(ID, signal)), NotOurs);
});

test('a spoilt owner file hides no other volume of the pool', async ({ dir, pool }) => {
  const spoilt = 'vol00000000000000001';
  await pool.create(ID, MIB, owner, signal);
  await pool.create(spoilt, MIB, owner, signal);
  await writeFile(join(dir, `${spoilt}.json`), '');
  const { backings } = await pool.observe(signal);
  assert.equal(
    new Map(backings.map(({ id, foreign }) => [id, foreign])),
    new Map([
      [spoilt, true],
      [ID, undefined],
    ]),
  );
  await pool.complete(ID, MIB, signal);
});

test('a volume in two states is touched by nobody', async ({ dir, pool }) => {
  await pool.create(ID, MIB, owner, signal);
  await pool.complete(ID, MIB, signal);
  await writeFile(join(dir, `${ID}.dying`), 'x');
  assert.instance(await failure(pool.retire(ID, signal)), Mismatch);
  assert.instance(await failure(pool.free(ID, signal)), Mismatch);
  assert.is((await pool.observe(signal)).backings.length, 2);
});

test('nothing is freed that was not retired, nor made while its last backing goes', async ({ pool }) => {
  await pool.create(ID, MIB, owner, signal);
  assert.instance(await failure(pool.free(ID, signal)), NotDone);
  await pool.complete(ID, MIB, signal);
  assert.instance(await failure(pool.free(ID, signal)), NotDone);
  await pool.retire(ID, signal);
  assert.instance(await failure(pool.create(ID, MIB, owner, signal)), Busy);
  await pool.free(ID, signal);
  assert.is(await only(pool), undefined);
});

test('a backing smaller than asked is never completed', async ({ pool }) => {
  await pool.create(ID, MIB, owner, signal);
  assert.instance(await failure(pool.complete(ID, 2n * MIB, signal)), Mismatch);
  assert.is((await only(pool))?.state, 'provisional');
});

test('a disk that fills up while space is taken leaves nothing behind', async ({ dir }) => {
  const full: RunCommand = async () => ({
    exitCode: 1,
    stdout: '',
    stderr: 'fallocate: fallocate failed: No space left on device',
  });
  const pool = poolOn(dir, hostFiles, {}, full);
  assert.instance(await failure(pool.create(ID, MIB, owner, signal)), NoSpace);
  assert.equal(await readdir(dir), ['.vbs-pool']);
});

test('data that finds no room to grow keeps its size: one with room for half of it is not called grown', async ({
  dir,
}) => {
  const stderr = 'fallocate: fallocate failed: No space left on device';
  let isFull = false;
  const pool = poolOn(dir, hostFiles, {}, async () => ({
    exitCode: isFull ? 1 : 0,
    stdout: '',
    stderr: isFull ? stderr : '',
  }));
  await pool.create(ID, MIB, owner, signal);
  await pool.complete(ID, MIB, signal);
  isFull = true;
  assert.instance(await failure(pool.grow(ID, 2n * MIB, signal)), NoSpace);
  assert.is((await only(pool))?.sizeBytes, MIB);
  isFull = false;
  await pool.grow(ID, 2n * MIB, signal);
  assert.is((await only(pool))?.sizeBytes, 2n * MIB);
});

test('a full pool reads the same however much is free', () => {
  assert.is(new NoSpace('p', 10n, 3n).message, new NoSpace('p', 10n, 4n).message);
  assert.is(new NoSpace('p', 10n, 3n).message, new NoSpace('p', 10n).message);
});

test('a file system that cannot allocate gets a sparse file', async ({ dir }) => {
  const unable: RunCommand = async () => ({
    exitCode: 1,
    stdout: '',
    stderr: 'fallocate: fallocate failed: Operation not supported',
  });
  const pool = poolOn(dir, hostFiles, {}, unable);
  await pool.create(ID, MIB, owner, signal);
  assert.is((await only(pool))?.sizeBytes, MIB);
});

const KEPT = 'vol00000000000000009';
const heir = { clusterID: CLUSTER, namespace: 'other', name: 'heir' };

test('retained data is whole, takes its room, and goes only by way of a volume that adopts it', async ({
  dir,
  pool,
}) => {
  await pool.create(KEPT, MIB, owner, signal);
  assert.instance(await failure(pool.retain(KEPT, signal)), BackingNotFound);
  await pool.complete(KEPT, MIB, signal);
  await writeFile(join(dir, `${KEPT}.raw`), 'bytes'.padEnd(Number(MIB)));
  await pool.retain(KEPT, signal);
  await pool.retain(KEPT, signal);
  const before = await only(pool);
  assert.equal([before?.state, before?.owner], ['retained', { namespace: 'default', name: 'db' }]);
  assert.instance(await failure(pool.retire(KEPT, signal)), NotDone);
  assert.instance(await failure(pool.free(KEPT, signal)), NotDone);
  assert.instance(await failure(pool.create(KEPT, MIB, owner, signal)), Busy);
  assert.instance(await failure(pool.complete(KEPT, MIB, signal)), BackingNotFound);
  assert.is((await only(pool))?.state, 'retained');

  await pool.adopt(ID, KEPT, heir, signal);
  await pool.adopt(ID, KEPT, heir, signal);
  const after = await only(pool);
  assert.equal(
    [after?.id, after?.state, after?.owner],
    [ID, 'provisional', { namespace: 'other', name: 'heir' }],
  );
  assert.instance(await failure(pool.adopt('vol00000000000000007', KEPT, heir, signal)), BackingNotFound);
  await pool.free(KEPT, signal);
  await pool.complete(ID, MIB, signal);
  assert.equal((await readdir(dir)).sort(), ['.vbs-pool', `${ID}.json`, `${ID}.raw`]);
  assert.match(await readFile(join(dir, `${ID}.raw`), 'utf8'), /^bytes /);
});

test('retained data of another cluster is adopted by nobody', async ({ dir, pool }) => {
  await pool.create(KEPT, MIB, owner, signal);
  await pool.complete(KEPT, MIB, signal);
  await pool.retain(KEPT, signal);
  await writeFile(join(dir, `${KEPT}.json`), '{"cluster":"11111111-2222-4333-8444-555555555555"}');
  assert.instance(await failure(pool.adopt(ID, KEPT, heir, signal)), NotOurs);
});

test('what had its time in the trash goes, if in its turn it is still what it was', async ({ dir, pool }) => {
  assert.ok(pool.can.trash);
  await pool.retireRetained(KEPT, () => true, signal);
  await pool.create(KEPT, MIB, owner, signal);
  assert.instance(await failure(pool.retireRetained(KEPT, () => true, signal)), NotDone);
  await pool.complete(KEPT, MIB, signal);
  assert.instance(await failure(pool.retireRetained(KEPT, () => true, signal)), NotDone);
  await pool.retain(KEPT, signal);
  const asked: unknown[] = [];
  const refuse = (found: unknown) => {
    asked.push(found);
    return false;
  };
  await pool.retireRetained(KEPT, refuse, signal);
  assert.is((await only(pool))?.state, 'retained');
  assert.is((asked[0] as { owner: { name: string } }).owner.name, 'db');
  await pool.retireRetained(KEPT, () => true, signal);
  await pool.retireRetained(KEPT, () => true, signal);
  assert.is((await only(pool))?.state, 'dying');
  assert.instance(await failure(pool.adopt(ID, KEPT, heir, signal)), BackingNotFound);
  await pool.free(KEPT, signal);
  assert.equal(await readdir(dir), ['.vbs-pool']);
});

test('an adoption and the end of its time, at once: one of them finds it gone', async ({ dir }) => {
  for (const first of ['adopt', 'end'] as const) {
    const pool = poolOn(dir);
    await pool.create(KEPT, MIB, owner, signal);
    await pool.complete(KEPT, MIB, signal);
    await pool.retain(KEPT, signal);
    const acts = {
      adopt: () => failure(pool.adopt(ID, KEPT, heir, signal)),
      end: () => failure(pool.retireRetained(KEPT, () => true, signal)),
    };
    const second = first === 'adopt' ? 'end' : 'adopt';
    const [, late] = await Promise.all([acts[first](), acts[second]()]);
    const states = (await pool.observe(signal)).backings.map(({ id, state }) => `${id} ${state}`);
    assert.equal(states, [first === 'adopt' ? `${ID} provisional` : `${KEPT} dying`]);
    assert.is(late instanceof BackingNotFound, first === 'end');
    await pool.retire(ID, signal);
    await pool.free(ID, signal);
    await pool.free(KEPT, signal);
  }
});

test('a profile that cannot retire what it retains has no trash, and retains all the same', async ({
  dir,
}) => {
  const text = await readFile(SHIPPED, 'utf8');
  const place = await mkdtemp(join(tmpdir(), 'vbs-test-'));
  const path = join(place, 'old.yaml');
  await writeFile(path, text.replace(/^ {2}retireRetained:\n(?: {4}.*\n)+/m, ''), { mode: 0o600 });
  const profileOfOld = await loadProfile(path, 'pool');
  await rm(place, { recursive: true });
  const old = profiledPool(bind(profileOfOld, { run: fallocate, files: hostFiles, params: { dir } }), {
    name: 'p',
    clusterID: CLUSTER,
  });
  assert.not(old.can.trash);
  await old.create(KEPT, MIB, owner, signal);
  await old.complete(KEPT, MIB, signal);
  await old.retain(KEPT, signal);
  assert.instance(await failure(old.retireRetained(KEPT, () => true, signal)), Unsupported);
  assert.is((await only(old))?.state, 'retained');
});

test('sparse data keeps its claim to room while it is retained', async ({ dir }) => {
  const space = async () => ({ totalBytes: 16n * MIB, freeBytes: 16n * MIB });
  const pool = poolOn(dir, { ...hostFiles, space });
  await pool.create(KEPT, 4n * MIB, owner, signal);
  await pool.complete(KEPT, 4n * MIB, signal);
  await pool.retain(KEPT, signal);
  assert.is((await pool.observe(signal)).freeBytes, 12n * MIB);
});

const life: readonly ((pool: Pool) => Promise<void>)[] = [
  (pool) => pool.create(ID, MIB, owner, signal),
  (pool) => pool.complete(ID, MIB, signal),
  (pool) => pool.grow(ID, 2n * MIB, signal),
  (pool) => pool.retain(ID, signal),
  (pool) => pool.adopt(KEPT, ID, heir, signal),
  async (pool) => {
    await pool.free(ID, signal);
    await pool.complete(KEPT, 2n * MIB, signal);
  },
  (pool) => pool.retain(KEPT, signal),
  (pool) => pool.retireRetained(KEPT, () => true, signal),
  (pool) => pool.free(KEPT, signal),
];

test('a crash before any change of any step is finished by doing the step again', async ({ dir }) => {
  const states = [
    'provisional',
    'complete',
    'complete',
    'retained',
    'provisional',
    'complete',
    'retained',
    'dying',
    undefined,
  ];
  for (const [index, step] of life.entries()) {
    for (let at = 0; ; at += 1) {
      await rm(dir, { recursive: true, force: true });
      const place = await mkdtemp(dir);
      const healthy = poolOn(place);
      await healthy.prepare(signal);
      for (const earlier of life.slice(0, index)) {
        await earlier(healthy);
      }
      const crashed = await failure(step(poolOn(place, dyingFiles(at))));
      await step(poolOn(place));
      const after = await only(poolOn(place));
      assert.is(after?.state, states[index], `step ${index}, change ${at}`);
      assert.is(after?.foreign, undefined);
      if (after === undefined) {
        assert.equal(await readdir(place), ['.vbs-pool']);
      }
      await rm(place, { recursive: true });
      if (crashed === undefined) {
        assert.ok(at > 0);
        break;
      }
    }
  }
});

test('the owner is written with the volume', async ({ dir, pool }) => {
  await pool.create(ID, MIB, owner, signal);
  const tags: unknown = JSON.parse(await readFile(join(dir, `${ID}.json`), 'utf8'));
  assert.equal(tags, { cluster: CLUSTER, namespace: 'default', name: 'db' });
});

test.run();
