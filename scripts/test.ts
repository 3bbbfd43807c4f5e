// node scripts/test.ts [--tier unit|integration|all|cluster|lab] [--all] [--keep] [--stop] [path filters]
//
// Runs each test file in a process of its own, two at a time. Files below test/integration start daemons and guests of
// their own; one that is run alone shows its output as it comes. Files below test/lab run in emulated machines, one after
// another and slowly, and are not among "all"; those in its folders only with --all, or when they are named. Files below test/cluster have a
// Kubernetes node on this machine, and are not among "all" either. --keep lets the machines stay up for the next run, --stop ends them. What uvu lets pass
// silently is a failure here: no files, a file without .run(), a file without tests,
// tests that a failing hook kept from running.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { nodePackages } from '../test/harness/cluster/packages.ts';
import { stopKept } from '../test/harness/lab/machines.ts';
import { emulationPackages } from '../test/harness/lab/packages.ts';
import { ensurePackages, labPackages } from '../test/harness/packages.ts';
import { monitoringPackages } from '../test/harness/prometheus.ts';
import { sweepDeadRuns } from '../test/harness/workdir.ts';
import { resolveControlPlane } from './control-plane/resolve.ts';

const root = path.dirname(import.meta.dirname);
const minute = 60_000;
const timeLimits = { unit: 25 * minute, integration: 20 * minute, cluster: 20 * minute, lab: 120 * minute };
const packagesOf = {
  integration: async () => [...labPackages, ...monitoringPackages],
  cluster: nodePackages,
  lab: async () => emulationPackages,
};
const graceMs = 30_000;
const filesAtOnce = { unit: 2, integration: 2, cluster: 1, lab: 1 };
/** Of which only a wish brings tests about. */
const separate: readonly string[] = ['cluster', 'lab'];

type Tier = keyof typeof timeLimits;

interface TestFile {
  readonly file: string;
  /** Relative, as a person would type it. */
  readonly name: string;
  readonly tier: Tier;
}

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Why the file counts as failed beyond its failing tests. */
  readonly complaint?: string;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tier: { type: 'string', default: 'all' },
    dir: { type: 'string', default: path.join(root, 'test') },
    all: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    stop: { type: 'boolean', default: false },
  },
});

const log = (line: string): void => console.log(`# ${line}`);
let stopped: NodeJS.Signals | undefined;

const main = async (): Promise<void> => {
  if (values.stop) {
    await stopKept(log);
    return;
  }
  const files = await findTestFiles(path.resolve(values.dir));
  if (files.length === 0) {
    throw new Error(`no test files for tier ${values.tier} ${positionals.join(' ')}`.trim());
  }
  const unit = files.filter(({ tier }) => tier === 'unit');
  const outcomes = await runAll(unit, filesAtOnce.unit);
  for (const tier of ['integration', 'cluster', 'lab'] as const) {
    const slow = files.filter((file) => file.tier === tier);
    if (slow.length > 0 && !stopped) {
      outcomes.push(...(await runSlow(tier, slow)));
    }
    if (slow.length > 0 && tier === 'lab' && !values.keep) {
      await stopKept(log);
    }
  }
  const sum = (pick: (outcome: Outcome) => number): number =>
    outcomes.reduce((total, outcome) => total + pick(outcome), 0);
  const failed = sum((outcome) => outcome.failed);
  const skipped = sum((outcome) => outcome.skipped);
  if (skipped > 0) {
    console.log(`\n${skipped} skipped, in the files marked above`);
  }
  if (stopped) {
    console.log(`\nstopped by ${stopped}: not all files were run`);
  }
  console.log(`\n${sum((outcome) => outcome.passed)} passed, ${failed} failed`);
  process.exitCode = failed > 0 || stopped ? 1 : 0;
};

const findTestFiles = async (dir: string): Promise<TestFile[]> => {
  if (!['unit', 'integration', 'all', ...separate].includes(values.tier)) {
    throw new Error(`--tier is unit, integration, all, cluster or lab, not ${values.tier}`);
  }
  const entries = await readdir(dir, { recursive: true });
  return entries
    .filter((entry) => entry.endsWith('.test.ts'))
    .sort()
    .map((entry): TestFile => {
      return { file: path.join(dir, entry), name: path.join(path.basename(dir), entry), tier: tierOf(entry) };
    })
    .filter(({ tier }) => (values.tier === 'all' ? !separate.includes(tier) : values.tier === tier))
    .filter(({ name, tier }) => tier !== 'lab' || isCore(name) || values.all || positionals.length > 0)
    .filter(
      ({ name }) =>
        positionals.length === 0 || positionals.some((wanted) => name.includes(wanted.replace(/^\.\//, ''))),
    );
};

/** In the lab's folder itself, and not in one below it. */
const isCore = (name: string): boolean => path.basename(path.dirname(name)) === 'lab';

const tierOf = (entry: string): Tier => {
  const folder = entry.split(path.sep)[0];
  return folder === 'integration' || folder === 'cluster' || folder === 'lab' ? folder : 'unit';
};

const runSlow = async (tier: keyof typeof packagesOf, files: readonly TestFile[]): Promise<Outcome[]> => {
  try {
    if (process.getuid?.() !== 0) {
      throw new Error('they start daemons or make disk images: run them as root, or use --tier unit');
    }
    await sweepDeadRuns(log);
    await ensurePackages(await packagesOf[tier](), log);
    await resolveControlPlane(log);
  } catch (error) {
    console.error(`\nFAIL the ${tier} tests could not be prepared: ${messageOf(error)}`);
    return [{ passed: 0, failed: 1, skipped: 0 }];
  }
  return await runAll(files, filesAtOnce[tier]);
};

const runAll = async (files: readonly TestFile[], atOnce: number): Promise<Outcome[]> => {
  const waiting = [...files];
  const outcomes: Outcome[] = [];
  const isLive = files[0]?.tier !== 'unit' && (atOnce === 1 || files.length === 1);
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next && !stopped; next = waiting.shift()) {
      outcomes.push(await runFile(next, isLive));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return outcomes;
};

/** `isLive`: its output is shown as it comes, else only when it failed. */
const runFile = async (test: TestFile, isLive: boolean): Promise<Outcome> => {
  const startedAt = Date.now();
  const { outcome, output } = await judge(test, isLive);
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
  const counts = [
    `${outcome.passed} passed`,
    ...(outcome.failed > 0 ? [`${outcome.failed} failed`] : []),
    ...(outcome.skipped > 0 ? [`${outcome.skipped} skipped`] : []),
  ].join(', ');
  console.log(`${outcome.failed > 0 ? 'FAIL' : 'ok  '} ${test.name}: ${counts} (${seconds} s)`);
  if (outcome.failed > 0) {
    console.log(isLive ? '' : output.trimEnd().replace(/^/gm, '  | '));
    console.log(outcome.complaint ? `  ${outcome.complaint}\n` : '');
  }
  return outcome;
};

const judge = async (test: TestFile, isLive: boolean): Promise<{ outcome: Outcome; output: string }> => {
  const text = await readFile(test.file, 'utf8');
  if (!/^\s*[\w.]+\.run\(\);?\s*$/m.test(text)) {
    const complaint = 'the file never calls .run(), so none of its tests would run';
    return { outcome: { passed: 0, failed: 1, skipped: 0, complaint }, output: '' };
  }
  const { output, end } = await execute(test, isLive);
  return { outcome: readOutcome(output, end), output };
};

/** Runs the file to its end or its time limit; `end` is "exit code 0" or what else happened. */
const execute = async (
  { file, tier }: TestFile,
  isLive: boolean,
): Promise<{ output: string; end: string }> => {
  const child = spawn(process.execPath, ['--no-warnings', file], {
    cwd: root,
    env: {
      ...process.env,
      ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' }),
      // Its files share the machines, which are ended after the last one.
      ...(tier === 'lab' ? { VBS_LAB_KEEP: '1' } : {}),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const collect = (chunk: Buffer): void => {
    output += chunk.toString();
    if (isLive) {
      process.stdout.write(chunk);
    }
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const limitMs = timeLimits[tier];
  let isLate = false;
  const terminate = setTimeout(() => {
    isLate = true;
    child.kill('SIGTERM');
  }, limitMs);
  const finish = setTimeout(() => child.kill('SIGKILL'), limitMs + graceMs);
  running.add(child);
  const closed = once(child, 'close');
  const [code, signal] = await once(child, 'exit');
  // A process left behind may hold the pipes open for ever.
  await Promise.race([closed, sleep(2000, undefined, { ref: false })]);
  running.delete(child);
  clearTimeout(terminate);
  clearTimeout(finish);
  if (tier !== 'unit') {
    await sweepDeadRuns(log);
  }
  return {
    output,
    end: isLate ? `the time limit of ${limitMs / minute} minutes` : (signal ?? `exit code ${code}`),
  };
};

/** Reads uvu's closing lines; whatever they leave unsaid counts as a failure. */
const readOutcome = (colored: string, end: string): Outcome => {
  const plain = colored.replaceAll(new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g'), '');
  const totals = /^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)\n/m.exec(plain);
  if (!totals) {
    return { passed: 0, failed: 1, skipped: 0, complaint: `ended by ${end} before its tests were done` };
  }
  const [total, passed, skipped] = [Number(totals[1]), Number(totals[2]), Number(totals[3])];
  const failed = total - passed;
  if (total === 0) {
    return { passed, failed: 1, skipped, complaint: 'no test was executed' };
  }
  if (end !== 'exit code 0' && failed === 0) {
    return { passed, failed: 1, skipped, complaint: `its tests passed, but it ended by ${end}` };
  }
  if (end === 'exit code 0' && failed > 0) {
    // uvu swallows what a before hook throws and skips the tests in silence.
    return { passed, failed, skipped, complaint: `${failed} tests did not run: a hook of the suite failed` };
  }
  return { passed, failed, skipped };
};

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const running = new Set<ReturnType<typeof spawn>>();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    stopped = signal;
    for (const child of running) {
      child.kill(signal);
    }
  });
}
process.on('exit', () => {
  for (const child of running) {
    child.kill('SIGKILL');
  }
});

try {
  await main();
} catch (error) {
  console.error(`\nFAIL ${messageOf(error)}`);
  console.log('\n0 passed, 1 failed');
  process.exitCode = 1;
}
