import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { infoOf } from '../../api/reasons.ts';
import { CommandError } from '../../node-agent/exec/command.ts';
import { LockStuck } from '../../node-agent/exec/locks.ts';
import { problemOf } from '../../node-agent/problems.ts';
import { Busy, CannotLook } from '../../node-agent/roles/errors.ts';
import { DeadlineError } from '../../runtime/deadline.ts';

const test = suite('how a failure reads in a status');

test('a command that hangs keeps the others of its class busy', () => {
  assert.equal(problemOf(new LockStuck('tgtd', 'tgtadm ran for 60 s')), {
    reason: 'Busy',
    message:
      'an earlier tgtd command still runs (tgtadm ran for 60 s); if it lasts, look at that process or session',
  });
});

test('what a tool does not do ends with what a person does', () => {
  const said = 'x'.repeat(2_000);
  for (const error of [new Busy('vol1', said), new CannotLook('vms', said), new CommandError('lvs', said)]) {
    const { reason = '', message = '' } = problemOf(error) ?? {};
    assert.ok(message.endsWith(`; ${infoOf(reason)?.remedy}`), message);
    assert.is(message.length, 900);
  }
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
