// The parts of the quickstart that need no system; the system itself is started by running it.
import { Writable } from 'node:stream';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Course, type Step } from '../../scripts/quickstart/course.ts';
import { type MachineFacts, objectionTo } from '../../scripts/quickstart/machine.ts';
import { readOptions } from '../../scripts/quickstart/options.ts';
import { Screen } from '../../scripts/quickstart/screen.ts';
import { hasPassed, type Outcome, tableOf, totalsOf } from '../../scripts/quickstart/summary.ts';
import { readable } from '../../scripts/quickstart/trouble.ts';

const test = suite('quickstart');

test('takes --once and nothing unknown', () => {
  assert.equal(readOptions([]), { kind: 'run', once: false });
  assert.equal(readOptions(['--once']), { kind: 'run', once: true });
  assert.equal(readOptions(['-h']), { kind: 'help' });
  assert.equal(readOptions(['--onec']), { kind: 'refused', message: "Unknown option '--onec'" });
  assert.equal(readOptions(['once']), { kind: 'refused', message: "Unexpected argument 'once'" });
});

const debian12: MachineFacts = {
  uid: 0,
  arch: 'x64',
  osRelease: 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n',
  canUnshare: true,
};

test('runs as root on Debian 12 and newer', () => {
  assert.is(objectionTo(debian12), undefined);
  assert.is(objectionTo({ ...debian12, osRelease: 'ID=debian\nVERSION_ID="13"\n' }), undefined);
  assert.is(objectionTo({ ...debian12, osRelease: 'ID=debian\n' }), undefined, 'testing has no version');
});

const refusals: readonly [Partial<MachineFacts>, RegExp][] = [
  [{ osRelease: 'ID=debian\nVERSION_ID="11"\nPRETTY_NAME="Debian 11"\n' }, /Debian 12 or newer.*Debian 11/],
  [{ osRelease: 'PRETTY_NAME="Fedora 42"\nID=fedora\n' }, /Fedora 42.*Debian virtual machine/],
  [{ osRelease: '' }, /something else/],
  [{ uid: 1000 }, /sudo npm run quickstart/],
  [{ arch: 'arm64' }, /x86-64.*arm64/],
  [{ canUnshare: false }, /--privileged/],
];

for (const [facts, message] of refusals) {
  test(`refuses ${JSON.stringify(facts)} with a remedy`, () => {
    assert.match(objectionTo({ ...debian12, ...facts }) ?? '', message);
  });
}

class Paper extends Writable {
  readonly isTTY: boolean;
  text = '';

  constructor(isTTY = false) {
    super();
    this.isTTY = isTTY;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

const passing = (title: string): Step => ({ title, run: async ({ note }) => note(`in ${title}`) });
const failing = (title: string): Step => ({
  title,
  run: async () => {
    throw new Error('the reason\nand more');
  },
  explain: async ({ note }) => note('what helps'),
});

async function taken(...steps: Step[]): Promise<{ course: Course; text: string }> {
  const paper = new Paper();
  const course = new Course(new Screen(paper));
  await course.take(steps);
  return { course, text: paper.text };
}

test('takes the steps in order and counts them', async () => {
  const { course, text } = await taken(passing('one'), passing('two'));
  assert.match(text, / 1 {2}one\n {4}in one\n {4}ok \d+\.\d s\n\n 2 {2}two\n/);
  assert.is(totalsOf(course.outcomes), '2 passed, 0 failed');
  assert.is(hasPassed(course.outcomes), true);
});

test('after a failure explains it, runs no more steps, and still takes things down', async () => {
  const down = { ...passing('down'), always: true };
  const { course, text } = await taken(passing('one'), failing('two'), passing('three'), down);
  assert.match(text, /FAILED \d+\.\d s\n {4}the reason\n {4}and more\n {4}what helps\n/);
  assert.not.match(text, /in three/);
  assert.match(text, /in down/);
  assert.equal(
    course.outcomes.map(({ state }) => state),
    ['passed', 'failed', 'not run', 'passed'],
  );
  assert.is(course.failure?.title, 'two');
  assert.is(totalsOf(course.outcomes), '2 passed, 1 failed');
  assert.is(hasPassed(course.outcomes), false);
});

test('nothing run is nothing passed', () => {
  assert.is(hasPassed([]), false);
});

test('the table has a line for each step and the whole time', () => {
  const outcomes: readonly Outcome[] = [
    { title: 'a long title', state: 'passed', seconds: 1.25 },
    { title: 'short', state: 'failed', seconds: 120 },
    { title: 'last', state: 'not run', seconds: 0 },
  ];
  assert.equal(tableOf(outcomes), [
    ' 1  a long title  ok         1.3 s',
    ' 2  short         FAILED   120.0 s',
    ' 3  last          not run',
    '                           121.3 s',
  ]);
});

test('without a terminal there are no colours and no control characters', () => {
  const paper = new Paper();
  const screen = new Screen(paper);
  screen.print(screen.bold('title'));
  screen.live('waiting');
  assert.is(paper.text, 'title\n');
});

test('at a terminal the live line is replaced, and NO_COLOR is honoured', () => {
  const paper = new Paper(true);
  const screen = new Screen(paper, { NO_COLOR: '1' });
  screen.live('waiting');
  screen.print(screen.red('done'));
  assert.is(paper.text, '\r\u001B[Kwaiting\r\u001B[Kdone\n');
});

test('a log line of ours is shown for people, any other as it is', () => {
  const line =
    '{"level":"warn","time":"2026-11-23T19:18:04.723Z","name":"controller","volume":"default/db","msg":"slow"}';
  assert.is(readable(line), '19:18:04.723 warn slow {"volume":"default/db"}');
  assert.is(readable('panic: no'), 'panic: no');
});

test.run();
