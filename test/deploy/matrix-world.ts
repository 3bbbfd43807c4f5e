// A cluster with something of everybody in it, for the matrix of rights: what there is, and what a thief would write.
import assert from 'node:assert/strict';
import { AGENT_ACCOUNT, FINALIZER, hostNamespace } from '../../api/names.ts';
import type { Caller } from '../api/caller.ts';
import { eventAbout, GROUP_PATH } from './platform.ts';

/** One host of each role, and one of both roles which is nobody's own: all that is its is foreign. */
export const SERVER = 'server-a';
export const HYPERVISOR = 'hypervisor-a';
export const BOTH = 'both-a';
export const FOREIGN = 'both-b';
export const HOSTS = [SERVER, HYPERVISOR, BOTH, FOREIGN] as const;
export const TENANT = 'tenant-a';
export const OTHER_TENANT = 'tenant-b';
const NAMESPACES = [...HOSTS.map(hostNamespace), TENANT, OTHER_TENANT, 'vbs-system', 'kube-system'];

/** An object which is there; `server` and `hypervisor` are the hosts which its status names. */
export interface There {
  /** As the authorizer names it: `vbs.dev/volumes`. */
  readonly resource: string;
  readonly namespace?: string;
  readonly name: string;
  readonly server?: string;
  readonly hypervisor?: string;
}

const CORE = '/api/v1';
const LEASES = '/apis/coordination.k8s.io/v1';
const EVENTS = '/apis/events.k8s.io/v1';
const BASES: Readonly<Record<string, string>> = {
  secrets: CORE,
  serviceaccounts: CORE,
  'coordination.k8s.io/leases': LEASES,
  'events.k8s.io/events': EVENTS,
};

const KINDS: Readonly<Record<string, string>> = {
  volumes: 'Volume',
  snapshots: 'Snapshot',
  attachments: 'Attachment',
  volumeservers: 'VolumeServer',
  hypervisors: 'Hypervisor',
};
const SPECS: Readonly<Record<string, object>> = {
  volumes: { size: '1Gi' },
  snapshots: { volumeRef: { name: 'db' } },
  attachments: { volumeRef: { name: 'db' }, instance: { name: 'vm' } },
};

const own = (plural: string, name: string, more: object = {}, metadata: object = {}) => ({
  apiVersion: 'vbs.dev/v1alpha1',
  kind: KINDS[plural],
  metadata: { name, ...metadata },
  ...(SPECS[plural] === undefined ? {} : { spec: SPECS[plural] }),
  ...more,
});

const volumes = (namespace: string, hosts: readonly string[]): readonly There[] =>
  ['volumes', 'snapshots'].flatMap((plural) =>
    hosts.map((server) => ({ resource: `vbs.dev/${plural}`, namespace, name: `of-${server}`, server })),
  );
const attachments = (namespace: string, hosts: readonly string[]): readonly There[] =>
  hosts.flatMap((server) =>
    hosts.map((hypervisor) => ({
      resource: 'vbs.dev/attachments',
      namespace,
      name: `${server}-to-${hypervisor}`,
      server,
      hypervisor,
    })),
  );

/** The Lease of the host of a namespace; there is one in every namespace. */
const LEASE = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', name: 'vbs-host' };
const STRANGER = { apiVersion: 'vbs.dev/v1alpha1', kind: 'Hypervisor', name: FOREIGN };

/** What the cluster is filled with. */
const OBJECTS: readonly There[] = [
  ...volumes(TENANT, HOSTS),
  ...attachments(TENANT, HOSTS),
  ...volumes(OTHER_TENANT, [FOREIGN]),
  ...attachments(OTHER_TENANT, [FOREIGN]),
  ...['volumeservers', 'hypervisors'].flatMap((plural) =>
    HOSTS.map((name) => ({ resource: `vbs.dev/${plural}`, name, server: name, hypervisor: name })),
  ),
  ...NAMESPACES.flatMap((namespace) => [
    { resource: 'secrets', namespace, name: 'key' },
    { resource: 'serviceaccounts', namespace, name: 'other' },
    { resource: 'coordination.k8s.io/leases', namespace, name: 'vbs-host' },
    { resource: 'events.k8s.io/events', namespace, name: 'about-the-lease' },
    { resource: 'events.k8s.io/events', namespace, name: 'about-another' },
  ]),
];
/** What an administrator's manifests made. */
export const INSTALLED: readonly There[] = [
  ...[...NAMESPACES, 'default'].map((name) => ({ resource: 'namespaces', namespace: name, name })),
  ...HOSTS.map((host) => ({
    resource: 'serviceaccounts',
    namespace: hostNamespace(host),
    name: AGENT_ACCOUNT,
  })),
  { resource: 'serviceaccounts', namespace: 'vbs-system', name: 'vbs-controller' },
];

export const EVERYTHING: readonly There[] = [...OBJECTS, ...INSTALLED];

export const namespacesOf = (host: string): readonly string[] => [
  hostNamespace(host),
  hostNamespace(FOREIGN),
  TENANT,
  OTHER_TENANT,
  'vbs-system',
  'kube-system',
];

const manifestOf = ({ resource, namespace = '', name }: There): object => {
  const [, plural = ''] = resource.split('/');
  switch (resource) {
    case 'secrets':
      return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, data: { key: 'a2V5' } };
    case 'serviceaccounts':
      return { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } };
    case 'coordination.k8s.io/leases':
      return {
        apiVersion: LEASE.apiVersion,
        kind: 'Lease',
        metadata: { name },
        spec: { holderIdentity: 'x' },
      };
    case 'events.k8s.io/events':
      return {
        ...eventAbout(namespace, name === 'about-another' ? STRANGER : LEASE),
        metadata: { name, namespace },
      };
    default:
      return own(plural, name);
  }
};

export async function fill(admin: Caller): Promise<void> {
  for (const there of OBJECTS) {
    const { resource, namespace, name, server, hypervisor } = there;
    const plural = resource.split('/').at(-1) ?? '';
    const base = BASES[resource] ?? GROUP_PATH;
    const path = `${base}${namespace === undefined ? '' : `/namespaces/${namespace}`}/${plural}`;
    const made = await admin.call({ method: 'POST', path, body: manifestOf(there) });
    assert.equal(made.status, 201, `${resource} ${name}: ${made.message}`);
    if (namespace !== undefined && server !== undefined) {
      const status = { server, ...(hypervisor === undefined ? {} : { hypervisor }) };
      const told = await admin.call({ method: 'PATCH', path: `${path}/${name}/status`, body: { status } });
      assert.equal(told.status, 200, told.message);
    }
  }
}

export interface Body {
  readonly variant: string;
  /** Of an object to be created. */
  readonly name?: string;
  readonly body: object;
}

const THEFT = {
  labels: { thief: 'x' },
  annotations: { thief: 'x' },
  finalizers: ['vbs.dev/thief'],
  ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'thief', uid: 'thief' }],
};
const PLACED = { placementEpoch: 1, bootID: 'thief' };
const LINKED = { epoch: 1, bootID: 'thief' };
/** The blocks of hosts in the status of each kind. */
const BLOCKS: Readonly<Record<string, Readonly<Record<string, object>>>> = {
  volumes: { backend: PLACED },
  snapshots: { backend: PLACED },
  attachments: { export: LINKED, connection: LINKED },
  volumeservers: { agent: { bootID: 'thief' } },
  hypervisors: { agent: { bootID: 'thief' } },
};

/** What is written into the status of one of our kinds: each block, a field of the controller's, and no status at all. */
const statusBodies = (plural: string): readonly Body[] => [
  ...Object.entries(BLOCKS[plural] ?? {}).map(([block, value]) => ({
    variant: `block ${block}`,
    body: { status: { [block]: value } },
  })),
  { variant: 'conditions', body: { status: { conditions: [] } } },
  { variant: 'observedGeneration', body: { status: { observedGeneration: 7 } } },
  { variant: 'metadata', body: { metadata: THEFT } },
];

const changedBodies = (plural: string): readonly Body[] => [
  { variant: 'finalizer', body: { metadata: { finalizers: [FINALIZER] } } },
  { variant: 'labels', body: { metadata: { labels: THEFT.labels } } },
  { variant: 'annotations', body: { metadata: { annotations: THEFT.annotations } } },
  { variant: 'owner', body: { metadata: { ownerReferences: THEFT.ownerReferences } } },
  {
    variant: 'spec',
    body: { spec: plural === 'attachments' ? { detachPolicy: 'Fence' } : { description: 'x' } },
  },
];

const createdBodies = (plural: string): readonly Body[] => {
  if (SPECS[plural] === undefined) {
    const names = [...HOSTS, 'absent'];
    return names.flatMap((name) => [
      { variant: `named ${name}`, name, body: own(plural, name) },
      { variant: `with spec ${name}`, name, body: own(plural, name, { spec: { cordoned: true } }) },
      { variant: `with owner ${name}`, name, body: own(plural, name, {}, THEFT) },
    ]);
  }
  const source = { existing: { volumeServer: SERVER, id: 'vol0123456789abcdef0' } };
  const status = { server: SERVER, order: 'Remove' };
  return [
    { variant: 'plain', body: own(plural, 'new') },
    { variant: 'with status', body: own(plural, 'new', { status: plural === 'attachments' ? {} : status }) },
    ...(plural === 'volumes'
      ? [{ variant: 'adopting', body: own(plural, 'new', { spec: { source } }) }]
      : []),
  ];
};

const bodiesOfOurs = (plural: string, verb: string): readonly Body[] => {
  switch (verb) {
    case 'create':
      return createdBodies(plural);
    case 'patch':
      return changedBodies(plural);
    default:
      return [{ variant: '', body: own(plural, 'new') }];
  }
};

const eventBodies = (verb: string, namespace: string): readonly Body[] => {
  const metadata = { name: 'new' };
  const series = { count: 2, lastObservedTime: '2026-11-23T08:00:00.000000Z' };
  return verb === 'create'
    ? [
        { variant: 'about the lease', body: { ...eventAbout(namespace, LEASE), metadata } },
        { variant: 'about another', body: { ...eventAbout(namespace, STRANGER), metadata } },
      ]
    : [{ variant: '', body: { series } }];
};

/** The bodies which are tried with a verb; whoever has no right for it is refused with each. */
export function bodiesOf(resource: string, verb: string, namespace = ''): readonly Body[] {
  const [group, plural = '', subresource] = resource.split('/');
  if (group === 'vbs.dev' && KINDS[plural] !== undefined) {
    return subresource === 'status' && verb === 'patch' ? statusBodies(plural) : bodiesOfOurs(plural, verb);
  }
  if (resource === 'events.k8s.io/events') {
    return eventBodies(verb, namespace);
  }
  const isOther = resource in BASES && verb === 'create';
  const body = isOther ? manifestOf({ resource, namespace, name: 'new' }) : (ASKED[resource] ?? {});
  return [{ variant: '', body }];
}

/** A token, and what everybody may ask about himself. */
const ASKED: Readonly<Record<string, object>> = {
  'serviceaccounts/token': { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
  'authentication.k8s.io/selfsubjectreviews': {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'SelfSubjectReview',
  },
  'authorization.k8s.io/selfsubjectaccessreviews': {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes: { verb: 'get', resource: 'pods' } },
  },
  'authorization.k8s.io/selfsubjectrulesreviews': {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectRulesReview',
    spec: { namespace: 'default' },
  },
};
