import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { revisionBump } from '../../control-plane/restore.ts';
import { isNewer } from '../../control-plane/version.ts';

const test = suite('what a restore decides');

test('a backup of a newer version is known by its numbers', () => {
  for (const [version, than] of [
    ['0.2.0', '0.1.9'],
    ['0.1.10', '0.1.9'],
    ['1.0.0', '0.9.9'],
    ['0.1.1-rc.1', '0.1.0'],
  ] as const) {
    assert.ok(isNewer(version, than), version);
    assert.not.ok(isNewer(than, version), version);
  }
  assert.not.ok(isNewer('0.1.0', '0.1.0'));
});

test('each restore comes to a higher revision than anybody has seen, whichever backup it is of', () => {
  let now = Date.parse('2026-11-27T04:05:06Z');
  const restoredFrom = (revision: number) => revision + revisionBump(revision, new Date(now));
  const old = 5_000;
  let seen = 9_000;
  const between: number[] = [];
  for (let nth = 0; nth < 4; nth += 1) {
    for (const backup of [old, old, ...between]) {
      const revision = restoredFrom(backup);
      assert.ok(revision > seen, `${nth}: ${backup}`);
      assert.ok(Number.isSafeInteger(revision));
      // A minute of 500 writes a second.
      now += 60_000;
      seen = revision + 30_000;
    }
    between.push(seen);
  }
});

test('also with a clock that was set back', () => {
  const before = Date.parse('2040-01-01');
  const revision = before + revisionBump(before, new Date('2026-11-27'));
  assert.is(revision, before + 1_000_000_000);
});

test.run();
