// Systems whose parts are of different versions, and what is done with each of them.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Guest } from './guest.ts';
import { loud } from './loud.ts';
import { type FoundRelease, unpackRelease } from './release.ts';
import { attachment, openStory, type Story, type StoryOptions, volume } from './story.ts';
import { makeWorkdir, type Workdir } from './workdir.ts';

export const log = (line: string) => process.stdout.write(`# ${line}\n`);

export interface MixedWorld {
  release: Workdir;
  /** Where the sources of the release are. */
  old: string;
  story: Story;
  a: Guest;
  b: Guest;
}

export interface MixedSuite {
  (name: string, test: (world: MixedWorld) => Promise<void>): void;
  run(): void;
}

export interface Mixed {
  readonly name: string;
  readonly release: FoundRelease;
  /** What is of which version, given where the release is. */
  readonly options: (old: string) => StoryOptions;
}

/** A suite over a system of which some parts are of the release; its tests are skipped where that is not there. */
export function mixed({ name, release, options }: Mixed): MixedSuite {
  const made = suite<MixedWorld>(name);
  if (release.kind === 'missing') {
    log(`skipped: ${name}: ${release.why}`);
    return Object.assign(() => made.skip(), { run: made.run });
  }
  made.before(
    loud(async (world) => {
      world.release = await makeWorkdir(log);
      world.old = await unpackRelease(release, world.release.dir, log);
      world.story = await openStory(log, { remoteCopy: false, ...options(world.old) });
      world.a = await world.story.guest('vm-a');
      world.b = await world.story.guest('vm-b');
    }),
  );
  made.after(
    loud(async ({ story, release: workdir }) => {
      await story?.close();
      await workdir?.remove();
    }),
  );
  return made;
}

/** Create, attach, write in the guest, detach, move, delete. */
export async function mainJob(
  { story, a, b }: Pick<MixedWorld, 'story' | 'a' | 'b'>,
  name: string,
): Promise<void> {
  await story.makeVolume(name);
  await story.waitReady(volume(name));
  const id = await story.plugIn(name, a);
  await a.writeMarker(id, `written to ${name}`);
  await story.removeAndWait(attachment(`${name}-on-${a.name}`));
  assert.is(await a.findDisk(id), undefined, 'the disk is out of the first guest');
  await story.plugIn(name, b);
  assert.is(await b.readMarker(id), `written to ${name}`);
  assert.is(await story.volumeID(name), id);
  await story.removeAndWait(attachment(`${name}-on-${b.name}`), volume(name));
}
