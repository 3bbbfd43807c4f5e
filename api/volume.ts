import type {
  SnapshotSpec,
  SnapshotStatus,
  VolumeClassSpec,
  VolumeSpec,
  VolumeStatus,
} from './generated/v1alpha1.ts';
import { FINALIZER } from './names.ts';
import type { KubeObject } from './object.ts';
import { parseBytes } from './quantity.ts';

export interface Volume extends KubeObject {
  readonly spec: VolumeSpec;
  readonly status?: VolumeStatus;
}

export interface Snapshot extends KubeObject {
  readonly spec: SnapshotSpec;
  readonly status?: SnapshotStatus;
}

/** What a volume server holds data of. */
export type Stored = Volume | Snapshot;

export interface VolumeClass extends KubeObject {
  readonly spec: VolumeClassSpec;
}

export type Grants = NonNullable<VolumeStatus['grants']>;
export type Grant = NonNullable<Grants['items']>[number];
export type Backend = NonNullable<VolumeStatus['backend']>;
/** What data is copied from. */
export type Source = NonNullable<VolumeStatus['source']>;
/** How long data is kept in the trash. */
export type Trash = NonNullable<VolumeStatus['trash']>;
/** An object that is copied from, or depends on, the data of the one which carries the pin. */
export type Pin = NonNullable<VolumeStatus['pins']>[number];
/** A volume server that may read this data, to copy it. */
export type Reader = NonNullable<Pin['reader']>;

export const isSnapshot = (stored: Stored): stored is Snapshot => stored.kind === 'Snapshot';

export const hasFinalizer = (object: KubeObject): boolean =>
  object.metadata.finalizers?.includes(FINALIZER) ?? false;

export const isDeleting = (object: KubeObject): boolean => object.metadata.deletionTimestamp !== undefined;

export const grantsOf = (volume: Volume | undefined): readonly Grant[] => volume?.status?.grants?.items ?? [];

export const pinsOf = (stored: Stored | undefined): readonly Pin[] => stored?.status?.pins ?? [];

/** It stands from before its object was lost, and serves no Attachment yet which could give it up. */
export const isUnclaimed = ({ attachments }: Grant): boolean => attachments.length === 0;

/** The grant which serves an Attachment. */
export const grantFor = (volume: Volume | undefined, attachmentUID: string): Grant | undefined =>
  grantsOf(volume).find(({ attachments }) => attachments.includes(attachmentUID));

/** The facts about the present placement; facts of an earlier one say nothing. */
export const backendOf = ({ status }: Stored): Backend | undefined =>
  status?.backend?.placementEpoch === status?.placement?.epoch ? status?.backend : undefined;

/** The data goes, or is put aside: ordered once, and for ever. */
export const isEnding = (order: VolumeStatus['order']): boolean => order === 'Remove' || order === 'Retain';

/** The server has seen what was ordered for a deleted object done: the data is gone, or put aside. */
export const isEnded = (stored: Stored): boolean => {
  const backend = backendOf(stored);
  return backend?.absentAt !== undefined || backend?.retainedAt !== undefined;
};

/** The complete data was seen once on its server. */
export const isProvisioned = (stored: Stored): boolean => backendOf(stored)?.everProvisioned === true;

/** It holds what somebody wrote: what was never complete does not, but what is being adopted was whole before. */
export const isWhole = (stored: Stored): boolean =>
  isProvisioned(stored) || stored.status?.source?.kind === 'Retained';

/** With the order to put its data aside: for how long. Undefined: without end. */
export const trashOf = (stored: Stored): Trash | undefined =>
  isSnapshot(stored) || stored.status?.order !== 'Retain' ? undefined : stored.status.trash;

/** The volumeID or snapshotID; undefined before the controller has chosen it. */
export const idOf = ({ status }: Stored): string | undefined => {
  const either: { readonly volumeID?: string; readonly snapshotID?: string } = status ?? {};
  return either.volumeID ?? either.snapshotID;
};

/** It adopts data that is there already. */
export const isExisting = ({ status }: Stored): boolean =>
  status?.source?.kind === 'Retained' || status?.source?.kind === 'Orphaned';

/** Bytes wanted: as the spec says, and no less than is copied from its source; undefined while that is not known. */
export function wantedBytes(stored: Stored): bigint | undefined {
  const { source } = stored.status ?? {};
  const size = isSnapshot(stored) ? undefined : stored.spec.size;
  const least = source === undefined ? undefined : BigInt(source.sizeBytes);
  const asked = size === undefined ? least : parseBytes(size);
  return asked !== undefined && least !== undefined && asked < least ? least : asked;
}
