import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SerialLine } from './serial.ts';

const test = suite('the serial line of a guest');

/** Answers every command with success, after a while. */
const slowGuest = (delayMs: number) =>
  createServer((socket) => {
    socket.setEncoding('utf8').on('error', () => {});
    socket.on('data', (text: string) => {
      for (const [, id] of text.matchAll(/RUN (\S+) /g)) {
        setTimeout(() => socket.write(`@${id} 0 \n`), delayMs);
      }
    });
  });

test('a guest that always answers late is open all the same', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'vbs-test-'));
  const socketPath = join(dir, 'serial');
  const server = slowGuest(600);
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const line = new SerialLine(socketPath);
  try {
    await line.open(5_000);
    assert.is((await line.run('true', 5_000)).exitCode, 0);
  } finally {
    line.close();
    server.close();
    await rm(dir, { recursive: true });
  }
});

test.run();
