import type { Resource } from './object.ts';

export const GROUP = 'vbs.dev';
export const VERSION = 'v1alpha1';
export const API_VERSION = `${GROUP}/${VERSION}`;

const ours = (kind: string, plural: string, namespaced: boolean): Resource => ({
  group: GROUP,
  version: VERSION,
  plural,
  kind,
  namespaced,
});

export const VOLUMES = ours('Volume', 'volumes', true);
export const SNAPSHOTS = ours('Snapshot', 'snapshots', true);
export const ATTACHMENTS = ours('Attachment', 'attachments', true);
export const VOLUME_CLASSES = ours('VolumeClass', 'volumeclasses', false);
export const VOLUME_SERVERS = ours('VolumeServer', 'volumeservers', false);
export const HYPERVISORS = ours('Hypervisor', 'hypervisors', false);
/** All of ours. */
export const OUR_KINDS: readonly Resource[] = [
  VOLUMES,
  SNAPSHOTS,
  ATTACHMENTS,
  VOLUME_CLASSES,
  VOLUME_SERVERS,
  HYPERVISORS,
];

export const LEASES: Resource = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
};
export const SECRETS: Resource = {
  group: '',
  version: 'v1',
  plural: 'secrets',
  kind: 'Secret',
  namespaced: true,
};
export const EVENTS: Resource = {
  group: 'events.k8s.io',
  version: 'v1',
  plural: 'events',
  kind: 'Event',
  namespaced: true,
};
export const NAMESPACES: Resource = {
  group: '',
  version: 'v1',
  plural: 'namespaces',
  kind: 'Namespace',
  namespaced: false,
};
export const SERVICE_ACCOUNTS: Resource = {
  group: '',
  version: 'v1',
  plural: 'serviceaccounts',
  kind: 'ServiceAccount',
  namespaced: true,
};
/** Answers who is asking. */
export const SELF_SUBJECT_REVIEWS: Resource = {
  group: 'authentication.k8s.io',
  version: 'v1',
  plural: 'selfsubjectreviews',
  kind: 'SelfSubjectReview',
  namespaced: false,
};
