// What the controller's caches hold, in figures for alerts and dashboards. Looked at when scraped; whoever leads or waits tells the same.
import { findCondition } from '../api/conditions.ts';
import type { Hypervisor, VolumeServer } from '../api/hosts.ts';
import type { KubeObject } from '../api/object.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Metrics, Sample } from '../runtime/metrics.ts';
import type { Caches } from './caches.ts';
import type { WithStatus } from './report.ts';

type Shown = 'volumes' | 'snapshots' | 'attachments' | 'servers' | 'hypervisors';

/** The caches that are looked at. */
export type Seen = { readonly [Kind in Shown]: Pick<Caches[Kind], 'list'> };

/** In place of the reason of an object which the controller has said nothing about yet. */
export const UNSEEN = 'Unseen';

/** Makes the metrics; `seen` is read whenever they are scraped. */
export function showFigures(metrics: Metrics, seen: Seen, clock: Clock): void {
  const objects = (): readonly WithStatus[] => [
    ...seen.volumes.list(),
    ...seen.snapshots.list(),
    ...seen.attachments.list(),
  ];
  metrics.observed(
    {
      name: 'vbs_objects',
      help: 'Volumes, Snapshots and Attachments by the status and reason of their condition Ready; Unseen: none yet (controller).',
      labels: ['kind', 'ready', 'reason'],
    },
    () => counted(objects().map(standing)),
  );
  metrics.observed(
    {
      name: 'vbs_oldest_wait_seconds',
      help: 'Of the objects that are not Ready, not as large as wanted (Resized) or not cut off (Fenced), by kind and reason: for how long the one has not been which has waited longest (controller).',
      labels: ['kind', 'reason'],
    },
    () => oldestWaits(objects(), clock.now()),
  );
  showHosts(metrics, seen);
  showServers(metrics, seen);
}

function showHosts(metrics: Metrics, { servers, hypervisors }: Seen): void {
  const hosts = (): readonly (VolumeServer | Hypervisor)[] => [...servers.list(), ...hypervisors.list()];
  const nameOf = ({ kind, metadata }: KubeObject) => ({ kind, host: metadata.name });
  metrics.observed(
    {
      name: 'vbs_host_condition',
      help: '1 for each condition of a VolumeServer or Hypervisor, with its status and reason (controller).',
      labels: ['kind', 'host', 'condition', 'status', 'reason'],
    },
    () =>
      hosts().flatMap((host) =>
        (host.status?.conditions ?? []).map(({ type, status, reason }) => ({
          labels: { ...nameOf(host), condition: type, status, reason },
          value: 1,
        })),
      ),
  );
  metrics.observed(
    {
      name: 'vbs_host_info',
      help: '1 for each host that has an agent, with the version of it (controller).',
      labels: ['kind', 'host', 'version'],
    },
    () =>
      hosts().flatMap((host) => {
        const version = host.status?.agent?.version;
        return version === undefined ? [] : [{ labels: { ...nameOf(host), version }, value: 1 }];
      }),
  );
  metrics.observed(
    {
      name: 'vbs_host_leftovers',
      help: 'Things on a host that no object accounts for; which, is in status.agent.leftovers; 256 at most (controller).',
      labels: ['kind', 'host'],
    },
    () =>
      hosts().flatMap((host) => {
        const { agent } = host.status ?? {};
        return agent === undefined ? [] : [{ labels: nameOf(host), value: agent.leftovers?.length ?? 0 }];
      }),
  );
}

function showServers(metrics: Metrics, { servers }: Seen): void {
  const pools = () =>
    servers.list().flatMap(({ metadata, status }) =>
      (status?.agent?.pools ?? []).map((pool) => ({
        labels: { host: metadata.name, pool: pool.name },
        pool,
      })),
    );
  metrics.observed(
    {
      name: 'vbs_server_pool_bytes',
      help: 'Bytes of a pool as its volume server last told: total, and free, which is what new volumes may still take (controller).',
      labels: ['host', 'pool', 'kind'],
    },
    () =>
      pools().flatMap(({ labels, pool: { totalBytes, freeBytes } }) =>
        Object.entries({ total: totalBytes, free: freeBytes }).flatMap(([kind, bytes]) =>
          bytes === undefined ? [] : [{ labels: { ...labels, kind }, value: Number(bytes) }],
        ),
      ),
  );
  metrics.observed(
    {
      name: 'vbs_server_pool_faulty',
      help: '1 while a pool cannot be used, else 0; why is in status.agent.pools of the VolumeServer (controller).',
      labels: ['host', 'pool'],
    },
    () => pools().map(({ labels, pool }) => ({ labels, value: pool.problem === undefined ? 0 : 1 })),
  );
  metrics.observed(
    {
      name: 'vbs_server_kept',
      help: 'Data on a volume server without a living object: retained (the trash included), orphaned, which no object accounts for, and freeing, which is being wiped (controller).',
      labels: ['host', 'kind'],
    },
    () => servers.list().flatMap(kept),
  );
}

function kept({ metadata, status }: VolumeServer): readonly Sample<'host' | 'kind'>[] {
  const { agent } = status ?? {};
  if (agent === undefined) {
    return [];
  }
  const counts = {
    retained: (agent.retained?.length ?? 0) + (agent.retainedOmitted ?? 0),
    orphaned: (agent.orphans?.length ?? 0) + (agent.orphansOmitted ?? 0),
    freeing: agent.freeing?.length ?? 0,
  };
  return Object.entries(counts).map(([kind, value]) => ({ labels: { host: metadata.name, kind }, value }));
}

interface Standing {
  readonly kind: string;
  readonly ready: string;
  readonly reason: string;
}

function standing({ kind, status }: WithStatus): Standing {
  const ready = findCondition(status?.conditions, 'Ready');
  return { kind, ready: ready?.status ?? 'Unknown', reason: ready?.reason ?? UNSEEN };
}

function counted(all: readonly Standing[]): readonly Sample<keyof Standing>[] {
  const groups = Map.groupBy(all, ({ kind, ready, reason }) => [kind, ready, reason].join());
  return [...groups.values()].flatMap((group) =>
    group.slice(0, 1).map((labels) => ({ labels: { ...labels }, value: group.length })),
  );
}

/** Besides Ready: what is shown only while something is wanted that is not done. */
const WANTED = ['Resized', 'Fenced'];

interface Wait {
  readonly reason: string;
  readonly since: string | undefined;
}

function waitsOf(object: WithStatus): readonly Wait[] {
  const { conditions } = object.status ?? {};
  const { ready, reason } = standing(object);
  const since = findCondition(conditions, 'Ready')?.lastTransitionTime ?? object.metadata.creationTimestamp;
  const wanted = (conditions ?? []).filter(({ type, status }) => WANTED.includes(type) && status === 'False');
  return [
    ...(ready === 'True' ? [] : [{ reason, since }]),
    ...wanted.map((condition) => ({ reason: condition.reason, since: condition.lastTransitionTime })),
  ];
}

function oldestWaits(objects: readonly WithStatus[], now: Date): readonly Sample<'kind' | 'reason'>[] {
  const waits = objects.flatMap((object) =>
    waitsOf(object).map(({ reason, since }) => ({
      labels: { kind: object.kind, reason },
      value: since === undefined ? 0 : Math.max(0, (now.getTime() - Date.parse(since)) / 1000),
    })),
  );
  const groups = Map.groupBy(waits, ({ labels }) => `${labels.kind},${labels.reason}`);
  return [...groups.values()].map((group) =>
    group.reduce((oldest, wait) => (wait.value > oldest.value ? wait : oldest)),
  );
}
