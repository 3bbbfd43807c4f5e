// From a pod to the node: what is brought there, what the agent is told, and as what it goes on. The API server's part is in
// test/integration/charts.test.ts.
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, stringify } from 'yaml';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { type OnNodeArguments, onNode } from '../../../node-agent/on-node/command.ts';
import { systemClock } from '../../../runtime/clock.ts';

interface World {
  dir: string;
  /** As what the process goes on. */
  became: { file: string; args: readonly string[]; environment: Record<string, string> }[];
}

const test = suite<World>('a pod brings the agent to its node');

const POOLS = [{ name: 'files', profile: 'file', params: { dir: '/srv/vbs' } }];
const TARGET = { profile: 'lio', portals: ['$(NODE_IP):3260'] };

test.before.each(async (world) => {
  world.dir = await mkdtemp(path.join(os.tmpdir(), 'on-node-'));
  world.became = [];
  for (const folder of ['image/profiles', 'config', 'state']) {
    await mkdir(path.join(world.dir, folder), { recursive: true });
  }
  await writeFile(path.join(world.dir, 'image/vbs-node-agent'), 'program 1');
  await writeFile(path.join(world.dir, 'image/profiles/lio.yaml'), 'shipped');
  await configure(world, 'agent.yaml', { volumeServer: { pools: POOLS, target: TARGET } });
});
test.after.each(async ({ dir }) => await rm(dir, { recursive: true }));

const inState = ({ dir }: World, ...more: string[]): string => path.join(dir, 'state', ...more);
const configure = async (world: World, name: string, settings: object): Promise<void> =>
  await writeFile(
    path.join(world.dir, 'config', name),
    stringify({ stateDir: inState(world), logLevel: 'error', ...settings }),
  );

const bring = async (
  world: World,
  command = 'check',
  more: { environment?: object; given?: Partial<OnNodeArguments> } = {},
): Promise<void> => {
  const { dir, became } = world;
  await onNode(
    command,
    { config: path.join(dir, 'config/agent.yaml'), ...more.given },
    {
      files: hostFiles,
      clock: systemClock,
      image: {
        executable: path.join(dir, 'image/vbs-node-agent'),
        profiles: path.join(dir, 'image/profiles'),
        ownProfiles: path.join(dir, 'image/own-profiles'),
      },
      environment: { NODE_NAME: 'node3', NODE_IP: '192.0.2.3', ...more.environment },
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
  await bring(world, 'check');
  const [{ file, args, environment } = { file: '', args: [] as readonly string[], environment: {} }] =
    world.became;
  assert.is(file, '/usr/bin/nsenter');
  const own = args.slice(args.indexOf('--') + 1);
  assert.equal(args.slice(0, args.indexOf('--')), [
    ...['--target', '1', '--mount', '--uts', '--ipc', '--net', '--cgroup'],
  ]);
  assert.equal(own.slice(1), ['check', '--config', inState(world, 'agent.yaml'), '--leave-control-groups']);
  assert.is(await readFile(own[0] ?? '', 'utf8'), 'program 1');
  assert.is((await stat(own[0] ?? '')).mode & 0o777, 0o755);
  assert.equal(Object.keys(environment), ['PATH'], 'nothing of the pod’s environment');
});

test('the agent is told what the chart says for all nodes, for this one, and what the pod knows', async (world) => {
  await configure(world, 'node3.yaml', { observeSeconds: 2 });
  await bring(world);
  const { host, kubeconfig, observeSeconds, volumeServer, profileDirectories } = await settingsOf(world);
  assert.equal([host, kubeconfig, observeSeconds], ['node3', inState(world, 'kubeconfig'), 2]);
  assert.equal(volumeServer.target.portals, ['192.0.2.3:3260']);
  assert.is(await readFile(path.join(profileDirectories[1], 'lio.yaml'), 'utf8'), 'shipped');
  await bring(world, 'check', { environment: { NODE_IP: 'fd00::3' } });
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
});

test('only root looks into what a node remembers', async (world) => {
  await bring(world);
  assert.is((await stat(inState(world))).mode & 0o777, 0o700);
  assert.is((await stat(inState(world, 'agent.yaml'))).mode & 0o777, 0o600);
});

test('says what is wrong with a name, a setting or the surroundings, and becomes nothing', async (world) => {
  const environment = { NODE_NAME: 'node3.example.org' };
  assert.match(await refusalOf(bring(world, 'check', { environment })), 'node3.example.org cannot be a host');
  assert.match(
    await refusalOf(bring(world, 'check', { environment: { NODE_IP: undefined } })),
    'NODE_NAME and NODE_IP',
  );
  assert.match(await refusalOf(bring(world, 'run')), 'give the URL of the API server with --server');
  await configure(world, 'node3.yaml', { obsreveSeconds: 2 });
  assert.match(await refusalOf(bring(world)), /agent\.yaml:\d+: obsreveSeconds: there is no such key/);
  assert.equal(world.became, []);
});

test.run();
