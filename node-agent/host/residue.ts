// What Attachments that are gone left on a hypervisor beside the disks in its VMs: sessions and node records, secrets, and what the agent
// itself remembers. Told, and removed only by the visit of the Attachment that it was of (see planLeftover).

import { grantUUIDOf, type HypervisorDeps } from '../connection/visit.ts';
import { problemOf } from '../problems.ts';
import type { Leftover } from './facts.ts';

type Deps = Pick<HypervisorDeps, 'attachments' | 'memories' | 'vmm' | 'initiator'>;

/** Everything that no Attachment accounts for now. What is remembered accounts for its connection and its secret. */
async function lookNow(
  { attachments, memories, vmm, initiator }: Deps,
  signal: AbortSignal,
): Promise<readonly Leftover[]> {
  const [secrets, connections] = await Promise.all([vmm.residue(signal), initiator.observe(signal)]);
  // Looked at afterwards: whoever has connected meanwhile is known by now.
  const shown = attachments.list();
  const uids = new Set(shown.map(({ metadata }) => metadata.uid));
  const remembered = memories.list();
  const known = [
    ...remembered,
    ...shown.flatMap(({ status }) =>
      status?.volumeID === undefined ? [] : [{ volumeID: status.volumeID, epoch: status.epoch ?? 0 }],
    ),
  ];
  const volumeIDs = new Set(known.map(({ volumeID }) => volumeID));
  const grants = new Set(known.map(({ volumeID, epoch }) => grantUUIDOf(volumeID, epoch)));
  return [
    ...remembered
      .filter(({ attachmentUID }) => !uids.has(attachmentUID))
      .map(({ volumeID, namespace, name }) => ({
        kind: 'Record',
        name: volumeID,
        message:
          `of Attachment ${namespace}/${name}, which is gone; its disk is not proved to be out of its VM`.slice(
            0,
            512,
          ),
      })),
    ...[...new Set(connections.map(({ volumeID }) => volumeID))]
      .filter((volumeID) => !volumeIDs.has(volumeID))
      .map((name) => ({
        kind: 'Session',
        name,
        message: 'a session, node record or link without an Attachment',
      })),
    ...secrets
      .filter(({ grantUUID }) => !grants.has(grantUUID))
      .map(({ grantUUID }) => ({
        kind: 'Secret',
        name: grantUUID,
        message: 'in the VMM, of no grant to this host',
      })),
  ];
}

const keyOf = ({ kind, name }: Leftover): string => `${kind} ${name}`;

/** While nothing is found, every so many visits: a look costs the host a command or two. */
const EVERY = 12;

/**
 * What was there at two looks in turn is told, since things come and go with their Attachments; once something is found, every visit
 * looks. While a look fails, or the objects are not known, what was told last stays said.
 */
export function residueWatcher(deps: Deps): (signal: AbortSignal) => Promise<readonly Leftover[]> {
  let before = new Set<string>();
  let told: readonly Leftover[] = [];
  let visits = 0;
  return async (signal) => {
    if (!deps.attachments.hasSynced) {
      return told;
    }
    visits += 1;
    if (before.size === 0 && visits % EVERY !== 1) {
      return told;
    }
    try {
      const found = await lookNow(deps, signal);
      told = found.filter((one) => before.has(keyOf(one)));
      before = new Set(found.map(keyOf));
    } catch (error) {
      if (problemOf(error) === undefined) {
        throw error;
      }
    }
    return told;
  };
}
