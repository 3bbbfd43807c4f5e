// Which of several Attachments a disk of this host belongs to.
import type { Attachment } from '../../api/attachment.ts';
import { keyOf } from '../../api/object.ts';
import { ReportedProblem } from '../problems.ts';
import { isGivenUp } from './plan.ts';
import type { HypervisorDeps } from './visit.ts';

interface Claims {
  readonly attachments: Pick<HypervisorDeps['attachments'], 'list'>;
  readonly memories: Pick<HypervisorDeps['memories'], 'get'>;
}

/** By what it remembers, this host has connected for it, and has not let go. */
const isServed = ({ memories }: Claims, { metadata, status }: Attachment): boolean => {
  const memory = memories.get(metadata.uid);
  return memory !== undefined && memory.epoch === status?.epoch && memory.released < memory.epoch;
};

/**
 * No other Attachment is served with the same volume here: of two that claim it, one would have its disk taken out, or put into another VM,
 * for the other. Throws ReportedProblem.
 */
export function expectUnclaimed(deps: Claims, attachment: Attachment): void {
  const { volumeID, epoch } = attachment.status ?? {};
  if (epoch === undefined || isServed(deps, attachment)) {
    return;
  }
  const isClaimant = (one: Attachment): boolean =>
    one.metadata.uid !== attachment.metadata.uid &&
    one.status?.volumeID === volumeID &&
    isServed(deps, one) &&
    !isGivenUp(one, one.status?.epoch ?? 0);
  const other = deps.attachments.list().find(isClaimant);
  if (other !== undefined) {
    throw new ReportedProblem(
      'Mismatch',
      `${volumeID} is connected here for Attachment ${keyOf(other)}, and this one says that it is its own; delete one of the two`,
    );
  }
}
