import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DroppedFields } from '../../runtime/dropped.ts';

const test = suite('fields which the API server drops');

const wanted = { size: '1', can: ['Copy'] };
const kept = { size: '1' };

test('what was dropped is not written again', () => {
  const dropped = new DroppedFields();
  assert.not.ok(dropped.isFutile('a', wanted, kept), 'nothing was written yet');
  dropped.wrote('a', wanted, kept);
  assert.ok(dropped.isFutile('a', { ...wanted }, { ...kept }));
  assert.not.ok(dropped.isFutile('b', wanted, kept), 'that is another block');
});

test('but what is new is, and what somebody else has changed', () => {
  const dropped = new DroppedFields();
  dropped.wrote('a', wanted, kept);
  assert.not.ok(dropped.isFutile('a', { ...wanted, size: '2' }, kept));
  assert.not.ok(dropped.isFutile('a', wanted, { size: '3' }));
});

test('what was kept whole is forgotten, and so is what is gone', () => {
  for (const answer of [wanted, undefined]) {
    const dropped = new DroppedFields();
    dropped.wrote('a', wanted, kept);
    dropped.wrote('a', wanted, answer);
    assert.not.ok(dropped.isFutile('a', wanted, kept));
  }
});

test('now and then it is tried again: the API server may have learned of the fields', () => {
  const dropped = new DroppedFields();
  dropped.wrote('a', wanted, kept);
  const tries = Array.from({ length: 120 }, () => dropped.isFutile('a', wanted, kept));
  assert.is(tries.filter((isFutile) => !isFutile).length, 2);
});

test.run();
