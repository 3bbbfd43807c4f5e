/**
 * The target role: iSCSI targets on a volume server, one per volume (or snapshot that another server copies), LUN 1, closed until an
 * initiator is allowed.
 * Targets whose IQN is not `<prefix>:<volumeID>` are not ours: they are neither reported nor touched.
 */

export interface Chap {
  readonly user: string;
  /** Secret: never in a log, message or event. */
  readonly password: string;
}

/** What an initiator is allowed. */
export interface Access extends Chap {
  /** Respected only with `can.readOnlyPerInitiator`; else the export itself is read-only. */
  readonly readOnly?: boolean;
}

export interface Export {
  /** Or the snapshotID. */
  readonly volumeID: string;
  readonly iqn: string;
  readonly lun: number;
  /** Target, LUN 1, a backing path and both SCSI identities derived from the volumeID are there and on line. */
  readonly ready: boolean;
  readonly path?: string;
  readonly serial?: string;
  readonly readOnly: boolean;
  /** Size which the target shows of the LUN now; absent where only an initiator could tell. */
  readonly sizeBytes?: bigint;
  /**
   * The access list as the target has it. Entries that are no initiator names (addresses, `ALL`) open the target to
   * others; `deny` takes them off as well.
   */
  readonly allowed: readonly string[];
  /** CHAP accounts bound to this target. */
  readonly chapUsers: readonly string[];
  /** Initiator names with a live session. A connection that has not logged in is no session. */
  readonly sessions: readonly string[];
}

export interface ExportSpec {
  readonly path: string;
  /** Shown to guests; the volumeID. */
  readonly serial: string;
  readonly sizeBytes: bigint;
  readonly readOnly: boolean;
}

export interface TargetCan {
  /** A LUN takes a new size while sessions are open. */
  readonly resizeOnline: boolean;
  /** Read-only is decided per initiator, not per LUN. */
  readonly readOnlyPerInitiator: boolean;
  /** Longest SCSI serial shown unchanged. */
  readonly serialMax: number;
}

/**
 * Verbs are idempotent, look again after each change, and throw NotDone when the change cannot be seen. Callers keep
 * the order: open, allow … deny, cut, close.
 */
export interface Target {
  readonly can: TargetCan;
  /** All our exports. Throws CannotLook; an empty list means the daemon runs and has none (as after its restart). */
  observe(signal: AbortSignal): Promise<readonly Export[]>;
  /** `host:port` of this server's portals, from configuration. */
  portals(): readonly string[];
  /**
   * Target, LUN 1, serial and SCSI id as asked; who is allowed is left as it is, which is nobody for a new one. Repairs
   * what is half made or has another path or mode; throws Mismatch when somebody is allowed or connected meanwhile.
   */
  open(volumeID: string, spec: ExportSpec, signal: AbortSignal): Promise<void>;
  /** Nobody gets in without a password at any moment. Throws ExportNotFound, NotDone (also for an export that is not ready). */
  allow(volumeID: string, initiator: string, access: Access, signal: AbortSignal): Promise<void>;
  /**
   * Access off first, then the account (none for an empty user, nor the last one of a target that still lets somebody in). Some targets
   * leave sessions alone, some end them at once.
   * No-op for what is not there.
   */
  deny(volumeID: string, initiator: string, chapUser: string, signal: AbortSignal): Promise<void>;
  /** Ends the sessions of this initiator and sees them gone. Refuses (Busy) while it is still allowed: it would come back. */
  cut(volumeID: string, initiator: string, signal: AbortSignal): Promise<void>;
  /** LUN and target gone. Throws Busy while any session is open. No-op when absent. */
  close(volumeID: string, signal: AbortSignal): Promise<void>;
}
