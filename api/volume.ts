import type { VolumeClassSpec, VolumeSpec, VolumeStatus } from './generated/v1alpha1.ts';
import { FINALIZER } from './names.ts';
import type { KubeObject } from './object.ts';

export interface Volume extends KubeObject {
  readonly spec: VolumeSpec;
  readonly status?: VolumeStatus;
}

export interface VolumeClass extends KubeObject {
  readonly spec: VolumeClassSpec;
}

export type Grants = NonNullable<VolumeStatus['grants']>;
export type Grant = NonNullable<Grants['items']>[number];
export type Backend = NonNullable<VolumeStatus['backend']>;

export const hasFinalizer = (object: KubeObject): boolean =>
  object.metadata.finalizers?.includes(FINALIZER) ?? false;

export const isDeleting = (object: KubeObject): boolean => object.metadata.deletionTimestamp !== undefined;

export const grantsOf = (volume: Volume | undefined): readonly Grant[] => volume?.status?.grants?.items ?? [];

/** The grant which serves an Attachment. */
export const grantFor = (volume: Volume | undefined, attachmentUID: string): Grant | undefined =>
  grantsOf(volume).find(({ attachments }) => attachments.includes(attachmentUID));

/** The facts about the present placement; facts of an earlier one say nothing. */
export const backendOf = (volume: Volume): Backend | undefined =>
  volume.status?.backend?.placementEpoch === volume.status?.placement?.epoch
    ? volume.status?.backend
    : undefined;
