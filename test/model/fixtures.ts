// The fixed part of the model's world: one volume server, two hypervisors with one VM each, two Attachments.
import type { Attachment } from '../../api/attachment.ts';
import type { HostView, Hypervisor, VolumeServer } from '../../api/hosts.ts';
import { initiatorName } from '../../api/names.ts';
import { API_VERSION } from '../../api/resources.ts';
import type { Snapshot, Volume, VolumeClass } from '../../api/volume.ts';
import type { State } from './state.ts';

export const HOSTS = ['h0', 'h1'] as const;
export const initiators = HOSTS.map((host) => initiatorName(host));

const meta = (name: string, namespace?: string) => ({
  name,
  uid: `uid-${name}`,
  resourceVersion: '1',
  creationTimestamp: `2026-01-01T00:00:0${name.slice(-1)}Z`,
  ...(namespace === undefined ? {} : { namespace }),
});

export const someClass: VolumeClass = {
  apiVersion: API_VERSION,
  kind: 'VolumeClass',
  metadata: meta('class0'),
  spec: { default: true, poolSelector: {} },
};

const safe = {
  type: 'HostSafe',
  status: 'True',
  reason: 'Safe',
  message: '',
  lastTransitionTime: '',
} as const;

export const serverViews: readonly HostView<VolumeServer>[] = [
  {
    freshness: 'fresh',
    host: {
      apiVersion: API_VERSION,
      kind: 'VolumeServer',
      metadata: meta('s0'),
      status: {
        conditions: [safe],
        agent: { bootID: 'b', pools: [{ name: 'p', profile: 'file', freeBytes: '1000', extentBytes: '1' }] },
      },
    },
  },
];

const views = new Map<string, readonly HostView<Hypervisor>[]>();

/** The controller's picture of the hypervisors. */
export function hypervisorViews({ stale, fenced }: State): readonly HostView<Hypervisor>[] {
  const key = JSON.stringify([stale, fenced]);
  const known = views.get(key);
  if (known !== undefined) {
    return known;
  }
  const made = ([0, 1] as const).map((index) => ({
    freshness: stale[index] ? ('stale' as const) : ('fresh' as const),
    host: {
      apiVersion: API_VERSION,
      kind: 'Hypervisor',
      metadata: meta(HOSTS[index]),
      spec: { fenced: fenced[index] },
      status: {
        conditions: [safe],
        agent: {
          bootID: 'b',
          instances: [{ name: `vm${index}`, uuid: `uuid-${index}`, state: 'Running' as const }],
        },
      },
    },
  }));
  views.set(key, made);
  return made;
}

export const aVolume: Volume = {
  apiVersion: API_VERSION,
  kind: 'Volume',
  metadata: meta('volume0', 'ns'),
  spec: { size: '100' },
};

/** What marks a scenario whose volume is this one. */
export const RETAIN = 'its data is to be retained';
export const aRetainedVolume: Volume = { ...aVolume, spec: { ...aVolume.spec, deletionPolicy: 'Retain' } };

export const aSnapshot: Snapshot = {
  apiVersion: API_VERSION,
  kind: 'Snapshot',
  metadata: meta('snapshot0', 'ns'),
  spec: { volumeRef: { name: 'volume0' } },
};

export const anAttachment = (index: 0 | 1, host: 0 | 1 = index): Attachment => ({
  apiVersion: API_VERSION,
  kind: 'Attachment',
  metadata: meta(`attachment${index}`, 'ns'),
  spec: { volumeRef: { name: 'volume0' }, instance: { name: `vm${host}` }, hypervisor: HOSTS[host] },
});
