// From a pod to the node: what is brought there, what the agent is told, and as what it goes on. The API server's part is in
// test/integration/charts.test.ts.
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, stringify } from 'yaml';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { type OnNodeArguments, onNode } from '../../../node-agent/on-node/command.ts';
import type { NodeEnrolment } from '../../../node-agent/on-node/identity.ts';
import { systemClock } from '../../../runtime/clock.ts';

interface World {
  dir: string;
  /** To what it was enrolled before. */
  enrolled: NodeEnrolment[];
  /** As what the process goes on. */
  became: { file: string; args: readonly string[]; environment: Record<string, string> }[];
}

const test = suite<World>('a pod brings the agent to its node');

const POOLS = [{ name: 'files', profile: 'file', params: { dir: '/srv/vbs' } }];
const TARGET = { profile: 'lio', portals: ['$(NODE_IP):3260'] };

test.before.each(async (world) => {
  world.dir = await mkdtemp(path.join(os.tmpdir(), 'on-node-'));
  world.enrolled = [];
  world.became = [];
  for (const folder of ['image/profiles', 'config', 'state']) {
    await mkdir(path.join(world.dir, folder), { recursive: true });
  }
  await writeFile(path.join(world.dir, 'image/vbs-node-agent'), 'program 1');
  await writeFile(path.join(world.dir, 'image/profiles/lio.yaml'), 'shipped');
  await configure(world, 'agent.yaml', { volumeServer: { pools: POOLS, target: TARGET } });
});
test.after.each(async ({ dir }) => await rm(dir, { recursive: true }));

const POD = {
  NODE_NAME: 'node3',
  NODE_IP: '192.0.2.3',
  KUBERNETES_SERVICE_HOST: '198.51.100.1',
  KUBERNETES_SERVICE_PORT: '443',
};

const inState = ({ dir }: World, ...more: string[]): string => path.join(dir, 'state', ...more);
const configure = async (world: World, name: string, settings: object): Promise<void> =>
  await writeFile(
    path.join(world.dir, 'config', name),
    stringify({ stateDir: inState(world), logLevel: 'error', ...settings }),
  );

const bring = async (
  world: World,
  more: { environment?: object; given?: Partial<OnNodeArguments> } = {},
): Promise<void> => {
  const { dir, enrolled, became } = world;
  await onNode(
    { config: path.join(dir, 'config/agent.yaml'), ...more.given },
    {
      files: hostFiles,
      clock: systemClock,
      image: {
        executable: path.join(dir, 'image/vbs-node-agent'),
        profiles: path.join(dir, 'image/profiles'),
        ownProfiles: path.join(dir, 'image/own-profiles'),
      },
      environment: { ...POD, ...more.environment },
      enroll: async (enrolment) => void enrolled.push(enrolment),
      become: (file, args, environment) => void became.push({ file, args, environment }),
    },
  );
};

const settingsOf = async (world: World) => parse(await readFile(inState(world, 'agent.yaml'), 'utf8'));
const refusalOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => '',
    (error: Error) => error.message,
  );

test('becomes the program on the node, in the namespaces of its first process', async (world) => {
  await bring(world);
  const [{ file, args, environment } = { file: '', args: [] as readonly string[], environment: {} }] =
    world.became;
  assert.is(file, '/usr/bin/nsenter');
  const own = args.slice(args.indexOf('--') + 1);
  assert.equal(args.slice(0, args.indexOf('--')), [
    ...['--target', '1', '--mount', '--uts', '--ipc', '--net', '--cgroup'],
  ]);
  assert.equal(own.slice(1), ['run', '--config', inState(world, 'agent.yaml'), '--leave-control-groups']);
  assert.is(await readFile(own[0] ?? '', 'utf8'), 'program 1');
  assert.is((await stat(own[0] ?? '')).mode & 0o777, 0o755);
  assert.is(await realpath(inState(world, 'vbs-node-agent')), own[0], 'for people');
  assert.equal(Object.keys(environment), ['PATH'], 'nothing of the pod’s environment');
});

test('is enrolled before, by what every pod is told, or by what the chart says', async (world) => {
  await bring(world);
  await bring(world, { environment: { KUBERNETES_SERVICE_HOST: 'fd00::1' } });
  await bring(world, { given: { server: 'https://cluster.example.org:6443' } });
  assert.equal(
    world.enrolled.map(({ server }) => server),
    ['https://198.51.100.1:443', 'https://[fd00::1]:443', 'https://cluster.example.org:6443'],
  );
  const [{ config, tokenFile, caFile } = { config: { host: '' }, tokenFile: '', caFile: '' }] =
    world.enrolled;
  assert.is(config.host, 'node3');
  assert.equal(
    [tokenFile, caFile].map((file) => path.basename(file)),
    ['token', 'ca.crt'],
  );
});

test('the agent is told what the chart says for all nodes, for this one, and what the pod knows', async (world) => {
  await configure(world, 'node3.yaml', { observeSeconds: 2 });
  await bring(world);
  const { host, kubeconfig, observeSeconds, volumeServer, profileDirectories } = await settingsOf(world);
  assert.equal([host, kubeconfig, observeSeconds], ['node3', inState(world, 'kubeconfig'), 2]);
  assert.equal(volumeServer.target.portals, ['192.0.2.3:3260']);
  assert.is(await readFile(path.join(profileDirectories[1], 'lio.yaml'), 'utf8'), 'shipped');
  await bring(world, { environment: { NODE_IP: 'fd00::3' } });
  assert.equal((await settingsOf(world)).volumeServer.target.portals, ['[fd00::3]:3260']);
});

test('profiles of the administrator, mounted as Kubernetes does, come first', async (world) => {
  const mounted = path.join(world.dir, 'image/own-profiles');
  await mkdir(path.join(mounted, '..data'), { recursive: true });
  await writeFile(path.join(mounted, '..data/lio.yaml'), 'own');
  await symlink('..data/lio.yaml', path.join(mounted, 'lio.yaml'));
  await bring(world);
  const [first] = (await settingsOf(world)).profileDirectories;
  assert.equal(await readdir(first), ['lio.yaml']);
  assert.is(await readFile(path.join(first, 'lio.yaml'), 'utf8'), 'own');
});

test('many profiles are no cause for a warning', async (world) => {
  const warnings: Error[] = [];
  const hear = (warning: Error): void => void warnings.push(warning);
  process.on('warning', hear);
  for (let index = 0; index < 20; index += 1) {
    await writeFile(path.join(world.dir, `image/profiles/own-${index}.yaml`), 'own');
  }
  await bring(world);
  await sleep(0);
  process.off('warning', hear);
  assert.equal(warnings, []);
});

test('what is there is left alone, another version takes its place, and leftovers of a crash go', async (world) => {
  await bring(world);
  const [first = ''] = await readdir(inState(world, 'node-agent'));
  const before = await stat(inState(world, 'node-agent', first, 'vbs-node-agent'));
  await mkdir(inState(world, 'node-agent', 'new-abc'));
  await bring(world);
  assert.equal(await readdir(inState(world, 'node-agent')), [first]);
  assert.is((await stat(inState(world, 'node-agent', first, 'vbs-node-agent'))).ino, before.ino);
  await writeFile(path.join(world.dir, 'image/vbs-node-agent'), 'program 2');
  await bring(world);
  const [second = '', ...others] = await readdir(inState(world, 'node-agent'));
  assert.equal(others, []);
  assert.is.not(second, first);
  assert.is(await readFile(inState(world, 'vbs-node-agent'), 'utf8'), 'program 2');
});

test('only root looks into what a node remembers', async (world) => {
  await bring(world);
  assert.is((await stat(inState(world))).mode & 0o777, 0o700);
  assert.is((await stat(inState(world, 'agent.yaml'))).mode & 0o777, 0o600);
});

test('says what is wrong with a name, a setting or the surroundings, and becomes nothing', async (world) => {
  const refusalIn = (environment: object): Promise<string> => refusalOf(bring(world, { environment }));
  assert.match(await refusalIn({ NODE_NAME: 'node3.example.org' }), 'node3.example.org cannot be a host');
  assert.match(await refusalIn({ NODE_IP: undefined }), 'NODE_NAME and NODE_IP');
  assert.match(
    await refusalIn({ KUBERNETES_SERVICE_HOST: undefined }),
    'give the URL of the API server with --server',
  );
  await configure(world, 'node3.yaml', { obsreveSeconds: 2 });
  assert.match(await refusalOf(bring(world)), /agent\.yaml:\d+: obsreveSeconds: there is no such key/);
  assert.equal(world.became, []);
});

test.run();
