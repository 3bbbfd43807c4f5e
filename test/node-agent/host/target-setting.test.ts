import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { refuseSetting, type TargetSetting } from '../../../node-agent/host/target-setting.ts';
import { emptyServerMemory, type ServerMemory } from '../../../node-agent/volume/memory.ts';
import { ConfigError } from '../../../runtime/errors.ts';

const test = suite('a change of the settings of the target');

const before: TargetSetting = {
  iqnPrefix: 'iqn.2026-11.dev.vbs',
  profile: 'tgtd',
  params: { socket: '/run/a', sudo: true },
};
const memory = (change: Partial<ServerMemory> = {}): ServerMemory => ({
  ...emptyServerMemory('vol1', 'u'),
  items: [{ epoch: 1, state: 'Granted' }] as unknown as ServerMemory['items'],
  ...change,
});
const changed: TargetSetting = { ...before, profile: 'lio', params: { socket: '/run/b', debug: 1 } };

test('is refused while a volume is granted, and says what changed and what helps', () => {
  const refusal = refuseSetting(before, changed, [memory()]);
  assert.instance(refusal, ConfigError);
  for (const part of [
    'target.profile was "tgtd" and is "lio"',
    'target.params.socket was "/run/a" and is "/run/b"',
    'target.params.sudo was true and is not set',
    'target.params.debug was not set and is 1',
    'vol1',
    'restore the settings, or detach',
  ]) {
    assert.ok(refusal?.message.includes(part), part);
  }
  const prefix = refuseSetting(before, { ...before, iqnPrefix: 'iqn.2027-01.org' }, [memory()]);
  assert.match(prefix?.message ?? '', /iqnPrefix was "iqn\.2026-11\.dev\.vbs" and is "iqn\.2027-01\.org"/);
});

test('is taken when no grant is open', () => {
  assert.is(refuseSetting(before, changed, []), undefined);
  assert.is(refuseSetting(before, changed, [memory({ items: [] })]), undefined);
  assert.is(refuseSetting(before, changed, [memory({ withdrawn: [1] })]), undefined);
});

test('is none for the same settings in another order, nor at the first start', () => {
  const same = { params: { sudo: true, socket: '/run/a' }, profile: 'tgtd', iqnPrefix: before.iqnPrefix };
  assert.is(refuseSetting(before, same, [memory()]), undefined);
  assert.is(refuseSetting(undefined, before, [memory()]), undefined);
});

test.run();
