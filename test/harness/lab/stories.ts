// The frame of a file of stories: one lab for all of them, told in order; when one was not told to its end the lab leaves its logs.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loud } from '../loud.ts';
import { openLab } from './lab.ts';
import { LabStory } from './story.ts';

export interface LabStories {
  readonly story: (name: string, tell: (told: LabStory) => Promise<void>) => void;
  readonly run: () => void;
}

export const log = (line: string): boolean => process.stdout.write(`# ${line}\n`);

/** `begin` is done once, before the first story. */
export const labStories = (name: string, begin?: (told: LabStory) => Promise<void>): LabStories => {
  const tests = suite(name);
  let told: LabStory | undefined;
  let untold = 0;
  tests.before(
    loud(async () => {
      told = new LabStory(await openLab({ log, keep: process.env.VBS_LAB_KEEP === '1' }));
      await begin?.(told);
    }),
  );
  tests.after(loud(async () => await told?.lab.close(untold > 0)));
  return {
    story: (what, tell) => {
      untold += 1;
      tests(what, async () => {
        assert.ok(told, 'the lab is up');
        const startedAt = performance.now();
        await tell(told);
        log(`${what}: ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
        untold -= 1;
      });
    },
    run: tests.run,
  };
};
