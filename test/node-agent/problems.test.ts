import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LockStuck } from '../../node-agent/exec/locks.ts';
import { problemOf } from '../../node-agent/problems.ts';
import { DeadlineError } from '../../runtime/deadline.ts';

const test = suite('how a failure reads in a status');

test('a command that hangs keeps the others of its class busy', () => {
  assert.equal(problemOf(new LockStuck('tgtd', 'tgtadm ran for 60 s')), {
    reason: 'Busy',
    message: 'an earlier tgtd command still runs (tgtadm ran for 60 s)',
  });
});

test('a look that took too long is one that could not be had', async () => {
  const signal = AbortSignal.timeout(1);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.is(problemOf(signal.reason)?.reason, 'CannotLook');
  assert.is(problemOf(new DeadlineError('a look took longer than 5 ms'))?.reason, 'CannotLook');
});

test('what was called off, or is a fault of ours, is no problem of the outside world', () => {
  assert.is(problemOf(AbortSignal.abort().reason), undefined);
  assert.is(problemOf(new TypeError('x is not a function')), undefined);
});

test.run();
