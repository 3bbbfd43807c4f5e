// The volume server's rules for the data of one Volume. Pure.
//
//   nothing ──create──► provisional ──complete──► complete ──retire──► dying ──free──► nothing
//                                     (the final name means complete)   (order: Remove only)
import { parseBytes, roundUp } from '../../api/quantity.ts';
import type { Reason } from '../../api/reasons.ts';
import { type Backend, backendOf, grantsOf, hasFinalizer, type Volume } from '../../api/volume.ts';
import type { Backing } from '../roles/pool.ts';
import type { ServerMemory } from './memory.ts';

export interface BackingWorld {
  /** The cached copy; it names this server. */
  readonly volume: Volume;
  readonly memory: ServerMemory | undefined;
  /** The volume's backing; undefined means the pool was seen and has none. */
  readonly backing: Backing | undefined;
  readonly freeBytes: bigint;
  readonly extentBytes: bigint;
  /** A target for the volume exists. */
  readonly exported: boolean;
  readonly bootID: string;
  /** Time for absentAt, RFC 3339. */
  readonly now: string;
}

export type BackingStep =
  | { readonly kind: 'create'; readonly sizeBytes: bigint }
  | { readonly kind: 'complete'; readonly sizeBytes: bigint }
  | { readonly kind: 'remember-provisioned' }
  | { readonly kind: 'grow'; readonly sizeBytes: bigint }
  /** Irreversible: only after a live GET with the same UID, volumeID and order. */
  | { readonly kind: 'retire' };

export interface Problem {
  readonly reason: Reason;
  readonly message: string;
}

export type BackingPlan =
  | { readonly kind: 'take'; readonly step: BackingStep }
  /** Nothing to do; the fact is what there is to say. Undefined: not ours to speak about. */
  | { readonly kind: 'report'; readonly fact: Backend | undefined };

const take = (step: BackingStep): BackingPlan => ({ kind: 'take', step });

export function planBacking(world: BackingWorld): BackingPlan {
  const { volume, backing } = world;
  if (
    !hasFinalizer(volume) ||
    volume.status?.placement === undefined ||
    volume.status.volumeID === undefined
  ) {
    return { kind: 'report', fact: undefined };
  }
  if (backing?.foreign === true) {
    const message = `${backing.path} belongs to another cluster; nothing was touched`;
    return report(world, { problem: { reason: 'NotOurs', message } });
  }
  return volume.status.order === 'Remove' ? planRemoval(world) : planPresence(world);
}

function planRemoval(world: BackingWorld): BackingPlan {
  const { volume, backing, exported, now } = world;
  if (grantsOf(volume).length > 0 || exported) {
    return report(world, {});
  }
  if (backing === undefined || backing.state === 'dying') {
    return report(world, { absentAt: backendOf(volume)?.absentAt ?? now });
  }
  return take({ kind: 'retire' });
}

function planPresence(world: BackingWorld): BackingPlan {
  const { volume, memory, backing, freeBytes, extentBytes, exported } = world;
  const sizeBytes = roundUp(parseBytes(volume.spec.size), extentBytes);
  const provisioned = memory?.everProvisioned === true || backendOf(volume)?.everProvisioned === true;
  if (backing?.state === 'complete') {
    if (memory?.everProvisioned !== true) {
      return take({ kind: 'remember-provisioned' });
    }
    const free = !exported && grantsOf(volume).length === 0;
    return backing.sizeBytes < sizeBytes && free && freeBytes >= sizeBytes - backing.sizeBytes
      ? take({ kind: 'grow', sizeBytes })
      : report(world, { sizeBytes: backing.sizeBytes });
  }
  if (provisioned) {
    const message = `the data of ${volume.status?.volumeID} is not in pool ${volume.status?.pool}; restore it there, or delete the Volume. It is never made anew.`;
    return report(world, { problem: { reason: 'DataMissing', message } });
  }
  if (backing?.state === 'provisional' && backing.sizeBytes >= sizeBytes) {
    return take({ kind: 'complete', sizeBytes });
  }
  if (freeBytes < sizeBytes) {
    const message = `pool ${volume.status?.pool} has not the ${sizeBytes} bytes free which are needed; free space or lower spec.size`;
    return report(world, { problem: { reason: 'NoSpace', message } });
  }
  return take({ kind: 'create', sizeBytes });
}

interface Seen {
  readonly sizeBytes?: bigint;
  readonly absentAt?: string;
  readonly problem?: Problem;
}

const report = (world: BackingWorld, seen: Seen): BackingPlan => ({
  kind: 'report',
  fact: factOf(world, seen),
});

/** The server's block, from what was seen in this visit and what stays true. */
export function factOf(
  { volume, memory, bootID }: Pick<BackingWorld, 'volume' | 'memory' | 'bootID'>,
  { sizeBytes, absentAt, problem }: Seen,
): Backend | undefined {
  const placementEpoch = volume.status?.placement?.epoch;
  if (placementEpoch === undefined) {
    return undefined;
  }
  const before = backendOf(volume);
  const provisioned = memory?.everProvisioned === true || before?.everProvisioned === true;
  const size = sizeBytes?.toString() ?? before?.sizeBytes;
  const gone = absentAt ?? before?.absentAt;
  return {
    placementEpoch,
    bootID,
    ...(provisioned ? { everProvisioned: true } : {}),
    ...(size === undefined ? {} : { sizeBytes: size }),
    ...(before?.appliedRevision === undefined ? {} : { appliedRevision: before.appliedRevision }),
    ...(gone === undefined ? {} : { absentAt: gone }),
    ...(problem === undefined ? {} : { problem }),
  };
}
