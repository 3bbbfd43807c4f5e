// What a hypervisor keeps on its own disk about an Attachment, written before it acts and before it reports.
export interface ConnectionMemory {
  readonly attachmentUID: string;
  readonly namespace: string;
  readonly name: string;
  readonly volumeName: string;
  readonly volumeID: string;
  /** The grant it connected for, or is about to. */
  readonly epoch: number;
  /** The VM it was, or is about to be, plugged into. */
  readonly instanceUUID: string;
  /** The CHAP key with which it connected for that grant. */
  readonly key?: string;
  /** The highest epoch given up for ever. */
  readonly released: number;
}
