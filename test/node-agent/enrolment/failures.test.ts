import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { explained } from '../../../node-agent/enrolment/failures.ts';
import { ApiError, ConfigError } from '../../../runtime/errors.ts';

const test = suite('why a host cannot be enrolled');
const NOW = new Date('2026-11-26T12:00:00Z');
const attempt = { server: 'https://c:6443', ca: { file: 'ca.crt' }, token: 'x.y.z', host: 'xen07', now: NOW };

/** A failed connection as the HTTP client tells it. */
const broken = (code: string): ApiError => {
  const cause = Object.assign(new Error(`because of ${code}`), { code });
  return new ApiError('create: failed', { status: 0, reason: 'Unreachable' }, { cause });
};
const answered = (status: number): ApiError => new ApiError(`HTTP ${status}`, { status, reason: 'No' });

const cases: readonly (readonly [error: ApiError, words: RegExp])[] = [
  [broken('SELF_SIGNED_CERT_IN_CHAIN'), /not signed by what is in ca\.crt; give the CA .* --ca-file/],
  [broken('UNABLE_TO_VERIFY_LEAF_SIGNATURE'), /not signed by what is in ca\.crt/],
  [broken('CERT_HAS_EXPIRED'), /not valid at 2026-11-26T12:00:00\.000Z.*set the clock.*renew/],
  [broken('CERT_NOT_YET_VALID'), /set the clock/],
  [broken('ERR_TLS_CERT_ALTNAME_INVALID'), /for other names; give one of them with --server/],
  [broken('ERR_SSL_WRONG_VERSION_NUMBER'), /does not speak TLS/],
  [broken('ECONNREFUSED'), /cannot be reached.*routes and firewalls.*ECONNREFUSED/],
  [broken('ENOTFOUND'), /cannot be reached.*ENOTFOUND/],
  [
    new ApiError('no answer in time', { status: 0, reason: 'Timeout' }),
    /cannot be reached.*no answer in time/,
  ],
  [
    answered(401),
    /none of a ServiceAccount; make a new one: kubectl create token vbs-agent -n vbs-host-xen07/,
  ],
  [answered(403), /apply deploy\/host\.yaml .* sed s\/HOST\/xen07\/g/],
  [answered(500), /refused: HTTP 500/],
];

test('each failure names its remedy', () => {
  for (const [error, words] of cases) {
    const told = explained(error, attempt);
    assert.instance(told, ConfigError);
    assert.match((told as Error).message, words);
    assert.is((told as Error).cause, error);
  }
});

test('with a join text, the remedy is a new one', () => {
  const joined = { ...attempt, ca: { pem: 'PEM' } };
  for (const [error, words] of [
    [broken('SELF_SIGNED_CERT_IN_CHAIN'), /not signed by the CA in the join text.*vbs-control-plane enroll/],
    [answered(401), /none of a ServiceAccount; make a new join text: vbs-control-plane enroll/],
  ] as const) {
    assert.match((explained(error, joined) as Error).message, words);
  }
});

test('a fault of our own is not dressed up', () => {
  const error = new TypeError('oops');
  assert.is(explained(error, attempt), error);
});

test('no message repeats the token', () => {
  const token = `h.${Buffer.from(JSON.stringify({ sub: 's', exp: 1 })).toString('base64url')}.signature`;
  for (const [error] of cases) {
    assert.not.match(String(explained(error, { ...attempt, token })), token);
  }
});

test.run();
