// Whether the data of a deleted Volume is kept in the trash for a time, and how long. Pure.
import {
  isSnapshot,
  isWhole,
  type Stored,
  type Trash,
  type Volume,
  type VolumeClass,
} from '../api/volume.ts';

/** As its class says now; of a class that is gone, as it said when the Volume was placed. Undefined: not at all. */
export function trashOfClass({ status }: Volume, classes: readonly VolumeClass[]): Trash | undefined {
  const found = classes.find(({ metadata }) => metadata.name === status?.className);
  return found === undefined ? status?.placement?.trash : found.spec.trash;
}

/** Deleted now, its data goes into the trash: what somebody wrote, and nobody wants to keep for ever. */
export const goesToTrash = (stored: Stored): boolean =>
  !isSnapshot(stored) && stored.spec.deletionPolicy !== 'Retain' && isWhole(stored);

const UNITS = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
] as const;

/** For people, in the largest unit that it is a whole number of. */
export function forPeople({ ttlSeconds }: Trash): string {
  const [unit, seconds] = UNITS.find(([, length]) => ttlSeconds % length === 0) ?? UNITS[3];
  const count = ttlSeconds / seconds;
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}

/** For people: how the data comes back, and until when. */
export const howToUndelete = ({ status }: Volume, trash: Trash): string =>
  `it can be had back for ${forPeople(trash)}: make a Volume with spec.source.existing: {volumeServer: ${status?.server}, id: ${status?.volumeID}}, which needs the right to adopt there; status.agent.retained of that VolumeServer tells when it is removed`;
