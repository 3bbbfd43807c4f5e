// One visit of one VolumeServer or Hypervisor: its conditions, and the boot in which it was fenced.
import type { Hypervisor, VolumeServer } from '../../api/hosts.ts';
import type { Resource } from '../../api/object.ts';
import { HYPERVISORS, VOLUME_SERVERS } from '../../api/resources.ts';
import type { Reconcile } from '../../runtime/loop.ts';
import type { Reflector } from '../../runtime/reflector.ts';
import { type Caches, freshnessOf } from '../caches.ts';
import type { Reporter } from '../report.ts';
import { fencedBootID, hostClaims } from './status.ts';

export interface HostDeps {
  readonly caches: Caches;
  readonly reporter: Reporter;
  readonly resyncMs: number;
}

export function hypervisorReconciler(deps: HostDeps): Reconcile {
  return visitor(deps, HYPERVISORS, deps.caches.hypervisors, (host) => ({
    fencedBootID: fencedBootID(host),
  }));
}

export function volumeServerReconciler(deps: HostDeps): Reconcile {
  return visitor(deps, VOLUME_SERVERS, deps.caches.servers, () => ({}));
}

function visitor<T extends Hypervisor | VolumeServer>(
  { caches, reporter, resyncMs }: HostDeps,
  resource: Resource,
  hosts: Reflector<T>,
  fieldsOf: (host: T) => Readonly<Record<string, unknown>>,
): Reconcile {
  return async (key) => {
    const host = hosts.get(key);
    if (host === undefined) {
      return {};
    }
    const freshness = freshnessOf(key, caches.heartbeats);
    const reported = await reporter.report({
      resource,
      object: host,
      fields: fieldsOf(host),
      claims: hostClaims({ host, freshness }),
    });
    if (reported.kind === 'written') {
      hosts.written(reported.object as T);
    }
    return { requeueAfterMs: reported.kind === 'held-back' ? reported.forMs : resyncMs };
  };
}
