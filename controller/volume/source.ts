// What a new Volume is copied from. Pure.
import { formatBytes, roundUp } from '../../api/quantity.ts';
import type { Reason } from '../../api/reasons.ts';
import {
  backendOf,
  idOf,
  isEnding,
  isProvisioned,
  pinsOf,
  type Source,
  type Stored,
  type Volume,
  wantedBytes,
} from '../../api/volume.ts';
import { isAskedInTime } from '../pins.ts';

export interface Waiting {
  readonly kind: 'waiting';
  readonly reason: Reason;
  readonly message: string;
}

export interface FoundSource {
  readonly kind: 'found';
  readonly source: Source;
  readonly isPinned: boolean;
}

export const waiting = (reason: Reason, message: string): Waiting => ({ kind: 'waiting', reason, message });

/**
 * What to copy from, or why there is nothing to copy from yet; undefined for a volume without a source. `found` is what spec.source
 * names. Only a source that carries our pin is copied from: nothing removes it, or writes to it, any more.
 */
export function sourceOf(
  volume: Volume,
  found: Stored | undefined,
  extentBytes: bigint,
): FoundSource | Waiting | undefined {
  const { snapshotRef, volumeRef } = volume.spec.source ?? {};
  const name = snapshotRef?.name ?? volumeRef?.name;
  if (name === undefined) {
    return undefined;
  }
  const kind = snapshotRef === undefined ? 'Volume' : 'Snapshot';
  if (found === undefined) {
    return waiting(
      'SourceNotFound',
      `there is no ${kind} ${name} (spec.source); create it, or name another in a new Volume`,
    );
  }
  const isPinned = pinsOf(found).some(({ uid }) => uid === volume.metadata.uid);
  if (!isPinned && (isEnding(found.status?.order) || !isAskedInTime(found, volume))) {
    return waiting('SourceDeleting', `${kind} ${name} is being deleted; name another source in a new Volume`);
  }
  const source = ready(kind, name, found);
  if (source === undefined) {
    return waiting('SourceNotReady', `${kind} ${name} is not ready yet; see its Ready condition`);
  }
  const problem = isPinned ? undefined : backendOf(found)?.problem;
  if (problem !== undefined) {
    return waiting('SourceNotReady', `${kind} ${name} cannot be copied: ${problem.message}`);
  }
  const wanted = wantedBytes(volume);
  // What the source itself asked for was rounded up, too.
  if (wanted !== undefined && roundUp(wanted, extentBytes) < BigInt(source.sizeBytes)) {
    const least = formatBytes(BigInt(source.sizeBytes));
    return waiting(
      'SizeBelowSource',
      `spec.size is below the ${least} of ${kind} ${name}; set ${least} or more, or leave it out`,
    );
  }
  return { kind: 'found', source, isPinned };
}

/** There is a place for the copy, and its source does not hold its data for it yet. */
export function untilPinned({ kind, name }: Source): Waiting {
  const when = kind === 'Snapshot' ? '' : '; it is copied when it is attached nowhere';
  return waiting('WaitingForSource', `waiting for ${kind} ${name}${when}`);
}

function ready(kind: Source['kind'], name: string, found: Stored): Source | undefined {
  const { server, pool } = found.status ?? {};
  const id = idOf(found);
  const sizeBytes = backendOf(found)?.sizeBytes;
  const isComplete = isProvisioned(found) && sizeBytes !== undefined;
  return isComplete && id !== undefined && server !== undefined && pool !== undefined
    ? { kind, uid: found.metadata.uid, name, id, server, pool, sizeBytes }
    : undefined;
}
