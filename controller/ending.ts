// What becomes of the data of a deleted Volume or Snapshot. Pure.
import type { Claim } from '../api/conditions.ts';
import type { HostView, VolumeServer } from '../api/hosts.ts';
import {
  idOf,
  isEnded,
  isEnding,
  isSnapshot,
  isWhole,
  type Stored,
  type Trash,
  trashOf,
} from '../api/volume.ts';
import { unheardServer } from './claims.ts';
import { outdated } from './outdated.ts';
import { goesToTrash, howToUndelete } from './trash.ts';

/** Without `trash`, Retain is without end. */
export interface Ending {
  readonly order: 'Remove' | 'Retain';
  readonly trash?: Trash;
}

/**
 * The single next step once nothing holds the data any more: the order, which is given once and never changed, then waiting until
 * the server has seen it done. Of what was never placed, or is on a server that is lost, there is nothing to order. `trash`: for how
 * long the class keeps what is deleted.
 */
export function planEnding(stored: Stored, lost: boolean, trash?: Trash): Ending | 'wait' | 'let-go' {
  if (stored.status?.placement === undefined || lost) {
    return 'let-go';
  }
  if (!isEnding(stored.status?.order)) {
    return endingOf(stored, trash);
  }
  return isEnded(stored) ? 'let-go' : 'wait';
}

function endingOf(stored: Stored, trash: Trash | undefined): Ending {
  if (trash !== undefined && goesToTrash(stored)) {
    return { order: 'Retain', trash };
  }
  return { order: stored.spec.deletionPolicy === 'Retain' && isWhole(stored) ? 'Retain' : 'Remove' };
}

/** For people: what is being done about the data of a deleted object. */
export function ending(
  stored: Stored,
  servers: readonly HostView<VolumeServer>[],
): Pick<Claim, 'reason' | 'message'> {
  const { status } = stored;
  const { server = 'the server', pool } = status ?? {};
  const silent = unheardServer(status?.server, servers);
  if (status?.order !== 'Retain') {
    return { reason: 'Removing', message: `waiting until the data is removed by ${server}${silent}` };
  }
  return (
    outdated(servers, { server, pool, lacks: 'puts no data aside, and leaves it where it is' }) ??
    aside(stored, server, silent)
  );
}

function aside(stored: Stored, server: string, silent: string): Pick<Claim, 'reason' | 'message'> {
  const trash = trashOf(stored);
  return trash !== undefined && !isSnapshot(stored)
    ? {
        reason: 'Trashing',
        message: `it is put into the trash by ${server}${silent}; ${howToUndelete(stored, trash)}`,
      }
    : { reason: 'Retaining', message: `waiting until the data is put aside by ${server}${silent}` };
}

/** For people: where the data is from now on. */
export const retainedAs = (stored: Stored): string =>
  `${idOf(stored)} is ${trashOf(stored) === undefined ? 'retained' : 'in the trash'} on ${stored.status?.server}, pool ${stored.status?.pool}`;
