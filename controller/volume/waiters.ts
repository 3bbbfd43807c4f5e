// Who asks for a volume and has no grant of it yet. Pure.
import type { Attachment } from '../../api/attachment.ts';
import { grantFor, hasFinalizer, isDeleting, type Volume } from '../../api/volume.ts';

interface Waiting {
  readonly volume: Volume;
  /** All Attachments that name this volume, or are bound to it. */
  readonly attachments: readonly Attachment[];
}

/** Attachments which wait for this volume, first come first. */
export function waitersOf({ volume, attachments }: Waiting): readonly Attachment[] {
  return attachments
    .filter((attachment) => hasFinalizer(attachment) && !isDeleting(attachment))
    .filter(({ metadata }) => grantFor(volume, metadata.uid) === undefined)
    .filter(({ status }) => status?.volumeUID === undefined || status.volumeUID === volume.metadata.uid)
    .toSorted((a, b) => rank(a).localeCompare(rank(b)));
}

const rank = ({ metadata }: Attachment): string => `${metadata.creationTimestamp ?? ''} ${metadata.name}`;
