// The whole system with tools whose words arrive damaged, again and again: no promise breaks meanwhile, each step comes to its end, and
// nothing is left.
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { holds } from '../harness/fuzz.ts';
import { garble } from '../sim/garble.ts';
import { Random } from '../sim/random.ts';
import { prepare, WORKFLOWS, type Workflow } from '../sim/workflows.ts';
import { World } from '../sim/world.ts';

const test = suite('garbled words');
const LIMIT_MS = 1_800_000;
const LAST_LINES = 60;
/** Each is some minutes of a whole world. */
const RUNS = 2;

const play = async (seed: number, share: number, workflow: Workflow): Promise<void> => {
  const world = new World({ seed, kit: workflow.kit });
  const random = new Random(seed);
  const garblings = world.hosts.map((host) => garble(host, random, (line) => world.tell(line)));
  const turn = (to: number): void => {
    for (const garbling of garblings) {
      garbling.share = to;
    }
  };
  try {
    await prepare(world, workflow);
    turn(share);
    for (const { what, do: act, isDone } of workflow.steps) {
      act(world);
      await world.until(what, () => isDone(world), LIMIT_MS);
    }
    turn(0);
    await world.untilNothingLeft(LIMIT_MS);
    assert.ok(
      garblings.some(({ count }) => count > 0),
      'nothing was damaged',
    );
  } catch (error) {
    const story = world.story.slice(-LAST_LINES).map((line) => line.slice(0, 300));
    throw new Error([String(error), ...story].join('\n'), { cause: error });
  } finally {
    await world.end();
  }
};

const arguments_ = [fc.nat(1_000_000), fc.constantFrom(0.1, 0.2), fc.constantFrom(...WORKFLOWS)] as const;

test('no promise breaks, and each step comes to its end', () =>
  holds(fc.asyncProperty(...arguments_, play), { runs: RUNS, dear: true }));

test.run();
