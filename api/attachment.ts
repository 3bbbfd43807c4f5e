import type { AttachmentSpec, AttachmentStatus } from './generated/v1alpha1.ts';
import type { KubeObject } from './object.ts';

export interface Attachment extends KubeObject {
  readonly spec: AttachmentSpec;
  readonly status?: AttachmentStatus;
}

export type ExportFact = NonNullable<AttachmentStatus['export']>;
export type ConnectionFact = NonNullable<AttachmentStatus['connection']>;

/** The volume server's facts about one grant; facts of another epoch say nothing about it. */
export const exportAt = (attachment: Attachment, epoch: number): ExportFact | undefined =>
  attachment.status?.export?.epoch === epoch ? attachment.status.export : undefined;

/** The hypervisor's facts about one grant. */
export const connectionAt = (attachment: Attachment, epoch: number): ConnectionFact | undefined =>
  attachment.status?.connection?.epoch === epoch ? attachment.status.connection : undefined;

/** Once true, true for ever: the hypervisor gave up this grant and never connects for it again. */
export const isReleased = (attachment: Attachment, epoch: number): boolean =>
  connectionAt(attachment, epoch)?.state === 'Released';

/** Once true, true for ever: the target lets nobody in for this grant and has no session of it. */
export const isWithdrawn = (attachment: Attachment, epoch: number): boolean =>
  exportAt(attachment, epoch)?.state === 'Withdrawn';

export const isReadOnly = ({ spec }: Attachment): boolean => spec.readOnly === true;

/** The instance as a person would name it. */
export const instanceLabel = ({ spec }: Attachment): string =>
  spec.instance.name ?? spec.instance.uuid ?? String(spec.instance.vmid ?? '?');
