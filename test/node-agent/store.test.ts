import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { coalesced } from '../../node-agent/coalesce.ts';
import { hostFiles } from '../../node-agent/exec/files.ts';
import { RecordStore } from '../../node-agent/store.ts';
import { FakeClock, settle } from '../fakes/clock.ts';

const test = suite('what a host keeps');

async function inDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(path.join(tmpdir(), 'vbs-store-'));
  try {
    await use(path.join(directory, 'records'));
  } finally {
    await rm(directory, { recursive: true });
  }
}

test('records outlive the process', () =>
  inDirectory(async (directory) => {
    const store = await RecordStore.open<{ n: number }>(hostFiles, directory);
    await store.put('a.b-1', { n: 1 });
    await store.put('a.b-1', { n: 2 });
    await store.put('gone', { n: 3 });
    await store.remove('gone');
    await store.remove('gone');
    const again = await RecordStore.open<{ n: number }>(hostFiles, directory);
    assert.equal(again.list(), [{ n: 2 }]);
    assert.equal(await readdir(directory), ['a.b-1.json']);
  }));

test('what a crash left of a write is removed, and nothing of others', () =>
  inDirectory(async (directory) => {
    const store = await RecordStore.open<{ n: number }>(hostFiles, directory);
    await store.put('kept', { n: 1 });
    await writeFile(path.join(directory, '.kept.json.tmp'), '{"n":');
    await writeFile(path.join(directory, '.gone.json.tmp'), '');
    await writeFile(path.join(directory, 'of-others.tmp'), '');
    const again = await RecordStore.open<{ n: number }>(hostFiles, directory);
    assert.equal(again.list(), [{ n: 1 }]);
    assert.equal((await readdir(directory)).sort(), ['kept.json', 'of-others.tmp']);
  }));

test('a record that cannot be read stops the start: forgetting is worse', () =>
  inDirectory(async (directory) => {
    await RecordStore.open(hostFiles, directory);
    await writeFile(path.join(directory, 'vol.json'), '{"half');
    try {
      await RecordStore.open(hostFiles, directory);
      assert.unreachable();
    } catch (error) {
      assert.match(String(error), /vol\.json cannot be read; restore it/);
    }
  }));

test('no name leaves the directory', () =>
  inDirectory(async (directory) => {
    const store = await RecordStore.open(hostFiles, directory);
    for (const name of ['../x', '', '.hidden', 'a/b', 'a b']) {
      try {
        await store.put(name, 1);
        assert.unreachable(name);
      } catch (error) {
        assert.match(String(error), /cannot name a record/);
      }
    }
  }));

const options = { subject: 'the host', clock: new FakeClock() };

test('a look serves those who asked before it began, and nobody who asked later', async () => {
  const ends: (() => void)[] = [];
  let looks = 0;
  const look = coalesced(() => {
    looks += 1;
    const mine = looks;
    return new Promise<number>((resolve) => ends.push(() => resolve(mine)));
  }, options);
  const first = look();
  const second = look();
  const third = look();
  assert.is(looks, 1);
  ends[0]?.();
  assert.is(await first, 1);
  await new Promise((resolve) => setImmediate(resolve));
  assert.is(looks, 2);
  ends[1]?.();
  assert.equal(await Promise.all([second, third]), [2, 2]);
});

test('a failed look fails for those who shared it, and the next is a new one', async () => {
  let fail = true;
  const look = coalesced(async () => {
    if (fail) {
      throw new Error('broken');
    }
    return 'fine';
  }, options);
  const results = await Promise.allSettled([look(), look()]);
  assert.is(results[0]?.status, 'rejected');
  fail = false;
  assert.is(await look(), 'fine');
});

test('a look that hangs fails for all, is not begun twice, and once it ended all is well again', async () => {
  const ends: (() => void)[] = [];
  const clock = new FakeClock();
  const asked: boolean[] = [];
  const look = coalesced(
    (signal) => {
      signal.addEventListener('abort', () => asked.push(true));
      return new Promise<number>((resolve) => ends.push(() => resolve(ends.length)));
    },
    { subject: 'the disk', clock },
  );
  const waiting = Promise.allSettled([look(), look(), look()]);
  await clock.advance(56_000);
  assert.equal(asked, [true], 'it is told to end before it is given up');
  await clock.advance(5_000);
  for (const { status, ...rest } of await waiting) {
    assert.is(status, 'rejected');
    assert.match(String('reason' in rest && rest.reason), /CannotLook: cannot look at the disk/);
  }
  const again = await Promise.allSettled([look(), look()]);
  assert.equal(
    again.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  assert.is(ends.length, 1);
  ends[0]?.();
  await new Promise((resolve) => setImmediate(resolve));
  const fresh = look();
  ends[1]?.();
  assert.is(await fresh, 2);
  await settle();
  assert.is(clock.pending, 0);
});

test.run();
