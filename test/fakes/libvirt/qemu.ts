// Disks as QEMU has them: opened once, read and written without a cache, closed only when the target has written down what it was given last. One
// that logs in itself keeps its connection, and opens it anew for as long as it takes.
import { errorCode } from '../../../node-agent/exec/files.ts';
import type { Login, Reach, Refusal, Remote } from '../iscsi.ts';
import { type Device, failure } from '../tree.ts';

/** A disk that QEMU has open. */
export interface Opened {
  /** As large as the guest is told. */
  readonly device: Device;
  readonly session: { readonly iqn: string; readonly user: string } | undefined;
  /** What there is behind it now; throws when nothing answers. */
  sizeBehind(): bigint;
  /** Shows the guest another size. */
  resize(bytes: bigint): void;
  /** The guest waits for none of its writes; one that does lets go of nothing. */
  isIdle(): boolean;
  /** A second of what it does by itself. */
  tend(): void;
  /** Everything is written and it is closed; false while it cannot be. */
  close(): boolean;
  /** QEMU is no more. */
  drop(): void;
}

const LUN = 1;

/** A device that stands for whatever `behind` finds at that moment. */
class Front implements Device {
  sizeBytes: bigint;
  /** Nothing that was written waits for its target. */
  isIdle = true;
  readonly #behind: () => Device;

  constructor(behind: () => Device) {
    this.#behind = behind;
    this.sizeBytes = behind().sizeBytes;
  }

  read(at: number): string {
    return this.#behind().read(at);
  }

  write(at: number, word: string): void {
    this.isIdle = false;
    this.#behind().write(at, word);
    this.isIdle = true;
  }
}

/** What the target is asked to write down; `lost`: it never will be. */
const flushed = (front: Front): 'done' | 'waits' | 'lost' => {
  try {
    front.read(0);
    return 'done';
  } catch (error) {
    return errorCode(error) === 'EIO' ? 'lost' : 'waits';
  }
};

/** Throws the refusal, or `away`, or that there is no such unit. */
export const openIscsi = (login: Login, reach: Reach): Opened => {
  const first = reach(login);
  if (typeof first === 'string') {
    throw new CannotOpen(first);
  }
  let remote: Remote = first;
  const behind = (): Device => {
    const unit = remote.unit(LUN);
    if (unit === undefined) {
      throw failure(remote.isOpen ? 'EIO' : 'EAGAIN', login.iqn);
    }
    return unit.device;
  };
  if (remote.unit(LUN) === undefined) {
    remote.end();
    throw new CannotOpen('no unit');
  }
  const front = new Front(behind);
  const tend = (): void => {
    if (!remote.isOpen) {
      const again = reach(login);
      remote = typeof again === 'string' ? remote : again;
    }
  };
  return {
    device: front,
    session: login,
    sizeBehind: () => behind().sizeBytes,
    resize: (bytes) => {
      front.sizeBytes = bytes;
    },
    isIdle: () => front.isIdle,
    tend,
    close: () => {
      const isClosed = flushed(front) !== 'waits';
      if (isClosed) {
        remote.end();
      }
      return isClosed;
    },
    drop: () => remote.end(),
  };
};

/** The replacementTimeout of the initiator profile: from then on the kernel says that what waits has failed. */
const KERNEL_WAITS_SECONDS = 600;

/** Whatever is at the end of the path now; throws where there is nothing. */
export const openBlock = (path: string, open: (path: string) => Device): Opened => {
  const device = open(path);
  const front = new Front(() => device);
  let waited = 0;
  const isGivenUp = (): boolean => waited > KERNEL_WAITS_SECONDS;
  return {
    device: front,
    session: undefined,
    sizeBehind: () => device.sizeBytes,
    resize: (bytes) => {
      front.sizeBytes = bytes;
    },
    isIdle: () => front.isIdle || flushed(front) === 'lost' || isGivenUp(),
    tend: () => {
      waited = flushed(front) === 'waits' ? waited + 1 : 0;
    },
    close: () => flushed(front) !== 'waits' || isGivenUp(),
    drop: () => {
      // The kernel closes what a process had open.
    },
  };
};

/** In the words of QEMU 7.2 with libiscsi 1.19. */
const WORDS: Readonly<Record<Refusal | 'away' | 'no unit', string>> = {
  authentication: 'Failed to log in to target. Status: Authentication failure(513)',
  authorization: 'Failed to log in to target. Status: Authorization failure(514)',
  'not found': 'Failed to log in to target. Status: Target not found(515)',
  away: 'iscsi_service failed with : iscsi_service_reconnect_if_loggedin. Can not reconnect right now.\n',
  'no unit': 'SENSE KEY:ILLEGAL_REQUEST(5) ASCQ:LOGICAL_UNIT_NOT_SUPPORTED(0x2500)',
};

export class CannotOpen extends Error {
  override readonly name = 'CannotOpen';

  constructor(why: Refusal | 'away' | 'no unit') {
    super(WORDS[why]);
  }
}
