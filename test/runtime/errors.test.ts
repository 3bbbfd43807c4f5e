import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { apiErrorOf } from '../../runtime/errors.ts';

const test = suite('errors');
const now = new Date('2026-11-23T12:00:00Z');
const waitOf = (retryAfter: string | undefined, body: object = {}) =>
  apiErrorOf('get x', { status: 429, body: JSON.stringify(body), retryAfter }, now).retryAfterMs;

test('Retry-After is read as seconds, as a date, or from the Status', () => {
  const details = { retryAfterSeconds: 7 };
  assert.is(waitOf('3'), 3_000);
  assert.is(waitOf('Mon, 23 Nov 2026 12:00:10 GMT'), 10_000);
  assert.is(waitOf('Mon, 23 Nov 2026 11:00:00 GMT'), 0);
  assert.is(waitOf(undefined, { details }), 7_000);
  assert.is(waitOf('soon', { details }), 7_000);
  assert.is(waitOf(undefined), undefined);
});

test('an answer that is no Status at all still makes an error', () => {
  for (const body of ['', 'null', '[]', '<html>', '"text"', '{"details":null}']) {
    const { status, causes } = apiErrorOf('get x', { status: 500, body }, now);
    assert.equal([status, causes], [500, []], body);
  }
});

test.run();
