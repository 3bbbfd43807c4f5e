// The charts, by the real Helm on a real API server: what they install is all that the controller and the hosts need, and an uninstalled release takes
// neither definitions nor data nor the identities of hosts along. (There is no kubelet: the controller runs with the account of the chart.)
import { chmod, copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseAllDocuments, stringify } from 'yaml';
import { loadAgentConfig } from '../../node-agent/config.ts';
import { claimsOf, userNameOf } from '../../node-agent/enrolment/token.ts';
import { hostFiles } from '../../node-agent/exec/files.ts';
import { enrollNode } from '../../node-agent/on-node/identity.ts';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import { makeRootfs } from '../../scripts/image/rootfs.ts';
import type { ControlPlane } from '../harness/control-plane.ts';
import { type Helm, helmFor } from '../harness/helm.ts';
import { loud } from '../harness/loud.ts';
import { runCommand, waitFor } from '../harness/process.ts';
import { operatorKinds } from '../harness/prometheus-operator.ts';
import { attachment, openStory, type Story, volume } from '../harness/story.ts';
import { HYPERVISOR, ROOT, SERVER } from '../harness/system.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const chart = (name: string): string => path.join(ROOT, 'charts', name);
const NAMESPACE = ['--namespace', 'vbs-system'];

interface World {
  story: Story;
  helm: Helm;
  values: string;
}

const test = suite<World>('charts');

const values = {
  hosts: [
    { name: SERVER, roles: ['volumeServer'] },
    { name: HYPERVISOR, roles: ['hypervisor'] },
  ],
  volumeClasses: { standard: { default: true, poolSelector: { profile: 'file' } } },
};

test.before(
  loud(async (world) => {
    const installation = async (controlPlane: ControlPlane): Promise<void> => {
      const dir = path.dirname(path.dirname(controlPlane.adminKubeconfig));
      world.helm = await helmFor(controlPlane, { dir, log });
      world.values = path.join(dir, 'values.yaml');
      await writeFile(world.values, stringify(values));
      await world.helm(
        'install',
        'vbs-crds',
        chart('vbs-crds'),
        ...NAMESPACE,
        '--create-namespace',
        '--wait',
      );
      await world.helm('install', 'vbs', chart('vbs'), ...NAMESPACE, '--values', world.values);
    };
    world.story = await openStory(log, { installation });
  }),
);

test.after(loud(async ({ story }) => await story?.close()));

const namesOf = async (story: Story, ...what: readonly string[]): Promise<readonly string[]> =>
  (await story.kubectl('get', ...what, '-o', 'name')).split('\n').filter(Boolean);

const uidOf = async (story: Story, ...what: readonly string[]): Promise<string> =>
  await story.kubectl('get', ...what, '-o', 'jsonpath={.metadata.uid}');

test('what the charts install is enough for a volume in a guest', async ({ story }) => {
  const guest = await story.guest('vm-a');
  await story.makeVolume('db');
  await story.waitReady(volume('db'));
  await story.attach('db-on-vm-a', 'db', 'vm-a');
  await story.waitReady(attachment('db-on-vm-a'));
  await guest.writeMarker(await story.volumeID('db'), 'by the chart');
});

test('the image holds the program alone, which says that the installation works', async ({ story }) => {
  const root = path.join(story.workdir.dir, 'image');
  await makeRootfs('vbs-controller', root);
  const files = (await readdir(root, { recursive: true, withFileTypes: true })).filter((one) => one.isFile());
  const programs = files.filter(({ parentPath }) => /\/s?bin$/.test(parentPath));
  assert.equal(
    programs.map(({ name }) => name),
    ['vbs-controller'],
  );
  // As the chart mounts it.
  const config = { kubeconfig: '/etc/vbs/kubeconfig', namespace: 'vbs-system' };
  await mkdir(path.join(root, 'etc/vbs'));
  await writeFile(path.join(root, 'etc/vbs/controller.yaml'), stringify(config));
  const { kubeconfig } = (await story.configOf('controller')) as { readonly kubeconfig: string };
  await copyFile(kubeconfig, path.join(root, 'etc/vbs/kubeconfig'));
  await chmod(path.join(root, 'etc/vbs/kubeconfig'), 0o644);
  const command = ['/usr/bin/vbs-controller', 'check', '--config', '/etc/vbs/controller.yaml'];
  const said = await runCommand('/usr/sbin/chroot', ['--userspec=65532:65532', root, ...command], {
    env: {},
    timeoutMs: 60_000,
  });
  assert.match(said, /^ok {3}controller \S+ leads$/m);
  assert.match(said, /^10 passed, 0 to do, 0 failed$/m);
});

test('helm finds nothing to complain of, and wrong values are refused with their names', async ({ helm }) => {
  for (const name of ['vbs-crds', 'vbs']) {
    assert.match(await helm('lint', '--strict', chart(name)), '1 chart(s) linted, 0 chart(s) failed');
  }
  const refusal = async (...args: readonly string[]): Promise<string> =>
    await helm('template', 'vbs', chart('vbs'), '--kube-version', '1.37.0', ...args).then(
      () => '',
      (error: Error) => error.message,
    );
  assert.match(await refusal('--set', 'controller.replica=3'), 'replica');
  assert.match(await refusal('--set', 'hosts[0].name=Xen07,hosts[0].roles[0]=hypervisor'), 'hosts/0/name');
  assert.match(await refusal('--set', 'image.digest=latest'), 'image/digest');
  assert.match(await refusal('--set', 'nodeAgent.enabled=true'), 'nodeAgent.volumeServer');
  assert.match(await refusal('--set', 'nodeAgent.hypervisor.vmm.profile=xen-xl'), 'initiator');
  assert.match(await refusal('--set', 'nodeAgent.settings.host=xen07'), 'host');
  assert.match(await refusal('--set', 'nodeAgent.settings.obserSeconds=3'), 'obserSeconds');
});

test('a host is not told what nobody would heed', async (world) => {
  const refusal = async (...hosts: readonly object[]): Promise<string> =>
    await rendered(world, { hosts, nodeAgent: { enabled: true, hypervisor: RUNS } }).then(
      () => 'it was taken',
      (error: Error) => error.message,
    );
  const xen07 = { name: 'xen07', roles: ['hypervisor'] };
  assert.match(await refusal(xen07, xen07), 'xen07 stands there twice');
  assert.match(await refusal({ ...xen07, agent: { observeSeconds: 2 } }), '/hosts/0');
  const node = { name: 'node3', node: true };
  assert.match(await refusal({ ...node, roles: ['hypervisor'], agent: { stateDir: '/srv' } }), 'stateDir');
  assert.match(
    await refusal({ ...node, roles: ['hypervisor'], agent: { volumeServer: SERVES } }),
    'node3 has agent.volumeServer, and its roles lack volumeServer',
  );
  assert.match(
    await refusal({ ...node, roles: ['hypervisor', 'volumeServer'] }),
    'say in nodeAgent.volumeServer, or in agent.volumeServer of node3',
  );
});

const SERVES = {
  pools: [{ name: 'thin', profile: 'lvm-thin', params: { vg: 'vg0', thinpool: 'vbs' } }],
  target: { profile: 'lio', portals: ['$(NODE_IP):3260'] },
};
const RUNS = { initiator: { profile: 'open-iscsi' }, vmm: { profile: 'libvirt-virsh' } };
const ON_NODES = {
  ...values,
  hosts: [
    ...values.hosts,
    { name: 'node3', roles: ['volumeServer', 'hypervisor'], node: true, agent: { observeSeconds: 2 } },
    { name: 'node4', roles: ['hypervisor'], node: true },
  ],
  nodeAgent: {
    enabled: true,
    volumeServer: SERVES,
    hypervisor: RUNS,
    settings: { heartbeat: { leaseSeconds: 30 } },
    profiles: { lio: 'profile: 1' },
    metricsFile: '/var/lib/prometheus/node-exporter/vbs.prom',
    imageDigest: `sha256:${'b'.repeat(64)}`,
    apiServer: 'https://cluster.example.org:6443',
    tolerations: [{ key: 'storage', operator: 'Exists' }],
    podAnnotations: { note: 'x' },
    podLabels: { team: 'storage' },
  },
};
const ONE_ROLE = {
  hosts: ON_NODES.hosts.filter(({ name }) => name !== 'node3'),
  nodeAgent: { enabled: true, hypervisor: RUNS },
};
const CONTROLLERS = {
  imageRepository: 'registry.example.org/vbs',
  image: { digest: `sha256:${'a'.repeat(64)}`, pullPolicy: 'Always' },
  imagePullSecrets: ['registry'],
  controller: {
    replicas: 1,
    affinity: { nodeAffinity: {} },
    nodeSelector: { disk: 'fast' },
    tolerations: [{ operator: 'Exists' }],
    podAnnotations: { note: 'x' },
    podLabels: { team: 'storage' },
    podSecurityContext: { runAsUser: null, runAsGroup: null, fsGroup: null },
    topologySpreadConstraints: [
      { maxSkew: 1, topologyKey: 'topology.kubernetes.io/zone', whenUnsatisfiable: 'ScheduleAnyway' },
    ],
  },
  resourceQuota: { enabled: false },
  userRoles: { enabled: false },
  networkPolicy: { enabled: true, from: [{ namespaceSelector: {} }] },
};
const METRICS = {
  serviceMonitor: { enabled: true, interval: '15s', labels: { release: 'monitoring' } },
  prometheusRule: {
    enabled: true,
    runbooks: 'https://docs.example.org/runbooks',
    labels: { role: 'alerts' },
  },
  dashboard: { enabled: true },
};
/** All that a value may change in what is rendered. */
const VARIANTS: Readonly<Record<string, object>> = {
  nothing: {},
  hosts: values,
  nodes: ON_NODES,
  'nodes of one role': ONE_ROLE,
  controllers: CONTROLLERS,
  'everything at once': { ...ON_NODES, ...CONTROLLERS, userRoles: { enabled: true }, metrics: METRICS },
};

interface PodSpec {
  readonly affinity: object;
  readonly nodeSelector: object;
  readonly tolerations: object;
  readonly securityContext: object;
  readonly containers: readonly { readonly image: string }[];
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: PodSpec & { readonly template?: { readonly spec: PodSpec } };
  readonly data: Readonly<Record<string, string>>;
}

const rendered = async (
  { helm, story }: World,
  given: object,
  from: string = chart('vbs'),
): Promise<string> => {
  const file = path.join(story.workdir.dir, 'variant.yaml');
  await writeFile(file, stringify(given));
  return await helm('template', 'vbs', from, ...NAMESPACE, '--kube-version', '1.37.0', '--values', file);
};

const manifestsIn = (text: string): readonly Manifest[] =>
  parseAllDocuments(text).flatMap((one) => (one.toJS() as Manifest | null) ?? []);

/** What starts pods anew when it changes, by name. */
const podTemplates = async (world: World, given: object, from?: string): Promise<object> => {
  const manifests = manifestsIn(await rendered(world, given, from));
  const found = manifests.filter(({ kind }) => kind === 'Deployment' || kind === 'DaemonSet');
  return Object.fromEntries(found.map(({ metadata, spec }) => [metadata.name, spec.template]));
};

/** What the API server says to all of it. */
async function dryRun({ story }: World, text: string): Promise<void> {
  const args = ['--dry-run=server', '--validate=strict', '--server-side', '--force-conflicts', '-f', '-'];
  const taken = (await story.system.controlPlane.kubectl(['apply', ...args], text)).trim().split('\n');
  assert.is(taken.length, manifestsIn(text).length);
}

test('a node has the agent of its labels, and the agent what is said for it', async (world) => {
  const manifests = manifestsIn(await rendered(world, ON_NODES));
  const terms = Object.fromEntries(
    manifests
      .filter(({ kind }) => kind === 'DaemonSet')
      .map(({ metadata, spec }) => {
        const text = JSON.stringify(spec.template?.spec.affinity);
        const found = [...text.matchAll(/"key":"vbs.dev\/([a-z-]+)","operator":"(\w+)"/g)];
        return [metadata.name, found.map(([, key, operator]) => `${key} ${operator}`)];
      }),
  );
  assert.equal(terms, {
    'vbs-node-agent-both': ['hypervisor In', 'volume-server In'],
    'vbs-node-agent-hypervisor': ['hypervisor In', 'volume-server NotIn'],
    'vbs-node-agent-volume-server': ['hypervisor NotIn', 'volume-server In'],
  });
  const maps = manifests.filter(({ kind }) => kind === 'ConfigMap');
  const data = maps.find(({ metadata }) => metadata.name === 'vbs-node-agent-both')?.data ?? {};
  assert.equal(Object.keys(data).sort(), ['agent.yaml', 'node3.yaml']);
  const [common, special] = ['agent.yaml', 'node3.yaml'].map((one) =>
    parseAllDocuments(data[one] ?? '')[0]?.toJS(),
  );
  assert.equal([common.volumeServer, common.hypervisor], [SERVES, RUNS]);
  assert.equal(
    [common.heartbeat, common.metricsFile],
    [{ leaseSeconds: 30 }, ON_NODES.nodeAgent.metricsFile],
  );
  assert.equal(special, { observeSeconds: 2 });
});

test('each image has a digest of its own', async (world) => {
  const given = { ...ON_NODES, image: CONTROLLERS.image };
  const manifests = manifestsIn(await rendered(world, given));
  const images = manifests
    .filter(({ kind }) => kind === 'Deployment' || kind === 'DaemonSet' || kind === 'Pod')
    .map(({ spec }) => (spec.template?.spec ?? spec).containers[0]?.image);
  const [controller, agent] = ['a', 'b'].map((digit) => `@sha256:${digit.repeat(64)}`);
  assert.equal([...new Set(images)].sort(), [`vbs-controller${controller}`, `vbs-node-agent${agent}`]);
});

const POD_ON_NODE3 = `apiVersion: v1
kind: Pod
metadata: { name: agent, namespace: vbs-system }
spec:
  nodeName: node3
  serviceAccountName: vbs-node-agent
  automountServiceAccountToken: false
  containers: [{ name: agent, image: none }]
`;

test('a pod of the node agent becomes the host of its own node, and no other', async ({
  story,
  helm,
  values: file,
}) => {
  const { controlPlane } = story.system;
  const nodes = path.join(story.workdir.dir, 'nodes.yaml');
  await writeFile(nodes, stringify(ON_NODES));
  await helm('upgrade', 'vbs', chart('vbs'), ...NAMESPACE, '--values', nodes);
  await controlPlane.kubectl(
    ['apply', '-f', '-'],
    ['apiVersion: v1\nkind: Node\nmetadata: { name: node3 }', POD_ON_NODE3].join('\n---\n'),
  );
  const dir = path.join(story.workdir.dir, 'node3');
  const create = ['create', 'token', 'vbs-node-agent', ...NAMESPACE];
  const ofPod = await controlPlane.kubectl([
    ...create,
    '--bound-object-kind=Pod',
    '--bound-object-name=agent',
  ]);
  const enroll = async (host: string, token: string): Promise<string> => {
    await rm(dir, { recursive: true, force: true });
    await mkdir(dir);
    const [tokenFile, configFile] = [path.join(dir, 'pod-token'), path.join(dir, 'agent.yaml')];
    await writeFile(tokenFile, token);
    await writeFile(configFile, stringify({ host, kubeconfig: path.join(dir, 'kubeconfig'), stateDir: dir }));
    await enrollNode({
      config: await loadAgentConfig(configFile),
      server: controlPlane.server,
      caFile: controlPlane.caFile,
      tokenFile,
      files: hostFiles,
      clock: systemClock,
      log: silentLog,
    });
    return claimsOf(await readFile(path.join(dir, 'token'), 'utf8')).subject ?? '';
  };
  const refusal = (promise: Promise<string>): Promise<string> =>
    promise.then(
      () => '',
      (error: Error) => error.message,
    );
  assert.is(await enroll('node3', ofPod), userNameOf('node3'));
  // A policy takes effect a moment after it was made.
  await waitFor({ what: 'a refusal', timeoutMs: 30_000 }, async () =>
    (await refusal(enroll('node4', ofPod))).includes(
      'becomes the host it runs on, and this one runs on node3',
    ),
  );
  assert.match(
    await refusal(enroll('node3', await controlPlane.kubectl(create))),
    'cannot tell on which node it runs',
  );
  assert.match(
    await refusal(enroll(SERVER, ofPod)),
    new RegExp(`node ${SERVER} has no identity as a host: add it`),
  );
  const others = ['auth', 'can-i', '--list', `--as=system:serviceaccount:vbs-system:vbs-node-agent`];
  assert.not.match(await controlPlane.kubectl([...others, ...NAMESPACE]), 'vbs.dev');
  await controlPlane.kubectl(['delete', 'node', 'node3', '--wait=false']);
  await controlPlane.kubectl(['delete', 'pod', 'agent', ...NAMESPACE, '--force', '--grace-period=0']);
  await helm('upgrade', 'vbs', chart('vbs'), ...NAMESPACE, '--values', file);
});

test('a cluster with the Prometheus operator has its kinds', async ({ story }) => {
  const files = (await operatorKinds()).flatMap((file) => ['-f', file]);
  await story.kubectl('create', ...files);
  await story.kubectl('wait', '--for=condition=Established', '--timeout=60s', ...files);
});

// Namespaces of all hosts are there by now, as a dry run does not make what it would put something into.
for (const [name, given] of Object.entries(VARIANTS)) {
  test(`the API server would take what is rendered with values for ${name}`, async (world) => {
    await dryRun(world, await rendered(world, given));
  });
}

test('a version with a build behind it is taken, and starts no pod anew', async (world) => {
  const everything = VARIANTS['everything at once'] as object;
  const version = '0.1.0+0123456789ab';
  const { dir } = world.story.workdir;
  await world.helm('package', chart('vbs'), '--version', version, '--destination', dir);
  const built = path.join(dir, `vbs-${version}.tgz`);
  await dryRun(world, await rendered(world, everything, built));
  assert.equal(await podTemplates(world, everything, built), await podTemplates(world, everything));
});

test('one more node starts no agent anew, and settings do', async (world) => {
  const withNode5 = (agent: object): object => ({
    ...ON_NODES,
    hosts: [...ON_NODES.hosts, { name: 'node5', roles: ['hypervisor'], node: true, agent }],
  });
  const before = await podTemplates(world, ON_NODES);
  assert.equal(await podTemplates(world, withNode5({})), before);
  assert.not.equal(await podTemplates(world, withNode5({ observeSeconds: 3 })), before);
});

test('settings of one node alone bring the agents of its role', async (world) => {
  const node5 = {
    name: 'node5',
    roles: ['volumeServer'],
    node: true,
    agent: { volumeServer: SERVES },
  };
  const templates = await podTemplates(world, { ...ONE_ROLE, hosts: [...ONE_ROLE.hosts, node5] });
  const agents = Object.keys(templates).filter((name) => name.startsWith('vbs-node-agent-'));
  assert.equal(
    agents.sort(),
    ['both', 'hypervisor', 'volume-server'].map((name) => `vbs-node-agent-${name}`),
  );
});

test('the pod of helm test runs where and as the controllers do', async (world) => {
  const manifests = manifestsIn(await rendered(world, CONTROLLERS));
  const [controller, check] = ['Deployment', 'Pod'].map((wanted) => {
    const { spec } = manifests.find(({ kind }) => kind === wanted) as Manifest;
    const { nodeSelector, tolerations, securityContext } = spec.template?.spec ?? spec;
    return { nodeSelector, tolerations, securityContext };
  });
  const platform = { 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': 'amd64' };
  assert.equal(controller, {
    nodeSelector: { ...CONTROLLERS.controller.nodeSelector, ...platform },
    tolerations: CONTROLLERS.controller.tolerations,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
  });
  assert.equal(check, controller);
});

test('every host gets what its roles need and no more', async ({ story }) => {
  const bindings = await namesOf(story, 'clusterrolebindings');
  const of = (host: string) => bindings.filter((name) => name.endsWith(`-${host}`)).sort();
  const binding = (name: string) => `clusterrolebinding.rbac.authorization.k8s.io/${name}`;
  assert.equal(of(SERVER), [binding(`vbs-agent-${SERVER}`), binding(`vbs-volume-server-${SERVER}`)]);
  assert.equal(of(HYPERVISOR), [binding(`vbs-agent-${HYPERVISOR}`), binding(`vbs-hypervisor-${HYPERVISOR}`)]);
});

test('an upgrade changes what was asked for, in use', async ({ story, helm, values: file }) => {
  await helm('upgrade', 'vbs-crds', chart('vbs-crds'), ...NAMESPACE);
  await helm(
    ...['upgrade', 'vbs', chart('vbs'), ...NAMESPACE, '--values', file],
    ...['--set', 'controller.replicas=3', '--set', 'controller.logLevel=debug'],
  );
  const get = (kind: string, jsonpath: string) =>
    story.kubectl('get', kind, 'vbs-controller', '-n', 'vbs-system', '-o', `jsonpath=${jsonpath}`);
  assert.is(await get('deployment', '{.spec.replicas}'), '3');
  assert.match(await get('configmap', '{.data}'), 'logLevel: debug');
  await story.waitReady(attachment('db-on-vm-a'));
});

test('an uninstalled release leaves definitions, data and identities, and one of its name takes them up again', async ({
  story,
  helm,
  values: file,
}) => {
  const account = ['serviceaccount', 'vbs-agent', '-n', `vbs-host-${HYPERVISOR}`];
  const before = await uidOf(story, ...account);
  const db = await uidOf(story, 'volume', 'db');
  for (const name of ['vbs', 'vbs-crds']) {
    await helm('uninstall', name, ...NAMESPACE);
  }
  assert.is((await namesOf(story, 'crds')).filter((name) => name.endsWith('.vbs.dev')).length, 6);
  assert.is(await uidOf(story, 'volume', 'db'), db);
  assert.equal(await namesOf(story, 'deployments', '-n', 'vbs-system'), []);
  const refused = await story.kubectl('delete', 'crd', 'volumes.vbs.dev').then(
    () => '',
    (error: Error) => error.message,
  );
  assert.match(refused, 'vbs.dev/allow-deletion=true', 'what guards them stays');
  await helm('install', 'vbs-crds', chart('vbs-crds'), ...NAMESPACE);
  await helm('install', 'vbs', chart('vbs'), ...NAMESPACE, '--values', file);
  assert.is(await uidOf(story, ...account), before, 'no host has to be enrolled again');
});

test('after that everything goes on', async ({ story }) => {
  const [guest] = story.guests;
  // The account of the controller is a new one; that of each host is the old one.
  await story.system.controlPlane.kubeconfigFor({
    namespace: 'vbs-system',
    serviceAccount: 'vbs-controller',
    name: 'vbs-controller',
  });
  await story.makeVolume('later');
  await story.waitReady(volume('later'));
  assert.is(await guest?.readMarker(await story.volumeID('db')), 'by the chart');
});

test.run();
