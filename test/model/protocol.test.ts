import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { explore } from './explore.ts';
import { mutants } from './mutants.ts';
import { rules } from './rules.ts';
import { scenarios } from './scenarios.ts';

const test = suite('protocol model');
let states = 0;

for (const [name, start] of Object.entries(scenarios)) {
  test(name, () => {
    const verdict = explore(start, rules);
    states += verdict.states;
    assert.is(verdict.failure, undefined, JSON.stringify(verdict.failure, null, 1));
    assert.ok(verdict.ends > 0);
    process.stdout.write(
      `  ${verdict.states} states, ${verdict.steps} steps, ${verdict.ends} ends: ${name}\n`,
    );
  });
}

test('every scenario together is a world of some size', () => {
  process.stdout.write(`  ${states} states visited\n`);
  assert.ok(states > 100_000, `${states} states`);
});

for (const { rule, broken, scenario, finds } of mutants) {
  test(`finds that ${rule}`, () => {
    const start = scenarios[scenario];
    assert.ok(start !== undefined, scenario);
    const { failure } = explore(start, broken);
    assert.ok(failure !== undefined, 'the broken rule went unnoticed');
    assert.match(failure.what, finds);
    assert.ok(failure.story.length > 0);
  });
}

test.run();
