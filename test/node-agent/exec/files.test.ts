import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errorCode, hostFiles } from '../../../node-agent/exec/files.ts';

const test = suite<{ dir: string }>('files');

test.before.each(async (context) => {
  context.dir = await mkdtemp(join(tmpdir(), 'vbs-test-'));
});
test.after.each(({ dir }) => rm(dir, { recursive: true }));

const codeOf = (work: Promise<unknown>) => work.then(() => undefined, errorCode);

test('an atomic write leaves one file with its mode', async ({ dir }) => {
  const path = join(dir, 'a');
  await hostFiles.writeAtomic(path, 'one', 0o600);
  await hostFiles.writeAtomic(path, 'two', 0o600);
  assert.is(await hostFiles.read(path), 'two');
  assert.is((await stat(path)).mode & 0o777, 0o600);
  assert.equal(await readdir(dir), ['a']);
});

test('an atomic write gets over what a crash left, and over another one of the same path', async ({
  dir,
}) => {
  const path = join(dir, 'a');
  await writeFile(join(dir, '.a.tmp'), 'half');
  await Promise.all(['one', 'two', 'three'].map((text) => hostFiles.writeAtomic(path, text)));
  assert.is(await hostFiles.read(path), 'three');
  assert.equal(await readdir(dir), ['a']);
});

test('an atomic write that fails twice says the same twice', async ({ dir }) => {
  const write = () =>
    hostFiles.writeAtomic(join(dir, 'away', 'a'), 'x').then(
      () => '',
      (error: unknown) => String(error),
    );
  const first = await write();
  assert.match(first, /ENOENT/);
  assert.is(await write(), first);
});

test('extend makes, grows and never shrinks', async ({ dir }) => {
  const path = join(dir, 'a');
  await hostFiles.extend(path, 4096n);
  await hostFiles.extend(path, 8192n);
  await hostFiles.extend(path, 8192n);
  assert.is(await codeOf(hostFiles.extend(path, 4096n)), 'EINVAL');
  const { kind, sizeBytes, allocatedBytes } = await hostFiles.stat(path);
  assert.equal([kind, sizeBytes, allocatedBytes], ['file', 8192n, 0n]);
});

test('a glob finds what is there and fails where it cannot look', async ({ dir }) => {
  await mkdir(join(dir, 'x1'));
  await mkdir(join(dir, 'x2'));
  await writeFile(join(dir, 'x1', 'state'), '');
  assert.equal(await hostFiles.glob(join(dir, 'x*', 'state')), [join(dir, 'x1', 'state')]);
  assert.equal(await hostFiles.glob(join(dir, 'y*')), []);
  assert.is(await codeOf(hostFiles.glob(join(dir, 'gone', '*'))), 'ENOENT');
  assert.is(await codeOf(hostFiles.glob(join(dir, 'gone', '*', 'state'))), 'ENOENT');
});

test('zeroes are told from other bytes, and from bytes that are not there', async ({ dir }) => {
  const path = join(dir, 'disk');
  const bytes = Buffer.alloc(3 * 1024 * 1024);
  bytes[2 * 1024 * 1024 + 5] = 1;
  await writeFile(path, bytes);
  const { signal } = new AbortController();
  const at = (offset: number, length: number) =>
    hostFiles.isZero(path, { offset: BigInt(offset), length: BigInt(length) }, signal);
  const MI = 1024 * 1024;
  assert.equal([await at(0, 2 * MI), await at(0, 3 * MI), await at(2 * MI + 6, 10)], [true, false, true]);
  assert.is(await codeOf(at(2 * MI, 2 * MI)), 'EINVAL');
});

test('a file too large to be an answer is refused', async ({ dir }) => {
  const path = join(dir, 'a');
  await hostFiles.extend(path, 2n * 1024n * 1024n);
  assert.is(await codeOf(hostFiles.read(path)), 'EFBIG');
});

test.run();
