// The controller's read-only copies of the world, and which keys a change concerns.
import type { Attachment } from '../api/attachment.ts';
import type { Freshness, HostView, Hypervisor, VolumeServer } from '../api/hosts.ts';
import { HOST_LEASE, HOST_LEASE_LABEL, hostNamespace, hostOfNamespace } from '../api/names.ts';
import { type KubeObject, keyOf, type Resource } from '../api/object.ts';
import { parseBytes } from '../api/quantity.ts';
import {
  ATTACHMENTS,
  HYPERVISORS,
  LEASES,
  VOLUME_CLASSES,
  VOLUME_SERVERS,
  VOLUMES,
} from '../api/resources.ts';
import { backendOf, type Volume, type VolumeClass } from '../api/volume.ts';
import type { Api } from '../runtime/api.ts';
import type { Clock } from '../runtime/clock.ts';
import { LeaseWatcher } from '../runtime/heartbeats.ts';
import type { Lease } from '../runtime/lease.ts';
import type { Log } from '../runtime/log.ts';
import { Reflector, type ReflectorMetrics } from '../runtime/reflector.ts';

export interface Caches {
  readonly volumes: Reflector<Volume>;
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

const isPlaced = (volume: Volume): boolean => volume.status?.placement !== undefined;

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
  volumes.addIndex('volumeID', ({ status }) => (status?.volumeID === undefined ? [] : [status.volumeID]));
  volumes.addIndex('promised', (volume) =>
    isPlaced(volume) && backendOf(volume)?.everProvisioned !== true
      ? [`${volume.status?.server}/${volume.status?.pool}`]
      : [],
  );
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
    attachments,
    classes: reflect<VolumeClass>(VOLUME_CLASSES),
    servers: reflect<VolumeServer>(VOLUME_SERVERS),
    hypervisors: reflect<Hypervisor>(HYPERVISORS),
    leases,
    heartbeats,
  };
}

export const reflectorsOf = (caches: Caches) => [
  caches.volumes,
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

/** Bytes promised in a pool to other volumes which are placed there and not yet provisioned. */
export function reservedIn({ volumes }: Caches, except: string): (server: string, pool: string) => bigint {
  return (server, pool) =>
    volumes
      .byIndex('promised', `${server}/${pool}`)
      .filter((volume) => keyOf(volume) !== except)
      .reduce((sum, volume) => sum + parseBytes(volume.spec.size), 0n);
}
