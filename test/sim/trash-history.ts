// Histories in which all that is deleted goes to the trash, and users have it back whenever there is something.
import { VOLUME_CLASSES, VOLUMES } from '../../api/resources.ts';
import type { Volume } from '../../api/volume.ts';
import { type Happening, historyOf } from './history.ts';
import { Random } from './random.ts';
import { change, find, make, remove, retainedIn } from './workflows.ts';
import type { World } from './world.ts';

const LENGTH_MS = 180_000;
const UNDELETES = 14;
/** Whoever comes too late has a Volume that is never Ready; it goes again. */
const GONE_AGAIN_MS = 40_000;

/** Has back what there is, else deletes what there is, else makes something. */
const undelete = (index: number) => (world: World) => {
  const [found] = retainedIn(world);
  const name = `again-${index}`;
  if (found !== undefined) {
    const { volumeServer, id } = found;
    make(world, VOLUMES, name, { source: { existing: { volumeServer, id } } });
    world.clock.after(GONE_AGAIN_MS, () => {
      if (find(world, VOLUMES, name) !== undefined) {
        remove(world, VOLUMES, name);
      }
    });
    return;
  }
  const [first] = world.api.all<Volume>(VOLUMES);
  if (first === undefined) {
    make(world, VOLUMES, 'db', { size: '12Mi' });
  } else {
    remove(world, VOLUMES, first.metadata.name);
  }
};

/** The history of that seed, with a trash. */
export const trashHistoryOf = (seed: number): readonly Happening[] => {
  const random = new Random(seed * 7_919);
  const ttlSeconds = random.pick([15, 60, 300] as const);
  const more = Array.from({ length: UNDELETES }, (_, index) => ({
    atMs: random.between(20_000, LENGTH_MS),
    what: 'have something back',
    happen: undelete(index),
  }));
  const offer = {
    atMs: 0,
    what: `the class keeps what is deleted for ${ttlSeconds} s`,
    happen: (world: World) => change(world, VOLUME_CLASSES, 'standard', { trash: { ttlSeconds } }),
  };
  return [offer, ...[...historyOf(seed), ...more].toSorted((one, other) => one.atMs - other.atMs)];
};
