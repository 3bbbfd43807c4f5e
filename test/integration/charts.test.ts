// The charts, by the real Helm on a real API server: what they install is all that the controller and the hosts need, and an uninstalled release takes
// neither definitions nor data nor the identities of hosts along. (There is no kubelet: the controller runs with the account of the chart.)
import { chmod, copyFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stringify } from 'yaml';
import { makeRootfs } from '../../scripts/image/rootfs.ts';
import type { ControlPlane } from '../harness/control-plane.ts';
import { type Helm, helmFor } from '../harness/helm.ts';
import { loud } from '../harness/loud.ts';
import { runCommand } from '../harness/process.ts';
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
