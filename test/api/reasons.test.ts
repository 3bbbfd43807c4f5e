// The table of reasons against the code that says them. That nothing else is said is checked by the types.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CONDITIONS, EVENTS_ONLY, infoOf, REASONS } from '../../api/reasons.ts';
import { no, patienceMs, summarized, yes } from '../../controller/claims.ts';

const test = suite('reasons');
const ROOT = path.join(import.meta.dirname, '../..');

async function textOf(folder: string): Promise<string> {
  const files = (await readdir(path.join(ROOT, folder), { recursive: true })).filter((name) =>
    name.endsWith('.ts'),
  );
  const texts = await Promise.all(files.map((file) => readFile(path.join(ROOT, folder, file), 'utf8')));
  return texts.join('\n');
}

const controller = await textOf('controller');
const agent = await textOf('node-agent');
const says = (text: string, word: string) => text.includes(`'${word}'`);

for (const [reason, { by, on }] of Object.entries(REASONS)) {
  test(`${reason} is said by who is said to say it`, () => {
    // Words such as Exported are states in the agents' code as well: only the one direction can be seen in the text.
    assert.ok(!by.includes('C') || says(controller, reason), 'controller');
    assert.ok(!(by.includes('S') || by.includes('H')) || says(agent, reason), 'agents');
  });

  test(`${reason} stands on conditions that there are`, () => {
    assert.ok(on.length > 0);
    assert.equal(
      on.filter((type) => !Object.hasOwn(CONDITIONS, type)),
      [],
    );
  });
}

for (const [reason, { meaning, remedy, stalls, waits }] of Object.entries(REASONS)) {
  test(`${reason} tells a person something`, () => {
    assert.match(meaning, /^[A-Z].*\.$/);
    assert.match(remedy, /^\S.*[^.]$/);
    assert.not(stalls === true && (waits === true || remedy.startsWith('nothing')));
  });
}

test('every type of condition is claimed by the controller', () => {
  assert.equal(
    Object.keys(CONDITIONS).filter((type) => !says(controller, type)),
    [],
  );
});

test('events of the agents are in the table', () => {
  const recorded = [...agent.matchAll(/record\(\{[^}]*reason: '(\w+)'/g)].map(([, reason]) => reason);
  assert.equal(recorded, Object.keys(EVENTS_ONLY));
});

test('the table decides what is stalled and what may go untold', () => {
  const statusOf = (reason: 'DataMissing' | 'NoSpace', type: string) =>
    summarized([], no('Ready', reason, '')).find((claim) => claim.type === type)?.status;
  assert.is(statusOf('DataMissing', 'Stalled'), 'True');
  assert.is(statusOf('DataMissing', 'Reconciling'), 'False');
  assert.is(statusOf('NoSpace', 'Stalled'), 'False');
  assert.is(statusOf('NoSpace', 'Reconciling'), 'True');
  assert.is(patienceMs([no('Ready', 'Provisioning', '')]), 1_500);
  assert.is(patienceMs([yes('Ready', 'Provisioned', '')]), 0);
});

test('what a newer host says is no reason of ours, and does no harm', () => {
  assert.is(infoOf('OutOfSpoons'), undefined);
  assert.is(infoOf('toString'), undefined);
});

test.run();
