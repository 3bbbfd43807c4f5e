// Commands and the lock, with real processes.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { OperationError, runCommand, succeed, whileHolding } from '../../control-plane/command.ts';
import { machineDisk } from '../../control-plane/files.ts';
import { oneAtATime } from '../../control-plane/lock.ts';
import { placesUnder } from '../../control-plane/places.ts';

const test = suite<{ dir: string }>('commands of the control plane');
test.before(async (world) => {
  world.dir = await mkdtemp(path.join(os.tmpdir(), 'command-'));
});
test.after(async ({ dir }) => await rm(dir, { recursive: true, force: true }));

const failure = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  assert.instance(error, OperationError);
  return (error as Error).message;
};

test('a command is given its input, and answers all it said', async () => {
  const script = 'cat; echo "$HOME" >&2; exit 3';
  assert.equal(await runCommand('sh', ['-c', script], { stdin: 'one\n' }), {
    exitCode: 3,
    stdout: 'one\n',
    stderr: '/root\n',
  });
  assert.is(await succeed(runCommand, 'cat', []), '');
});

test('what failed is told with its words', async () => {
  assert.match(
    await failure(succeed(runCommand, 'sh', ['-c', 'echo no room >&2; exit 1'])),
    /exit code 1: no room/,
  );
  assert.match(await failure(runCommand('/nowhere/tar', ['--create'])), 'did not start (ENOENT)');
  assert.match(await failure(runCommand('sh', ['-c', 'kill -9 $$'])), 'ended by SIGKILL');
});

test('two of them never hold the lock at once', async ({ dir }) => {
  const told: string[] = [];
  const work = (name: string) => async () => {
    told.push(name);
    await new Promise((resolve) => setTimeout(resolve, 50));
    told.push(name);
  };
  await Promise.all(['a', 'b', 'c'].map((name) => whileHolding(dir, 60, work(name))));
  assert.match(told.join(''), /^(aabbcc|aaccbb|bbaacc|bbccaa|ccaabb|ccbbaa)$/);
});

test('who waits in vain is told by whom', async ({ dir }) => {
  await whileHolding(dir, 60, async () => {
    assert.match(await failure(whileHolding(dir, 0, async () => {})), `another process holds ${dir}`);
  });
});

test('who waits is told so, and not in its answer', async ({ dir }) => {
  const places = placesUnder(dir);
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const surroundings = { places, disk: machineDisk, rootOwner: owner };
  const warned = Promise.withResolvers<string>();
  let waiter: Promise<string> | undefined;
  await oneAtATime({ ...surroundings, warn: () => {} }, async () => {
    waiter = oneAtATime({ ...surroundings, warn: warned.resolve }, async () => 'my turn');
    assert.match(await warned.promise, 'waiting for another vbs-control-plane');
  });
  assert.is(await waiter, 'my turn');
});

test('the lock of a process that was killed is free', async ({ dir }) => {
  const file = path.resolve(import.meta.dirname, '../../control-plane/command.ts');
  const script = `import { whileHolding } from ${JSON.stringify(file)};
    await whileHolding(${JSON.stringify(dir)}, 60, () => new Promise(() => console.log('held')));`;
  const child = spawn(process.execPath, ['--no-warnings', '--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  assert.is(await whileHolding(dir, 60, async () => 'mine'), 'mine');
});

test.run();
