import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Check } from '../../../node-agent/preflight/checks.ts';
import { hostCheckup } from '../../../node-agent/preflight/checkup.ts';
import type { Verdict } from '../../../node-agent/preflight/finding.ts';
import { FakeClock } from '../../fakes/clock.ts';

const test = suite('the checks in the running agent');

const { signal } = new AbortController();
const wrong: Verdict = {
  kind: 'wrong',
  wrong: 'it is off',
  remedy: { how: 'change', place: '/etc/x.conf:7', text: 'it = on' },
};

function checkup(more: Partial<Check> = {}) {
  const state = { verdict: { kind: 'ok' } as Verdict, rounds: 0 };
  const clock = new FakeClock();
  const check: Check = {
    subject: 'tool',
    check: 'it is on',
    why: 'else',
    severity: 'fail',
    reason: 'HostUnsafe',
    live: false,
    run: async () => {
      state.rounds += 1;
      return state.verdict;
    },
    ...more,
  };
  const log = { info: () => {}, warn: () => {} } as never;
  const { problems } = hostCheckup({ checks: [check, check], clock, log });
  const settled = async () => {
    await problems(signal);
    await new Promise((resolve) => setImmediate(resolve));
    return problems(signal);
  };
  return { state, clock, settled, problems };
}

test('the first answer waits for the first round, and two of one text are one', async () => {
  const { state, problems } = checkup();
  state.verdict = wrong;
  assert.equal(await problems(signal), [
    { reason: 'HostUnsafe', message: 'tool: it is off (else); change /etc/x.conf:7: it = on' },
  ]);
});

test('while all is well nothing is looked at for minutes', async () => {
  const { state, clock, settled } = checkup();
  assert.equal(await settled(), []);
  assert.is(state.rounds, 2);
  await clock.advance(4 * 60_000);
  await settled();
  assert.is(state.rounds, 2);
  state.verdict = wrong;
  await clock.advance(2 * 60_000);
  assert.is((await settled()).length, 1);
  assert.is(state.rounds, 4);
});

test('a cure is seen soon', async () => {
  const { state, clock, settled } = checkup();
  state.verdict = wrong;
  assert.is((await settled()).length, 1);
  state.verdict = { kind: 'ok' };
  assert.is((await settled()).length, 1);
  await clock.advance(20_000);
  assert.equal(await settled(), []);
});

test('warnings, what could not be looked at, and what the agent sees anyway stand against nothing', async () => {
  for (const more of [{ severity: 'warn' }, { live: true }] as const) {
    const { state, problems } = checkup(more);
    state.verdict = wrong;
    assert.equal(await problems(signal), []);
    assert.is(state.rounds, 0);
  }
  const { state, problems } = checkup();
  state.verdict = { kind: 'unclear', why: 'no rights' };
  assert.equal(await problems(signal), []);
  const thrown = checkup({ run: () => Promise.reject(new Error('EACCES')) });
  assert.equal(await thrown.problems(signal), []);
});

test('a look that hangs holds up the first report for a while only, and no other begins', async () => {
  let begun = 0;
  const { clock, problems } = checkup({
    run: () => {
      begun += 1;
      return new Promise(() => {});
    },
  });
  const first = problems(signal);
  await new Promise((resolve) => setImmediate(resolve));
  await clock.advance(15_000);
  assert.equal(await first, []);
  await clock.advance(600_000);
  void problems(signal);
  assert.is(begun, 2);
});

test.run();
