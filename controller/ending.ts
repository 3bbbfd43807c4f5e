// What becomes of the data of a deleted Volume or Snapshot. Pure.
import type { Claim } from '../api/conditions.ts';
import type { HostView, VolumeServer } from '../api/hosts.ts';
import { idOf, isEnded, isEnding, isProvisioned, type Stored } from '../api/volume.ts';
import { outdated } from './outdated.ts';

export type Ending = 'Remove' | 'Retain';

/**
 * The single next step once nothing holds the data any more: the order, which is given once and never changed, then waiting until
 * the server has seen it done. Of what was never placed, or is on a server that is lost, there is nothing to order.
 */
export function planEnding(stored: Stored, lost: boolean): { readonly order: Ending } | 'wait' | 'let-go' {
  if (stored.status?.placement === undefined || lost) {
    return 'let-go';
  }
  if (!isEnding(stored.status?.order)) {
    return { order: endingOf(stored) };
  }
  return isEnded(stored) ? 'let-go' : 'wait';
}

/** What was never complete holds nothing that somebody had written; but what is being adopted was whole before. */
function endingOf(stored: Stored): Ending {
  const { source } = stored.status ?? {};
  const isWhole = isProvisioned(stored) || source?.kind === 'Retained';
  return stored.spec.deletionPolicy === 'Retain' && isWhole ? 'Retain' : 'Remove';
}

/** For people: what is being done about the data of a deleted object. */
export function ending(
  { status }: Stored,
  servers: readonly HostView<VolumeServer>[],
): Pick<Claim, 'reason' | 'message'> {
  const { server = 'the server', pool } = status ?? {};
  if (status?.order !== 'Retain') {
    return { reason: 'Removing', message: `waiting until ${server} has removed the data` };
  }
  return (
    outdated(servers, { server, pool, lacks: 'puts no data aside, and leaves it where it is' }) ?? {
      reason: 'Retaining',
      message: `waiting until ${server} has put the data aside`,
    }
  );
}

/** For people: where the data is from now on. */
export const retainedAs = (stored: Stored): string =>
  `${idOf(stored)} is retained on ${stored.status?.server}, pool ${stored.status?.pool}`;
