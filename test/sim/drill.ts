// What drills have in common: each in several worlds, with the promises judged at each act.

import type { Hypervisor, VolumeServer } from '../../api/hosts.ts';
import type { KubeObject } from '../../api/object.ts';
import { EVENTS, HYPERVISORS, VOLUME_SERVERS, VOLUMES } from '../../api/resources.ts';
import type { Volume } from '../../api/volume.ts';
import { begin, NAMESPACE, perform, type Step } from './workflows.ts';
import { World, type WorldOptions } from './world.ts';

export type Drill = (world: World) => Promise<void>;

/** The number of a world is in the message of what goes wrong in it. */
export const inWorlds = async (
  seeds: readonly number[],
  drill: Drill,
  options: Omit<WorldOptions, 'seed'> = {},
): Promise<void> => {
  for (const seed of seeds) {
    const world = new World({ ...options, seed });
    try {
      await begin(world);
      await drill(world);
    } catch (error) {
      const last = world.story.slice(-LAST_LINES).map((line) => `  ${line.slice(0, 220)}`);
      throw new Error(`seed ${seed}: ${(error as Error).message}\n${last.join('\n')}`);
    } finally {
      await world.end();
    }
  }
};

const LAST_LINES = 60;

/** So many worlds, or as many as DRILL_SEEDS says. */
export const seedsOf = (count: number): readonly number[] =>
  Array.from({ length: Number(process.env.DRILL_SEEDS ?? count) }, (_, index) => index + 1);

export const performAll = async (world: World, ...steps: readonly Step[]): Promise<void> => {
  for (const step of steps) {
    await perform(world, step);
    world.expectTruth();
  }
};

export const volumeIDOf = (world: World, name: string): string =>
  world.api.find<Volume>(VOLUMES, { name, namespace: NAMESPACE })?.status?.volumeID ?? '';

/** What hosts tell that nothing accounts for, as `kind name`. */
export const leftoversOf = (world: World): readonly string[] =>
  [...world.api.all<VolumeServer>(VOLUME_SERVERS), ...world.api.all<Hypervisor>(HYPERVISORS)].flatMap(
    ({ status }) => status?.agent?.leftovers?.map(({ kind, name }) => `${kind} ${name}`) ?? [],
  );

interface EventLike extends KubeObject {
  readonly reason?: string;
}

/** Reasons of all events so far. */
export const eventsOf = (world: World): readonly string[] =>
  world.api.all<EventLike>(EVENTS).map(({ reason }) => reason ?? '');
