// What outside tools print, damaged in every way: whoever reads it says that he could not look, or says what is so. Never is something
// taken for absent which is only missing in the words, never has it another size, and never is ours what is not.
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Command, RunCommand } from '../../../../node-agent/exec/command.ts';
import { RoleError } from '../../../../node-agent/roles/errors.ts';
import { holds } from '../../../harness/fuzz.ts';
import { byteDamage, type Damage, lineDamage } from './damage.ts';
import { SCENES, type Scene } from './scenes.ts';

const test = suite('damaged words of tools');

interface Answer {
  readonly command: string;
  readonly text: string;
}

const lineOf = ({ file, args }: Command): string => [file, ...args].join(' ');

/** In the order in which they were given. */
const answersOf = async ({ run, look }: Scene): Promise<readonly Answer[]> => {
  const answers: Answer[] = [];
  await look(async (command, signal) => {
    const output = await run(command, signal);
    answers.push({ command: lineOf(command), text: output.stdout });
    return output;
  });
  return answers;
};

/** The facts when one answer is another; undefined when the role could not look. Whatever else is thrown is thrown. */
const seen = async (
  { run, look }: Scene,
  { command, text }: Answer,
): Promise<readonly string[] | undefined> => {
  const damaged: RunCommand = async (given, signal) => {
    const output = await run(given, signal);
    return lineOf(given) === command ? { ...output, stdout: text } : output;
  };
  try {
    return await look(damaged);
  } catch (error) {
    if (error instanceof RoleError) {
      return undefined;
    }
    throw error;
  }
};

/** A fact that lacks its last part, as a size which no line tells any more, is no lie. */
const inventedIn = (truth: readonly string[], facts: readonly string[] | undefined): readonly string[] =>
  (facts ?? []).filter((fact) => !truth.some((one) => one.startsWith(fact)));

const missingIn = (truth: readonly string[], facts: readonly string[] | undefined): readonly string[] =>
  facts === undefined ? [] : truth.filter((fact) => !facts.includes(fact));

const lineEnds = (text: string): readonly number[] => [...text.matchAll(/\n/g)].map(({ index }) => index + 1);

const LEAST_CUTS = 50;

const anyDamage = fc.array(fc.oneof(byteDamage, lineDamage), { minLength: 1, maxLength: 3 });
const damagedBy = (text: string, damages: readonly Damage[]): string =>
  damages.reduce((before: string, damage: Damage) => damage(before), text);

for (const scene of SCENES) {
  const answers = await answersOf(scene);
  const truth = await scene.look(scene.run);

  test(`${scene.name}: something is there to be seen`, () => {
    assert.ok(truth.length > 0);
    assert.ok(answers.length > 0);
  });

  const expectWhole = async ({ command, text }: Answer, length: number): Promise<void> => {
    const cut = text.slice(0, length);
    if (length < text.length && !scene.isPossible(command, cut)) {
      const facts = await seen(scene, { command, text: cut });
      const where = `${command.slice(0, 120)}, cut after ${JSON.stringify(cut.slice(-120))}`;
      assert.equal([inventedIn(truth, facts), missingIn(truth, facts)], [[], []], where);
    }
  };

  test(`${scene.name}: cut off at any byte, it is no answer`, async () => {
    for (const answer of answers) {
      for (const length of [0, ...lineEnds(answer.text)]) {
        await expectWhole(answer, length);
      }
    }
    await holds(
      fc.asyncProperty(fc.constantFrom(...answers), fc.nat(), (answer, place) =>
        expectWhole(answer, place % Math.max(1, answer.text.length)),
      ),
      { runs: LEAST_CUTS },
    );
  });

  test(`${scene.name}: of lines lost, doubled or moved nothing is made up`, () =>
    holds(
      fc.asyncProperty(
        fc.constantFrom(...answers),
        fc.array(lineDamage, { minLength: 1, maxLength: 3 }),
        async (answer, damages) => {
          const text = damagedBy(answer.text, damages);
          const facts = await seen(scene, { ...answer, text });
          assert.equal(scene.isFlat ? inventedIn(truth, facts) : [], [], JSON.stringify(text.slice(-300)));
        },
      ),
      { runs: 30 },
    ));

  test(`${scene.name}: whatever stands in its midst, it fails as a look fails, and no volume is made up`, () =>
    holds(
      fc.asyncProperty(fc.constantFrom(...answers), anyDamage, async (answer, damages) => {
        const text = damagedBy(answer.text, damages);
        const facts = await seen(scene, { ...answer, text });
        const ids = (facts ?? []).flatMap(
          (fact) => fact.match(/(?:vol[0-9a-f]{17}|snap[0-9a-f]{16})/g) ?? [],
        );
        const told = answers.map((one) => (one.command === answer.command ? text : one.text)).join('\n');
        assert.equal(
          ids.filter((id) => !told.includes(id)),
          [],
        );
      }),
      { runs: 40 },
    ));
}

test.run();
