// The other servers which may read data of this one, to copy it. Pure.
import { type Backend, hasFinalizer, pinsOf, type Reader, type Stored } from '../../api/volume.ts';
import type { Export } from '../roles/target.ts';

/** Whoever a pin lets in; nobody once the data is to go. */
export const readersOf = (stored: Stored | undefined): readonly Reader[] =>
  stored !== undefined && hasFinalizer(stored) && stored.status?.order === 'Keep'
    ? pinsOf(stored).flatMap(({ reader }) => reader ?? [])
    : [];

/** What is told of a target that is open to readers; undefined when it is open to none. */
export function sharedAs(
  stored: Stored,
  target: Export | undefined,
  portals: readonly string[],
): Backend['export'] {
  const initiators = readersOf(stored)
    .map(({ initiator }) => initiator)
    .filter((initiator) => target?.ready === true && target.allowed.includes(initiator))
    .sort();
  return target === undefined || initiators.length === 0
    ? undefined
    : { iqn: target.iqn, lun: target.lun, portals: [...portals], initiators };
}
