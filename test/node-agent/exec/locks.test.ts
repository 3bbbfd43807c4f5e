import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CommandTimeout } from '../../../node-agent/exec/command.ts';
import { createLocks } from '../../../node-agent/exec/locks.ts';

const test = suite('locks');
const { signal } = new AbortController();

test('work of one class never overlaps and keeps its order', async () => {
  const locks = createLocks();
  const seen: string[] = [];
  const job = (name: string) =>
    locks.hold('tgt', signal, async () => {
      seen.push(`${name} in`);
      await new Promise((resolve) => setImmediate(resolve));
      seen.push(`${name} out`);
    });
  await Promise.all([job('a'), job('b'), job('c')]);
  assert.equal(seen, ['a in', 'a out', 'b in', 'b out', 'c in', 'c out']);
});

test('classes do not wait for each other', async () => {
  const locks = createLocks();
  const gate = Promise.withResolvers<void>();
  const slow = locks.hold('a', signal, () => gate.promise);
  assert.is(await locks.hold('b', signal, async () => 1), 1);
  gate.resolve();
  await slow;
});

test('failed work frees its class', async () => {
  const locks = createLocks();
  const failed = locks.hold('a', signal, async () => {
    throw new Error('no');
  });
  await failed.catch(() => undefined);
  assert.is(await locks.hold('a', signal, async () => 1), 1);
});

test('a waiter that gives up leaves the line, and those behind it go on', async () => {
  const locks = createLocks();
  const gate = Promise.withResolvers<void>();
  const first = locks.hold('a', signal, () => gate.promise);
  const controller = new AbortController();
  let ran = false;
  const second = locks.hold('a', controller.signal, async () => {
    ran = true;
  });
  const third = locks.hold('a', signal, async () => 3);
  controller.abort(new Error('enough'));
  assert.is(await second.catch((error: Error) => error.message), 'enough');
  gate.resolve();
  await first;
  assert.is(await third, 3);
  assert.not(ran);
});

test('nobody starts beside an overdue command, and nobody waits for it either', async () => {
  const locks = createLocks();
  const end = Promise.withResolvers<void>();
  const overdue = locks.hold('a', signal, async () => {
    throw new Error('look failed', { cause: new CommandTimeout('lvs', 'no end', end.promise) });
  });
  const behind = locks.hold('a', signal, async () => 2).catch((error: Error) => error.name);
  await overdue.catch(() => undefined);
  assert.is(await behind, 'LockStuck');
  let ran = false;
  const refused = await locks
    .hold('a', signal, async () => {
      ran = true;
    })
    .catch((error: Error) => error.name);
  assert.is(refused, 'LockStuck');
  assert.not(ran);
  end.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  assert.is(await locks.hold('a', signal, async () => 1), 1);
});

test.run();
