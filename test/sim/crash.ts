// Every point at which something can go wrong: a workflow runs once without a fault, and each act that changed something is a point; then once
// for each of them, with one blow there. Every promise holds all the time, and what each step comes to is what it came to without it.

import { COMMAND_FAULTS } from './command-faults.ts';
import { fingerprint } from './fingerprint.ts';
import { isHeartbeat, type Strike } from './life.ts';
import { perform, prepare, type Workflow } from './workflows.ts';
import { CONTROLLER, World } from './world.ts';

export interface Point {
  readonly process: string;
  readonly strike: Strike;
  readonly what: string;
}

export interface Reference {
  /** What each step came to. */
  readonly ends: readonly (readonly string[])[];
  readonly points: readonly Point[];
}

/** What is tried at each point: the process dies, its host loses its power, the command is a bad one in each way. */
export const KINDS = ['crash', 'power', 'command'] as const;
export type Kind = (typeof KINDS)[number];

/** Half of these is something: LVM commits before it activates, and zeroes piece by piece. */
const HAS_HALVES = /^(?:lvcreate|blkdiscard) /;
const IS_COMMAND = /^(?:lv\w+|vg\w+|blkdiscard|tgtadm|iscsiadm|tee|blockdev|xl|virsh|systemctl) /;

/**
 * An adoption changes the tags and then the name, and looks only after that: a command which says that it changed the tags, and did not,
 * leaves the wrong owner in them for good. Nothing but what people are shown depends on it.
 */
const isUnseen = (what: string, fault: string): boolean =>
  /^lvchange --(?:add|del)tag /.test(what) && fault === 'says ok and does nothing';

const blowsOf = (kind: Kind, process: string, what: string): readonly Strike['how'][] => {
  switch (kind) {
    case 'crash':
      return HAS_HALVES.test(what) ? ['dies in the midst', 'dies after'] : ['dies after'];
    case 'power':
      return process === CONTROLLER ? [] : ['loses power after'];
    case 'command':
      return COMMAND_FAULTS.filter((fault) => IS_COMMAND.test(what) && !isUnseen(what, fault));
  }
};

/** Throws what the world throws. */
export const referenceRun = async (workflow: Workflow, kind: Kind, seed: number): Promise<Reference> => {
  const world = new World({ seed, kit: workflow.kit });
  try {
    await prepare(world, workflow);
    const first = new Map(world.processes.map((process) => [process, world.life(process)?.acts.length ?? 0]));
    const ends = await walk(world, workflow);
    const points = world.processes.flatMap((process) => {
      const acts = world.life(process)?.acts ?? [];
      return acts.flatMap((what, at) =>
        at < (first.get(process) ?? 0) || isHeartbeat(what)
          ? []
          : blowsOf(kind, process, what).map((how) => ({ process, what, strike: { at, how } })),
      );
    });
    return { ends, points };
  } finally {
    await world.end();
  }
};

/** Answers what is wrong, with the story of it; undefined when nothing is. */
export const crashRun = async (
  workflow: Workflow,
  seed: number,
  { ends, point }: { readonly ends: Reference['ends']; readonly point: Point },
): Promise<string | undefined> => {
  const world = new World({ seed, kit: workflow.kit });
  try {
    await prepare(world, workflow);
    world.strike(point.process, point.strike);
    const seen = await walk(world, workflow);
    const step = ends.findIndex((end, index) => JSON.stringify(end) !== JSON.stringify(seen[index]));
    if (step === -1) {
      return undefined;
    }
    const [was, is] = [new Set(ends[step]), new Set(seen[step])];
    const missing = [...was].filter((line) => !is.has(line)).map((line) => `- ${line}`);
    const more = [...is].filter((line) => !was.has(line)).map((line) => `+ ${line}`);
    return told(
      world,
      point,
      [`another end of "${workflow.steps[step]?.what}":`, ...missing, ...more].join('\n'),
    );
  } catch (error) {
    return told(world, point, String(error));
  } finally {
    await world.end();
  }
};

const walk = async (world: World, { steps }: Workflow): Promise<readonly (readonly string[])[]> => {
  const ends: (readonly string[])[] = [];
  for (const step of steps) {
    await perform(world, step);
    world.expectTruth();
    ends.push(fingerprint(world));
  }
  await world.untilNothingLeft(120_000);
  return ends;
};

const LAST_LINES = 80;

const told = (world: World, { process, strike, what }: Point, wrong: string): string =>
  [
    `${process}, act ${strike.at} (${what}), ${strike.how}: ${wrong}`,
    ...world.story.slice(-LAST_LINES).map((line) => `  ${line.slice(0, 220)}`),
  ].join('\n');
