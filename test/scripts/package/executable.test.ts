// The executable itself: made from these sources (once, then from the cache), and run alone, far from them.
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stringify } from 'yaml';
import { NODE_AGENT } from '../../../scripts/package/node-agent.ts';
import { buildPackage } from '../../../scripts/package/package.ts';
import { cacheRoot } from '../../harness/cache.ts';

interface World {
  dir: string;
  executable: string;
}

const test = suite<World>('the executable');
const ROOT = path.resolve(import.meta.dirname, '../../..');

test.before(async (world) => {
  const deb = await buildPackage(NODE_AGENT, (line) => process.stdout.write(`# ${line}\n`));
  world.dir = await mkdtemp(path.join(os.tmpdir(), 'executable-'));
  assert.is(spawnSync('dpkg-deb', ['-x', deb, world.dir]).status, 0);
  world.executable = path.join(world.dir, 'usr/bin/vbs-node-agent');
});
test.after(async ({ dir }) => await rm(dir, { recursive: true, force: true }));

interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** In an empty environment, but for what is given, and in the root directory. */
const run = ({ executable }: World, args: readonly string[], env: NodeJS.ProcessEnv = {}): Ran => {
  const options = { cwd: '/', env, encoding: 'utf8', input: '', timeout: 60_000 } as const;
  const { status, stdout, stderr } = spawnSync(executable, args, options);
  return { status, stdout, stderr };
};

const configured = async (dir: string, more: object): Promise<string> => {
  const file = path.join(dir, 'agent.yaml');
  const common = {
    host: 'xen07',
    kubeconfig: path.join(dir, 'kubeconfig'),
    stateDir: path.join(dir, 'state'),
  };
  await writeFile(file, stringify({ ...common, ...more }));
  return file;
};

test('says its version, and nothing of compiled code that it cannot use', async (world) => {
  const { version } = JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8'));
  assert.equal(run(world, ['--version']), { status: 0, stdout: `${version}\n`, stderr: '' });
});

test('takes no options from the environment', (world) => {
  const { status, stderr } = run(world, ['--version'], { NODE_OPTIONS: '--require=/tmp/evil.cjs' });
  assert.is(status, 0, stderr);
});

test('tells how it is used, and refuses what it does not know', (world) => {
  const help = run(world, ['enroll', '--help']);
  assert.is(help.status, 0);
  assert.match(help.stdout, 'vbs-node-agent enroll --config FILE --server URL --ca-file FILE');
  for (const args of [
    [],
    ['--config'],
    ['--bogus'],
    ['dance', '--config', 'x'],
    ['run', 'run', '--config', 'x'],
  ]) {
    const { status, stderr } = run(world, args);
    assert.is(status, 2, args.join(' '));
    assert.match(stderr, 'usage: vbs-node-agent', args.join(' '));
  }
});

test('a configuration that cannot be used ends it with code 2 and says why', async (world) => {
  const missing = run(world, ['run', '--config', '/nonexistent']);
  assert.is(missing.status, 2);
  assert.match(missing.stderr, '/nonexistent: cannot be read');
  const wrong = run(world, ['run', '--config', await configured(world.dir, { hosts: 1 })]);
  assert.is(wrong.status, 2);
  assert.match(wrong.stderr, 'hosts: there is no such key; remove it or write host');
  const example = run(world, ['run', '--config', path.join(world.dir, 'etc/vbs/agent.yaml')]);
  assert.is(example.status, 2);
  assert.match(example.stderr, 'the key host is missing');
});

test('enroll wants a token and an address', async (world) => {
  const config = await configured(world.dir, {});
  const bare = run(world, ['enroll', '--config', config]);
  assert.is(bare.status, 2);
  assert.match(bare.stderr, 'enroll needs --server');
  const given = ['--server', 'https://127.0.0.1:1', '--ca-file', config];
  const silent = run(world, ['enroll', '--config', config, ...given]);
  assert.is(silent.status, 2);
  assert.match(silent.stderr, 'no token was given');
});

test('reads profiles, knows their schema, and starts commands', async (world) => {
  const pool = path.join(world.dir, 'pool');
  const poolsOf = (params: object) => ({
    profileDirectories: [path.join(world.dir, 'etc/vbs/profiles')],
    volumeServer: {
      pools: [{ name: 'files', profile: 'file', params }],
      target: { profile: 'tgt', portals: ['127.0.0.1:3260'] },
    },
  });
  spawnSync('mkdir', ['-m', '700', pool]);
  const prepared = run(world, [
    'prepare-pools',
    '--config',
    await configured(world.dir, poolsOf({ dir: pool })),
  ]);
  assert.match(prepared.stdout, 'pool files is ready', prepared.stderr);
  assert.ok(await stat(path.join(pool, '.vbs-pool')));
  await writeFile(path.join(world.dir, 'etc/vbs/profiles/file.yaml'), 'profile: 2\n');
  const refused = run(world, ['prepare-pools', '--config', path.join(world.dir, 'agent.yaml')]);
  assert.is(refused.status, 2);
  assert.match(refused.stderr, 'format 2 is unknown; this agent reads format 1');
});

test('it does not tell where it was made', async (world) => {
  const bytes = await readFile(world.executable);
  assert.ok(bytes.includes('vbs-node-agent.cjs'));
  for (const place of [path.join(ROOT, 'node-agent'), cacheRoot()]) {
    assert.not.ok(bytes.includes(place), place);
  }
});

test.run();
