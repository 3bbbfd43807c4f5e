/**
 * What can go wrong at the edge of the outside world. Every class carries a CamelCase `reason` for status and metrics;
 * messages are for people and never hold a secret. "Could not look" (CannotLook) is an error of its own, so that it can
 * never be taken for "there is nothing".
 */
import type { Reason } from '../../api/reasons.ts';

export type RoleReason = Extract<
  Reason,
  | 'NoSpace'
  | 'PoolMissing'
  | 'PoolFaulty'
  | 'NotOurs'
  | 'Mismatch'
  | 'DeviceInUse'
  | 'NoFreeDevice'
  | 'InstanceNotFound'
  | 'InstanceAmbiguous'
  | 'InstanceNotRunning'
  | 'BackingNotFound'
  | 'ExportNotFound'
  | 'Busy'
  | 'Denied'
  | 'Unsupported'
  | 'CannotLook'
  | 'NotDone'
>;

export abstract class RoleError extends Error {
  abstract readonly reason: RoleReason;
}

/**
 * The pool cannot hold this volume now. Another pool, or more space, cures it. How much is free moves all the time, and
 * is left out of the message: the same failure reads the same.
 */
export class NoSpace extends RoleError {
  override readonly name = 'NoSpace';
  readonly reason = 'NoSpace';
  readonly pool: string;
  readonly neededBytes: bigint;
  readonly freeBytes: bigint | undefined;
  constructor(pool: string, neededBytes: bigint, freeBytes?: bigint, options?: ErrorOptions) {
    super(`pool ${pool} cannot take ${neededBytes} bytes: less is free`, options);
    this.pool = pool;
    this.neededBytes = neededBytes;
    this.freeBytes = freeBytes;
  }
}

/** The pool itself is not there, or another one stands in its place. Says nothing about its volumes. */
export class PoolMissing extends RoleError {
  override readonly name = 'PoolMissing';
  readonly reason = 'PoolMissing';
  readonly pool: string;
  constructor(pool: string, why: string, options?: ErrorOptions) {
    super(`pool ${pool}: ${why}`, options);
    this.pool = pool;
  }
}

/** The pool is there and out of order: nothing more is put into it. */
export class PoolFaulty extends RoleError {
  override readonly name = 'PoolFaulty';
  readonly reason = 'PoolFaulty';
  readonly pool: string;
  constructor(pool: string, why: string) {
    super(`pool ${pool}: ${why}`);
    this.pool = pool;
  }
}

/** Something of that name exists and is not provably ours: nothing was touched. */
export class NotOurs extends RoleError {
  override readonly name = 'NotOurs';
  readonly reason = 'NotOurs';
  readonly subject: string;
  constructor(subject: string, why: string) {
    super(`${subject}: ${why}`);
    this.subject = subject;
  }
}

/** Ours, but not as it must be: another serial, size or path. Never handed to a guest. */
export class Mismatch extends RoleError {
  override readonly name = 'Mismatch';
  readonly reason = 'Mismatch';
  readonly subject: string;
  readonly expected: string;
  readonly found: string;
  constructor(subject: string, expected: string, found: string) {
    super(`${subject}: expected ${expected}, found ${found}`);
    this.subject = subject;
    this.expected = expected;
    this.found = found;
  }
}

/** The device name asked for is taken by another disk of the instance. */
export class DeviceInUse extends RoleError {
  override readonly name = 'DeviceInUse';
  readonly reason = 'DeviceInUse';
  readonly instance: string;
  readonly device: string;
  constructor(instance: string, device: string, options?: ErrorOptions) {
    super(`device ${device} of instance ${instance} is in use`, options);
    this.instance = instance;
    this.device = device;
  }
}

/** No device name, or no hot-plug slot, is left in the instance. */
export class NoFreeDevice extends RoleError {
  override readonly name = 'NoFreeDevice';
  readonly reason = 'NoFreeDevice';
  readonly instance: string;
  constructor(instance: string, why: string, options?: ErrorOptions) {
    super(`instance ${instance} takes no further disk: ${why}`, options);
    this.instance = instance;
  }
}

/** The hypervisor was asked and knows no such instance. */
export class InstanceNotFound extends RoleError {
  override readonly name = 'InstanceNotFound';
  readonly reason = 'InstanceNotFound';
  readonly instance: string;
  constructor(instance: string, options?: ErrorOptions) {
    super(`no instance ${instance} on this hypervisor`, options);
    this.instance = instance;
  }
}

/** A name that means one instance, and a UUID that means another; never guessed. */
export class InstanceAmbiguous extends RoleError {
  override readonly name = 'InstanceAmbiguous';
  readonly reason = 'InstanceAmbiguous';
  readonly instance: string;
  constructor(instance: string, matches: readonly string[]) {
    super(`${instance} means more than one instance: ${matches.join(', ')}`);
    this.instance = instance;
  }
}

/** The instance exists and does not run: it has no live disks to look at or to change. */
export class InstanceNotRunning extends RoleError {
  override readonly name = 'InstanceNotRunning';
  readonly reason = 'InstanceNotRunning';
  readonly instance: string;
  readonly state: string;
  constructor(instance: string, state: string, options?: ErrorOptions) {
    super(`instance ${instance} is ${state}, not Running`, options);
    this.instance = instance;
    this.state = state;
  }
}

export class BackingNotFound extends RoleError {
  override readonly name = 'BackingNotFound';
  readonly reason = 'BackingNotFound';
  readonly volumeID: string;
  constructor(volumeID: string, pool: string, wanted: string) {
    super(`pool ${pool} holds no ${wanted} backing of ${volumeID}`);
    this.volumeID = volumeID;
  }
}

export class ExportNotFound extends RoleError {
  override readonly name = 'ExportNotFound';
  readonly reason = 'ExportNotFound';
  readonly volumeID: string;
  constructor(volumeID: string) {
    super(`no target for ${volumeID}`);
    this.volumeID = volumeID;
  }
}

/** In use, or locked by another command: look again later. */
export class Busy extends RoleError {
  override readonly name = 'Busy';
  readonly reason = 'Busy';
  readonly subject: string;
  constructor(subject: string, why: string, options?: ErrorOptions) {
    super(`${subject} is busy: ${why}`, options);
    this.subject = subject;
  }
}

/** The other side refused us: wrong initiator name or password, or missing rights. */
export class Denied extends RoleError {
  override readonly name = 'Denied';
  readonly reason = 'Denied';
  readonly subject: string;
  constructor(subject: string, why: string, options?: ErrorOptions) {
    super(`${subject}: access denied: ${why}`, options);
    this.subject = subject;
  }
}

/** The tool behind this role cannot do it at all (see `can`). */
export class Unsupported extends RoleError {
  override readonly name = 'Unsupported';
  readonly reason = 'Unsupported';
  readonly subject: string;
  constructor(subject: string, why: string) {
    super(`${subject}: ${why}`);
    this.subject = subject;
  }
}

/** An observation failed or was not understood. Permits no conclusion about what exists. */
export class CannotLook extends RoleError {
  override readonly name = 'CannotLook';
  readonly reason = 'CannotLook';
  readonly subject: string;
  constructor(subject: string, why: string, options?: ErrorOptions) {
    super(`cannot look at ${subject}: ${why}`, options);
    this.subject = subject;
  }
}

/** The command ran, and the observation after it does not show the change. `said` is what the tool said, cut short. */
export class NotDone extends RoleError {
  override readonly name = 'NotDone';
  readonly reason = 'NotDone';
  readonly subject: string;
  readonly said: string;
  constructor(subject: string, wanted: string, said: string, options?: ErrorOptions) {
    super(`${subject}: ${wanted} did not happen${said === '' ? '' : ` (${said})`}`, options);
    this.subject = subject;
    this.said = said;
  }
}
