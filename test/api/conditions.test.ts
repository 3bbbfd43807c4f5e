import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Condition, findCondition, isTrue } from '../../api/conditions.ts';

const test = suite('conditions as both sides read them');
const a = (type: string, status: Condition['status']): Condition => ({
  type,
  status,
  reason: 'Seen',
  message: '',
  lastTransitionTime: '2026-11-23T08:00:00Z',
});
const conditions = [a('Ready', 'True'), a('Stalled', 'False'), a('Placed', 'Unknown')];

test('a condition is found by its type', () => {
  assert.is(findCondition(conditions, 'Stalled'), conditions[1]);
});

test('what is not claimed is not found', () => {
  assert.is(findCondition(conditions, 'ready'), undefined);
  assert.is(findCondition([], 'Ready'), undefined);
  assert.is(findCondition(undefined, 'Ready'), undefined);
});

test('only True is true: False, Unknown and absence permit nothing', () => {
  assert.ok(isTrue(conditions, 'Ready'));
  for (const type of ['Stalled', 'Placed', 'Attached']) {
    assert.not.ok(isTrue(conditions, type));
  }
  assert.not.ok(isTrue(undefined, 'Ready'));
});

test.run();
