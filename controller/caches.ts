// The controller's read-only copies of the world, and which keys a change concerns.
import type { Attachment } from '../api/attachment.ts';
import { type Freshness, type HostView, type Hypervisor, isLost, type VolumeServer } from '../api/hosts.ts';
import { HOST_LEASE, HOST_LEASE_LABEL, hostNamespace, hostOfNamespace } from '../api/names.ts';
import { type KubeObject, keyOf, type Resource } from '../api/object.ts';
import {
  ATTACHMENTS,
  HYPERVISORS,
  LEASES,
  SNAPSHOTS,
  VOLUME_CLASSES,
  VOLUME_SERVERS,
  VOLUMES,
} from '../api/resources.ts';
import {
  backendOf,
  idOf,
  isExisting,
  isProvisioned,
  type Snapshot,
  type Stored,
  type Volume,
  type VolumeClass,
  wantedBytes,
} from '../api/volume.ts';
import type { Api } from '../runtime/api.ts';
import type { Clock } from '../runtime/clock.ts';
import { LeaseWatcher } from '../runtime/heartbeats.ts';
import type { Lease } from '../runtime/lease.ts';
import type { Log } from '../runtime/log.ts';
import { Reflector, type ReflectorMetrics } from '../runtime/reflector.ts';
import type { PlacementWorld } from './volume/placement.ts';

export interface Caches {
  readonly volumes: Reflector<Volume>;
  readonly snapshots: Reflector<Snapshot>;
  readonly attachments: Reflector<Attachment>;
  readonly classes: Reflector<VolumeClass>;
  readonly servers: Reflector<VolumeServer>;
  readonly hypervisors: Reflector<Hypervisor>;
  readonly leases: Reflector<Lease>;
  readonly heartbeats: LeaseWatcher;
}

export interface CacheOptions {
  readonly api: Api;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ReflectorMetrics;
  /** A watch without a word for so long is dead. */
  readonly silenceMs: number;
  /** A host is heard again, or no longer. */
  readonly onFreshness: (host: string) => void;
}

/** The key of the Volume which an Attachment names. */
export const volumeKeyOf = ({ metadata, spec }: Attachment): string =>
  `${metadata.namespace}/${spec.volumeRef.name}`;

/** The key of the Volume which a Snapshot is made of. */
export const snapshottedKeyOf = ({ metadata, spec }: Snapshot): string =>
  `${metadata.namespace}/${spec.volumeRef.name}`;

/** Where a Volume's source is: its kind, and its key. */
export function sourceKeyOf({
  metadata,
  spec,
}: Volume): { kind: 'Snapshot' | 'Volume'; key: string } | undefined {
  const { snapshotRef, volumeRef } = spec.source ?? {};
  const name = snapshotRef?.name ?? volumeRef?.name;
  return name === undefined
    ? undefined
    : { kind: snapshotRef === undefined ? 'Volume' : 'Snapshot', key: `${metadata.namespace}/${name}` };
}

/** Somewhere, and not refused there. */
const isPlaced = (stored: Stored): boolean =>
  stored.status?.placement !== undefined && backendOf(stored)?.refused !== true;

export function createCaches({ api, clock, log, metrics, silenceMs, onFreshness }: CacheOptions): Caches {
  const reflect = <T extends KubeObject>(resource: Resource, labelSelector?: string) =>
    new Reflector<T>({
      api,
      resource,
      log,
      clock,
      metrics,
      silenceMs,
      ...(labelSelector === undefined ? {} : { labelSelector }),
    });
  const volumes = reflect<Volume>(VOLUMES);
  volumes.addIndex('server', ({ status }) => (status?.server === undefined ? [] : [status.server]));
  volumes.addIndex('unplaced', (volume) => (isPlaced(volume) ? [] : ['']));
  volumes.addIndex('volumeID', valuesOf(idOf));
  volumes.addIndex('promised', valuesOf(promisedIn));
  volumes.addIndex('sourceVolume', (volume) => keysOfSource(volume, 'Volume'));
  volumes.addIndex('sourceSnapshot', (volume) => keysOfSource(volume, 'Snapshot'));
  const snapshots = reflect<Snapshot>(SNAPSHOTS);
  snapshots.addIndex('unplaced', (snapshot) => (isPlaced(snapshot) ? [] : ['']));
  snapshots.addIndex('server', ({ status }) => (status?.server === undefined ? [] : [status.server]));
  snapshots.addIndex('volume', (snapshot) => [snapshottedKeyOf(snapshot)]);
  snapshots.addIndex('snapshotID', valuesOf(idOf));
  snapshots.addIndex('promised', valuesOf(promisedIn));
  const attachments = reflect<Attachment>(ATTACHMENTS);
  attachments.addIndex('volume', (attachment) => [volumeKeyOf(attachment)]);
  attachments.addIndex('hypervisor', ({ status }) =>
    status?.hypervisor === undefined ? [] : [status.hypervisor],
  );
  attachments.addIndex('waiting', ({ status }) => (status?.epoch === undefined ? [''] : []));
  const leases = reflect<Lease>(LEASES, HOST_LEASE_LABEL);
  const heartbeats = new LeaseWatcher({
    leases,
    api,
    clock,
    log,
    onFreshness: (key) => {
      const host = hostOfNamespace(key.split('/')[0] ?? '');
      if (host !== undefined) {
        onFreshness(host);
      }
    },
  });
  return {
    volumes,
    snapshots,
    attachments,
    classes: reflect<VolumeClass>(VOLUME_CLASSES),
    servers: reflect<VolumeServer>(VOLUME_SERVERS),
    hypervisors: reflect<Hypervisor>(HYPERVISORS),
    leases,
    heartbeats,
  };
}

const valuesOf =
  <T>(read: (object: T) => string | undefined) =>
  (object: T): readonly string[] => {
    const value = read(object);
    return value === undefined ? [] : [value];
  };

/** The pool in which room is promised to data that is not made yet. What exists has its room already. */
const promisedIn = (stored: Stored): string | undefined =>
  isPlaced(stored) && !isProvisioned(stored) && !isExisting(stored)
    ? `${stored.status?.server}/${stored.status?.pool}`
    : undefined;

function keysOfSource(volume: Volume, wanted: 'Snapshot' | 'Volume'): readonly string[] {
  const source = sourceKeyOf(volume);
  return source?.kind === wanted ? [source.key] : [];
}

export const reflectorsOf = (caches: Caches) => [
  caches.volumes,
  caches.snapshots,
  caches.attachments,
  caches.classes,
  caches.servers,
  caches.hypervisors,
  caches.leases,
];

/** Whether a host is heard, by the Lease in its namespace. */
export const freshnessOf = (host: string, heartbeats: LeaseWatcher): Freshness =>
  heartbeats.freshness(`${hostNamespace(host)}/${HOST_LEASE}`);

/** Hosts with whether they are heard. */
export function hostViews<T extends KubeObject>(
  hosts: { list(): T[] },
  heartbeats: LeaseWatcher,
): readonly HostView<T>[] {
  return hosts.list().map((host) => ({
    host,
    freshness: freshnessOf(host.metadata.name, heartbeats),
  }));
}

/** The volume server which it names is declared lost, and silent. */
export function isOnLostServer(
  { status }: { readonly status?: { readonly server?: string } },
  { servers, heartbeats }: Pick<Caches, 'servers' | 'heartbeats'>,
): boolean {
  const host = servers.get(status?.server ?? '');
  return host !== undefined && isLost({ host, freshness: freshnessOf(host.metadata.name, heartbeats) });
}

/** An ID for the object which no other object in the cache has. */
export function freeID<T extends KubeObject>(
  { metadata }: T,
  cache: Pick<Reflector<T>, 'byIndex'>,
  { index, idFor }: { readonly index: string; readonly idFor: (uid: string, attempt: number) => string },
): string {
  for (let attempt = 0; ; attempt += 1) {
    const candidate = idFor(metadata.uid, attempt);
    const holders = cache.byIndex(index, candidate);
    if (holders.every((holder) => holder.metadata.uid === metadata.uid)) {
      return candidate;
    }
  }
}

/** What placing this volume is decided on; `source` is what its spec.source names. */
export const placementWorld = (
  volume: Volume,
  source: Stored | undefined,
  caches: Caches,
): PlacementWorld => ({
  volume,
  source,
  classes: caches.classes.list(),
  servers: hostViews(caches.servers, caches.heartbeats),
  reservedBytes: reservedIn(caches, keyOf(volume)),
  holderOf: (volumeID) =>
    caches.volumes.byIndex('volumeID', volumeID).find(({ metadata }) => metadata.uid !== volume.metadata.uid),
});

/** Bytes promised in a pool to other volumes and snapshots which are placed there and not yet provisioned. */
export function reservedIn(
  { volumes, snapshots }: Caches,
  except: string,
): (server: string, pool: string) => bigint {
  return (server, pool) => {
    const place = `${server}/${pool}`;
    const others = volumes.byIndex('promised', place).filter((volume) => keyOf(volume) !== except);
    return [...others, ...snapshots.byIndex('promised', place)].reduce(
      (sum, stored) => sum + (wantedBytes(stored) ?? 0n),
      0n,
    );
  };
}
