import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Condition } from '../../api/conditions.ts';
import { setCondition } from '../../runtime/conditions.ts';

const test = suite('conditions');

const morning = new Date('2026-11-23T08:00:00.123Z');
const noon = new Date('2026-11-23T12:00:00.987Z');
const ready = (status: Condition['status'], message = 'fine', observedGeneration = 1) => ({
  type: 'Ready',
  status,
  reason: 'Settled',
  message,
  observedGeneration,
});
const first = setCondition([], ready('True'), morning);

test('a new condition carries whole seconds', () => {
  assert.equal(first, [{ ...ready('True'), lastTransitionTime: '2026-11-23T08:00:00Z' }]);
});

test('saying the same again gives the very same array', () => {
  assert.is(setCondition(first, ready('True'), noon), first);
});

test('another message or generation keeps the time of the last flip', () => {
  const [said] = setCondition(first, ready('True', '42 % copied', 2), noon);
  assert.equal(said, { ...ready('True', '42 % copied', 2), lastTransitionTime: '2026-11-23T08:00:00Z' });
});

test('a flip moves the time and leaves other conditions alone', () => {
  const placed = { ...ready('True'), type: 'Placed' };
  const both = setCondition(first, placed, morning);
  const flipped = setCondition(both, ready('False'), noon);
  assert.is(flipped[0]?.lastTransitionTime, '2026-11-23T12:00:00Z');
  assert.is(flipped[1], both[1]);
  assert.is(flipped.length, 2);
});

test.run();
