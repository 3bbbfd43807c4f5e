import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CommandError, CommandTimeout, createRunCommand } from '../../../node-agent/exec/command.ts';

const test = suite('commands');
const { signal } = new AbortController();
const run = createRunCommand();
const shell = (script: string, more: object = {}) =>
  run({ file: 'sh', args: ['-c', script], timeoutMs: 5_000, ...more }, signal);

const caught = async (work: Promise<unknown>): Promise<unknown> => {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
};

test('a command sees LC_ALL, its search path and what it is given, and nothing of ours', async () => {
  const { stdout } = await run({ file: 'env', args: [], env: { X: '1' }, timeoutMs: 5_000 }, signal);
  assert.equal(stdout.trim().split('\n').toSorted(), [
    'LC_ALL=C',
    'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
    'X=1',
  ]);
});

test('arguments reach the command as they are', async () => {
  const args = ['%s|', '$(id)', '; rm', 'a b', '"', "'", '*', 'ünï'];
  const { stdout } = await run({ file: 'printf', args, timeoutMs: 5_000 }, signal);
  assert.is(stdout, '$(id)|; rm|a b|"|\'|*|ünï|');
});

test('stdin may be opened by name, and its file is never seen', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'vbs-test-'));
  const own = createRunCommand(directory);
  const text = `<x>${'y'.repeat(100_000)}</x>`;
  const args = ['-c', `cat /dev/stdin; ls -a ${directory} >&2`];
  const { stdout, stderr } = await own({ file: 'sh', args, stdin: text, timeoutMs: 5_000 }, signal);
  assert.is(stdout, text);
  assert.is(stderr, '.\n..\n');
  assert.equal(await readdir(directory), []);
  await rm(directory, { recursive: true });
});

test('an exit code is an answer, and its words hold no secret', async () => {
  const output = await shell('echo wrong hunter22 >&2; exit 5', { secrets: ['hunter22'] });
  assert.equal(output, { exitCode: 5, stdout: '', stderr: 'wrong ***\n' });
});

test('a missing command, a killed one and a flood of words are no answers', async () => {
  const missing = await caught(run({ file: 'vbs-no-such-tool', args: [], timeoutMs: 1_000 }, signal));
  assert.instance(missing, CommandError);
  assert.match(String(missing), 'ENOENT');
  assert.match(String(await caught(shell('kill -9 $$'))), 'SIGKILL');
  assert.match(String(await caught(shell('head -c 1100000 /dev/zero'))), 'more than');
});

test('an overdue command with kill: never is left to end by itself', async () => {
  const error = await caught(shell('sleep 0.4; exit 0', { timeoutMs: 50, kill: 'never' }));
  assert.instance(error, CommandTimeout);
  const started = Date.now();
  await (error as CommandTimeout).ended;
  assert.ok(Date.now() - started > 200);
});

test('an overdue command with kill: term is ended', async () => {
  const started = Date.now();
  const error = await caught(run({ file: 'sleep', args: ['30'], timeoutMs: 50, kill: 'term' }, signal));
  assert.instance(error, CommandTimeout);
  await (error as CommandTimeout).ended;
  assert.ok(Date.now() - started < 4_000);
});

test('giving up ends only commands that may be ended', async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 50);
  const patient = run(
    { file: 'sh', args: ['-c', 'sleep 0.3; echo done'], timeoutMs: 5_000 },
    controller.signal,
  );
  const killed = run({ file: 'sleep', args: ['30'], timeoutMs: 9_000, kill: 'term' }, controller.signal);
  assert.instance(await caught(killed), CommandTimeout);
  assert.is((await patient).stdout, 'done\n');
});

test.run();
