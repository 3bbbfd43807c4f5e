// What a visit of an Attachment works with, and the names which this host derives.
import type { Attachment } from '../../api/attachment.ts';
import { uuidFrom } from '../../api/ids.ts';
import { initiatorName } from '../../api/names.ts';
import type { Api } from '../../runtime/api.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { Reflector } from '../../runtime/reflector.ts';
import type { ChapOf } from '../chap.ts';
import type { Initiator } from '../roles/initiator.ts';
import type { Instance, Vmm } from '../roles/vmm.ts';
import type { RecordStore } from '../store.ts';
import type { ConnectionMemory } from './memory.ts';

export interface HypervisorDeps {
  readonly api: Api;
  readonly host: string;
  readonly bootID: string;
  readonly iqnPrefix: string;
  readonly attachments: Reflector<Attachment>;
  /** By the Attachment's UID. */
  readonly memories: RecordStore<ConnectionMemory>;
  readonly vmm: Vmm;
  readonly lookAtInstances: () => Promise<readonly Instance[]>;
  readonly initiator: Initiator;
  readonly chapOf: ChapOf;
  readonly clock: Clock;
  readonly resyncMs: number;
  /** When each guest was last asked to let a disk go, by volumeID; monotonic. */
  readonly askedAtMs: Map<string, number>;
  /** The size of each disk in its VM, as it was plugged in or last seen, by volumeID. */
  readonly seenBytes: Map<string, bigint>;
  /** When its VM was asked to show a new size, by volumeID; monotonic. */
  readonly resizedAtMs: Map<string, number>;
  /** Since when each disk is seen waiting for its guest, by volumeID; monotonic. */
  readonly connectingSinceMs: Map<string, number>;
}

export interface HostVisit {
  readonly deps: HypervisorDeps;
  readonly log: Log;
  readonly signal: AbortSignal;
}

export const initiatorOf = ({ host, iqnPrefix }: Pick<HypervisorDeps, 'host' | 'iqnPrefix'>): string =>
  initiatorName(host, iqnPrefix);

/** Names what this host keeps for one grant, the same after any restart. */
export const grantUUIDOf = (volumeID: string, epoch: number): string =>
  uuidFrom(`grant ${volumeID} ${epoch}`);
