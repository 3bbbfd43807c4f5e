import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ApiError } from '../../runtime/errors.ts';
import { createLog, type LogLevel } from '../../runtime/log.ts';

const test = suite('log');

function aLog(level: LogLevel = 'debug') {
  const lines: string[] = [];
  const log = createLog({ level, name: 'agent', stream: { write: (line) => void lines.push(line) } });
  return { log, lines, last: () => JSON.parse(lines.at(-1) ?? '{}') };
}

test('a line says when, how bad, who and what', () => {
  const { log, last } = aLog();
  log.child({ controller: 'volume' }).info({ object: 'shop/db' }, 'Growing');
  const { time, ...rest } = last();
  assert.match(time, /^\d{4}-\d\d-\d\dT.*Z$/);
  assert.equal(rest, {
    level: 'info',
    name: 'agent',
    controller: 'volume',
    object: 'shop/db',
    msg: 'Growing',
  });
});

test('less important lines are left out', () => {
  const { log, lines } = aLog('warn');
  log.info({}, 'no');
  log.warn({}, 'yes');
  assert.is(lines.length, 1);
});

test('secrets are masked, however deep, in bindings and in errors', () => {
  const { log, lines } = aLog();
  const secret = 'hunter2';
  log.info({ password: secret, login: { user: 'u', chapPassword: secret, list: [{ token: secret }] } }, 'a');
  log.child({ apiKey: secret }).warn({ headers: { Authorization: secret }, clientSecret: secret }, 'b');
  const error = Object.assign(new Error('failed'), { password: secret, request: { token: secret } });
  log.error({ err: error, privateKey: secret }, 'c');
  assert.is(lines.length, 3);
  assert.not.ok(
    lines.some((line) => line.includes(secret)),
    lines.join(''),
  );
});

test('errors keep their stack and their fields', () => {
  const { log, last } = aLog();
  log.error({ err: new ApiError('patch x: 409', { status: 409, reason: 'Conflict' }) }, 'Visit failed');
  const { err } = last();
  assert.match(err.stack, 'log.test.ts');
  assert.is(err.status, 409);
  assert.is(err.reason, 'Conflict');
});

test('what JSON cannot hold does not break a line', () => {
  const { log, last } = aLog();
  const circle: Record<string, unknown> = { sizeBytes: 9_223_372_036_854_775_807n };
  circle.self = circle;
  log.info(circle, 'odd');
  assert.is(last().sizeBytes, '9223372036854775807');
});

test.run();
