import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const runner = path.resolve(import.meta.dirname, '../../scripts/test.ts');
const uvu = `import { suite, test } from ${JSON.stringify(import.meta.resolve('uvu'))};`;
const passing = `${uvu} test('a', () => {}); test('b', () => {}); \ntest.run();\n`;
const failing = `${uvu} test('a', () => {}); test('b', () => { throw new Error('the reason'); }); \ntest.run();\n`;

interface Sandbox {
  dir: string;
}

const runnerSuite = suite<Sandbox>('the test runner');

runnerSuite.before.each((context) => {
  context.dir = mkdtempSync(path.join(os.tmpdir(), 'test-runner-'));
});
runnerSuite.after.each((context) => {
  rmSync(context.dir, { recursive: true, force: true });
});

const write = (dir: string, files: Record<string, string>): void => {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
    writeFileSync(path.join(dir, name), text);
  }
};

const runIn = (
  dir: string,
  ...args: string[]
): { exitCode: number | null; lines: string[]; text: string } => {
  const options = ['--tier', 'unit', '--dir', dir, ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, [runner, ...options], { encoding: 'utf8' });
  return { exitCode: status, lines: stdout.trimEnd().split('\n'), text: stdout + stderr };
};

runnerSuite('adds up the files and ends with one plain line', ({ dir }) => {
  write(dir, { 'one.test.ts': passing, 'deep/two.test.ts': passing });
  const { exitCode, lines } = runIn(dir);
  assert.is(lines.at(-1), '4 passed, 0 failed');
  assert.is(exitCode, 0);
});

runnerSuite('shows a failing test and its reason', ({ dir }) => {
  write(dir, { 'one.test.ts': passing, 'two.test.ts': failing });
  const { exitCode, lines, text } = runIn(dir);
  assert.is(lines.at(-1), '3 passed, 1 failed');
  assert.match(text, /the reason/);
  assert.is(exitCode, 1);
});

runnerSuite(
  'leaves files for emulated machines and for a cluster out unless they are asked for',
  ({ dir }) => {
    write(dir, { 'one.test.ts': passing, 'lab/two.test.ts': failing, 'cluster/three.test.ts': failing });
    assert.is(runIn(dir, '--tier', 'all').lines.at(-1), '2 passed, 0 failed');
    assert.is(runIn(dir).lines.at(-1), '2 passed, 0 failed');
  },
);

runnerSuite('runs only the files that a filter names', ({ dir }) => {
  write(dir, { 'one.test.ts': passing, 'two.test.ts': failing });
  assert.is(runIn(dir, 'one.test').lines.at(-1), '2 passed, 0 failed');
});

runnerSuite('leaves integration files out of the unit tier', ({ dir }) => {
  write(dir, { 'one.test.ts': passing, 'integration/two.test.ts': failing });
  assert.is(runIn(dir).lines.at(-1), '2 passed, 0 failed');
});

const silentPasses: Record<string, string> = {
  'a file without .run()': `${uvu} test('a', () => {});\n`,
  'a file without tests': `${uvu}\ntest.run();\n`,
  'a file whose tests are all skipped': `${uvu} test.skip('a', () => {});\ntest.run();\n`,
  'a test that never settles': `${uvu} test('a', () => new Promise(() => {}));\ntest.run();\n`,
  'a file that does not compile': `${uvu} const = 3;\ntest.run();\n`,
  'a before hook that throws': `${uvu} const s = suite('s'); s.before(() => { throw new Error('x'); }); s('a', () => {});\ns.run();\n`,
  'a file that ends itself': `${uvu} test('a', () => process.exit(0));\ntest.run();\n`,
};
for (const [what, text] of Object.entries(silentPasses)) {
  runnerSuite(`counts ${what} as a failure`, ({ dir }) => {
    write(dir, { 'one.test.ts': text });
    const { exitCode, lines } = runIn(dir);
    assert.is(lines.at(-1), '0 passed, 1 failed');
    assert.is(exitCode, 1);
  });
}

runnerSuite('refuses to pass without any file', ({ dir }) => {
  const { exitCode, lines } = runIn(dir);
  assert.is(lines.at(-1), '0 passed, 1 failed');
  assert.is(exitCode, 1);
});

runnerSuite.run();
