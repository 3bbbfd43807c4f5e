// What the ends of an iSCSI session know of each other, whoever plays them.
import type { Device } from './tree.ts';

export interface Login {
  readonly iqn: string;
  readonly portal: string;
  readonly initiator: string;
  /** Tells apart what one initiator opens beside each other; one that comes back with the same takes its own place (RFC 7143, 6.3.5). */
  readonly isid: string;
  readonly user: string;
  readonly password: string;
}

/** Login status 0201, 0202 and 0203. */
export type Refusal = 'authentication' | 'authorization' | 'not found';

/** The initiator's end of a session. */
export interface Remote {
  /** False while nothing comes through, or once the target has ended the session. */
  readonly isOpen: boolean;
  end(): void;
  unit(lun: number): Unit | undefined;
}

export type Reach = (login: Login) => Remote | Refusal | 'away';

export interface Unit {
  /** As it stands in the page of its name. */
  readonly serial: string;
  readonly device: Device;
  /** Absent where a target tells only whole initiators what they may do. */
  readonly isReadOnly?: boolean;
}

/** The target's end of a session that an initiator has, or had. */
export interface TargetSession {
  readonly initiator: string;
  /** False for ever once the target has ended it. */
  readonly isOpen: boolean;
  end(): void;
  /** What the initiator finds at that number now. */
  unit(lun: number): Unit | undefined;
}

/** Whatever exports the volumes of a server. */
export interface Exporter {
  readonly targets: readonly string[];
  /** Initiators with an open session, each as often as it has one. */
  sessions(iqn: string): readonly string[];
  /** Initiators that are let in. */
  allowed(iqn: string): readonly string[];
  /** Targets that let somebody in and ask nobody for a password. */
  readonly unguarded: readonly string[];
  admit(login: Login): TargetSession | Refusal;
  /** All that was made, in words that do not depend on the order in which it was. */
  left(): readonly string[];
  isHeld(device: Device): boolean;
  /** For so long nothing is heard of the other side of a session before it is ended. */
  readonly patienceMs: number;
}
