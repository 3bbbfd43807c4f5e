// Who may do what: a host writes its own blocks on objects which name it and nothing else, and so does the controller.
// What there is to be refused is read from the CRDs, so that a new status field is covered by itself. What is not our kinds is tried in
// matrix.test.ts.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { AGENT_ACCOUNT, FINALIZER, hostNamespace } from '../../api/names.ts';
import { type Crd, readCrds } from '../../scripts/generate.ts';
import type { Answer, Call, Caller } from '../api/caller.ts';
import { type CrdSchema, schemaOf } from '../api/fields.ts';
import { eventAbout, GROUP_PATH, openPlatform, type Platform } from '../deploy/platform.ts';
import { loud } from '../harness/loud.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
// One name begins like the other, and one is as long as a name may be.
const A = 'xen-1';
const B = 'xen-10';
const LONG = `h${'0-1'.repeat(17)}`;
const ONLY_HYPERVISOR = '0-hypervisor-only';

interface World {
  platform: Platform;
  a: Caller;
  b: Caller;
  controller: Caller;
}

const test = suite<World>('authority');
const crds = (await readCrds()).filter((crd) => schemaOf(crd).properties?.status !== undefined);

test.before(
  loud(async (world) => {
    const platform = await openPlatform(log);
    world.platform = platform;
    [world.a, world.b] = [await platform.enrol(A), await platform.enrol(B)];
    world.controller = await platform.identity('vbs-system', 'vbs-controller');
    for (const host of [A, B]) {
      await makeSecret(platform, host);
    }
    for (const subject of subjects) {
      await make(platform, subject);
    }
  }),
);
test.after(loud(async ({ platform }) => await platform?.close()));

/** An object, and the hosts which it names. */
interface Subject {
  readonly kind: string;
  readonly name: string;
  readonly server?: string;
  readonly hypervisor?: string;
}

const HOSTS = [A, B, undefined];
const subjects: readonly Subject[] = [
  ...['Volume', 'Snapshot'].flatMap((kind) =>
    HOSTS.map((server) => ({ kind, name: `on-${server}`, ...(server && { server }) })),
  ),
  ...HOSTS.flatMap((server) =>
    HOSTS.map((hypervisor) => ({
      kind: 'Attachment',
      name: `from-${server}-to-${hypervisor}`,
      ...(server && { server }),
      ...(hypervisor && { hypervisor }),
    })),
  ),
  ...[A, B].flatMap((name) => ['VolumeServer', 'Hypervisor'].map((kind) => ({ kind, name }))),
];

/** The contract: which block is whose. Everything not named here is the controller's. */
const BLOCKS: Readonly<Record<string, (subject: Subject) => string | undefined>> = {
  'Volume.backend': ({ server }) => server,
  'Snapshot.backend': ({ server }) => server,
  'Attachment.export': ({ server }) => server,
  'Attachment.connection': ({ hypervisor }) => hypervisor,
  'VolumeServer.agent': ({ name }) => name,
  'Hypervisor.agent': ({ name }) => name,
};

const SPECS: Readonly<Record<string, object>> = {
  Volume: { size: '1Gi' },
  Snapshot: { volumeRef: { name: 'db' } },
  Attachment: { volumeRef: { name: 'db' }, instance: { name: 'vm-a' } },
  VolumeServer: {},
  Hypervisor: {},
  VolumeClass: { poolSelector: {} },
};

/** What a user may change of each. */
const OTHER_SPECS: Readonly<Record<string, object>> = {
  Volume: { size: '2Gi' },
  Snapshot: { description: 'another' },
  Attachment: { detachPolicy: 'Fence' },
};

const crdOf = (kind: string): Crd => crds.find(({ spec }) => spec.names.kind === kind) as Crd;
const collection = (kind: string, namespace = 'default'): string => {
  const { scope, names } = crdOf(kind).spec;
  return `${GROUP_PATH}${scope === 'Namespaced' ? `/namespaces/${namespace}` : ''}/${names.plural}`;
};
/** The kinds of users, whose objects name the hosts in their status. */
const isNamespaced = (kind: string): boolean => crdOf(kind).spec.scope === 'Namespaced';
const pathOf = ({ kind, name }: Subject): string => `${collection(kind)}/${name.toLowerCase()}`;
const manifest = (kind: string, name: string, more: object = {}) => ({
  apiVersion: 'vbs.dev/v1alpha1',
  kind,
  metadata: { name: name.toLowerCase() },
  spec: SPECS[kind],
  ...more,
});
const statusFields = (kind: string): [string, CrdSchema][] =>
  Object.entries(schemaOf(crdOf(kind)).properties?.status?.properties ?? {});

async function make({ admin }: Platform, subject: Subject): Promise<void> {
  const { kind, name, server, hypervisor } = subject;
  const created = await admin.call({
    method: 'POST',
    path: collection(kind),
    body: manifest(kind, name, { metadata: { name: name.toLowerCase(), labels: { team: 'shop' } } }),
  });
  assert.is(created.status, 201, created.message);
  const all = statusFields(kind).map(([field, schema]) => [field, sampleOf(schema, 1)]);
  const names = { server: server ?? null, ...(kind === 'Attachment' && { hypervisor: hypervisor ?? null }) };
  const status = { ...Object.fromEntries(all), ...(isNamespaced(kind) ? names : {}) };
  const filled = await admin.call({ method: 'PATCH', path: `${pathOf(subject)}/status`, body: { status } });
  assert.is(filled.status, 200, filled.message);
}

async function makeSecret({ admin }: Platform, host: string): Promise<void> {
  const namespace = hostNamespace(host);
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'chap.s.h' }, data: { key: 'a2V5' } };
  const path = `/api/v1/namespaces/${namespace}/secrets`;
  const { status, message } = await admin.call({ method: 'POST', path, body: secret });
  assert.is(status, 201, message);
}

/** A valid value of a schema; another one for each number. */
function sampleOf(schema: CrdSchema, nth: number): unknown {
  if (schema.enum !== undefined) {
    return schema.enum[nth % schema.enum.length];
  }
  switch (schema.type) {
    case 'object':
      return Object.fromEntries(
        Object.entries(schema.properties ?? {}).map(([name, field]) => [name, sampleOf(field, nth)]),
      );
    case 'array':
      return [sampleOf(schema.items ?? {}, nth)];
    case 'boolean':
      return nth % 2 === 1;
    case 'integer':
      return nth;
    default:
      return textOf(schema, nth);
  }
}

function textOf({ pattern, format, maxLength }: CrdSchema, nth: number): string {
  if (format === 'date-time') {
    return `2026-11-23T08:00:0${nth}Z`;
  }
  const samples = [
    `t${nth}`,
    `vol${String(nth).padStart(17, '0')}`,
    `snap${String(nth).padStart(16, '0')}`,
    'ABC'.charAt(nth),
    String(nth),
  ];
  const found = samples
    .filter((text) => text.length <= (maxLength ?? 0))
    .find((text) => pattern === undefined || new RegExp(pattern).test(text));
  assert.ok(found, `no sample for ${pattern}`);
  return found ?? '';
}

const isForbidden = ({ status, message }: Answer, what: string, ...says: string[]): void => {
  assert.is(status, 403, `${what}: ${status} ${message}`);
  for (const words of says) {
    assert.ok(message.includes(words), `${what}: the refusal does not say "${words}": ${message}`);
  }
};
const isGranted = ({ status, message }: Answer, what: string): void =>
  assert.ok(status < 300, `${what}: ${status} ${message}`);

/** The same change of one status field in each of the languages of the API server; dry runs. */
function changes(subject: Subject, field: string, value: unknown): readonly Call[] {
  const path = `${pathOf(subject)}/status?dryRun=All`;
  const { apiVersion, kind, metadata } = manifest(subject.kind, subject.name);
  return [
    { method: 'PATCH', path, body: { status: { [field]: value } } },
    {
      method: 'PATCH',
      path,
      type: 'application/json-patch+json',
      body: [{ op: 'add', path: `/status/${field}`, value }],
    },
    {
      method: 'PATCH',
      path: `${path}&fieldManager=thief&force=true`,
      type: 'application/apply-patch+yaml',
      body: { apiVersion, kind, metadata, status: { [field]: value } },
    },
  ];
}

const removal = (subject: Subject, field: string): Call => ({
  method: 'PATCH',
  path: `${pathOf(subject)}/status?dryRun=All`,
  body: { status: { [field]: null } },
});

/** What a thief would write: its own name where a host is named. */
const wanted = (field: string, schema: CrdSchema, subject: Subject): unknown => {
  if (field === 'server' || field === 'hypervisor') {
    return subject[field] === A ? 'elsewhere' : A;
  }
  return sampleOf(schema, 2);
};

/** Every attempt at one field: set in all languages, and removed where there is something to remove. */
function attempts(subject: Subject, field: string, schema: CrdSchema): readonly Call[] {
  const isName = field === 'server' || field === 'hypervisor';
  const isSet = !isName || subject[field] !== undefined;
  return [
    ...changes(subject, field, wanted(field, schema, subject)),
    ...(isSet ? [removal(subject, field)] : []),
  ];
}

for (const { spec } of crds) {
  const { kind } = spec.names;
  test(`a host changes only its own blocks of its own objects: ${kind}`, async ({ a }) => {
    const cases = subjects
      .filter((subject) => subject.kind === kind)
      .flatMap((subject) => statusFields(kind).map(([field, schema]) => ({ subject, field, schema })));
    let granted = 0;
    for (const { subject, field, schema } of cases) {
      const what = `${kind} ${subject.name} status.${field}`;
      const isMine = BLOCKS[`${kind}.${field}`]?.(subject) === A;
      for (const call of attempts(subject, field, schema)) {
        const answer = await a.call(call);
        if (isMine) {
          isGranted(answer, what);
          granted += 1;
        } else {
          isForbidden(answer, what, `status.${field} is written by the`);
        }
      }
    }
    assert.is(granted, kind === 'Attachment' ? 2 * 3 * 4 : 4, 'the blocks of its own');
  });
}

test('a host does not make an object its own in the same write', async ({ a }) => {
  for (const subject of subjects.filter(({ kind }) => isNamespaced(kind))) {
    const names = subject.kind === 'Attachment' ? { server: A, hypervisor: A } : { server: A };
    const blocks = statusFields(subject.kind).filter(([field]) => `${subject.kind}.${field}` in BLOCKS);
    const already = Object.entries(names).every(([key, host]) => subject[key as 'server'] === host);
    for (const [field, schema] of already ? [] : blocks) {
      const body = { status: { ...names, [field]: sampleOf(schema, 2) } };
      const answer = await a.call({ method: 'PATCH', path: `${pathOf(subject)}/status?dryRun=All`, body });
      isForbidden(answer, `${subject.name} ${field}`, 'is written by the controller only');
    }
  }
});

test('nothing can be smuggled in beside an own block', async ({ a }) => {
  const own = subjects.find(({ kind, server }) => kind === 'Volume' && server === A) as Subject;
  const backend = { placementEpoch: 2, bootID: 'now', absentAt: null };
  const write = async (status: object) =>
    await a.call({ method: 'PATCH', path: `${pathOf(own)}/status?dryRun=All`, body: { status } });
  isGranted(await write({ backend }), 'the block alone');
  isForbidden(
    await write({ backend, order: 'Keep' }),
    'an order',
    'status.order is written by the controller',
  );
  isForbidden(await write({ backend, grants: { revision: 99 } }), 'grants', 'status.grants');
});

test('the status cannot be wiped out', async ({ a }) => {
  for (const subject of subjects) {
    const path = `${pathOf(subject)}/status?dryRun=All`;
    isForbidden(await a.call({ method: 'PATCH', path, body: { status: null } }), subject.name);
    const remove = [{ op: 'remove', path: '/status' }];
    const type = 'application/json-patch+json';
    isForbidden(await a.call({ method: 'PATCH', path, type, body: remove }), subject.name);
  }
});

test('spec and metadata do not change through the status, not even of an own object', async ({ a }) => {
  const thefts = {
    labels: { team: 'thief' },
    annotations: { note: 'thief' },
    finalizers: [FINALIZER],
    ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'x', uid: 'x' }],
  };
  const specs: Readonly<Record<string, object>> = {
    Volume: { size: '9Gi', deletionProtection: true },
    Snapshot: { description: 'thief' },
    Attachment: { detachPolicy: 'Fence' },
    VolumeServer: { cordoned: true },
    Hypervisor: { fenced: true },
  };
  for (const subject of subjects) {
    const path = `${pathOf(subject)}/status?dryRun=All`;
    const before = (await a.call({ method: 'GET', path: pathOf(subject) })).body as unknown as KubeBody;
    for (const [key, value] of Object.entries(thefts)) {
      const { status, body } = await a.call({ method: 'PATCH', path, body: { metadata: { [key]: value } } });
      assert.ok(
        status >= 400 || same((body as unknown as KubeBody).metadata[key], before.metadata[key]),
        `${subject.name} ${key}`,
      );
    }
    const { status, body } = await a.call({ method: 'PATCH', path, body: { spec: specs[subject.kind] } });
    assert.ok(status >= 400 || same((body as unknown as KubeBody).spec, before.spec), `${subject.name} spec`);
  }
});

interface KubeBody {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly spec: unknown;
}
const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

test('a host creates, changes and deletes no object itself', async ({ a }) => {
  for (const kind of ['Volume', 'Snapshot', 'Attachment']) {
    const body = manifest(kind, 'stolen');
    isForbidden(await a.call({ method: 'POST', path: collection(kind), body }), `create ${kind}`);
  }
  for (const subject of subjects) {
    const path = pathOf(subject);
    const { body } = await a.call({ method: 'GET', path });
    isForbidden(await a.call({ method: 'PUT', path, body }), `put ${subject.name}`);
    isForbidden(await a.call({ method: 'PATCH', path, body: { spec: {} } }), `patch ${subject.name}`);
    isForbidden(await a.call({ method: 'DELETE', path }), `delete ${subject.name}`);
    isForbidden(await a.call({ method: 'PUT', path: `${path}/status`, body }), `put status ${subject.name}`);
  }
  for (const { spec } of crds) {
    isForbidden(await a.call({ method: 'DELETE', path: collection(spec.names.kind) }), 'delete all');
  }
});

test('a host creates its own host object, as it is, and no other one', async ({ platform }) => {
  const host = await platform.enrol(LONG);
  for (const kind of ['VolumeServer', 'Hypervisor']) {
    const create = async (name: string, more: object = {}) => {
      const { apiVersion } = manifest(kind, name);
      const body = { apiVersion, kind, metadata: { name }, ...more };
      return await host.call({ method: 'POST', path: `${collection(kind)}?dryRun=All`, body });
    };
    const why = `a host may only create its own ${kind}`;
    const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'x', uid: 'x' };
    isForbidden(await create(`${LONG.slice(0, -1)}2`), 'another name', why);
    isForbidden(await create(LONG, { spec: {} }), 'a spec', why);
    isForbidden(await create(LONG, { spec: { cordoned: true } }), 'a spec', why);
    isForbidden(
      await create(LONG, { metadata: { name: LONG, finalizers: [FINALIZER] } }),
      'a finalizer',
      why,
    );
    isForbidden(await create(LONG, { metadata: { name: LONG, ownerReferences: [owner] } }), 'an owner', why);
    isForbidden(await create('', { metadata: { generateName: LONG.slice(0, 40) } }), 'any name', why);
    isGranted(await create(LONG), 'its own');
  }
});

test('a host with a name as long as can be does its work', async ({ platform }) => {
  assert.is(LONG.length, 52);
  const host = await platform.identity(hostNamespace(LONG), AGENT_ACCOUNT);
  const path = `${GROUP_PATH}/hypervisors`;
  const body = { apiVersion: 'vbs.dev/v1alpha1', kind: 'Hypervisor', metadata: { name: LONG } };
  isGranted(await host.call({ method: 'POST', path, body }), 'create');
  const agent = { status: { agent: { bootID: 'now' } } };
  isGranted(await host.call({ method: 'PATCH', path: `${path}/${LONG}/status`, body: agent }), 'report');
  isForbidden(await host.call({ method: 'PATCH', path: `${path}/${A}/status`, body: agent }), 'of another');
});

test('a host which was enrolled as a hypervisor only cannot pose as a volume server', async ({
  platform,
}) => {
  const host = await platform.enrol(ONLY_HYPERVISOR, 'vbs-volume-server');
  const create = async (kind: string) => {
    const body = { apiVersion: 'vbs.dev/v1alpha1', kind, metadata: { name: ONLY_HYPERVISOR } };
    return await host.call({ method: 'POST', path: `${collection(kind)}?dryRun=All`, body });
  };
  isForbidden(await create('VolumeServer'), 'VolumeServer');
  isGranted(await create('Hypervisor'), 'Hypervisor');
});

const lease = (name: string) => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name, labels: { 'vbs.dev/host': B } },
  spec: { holderIdentity: 'thief' },
});
const event = (namespace: string) =>
  eventAbout(namespace, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', name: 'vbs-host' });

/** What Kubernetes gives to every ServiceAccount. */
const OF_EVERYBODY = /selfsubject(access|rules)?reviews|certificates.k8s.io.clustertrustbundles/;

/** Every right an identity has in a namespace, one a line; what everybody has is left out. */
async function rights(caller: Caller, namespace: string): Promise<readonly string[]> {
  const { body } = await caller.call({
    method: 'POST',
    path: '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews',
    body: { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectRulesReview', spec: { namespace } },
  });
  const { resourceRules } = body.status as {
    resourceRules: readonly {
      apiGroups: string[];
      resources: string[];
      resourceNames?: string[];
      verbs: string[];
    }[];
  };
  const lines = resourceRules.flatMap(({ apiGroups, resources, resourceNames, verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) =>
        (resourceNames ?? ['']).map(
          (name) => `${[group, resource, name].filter(Boolean).join('/')}: ${verbs.sort().join(' ')}`,
        ),
      ),
    ),
  );
  return [...new Set(lines)].filter((line) => !OF_EVERYBODY.test(line)).sort();
}

const OF_A_HOST = [
  'namespaces/kube-system: get',
  'vbs.dev/attachments/status: patch',
  'vbs.dev/attachments: get list watch',
  'vbs.dev/hypervisors/status: patch',
  'vbs.dev/hypervisors: create get',
  'vbs.dev/snapshots/status: patch',
  'vbs.dev/snapshots: get list watch',
  'vbs.dev/volumes/status: patch',
  'vbs.dev/volumes: get list watch',
  'vbs.dev/volumeservers/status: patch',
  'vbs.dev/volumeservers: create get',
];
const AT_HOME = [
  'coordination.k8s.io/leases: create get patch',
  'events.k8s.io/events: create get patch',
  'secrets: get',
  'serviceaccounts/token/vbs-agent: create',
];
const OF_THE_CONTROLLER = [
  'coordination.k8s.io/leases: get list watch',
  'events.k8s.io/events: create get patch',
  'vbs.dev/attachments/status: patch',
  'vbs.dev/attachments: get list patch watch',
  'vbs.dev/hypervisors/status: patch',
  'vbs.dev/hypervisors: get list watch',
  'vbs.dev/snapshots/status: patch',
  'vbs.dev/snapshots: get list patch watch',
  'vbs.dev/volumeclasses: get list watch',
  'vbs.dev/volumes/status: patch',
  'vbs.dev/volumes: get list patch watch',
  'vbs.dev/volumeservers/status: patch',
  'vbs.dev/volumeservers: get list watch',
];

test('these are all rights of a host', async ({ a }) => {
  for (const namespace of ['default', 'kube-system', 'vbs-system', hostNamespace(B), 'nowhere']) {
    assert.equal(await rights(a, namespace), OF_A_HOST, namespace);
  }
  assert.equal(await rights(a, hostNamespace(A)), [...OF_A_HOST, ...AT_HOME].sort());
});

test('these are all rights of the controller', async ({ controller }) => {
  const election = 'coordination.k8s.io/leases: create get patch';
  for (const namespace of ['default', 'kube-system', 'nowhere']) {
    assert.equal(await rights(controller, namespace), OF_THE_CONTROLLER, namespace);
  }
  assert.equal(await rights(controller, 'vbs-system'), [...OF_THE_CONTROLLER, election].sort());
  const ofHost = [...OF_THE_CONTROLLER, 'secrets: create get patch'].sort();
  assert.equal(await rights(controller, hostNamespace(A)), ofHost);
});

test('nobody else has any right', async ({ platform }) => {
  const { controlPlane } = platform;
  await controlPlane.kubectl(['create', 'serviceaccount', 'nobody']);
  await controlPlane.kubectl(['create', 'serviceaccount', 'other', '-n', hostNamespace(A)]);
  for (const [namespace, account] of [
    ['default', 'nobody'],
    [hostNamespace(A), 'other'],
  ] as const) {
    const caller = await platform.identity(namespace, account);
    for (const where of [namespace, hostNamespace(A), hostNamespace(B), 'vbs-system']) {
      assert.equal(await rights(caller, where), [], `${account} in ${where}`);
    }
    for (const subject of subjects) {
      const path = `${pathOf(subject)}/status`;
      isForbidden(await caller.call({ method: 'GET', path: pathOf(subject) }), subject.name);
      isForbidden(await caller.call({ method: 'PATCH', path, body: { status: {} } }), subject.name);
    }
  }
});

test('another account in the namespace of a host is held to that host, whatever it is given', async ({
  platform,
}) => {
  const role = ['--clusterrole=vbs-volume-server', `--serviceaccount=${hostNamespace(A)}:other`];
  await platform.controlPlane.kubectl(['create', 'clusterrolebinding', 'other', ...role]);
  const other = await platform.identity(hostNamespace(A), 'other');
  const write = async (server: string) => {
    const path = `${GROUP_PATH}/namespaces/default/volumes/on-${server}/status?dryRun=All`;
    const body = { status: { backend: { placementEpoch: 2, bootID: 'now' } } };
    return await other.call({ method: 'PATCH', path, body });
  };
  isGranted(await write(A), 'of the host');
  isForbidden(await write(B), 'of another host', 'status.backend is written by the host which');
});

test('a host does its work: lease, events, its own secrets and tokens, the identity of the cluster', async ({
  a,
}) => {
  const own = hostNamespace(A);
  const leases = `/apis/coordination.k8s.io/v1/namespaces/${own}/leases`;
  const events = `/apis/events.k8s.io/v1/namespaces/${own}/events`;
  isGranted(await a.call({ method: 'POST', path: leases, body: lease('vbs-host') }), 'create the lease');
  const renewal = { spec: { holderIdentity: 'me' } };
  isGranted(await a.call({ method: 'PATCH', path: `${leases}/vbs-host`, body: renewal }), 'renew');
  isGranted(await a.call({ method: 'POST', path: events, body: event(own) }), 'an event');
  isGranted(await a.call({ method: 'GET', path: `/api/v1/namespaces/${own}/secrets/chap.s.h` }), 'secret');
  isGranted(await a.call({ method: 'GET', path: '/api/v1/namespaces/kube-system' }), 'cluster');
  const token = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} };
  const account = `/api/v1/namespaces/${own}/serviceaccounts/${AGENT_ACCOUNT}`;
  isGranted(await a.call({ method: 'POST', path: `${account}/token`, body: token }), 'its next token');
  for (const server of ['volumes', 'attachments']) {
    const path = `${GROUP_PATH}/${server}?fieldSelector=status.server%3D${A}`;
    isGranted(await a.call({ method: 'GET', path }), server);
  }
});

test('a user of a namespace has its volumes and attachments, and nothing of the system', async ({
  platform,
}) => {
  const { controlPlane } = platform;
  await controlPlane.kubectl(['create', 'namespace', 'tenant']);
  await controlPlane.kubectl(['create', 'serviceaccount', 'user', '-n', 'tenant']);
  for (const role of ['vbs-user-view', 'vbs-user-edit']) {
    const to = [`--clusterrole=${role}`, '--serviceaccount=tenant:user', '-n', 'tenant'];
    await controlPlane.kubectl(['create', 'rolebinding', role, ...to]);
  }
  const user = await platform.identity('tenant', 'user');
  for (const kind of ['Volume', 'Snapshot', 'Attachment']) {
    const path = `${collection(kind, 'tenant')}/mine`;
    const body = manifest(kind, 'mine');
    isGranted(await user.call({ method: 'POST', path: collection(kind, 'tenant'), body }), 'create');
    const note = { metadata: { annotations: { note: 'x' } } };
    isGranted(await user.call({ method: 'PATCH', path, body: note }), 'patch');
    isForbidden(await user.call({ method: 'PATCH', path: `${path}/status`, body: { status: {} } }), 'status');
    isForbidden(await user.call({ method: 'GET', path: collection(kind) }), 'another namespace');
    isForbidden(
      await user.call({ method: 'GET', path: collection(kind).replace('/namespaces/default', '') }),
      'all',
    );
    isGranted(await user.call({ method: 'DELETE', path }), 'delete');
  }
  for (const kind of ['VolumeServer', 'Hypervisor']) {
    isForbidden(await user.call({ method: 'GET', path: collection(kind) }), kind);
  }
});

test('the controller writes every status field but those of hosts', async ({ controller }) => {
  let refused = 0;
  for (const subject of subjects) {
    for (const [field, schema] of statusFields(subject.kind)) {
      for (const call of attempts(subject, field, schema)) {
        const answer = await controller.call(call);
        const what = `${subject.kind} ${subject.name} ${field}`;
        if (`${subject.kind}.${field}` in BLOCKS) {
          isForbidden(answer, what, `status.${field} is written by a host only`);
          refused += 1;
        } else {
          isGranted(answer, what);
        }
      }
    }
  }
  assert.ok(refused > 0);
});

test('the controller sets finalizers and changes nothing else that is not status', async ({ controller }) => {
  for (const subject of subjects.filter(({ kind }) => isNamespaced(kind))) {
    const path = `${pathOf(subject)}?dryRun=All`;
    const patch = async (body: object) => await controller.call({ method: 'PATCH', path, body });
    isGranted(await patch({ metadata: { finalizers: [FINALIZER] } }), 'finalizer');
    const why = `the controller writes only the finalizers and the status of a ${subject.kind}`;
    isForbidden(await patch({ spec: OTHER_SPECS[subject.kind] }), 'spec', why);
    isForbidden(await patch({ metadata: { labels: { team: null } } }), 'labels', why);
    isForbidden(await patch({ metadata: { annotations: { x: 'y' } } }), 'annotations', why);
    isForbidden(await controller.call({ method: 'DELETE', path }), 'delete');
  }
  const body = manifest('Volume', 'own');
  isForbidden(await controller.call({ method: 'POST', path: collection('Volume'), body }), 'create');
});

test('the controller keeps CHAP keys in the namespaces of hosts, and sees no other secret', async ({
  controller,
}) => {
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'chap.x' }, data: { key: 'a2V5' } };
  for (const namespace of [hostNamespace(A), hostNamespace(B)]) {
    const path = `/api/v1/namespaces/${namespace}/secrets`;
    isGranted(await controller.call({ method: 'POST', path: `${path}?dryRun=All`, body: secret }), 'create');
    isGranted(await controller.call({ method: 'GET', path: `${path}/chap.s.h` }), 'get');
    isForbidden(await controller.call({ method: 'GET', path }), 'list');
    isForbidden(await controller.call({ method: 'DELETE', path: `${path}/chap.s.h` }), 'delete');
  }
  for (const namespace of ['default', 'kube-system', 'vbs-system']) {
    const path = `/api/v1/namespaces/${namespace}/secrets`;
    isForbidden(await controller.call({ method: 'POST', path, body: secret }), 'create');
    isForbidden(await controller.call({ method: 'GET', path: `${path}/x` }), 'get');
  }
});

/** As much as the schema takes; another value for each letter. */
function fullest(schema: CrdSchema, letter: string, nth = 0): unknown {
  if (schema.properties !== undefined) {
    return Object.fromEntries(
      Object.entries(schema.properties).map(([name, field]) => [name, fullest(field, letter, nth)]),
    );
  }
  if (schema.type === 'array' && schema.items?.enum !== undefined) {
    // A set has each value once.
    return schema.items.enum.slice(0, schema.maxItems);
  }
  if (schema.type === 'array') {
    return Array.from({ length: schema.maxItems ?? 0 }, (_, index) =>
      fullest(schema.items ?? {}, letter, index),
    );
  }
  if (schema.type !== 'string' || schema.enum !== undefined || schema.format !== undefined) {
    return schema.type === 'integer' ? nth + 1 : sampleOf(schema, 1);
  }
  const most = schema.maxLength ?? 0;
  const texts = [`${letter}${nth}`, `A${String.fromCharCode(97 + (nth % 26))}`, textOf(schema, 1)];
  return texts
    .map((text) => text.padEnd(most, /^\d/.test(text) ? '1' : letter).slice(0, most))
    .find((text) => schema.pattern === undefined || new RegExp(schema.pattern).test(text));
}

test('however full an object is, the policies can judge it', async ({ platform, a }) => {
  for (const [key, hostOf] of Object.entries(BLOCKS)) {
    const [kind = '', block = ''] = key.split('.');
    const subject = subjects.find((one) => one.kind === kind && hostOf(one) === A) as Subject;
    const path = `${pathOf(subject)}/status`;
    const fields = statusFields(kind).filter(([field]) => !['server', 'hypervisor'].includes(field));
    const all = Object.fromEntries(fields.map(([field, schema]) => [field, fullest(schema, 'x')]));
    isGranted(await platform.admin.call({ method: 'PATCH', path, body: { status: all } }), key);
    const told = fullest(schemaOf(crdOf(kind)).properties?.status?.properties?.[block] ?? {}, 'y');
    const write = async (status: object) => await a.call({ method: 'PATCH', path, body: { status } });
    isGranted(await write({ [block]: told }), key);
    const theft = { [block]: told, observedGeneration: 99 };
    isForbidden(await write(theft), key, 'status.observedGeneration is written by the controller only');
  }
});

test('a host which is not enrolled any more has no right left', async ({ platform, b }) => {
  await platform.controlPlane.kubectl(['delete', 'serviceaccount', AGENT_ACCOUNT, '-n', hostNamespace(B)]);
  const { status } = await b.call({ method: 'GET', path: `${GROUP_PATH}/volumes` });
  assert.is(status, 401);
});

test.run();
