import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('the early end of a run');

const module = JSON.stringify(join(import.meta.dirname, 'early-end.ts'));

/** A run whose cleanup takes its time, told what else to do. */
const run = async (
  body: string,
): Promise<{ child: ChildProcess; said: Promise<string>; code: Promise<number> }> => {
  const script = `
    import { onEarlyEnd, untilInterrupted } from ${module};
    const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    onEarlyEnd(async () => { await pause(2500); console.log('cleaned'); });
    console.error('ready');
    ${body}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = text(child.stdout);
  const code = once(child, 'exit').then(([exitCode]) => Number(exitCode));
  await once(child.stderr, 'data');
  return { child, said, code };
};

/** As the terminal, npm and bootstrap.mjs deliver one wish. */
const signalInCopies = async (child: ChildProcess): Promise<void> => {
  for (const signal of ['SIGINT', 'SIGINT', 'SIGTERM'] as const) {
    child.kill(signal);
    await sleep(100);
  }
};

test('copies of one signal leave the cleanup its time', async () => {
  const { child, said, code } = await run('setInterval(() => {}, 1000);');
  await signalInCopies(child);
  assert.is(await code, 130);
  assert.is(await said, 'cleaned\n');
});

test('a second wish ends the run at once', async () => {
  const { child, said, code } = await run('setInterval(() => {}, 1000);');
  child.kill('SIGINT');
  await sleep(1_300);
  child.kill('SIGINT');
  assert.is(await code, 130);
  assert.is(await said, '');
});

test('copies of the signal that was waited for do not spoil the orderly end', async () => {
  const { child, said, code } = await run(
    `await untilInterrupted(); await pause(600); console.log('orderly'); process.exit(0);`,
  );
  await signalInCopies(child);
  assert.is(await code, 0);
  assert.is(await said, 'orderly\n');
});

test.run();
