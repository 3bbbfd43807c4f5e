// npm run test:faults [-- --seeds N] [--from N] [--points] [--history N]
//                     [--pool lvm-thick|lvm-thin] [--target lio|tgt] [--vmm xen|libvirt] [--initiator open-iscsi|qemu]
//
// The real controller and agents in the simulated world: one blow at every point of every workflow, and as many histories as are asked for.
// The options of the second line say what the hosts of the histories work with (the first of each when absent); each workflow has its own.
// --points leaves the histories out, --history plays one of them and prints its story.

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { POINTS, type Tried } from '../../test/sim/campaign.ts';
import { historyOf, play } from '../../test/sim/history.ts';
import { CHOICES, type Kit, kitOf, shownKit } from '../../test/sim/kit.ts';
import type { Task } from './worker.ts';
import { inWorkers } from './workers.ts';

const CHUNK = 25;
const whole = (text: string, option: string): number => {
  if (!/^\d+$/.test(text)) {
    console.error(`--${option} takes a whole number, not ${text}`);
    process.exit(2);
  }
  return Number(text);
};

const PARTS = Object.keys(CHOICES) as readonly (keyof Kit)[];

const kitFrom = (given: Readonly<Record<string, unknown>>): Kit => {
  const named = PARTS.filter((part) => given[part] !== undefined);
  for (const part of named) {
    const choices: readonly string[] = CHOICES[part];
    if (!choices.includes(String(given[part]))) {
      console.error(`--${part} takes ${choices.join(' or ')}, not ${given[part]}`);
      process.exit(2);
    }
  }
  try {
    return kitOf(Object.fromEntries(named.map((part) => [part, given[part]])));
  } catch (error) {
    console.error((error as Error).message);
    process.exit(2);
  }
};

const tasksFor = (from: number, seeds: number, kit: Kit): readonly Task[] => {
  const histories: Task[] = [];
  for (let first = from; first < from + seeds; first += CHUNK) {
    histories.push({ kind: 'histories', kit, first, last: Math.min(first + CHUNK, from + seeds) - 1 });
  }
  return [
    ...POINTS.map((points): Task => ({ kind: 'points', points: { ...points, oneOf: 1 } })),
    ...histories,
  ];
};

const titleOf = (task: Task): string =>
  task.kind === 'points'
    ? `${task.points.workflow}: ${task.points.kind} at each point`
    : `histories ${task.first} to ${task.last}, ${shownKit(task.kit)}`;

const run = async (tasks: readonly Task[]): Promise<Tried> => {
  console.log(
    `# ${tasks.length} parts, ${availableParallelism()} at a time; each takes up to some minutes and is told when it ends`,
  );
  const failures: string[] = [];
  let passed = 0;
  await inWorkers(tasks, (task, tried, seconds) => {
    passed += tried.passed;
    failures.push(...tried.failures);
    const counts = `${tried.passed} passed${tried.failures.length > 0 ? `, ${tried.failures.length} failed` : ''}`;
    const outcome = tried.failures.length > 0 ? 'FAIL' : 'ok  ';
    console.log(`${outcome} ${titleOf(task)}: ${counts} (${seconds.toFixed(1)} s)`);
    for (const failure of tried.failures) {
      console.log(`\n${failure}\n`);
    }
  });
  return { passed, failures };
};

const showHistory = async (seed: number, kit: Kit): Promise<Tried> => {
  const happenings = historyOf(seed, kit);
  for (const { atMs, what } of happenings) {
    console.log(`after ${(atMs / 1_000).toFixed(1)} s: ${what}`);
  }
  const told = await play(seed, happenings, { kit, onLine: (line) => console.log(line) });
  return told === undefined ? { passed: 1, failures: [] } : { passed: 0, failures: [told.wrong] };
};

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '500' },
    from: { type: 'string', default: '1' },
    points: { type: 'boolean', default: false },
    ...Object.fromEntries(PARTS.map((part) => [part, { type: 'string' as const }])),
    history: { type: 'string' },
  },
});
const kit = kitFrom(values);
const seeds = values.points ? 0 : whole(values.seeds, 'seeds');
const { passed, failures } =
  values.history === undefined
    ? await run(tasksFor(whole(values.from, 'from'), seeds, kit))
    : await showHistory(whole(values.history, 'history'), kit);
if (values.history !== undefined) {
  console.log(failures.join('\n'));
}
console.log(`\n${passed} passed, ${failures.length} failed`);
process.exit(failures.length > 0 ? 1 : 0);
