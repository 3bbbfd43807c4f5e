// Healthy objects; a test names only what it is about.
import type { Attachment } from '../../api/attachment.ts';
import type { HostView, Hypervisor, VolumeServer } from '../../api/hosts.ts';
import { volumeIDFor } from '../../api/ids.ts';
import { FINALIZER, initiatorName } from '../../api/names.ts';
import { API_VERSION } from '../../api/resources.ts';
import type { Grant, Snapshot, Volume, VolumeClass } from '../../api/volume.ts';
import type { VolumeWorld } from '../../controller/volume/plan.ts';

const meta = (name: string, namespace?: string) => ({
  name,
  uid: `uid-${name}`,
  resourceVersion: '1',
  generation: 1,
  creationTimestamp: '2026-01-01T00:00:00Z',
  finalizers: [FINALIZER],
  ...(namespace === undefined ? {} : { namespace }),
});

export const VOLUME_ID = volumeIDFor('uid-db');
export const deleted = { deletionTimestamp: '2026-01-02T00:00:00Z' };

interface Change<S, T> {
  readonly metadata?: object;
  readonly spec?: Partial<S>;
  readonly status?: T;
}

/** Not placed yet. */
export const aVolume = ({
  metadata,
  spec,
  status,
}: Change<Volume['spec'], Volume['status']> = {}): Volume => ({
  apiVersion: API_VERSION,
  kind: 'Volume',
  metadata: { ...meta('db', 'ns'), ...metadata },
  spec: { size: '1Gi', sharing: 'Exclusive', ...spec },
  ...(status === undefined ? {} : { status }),
});

/** Of the Volume db; not placed yet. */
export const aSnapshot = ({
  metadata,
  spec,
  status,
}: Change<Snapshot['spec'], Snapshot['status']> = {}): Snapshot => ({
  apiVersion: API_VERSION,
  kind: 'Snapshot',
  metadata: { ...meta('snap', 'ns'), ...metadata },
  spec: { volumeRef: { name: 'db' }, ...spec },
  ...(status === undefined ? {} : { status }),
});

export const placed: NonNullable<Volume['status']> = {
  volumeID: VOLUME_ID,
  className: 'standard',
  server: 's1',
  pool: 'main',
  placement: { epoch: 1 },
  order: 'Keep',
};

export const provisioned: NonNullable<Volume['status']> = {
  ...placed,
  backend: { placementEpoch: 1, bootID: 'boot-s1', everProvisioned: true, sizeBytes: '1073741824' },
};

export const aGrant = (change: Partial<Grant> = {}): Grant => ({
  epoch: 1,
  hypervisor: 'h1',
  initiator: initiatorName('h1'),
  mode: 'ReadWrite',
  attachments: ['uid-att'],
  state: 'Granted',
  ...change,
});

export const granted = (...items: Grant[]): NonNullable<Volume['status']> => ({
  ...provisioned,
  grants: { revision: Math.max(0, ...items.map(({ epoch }) => epoch)), items },
});

export const anAttachment = ({
  metadata,
  spec,
  status,
}: Change<Attachment['spec'], Attachment['status']> = {}): Attachment => ({
  apiVersion: API_VERSION,
  kind: 'Attachment',
  metadata: { ...meta('att', 'ns'), ...metadata },
  spec: { volumeRef: { name: 'db' }, instance: { name: 'vm-a' }, detachPolicy: 'Graceful', ...spec },
  ...(status === undefined ? {} : { status }),
});

export const admitted: NonNullable<Attachment['status']> = {
  volumeUID: 'uid-db',
  volumeID: VOLUME_ID,
  server: 's1',
  hypervisor: 'h1',
  instanceUID: 'vm-uuid',
  epoch: 1,
};

export const exportedAt = (epoch: number): NonNullable<NonNullable<Attachment['status']>['export']> => ({
  epoch,
  bootID: 'boot-s1',
  state: 'Exported',
  iqn: `iqn.2026-11.dev.vbs:${VOLUME_ID}`,
  lun: 1,
  portals: ['192.0.2.1:3260'],
  serial: VOLUME_ID,
  sizeBytes: '1073741824',
});

export const aClass = (name = 'standard', spec: Partial<VolumeClass['spec']> = {}): VolumeClass => ({
  apiVersion: API_VERSION,
  kind: 'VolumeClass',
  metadata: meta(name),
  spec: { default: true, poolSelector: {}, ...spec },
});

const safe = {
  type: 'HostSafe',
  status: 'True',
  reason: 'Safe',
  message: '',
  lastTransitionTime: '2026-01-01T00:00:00Z',
} as const;

type Agent<T extends VolumeServer | Hypervisor> = Partial<NonNullable<NonNullable<T['status']>['agent']>>;

export const aServer = (
  name = 's1',
  {
    agent,
    spec,
    ...view
  }: Partial<HostView<VolumeServer>> & { agent?: Agent<VolumeServer>; spec?: object } = {},
): HostView<VolumeServer> => ({
  freshness: 'fresh',
  host: {
    apiVersion: API_VERSION,
    kind: 'VolumeServer',
    metadata: meta(name),
    ...(spec === undefined ? {} : { spec }),
    status: {
      conditions: [safe],
      agent: {
        bootID: `boot-${name}`,
        pools: [
          {
            name: 'main',
            profile: 'file',
            totalBytes: '100000000000',
            freeBytes: '50000000000',
            extentBytes: '1048576',
            can: [],
          },
        ],
        ...agent,
      },
    },
  },
  ...view,
});

export const aHypervisor = (
  name = 'h1',
  { agent, spec, ...view }: Partial<HostView<Hypervisor>> & { agent?: Agent<Hypervisor>; spec?: object } = {},
): HostView<Hypervisor> => ({
  freshness: 'fresh',
  host: {
    apiVersion: API_VERSION,
    kind: 'Hypervisor',
    metadata: meta(name),
    ...(spec === undefined ? {} : { spec }),
    status: {
      conditions: [safe],
      agent: {
        bootID: `boot-${name}`,
        initiator: initiatorName(name),
        instances: name === 'h1' ? [{ name: 'vm-a', uuid: 'vm-uuid', state: 'Running' }] : [],
        ...agent,
      },
    },
  },
  ...view,
});

export const aWorld = (change: Partial<VolumeWorld> = {}): VolumeWorld => ({
  volume: aVolume(),
  attachments: [],
  goneAttachments: new Set(),
  classes: [aClass()],
  servers: [aServer()],
  hypervisors: [aHypervisor()],
  freshnessOf: () => 'unknown',
  reservedBytes: () => 0n,
  holderOf: () => undefined,
  source: undefined,
  copies: [],
  goneCopies: new Set(),
  lost: false,
  mayPlace: () => true,
  can: ['SnapshotsOutlive'],
  volumeID: VOLUME_ID,
  ...change,
});
