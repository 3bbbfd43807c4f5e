/** The initiator role: how a hypervisor reaches an export. What it hands to the vmm role is a locator. */

import type { Chap } from './target.ts';

export type Locator =
  | { readonly kind: 'block'; readonly path: string }
  | {
      readonly kind: 'iscsi';
      /** `host:port`; an IPv6 host in brackets. */
      readonly portal: string;
      readonly iqn: string;
      readonly lun: number;
      readonly initiator: string;
      readonly chap: Chap;
    };

export interface Connection {
  readonly volumeID: string;
  /** One per grant; the link to a block device carries it, so that a disk tells its grant by its path. */
  readonly grantUUID: string;
  readonly iqn: string;
  readonly lun: number;
  /** `host:port`; an IPv6 host in brackets. */
  readonly portal: string;
  /** Our own initiator name for this hypervisor. */
  readonly initiator: string;
  readonly chap: Chap;
}

/** What the device itself says. */
export interface Identity {
  readonly serial: string;
  readonly sizeBytes: bigint;
}

export interface Connected {
  readonly volumeID: string;
  /** Absent for a session or record without a link: its connecting, or disconnecting, was cut short. */
  readonly grantUUID?: string;
}

/**
 * `block` initiators make a session and a device on the host; for `iscsi` initiators the VMM logs in itself, and
 * connect, disconnect and observe have nothing to do.
 */
export interface Initiator {
  readonly kind: Locator['kind'];
  /**
   * Idempotent. What is left of an earlier grant of the volume goes first: call it only while no VM has the disk. Throws Denied for a
   * wrong name or password, Busy when the portal does not answer or something on the host holds the device.
   */
  connect(connection: Connection, signal: AbortSignal): Promise<Locator>;
  /**
   * Reads serial and size from the device itself, with this initiator name and password; the caller compares. Never
   * leaves a session behind. Throws Denied, Busy (no answer, or no LUN yet), CannotLook.
   */
  verify(connection: Connection, signal: AbortSignal): Promise<Identity>;
  /**
   * Device flushed and gone, then session, node record with its secret, and link. No-op when absent, or when the connection is another
   * grant's. Throws Busy while something on the host holds the device.
   */
  disconnect(grant: Pick<Connection, 'volumeID' | 'grantUUID'>, signal: AbortSignal): Promise<void>;
  /** Connections of ours on this host, also parts of them. */
  observe(signal: AbortSignal): Promise<readonly Connected[]>;
  /**
   * To be called now and then: brings back what its tool has lost, of volumes whose servers let this host in. Answers what stands
   * against using the host.
   */
  readonly tend?: (
    isLetIn: (volumeID: string) => boolean,
    signal: AbortSignal,
  ) => Promise<string | undefined>;
}
