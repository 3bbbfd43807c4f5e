// Who may do what, and what comes of it: the table to which the API server is held. Everything that is not here answers 403.
import { AGENT_ACCOUNT, hostNamespace, SYSTEM_NAMESPACE } from '../../api/names.ts';
import { BOTH, EVERYTHING, HYPERVISOR, INSTALLED, SERVER, TENANT, type There } from './matrix-world.ts';
import { type Aim, mainOf, resourceOf, type Verb } from './served.ts';

interface Right {
  readonly resources: readonly string[];
  readonly verbs: readonly Verb[];
  /** Absent: in all of them, and in none. */
  readonly namespaces?: readonly string[];
  /** Absent: of any name. */
  readonly names?: readonly string[];
}

export interface Identity {
  readonly title: string;
  readonly namespace: string;
  readonly account: string;
  /** Whose namespace counts as its own. */
  readonly host: string;
  readonly kind: 'host' | 'controller' | 'user';
  readonly rights: readonly Right[];
}

const ours = (...plurals: string[]): readonly string[] => plurals.map((plural) => `vbs.dev/${plural}`);
const OF_USERS = ours('volumes', 'snapshots', 'attachments');
const OF_HOSTS = ours('volumeservers', 'hypervisors');
const STATUS = (resources: readonly string[]): readonly string[] => resources.map((one) => `${one}/status`);
const READ: readonly Verb[] = ['get', 'list', 'watch'];

/** What Kubernetes gives to every ServiceAccount. */
const OF_EVERYBODY: readonly Right[] = [
  {
    resources: [
      'authentication.k8s.io/selfsubjectreviews',
      'authorization.k8s.io/selfsubjectaccessreviews',
      'authorization.k8s.io/selfsubjectrulesreviews',
    ],
    verbs: ['create'],
  },
  { resources: ['certificates.k8s.io/clustertrustbundles'], verbs: READ },
];

const AS_SERVER: readonly Right[] = [
  { resources: ours('volumeservers'), verbs: ['get', 'create'] },
  { resources: STATUS([...OF_USERS, ...ours('volumeservers')]), verbs: ['patch'] },
];
const AS_HYPERVISOR: readonly Right[] = [
  { resources: ours('hypervisors'), verbs: ['get', 'create'] },
  { resources: STATUS(ours('attachments', 'hypervisors')), verbs: ['patch'] },
];

const host = (title: string, name: string, roles: readonly Right[]): Identity => {
  const namespaces = [hostNamespace(name)];
  return {
    title,
    namespace: hostNamespace(name),
    account: AGENT_ACCOUNT,
    host: name,
    kind: 'host',
    rights: [
      ...OF_EVERYBODY,
      ...roles,
      { resources: OF_USERS, verbs: READ },
      { resources: ['namespaces'], verbs: ['get'], names: ['kube-system'] },
      { resources: ['coordination.k8s.io/leases'], verbs: ['get', 'create', 'patch'], namespaces },
      { resources: ['events.k8s.io/events'], verbs: ['get', 'create', 'patch'], namespaces },
      { resources: ['secrets'], verbs: ['get'], namespaces },
      { resources: ['serviceaccounts/token'], verbs: ['create'], namespaces, names: [AGENT_ACCOUNT] },
    ],
  };
};

const hostNamespaces = INSTALLED.flatMap(({ name }) => (name.startsWith(hostNamespace('')) ? [name] : []));
const CONTROLLER: Identity = {
  title: 'the controller',
  namespace: SYSTEM_NAMESPACE,
  account: 'vbs-controller',
  host: BOTH,
  kind: 'controller',
  rights: [
    ...OF_EVERYBODY,
    { resources: OF_USERS, verbs: [...READ, 'patch'] },
    { resources: [...OF_HOSTS, ...ours('volumeclasses')], verbs: READ },
    { resources: STATUS([...OF_USERS, ...OF_HOSTS]), verbs: ['patch'] },
    { resources: ['coordination.k8s.io/leases'], verbs: READ },
    {
      resources: ['coordination.k8s.io/leases'],
      verbs: ['create', 'patch'],
      namespaces: [SYSTEM_NAMESPACE],
    },
    { resources: ['events.k8s.io/events'], verbs: ['get', 'create', 'patch'] },
    { resources: ['secrets'], verbs: ['get', 'create', 'patch'], namespaces: hostNamespaces },
  ],
};

const user = (account: string, more: readonly Verb[]): Identity => ({
  title: `a user with ${account}`,
  namespace: TENANT,
  account,
  host: BOTH,
  kind: 'user',
  rights: [...OF_EVERYBODY, { resources: OF_USERS, verbs: [...READ, ...more], namespaces: [TENANT] }],
});

/** Of users the account is called like the ClusterRole which it has in its namespace. */
export const VIEWER = user('vbs-user-view', []);
export const EDITOR = user('vbs-user-edit', ['create', 'update', 'patch', 'delete', 'deletecollection']);
export const IDENTITIES: readonly Identity[] = [
  host('a volume server', SERVER, AS_SERVER),
  host('a hypervisor', HYPERVISOR, AS_HYPERVISOR),
  host('a host of both roles', BOTH, [...AS_SERVER, ...AS_HYPERVISOR]),
  CONTROLLER,
  VIEWER,
  EDITOR,
];

const has = (list: readonly string[] | undefined, value: string | undefined): boolean =>
  list === undefined || (value !== undefined && list.includes(value));

const isPermitted = ({ rights }: Identity, { served, verb, namespace, name }: Aim): boolean =>
  rights.some(
    ({ resources, verbs, namespaces, names }) =>
      resources.includes(resourceOf(served)) &&
      verbs.includes(verb) &&
      has(namespaces, namespace) &&
      has(names, name),
  );

const objectOf = ({ served, namespace, name }: Aim): There | undefined => {
  const resource = mainOf(served);
  return EVERYTHING.find(
    (there) =>
      there.resource === resource &&
      there.name === name &&
      // The namespace of a Namespace is itself.
      (there.namespace === namespace || resource === 'namespaces'),
  );
};

/** The host whose block it is, by the contract. */
const OWNER: Readonly<Record<string, (there: There) => string | undefined>> = {
  'block backend': ({ server }) => server,
  'block export': ({ server }) => server,
  'block connection': ({ hypervisor }) => hypervisor,
  'block agent': ({ name }) => name,
};

/** What a policy refuses of that for which there is a right. */
function isRefused({ kind, host: own }: Identity, aim: Aim, there: There | undefined): boolean {
  const { served, verb, variant } = aim;
  const isStatus = served.resource.endsWith('/status');
  if (kind === 'user') {
    return variant === 'adopting';
  }
  if (kind === 'controller') {
    return isStatus ? variant.startsWith('block ') : served.group === 'vbs.dev' && variant !== 'finalizer';
  }
  if (isStatus) {
    const owner = OWNER[variant];
    return variant !== 'metadata' && (owner === undefined || there === undefined || owner(there) !== own);
  }
  if (served.group === 'events.k8s.io') {
    return variant === 'about another' || there?.name === 'about-another';
  }
  return verb === 'create' && OF_HOSTS.includes(resourceOf(served)) && variant !== `named ${own}`;
}

/** The status code of the answer. */
export function expected(who: Identity, aim: Aim): number {
  if (!isPermitted(who, aim)) {
    return 403;
  }
  const there = objectOf(aim);
  const isNew = aim.verb === 'create' && !aim.served.resource.includes('/');
  if (['list', 'watch', 'deletecollection'].includes(aim.verb)) {
    return 200;
  }
  if (there === undefined && !isNew) {
    return 404;
  }
  const isWrite = ['create', 'update', 'patch'].includes(aim.verb);
  if (isWrite && isRefused(who, aim, there)) {
    return 403;
  }
  if (isNew) {
    return there === undefined ? 201 : 409;
  }
  return aim.verb === 'create' ? 201 : 200;
}
