import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadBudget, overBudget } from './budget.ts';

const test = suite('the budget of costs');

const cases: [string, Parameters<typeof overBudget>[1], Parameters<typeof overBudget>[2], string[]][] = [
  ['what is allowed passes', { writes: 4, lists: 0, commands: 2 }, { writes: 4, lists: 0, commands: 2 }, []],
  ['one more fails', { writes: 5 }, { writes: 4 }, ['x: 5 writes, 4 allowed (+1)']],
  [
    'each kind is told',
    { writes: 1, lists: 3, commands: 2 },
    { writes: 0, lists: 1, commands: 2 },
    ['x: 1 writes, 0 allowed (+1)', 'x: 3 lists, 1 allowed (+2)'],
  ],
  ['a kind without a limit passes', { writes: 9 }, { lists: 0 }, []],
  ['an operation that is not listed fails', {}, undefined, ['x: test/budget.yaml says nothing about it']],
];
for (const [name, found, allowed, expected] of cases) {
  test(name, () => assert.equal(overBudget('x', found, allowed), expected));
}

test('the file says whole numbers for every operation', async () => {
  const { operations, idle, restart } = await loadBudget();
  assert.ok(Object.keys(operations).length >= 4);
  for (const cost of [...Object.values(operations), idle]) {
    assert.equal(Object.keys(cost).sort(), ['commands', 'lists', 'writes']);
    assert.ok(Object.values(cost).every((count) => Number.isInteger(count) && count >= 0));
  }
  assert.equal(Object.keys(restart).sort(), ['lists', 'writes']);
});

test.run();
