// The package as dpkg installs, upgrades, removes and purges it, in a root of its own: its scripts run there, and no service is started.
import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NODE_AGENT } from '../../scripts/package/node-agent.ts';
import { buildPackage } from '../../scripts/package/package.ts';
import { loud } from '../harness/loud.ts';
import { makeWorkdir, type Workdir } from '../harness/workdir.ts';

interface World {
  workdir: Workdir;
  deb: string;
  /** Of the host that is played. */
  root: string;
}

const test = suite<World>('the package');
const log = (line: string) => process.stdout.write(`# ${line}\n`);

test.before(
  loud(async (world) => {
    world.workdir = await makeWorkdir(log);
    world.deb = await buildPackage(NODE_AGENT, log);
  }),
);
test.after(loud(async ({ workdir }) => await workdir?.remove()));

let nth = 0;
test.before.each(async (world) => {
  nth += 1;
  world.root = path.join(world.workdir.dir, `root-${nth}`);
  const database = path.join(world.root, 'var/lib/dpkg');
  for (const folder of ['info', 'updates', 'triggers']) {
    await mkdir(path.join(database, folder), { recursive: true });
  }
  await writeFile(path.join(database, 'status'), '');
});

/** Answers what it said. */
function dpkg({ root }: World, ...args: string[]): string {
  const options = [`--root=${root}`, '--force-script-chrootless', '--force-depends', '--force-confold'];
  const env = { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
  const { status, stdout, stderr } = spawnSync('dpkg', [...options, ...args], { encoding: 'utf8', env });
  assert.is(status, 0, stderr);
  return stdout + stderr;
}

const isThere = (world: World, place: string): Promise<boolean> =>
  stat(path.join(world.root, place)).then(
    () => true,
    () => false,
  );

const put = async (world: World, place: string, text = ''): Promise<void> => {
  const file = path.join(world.root, place);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, text);
};

test('dpkg knows what is in it', ({ deb }) => {
  const field = (name: string) =>
    spawnSync('dpkg-deb', ['-f', deb, name], { encoding: 'utf8' }).stdout.trim();
  assert.is(field('Package'), 'vbs-node-agent');
  assert.match(field('Version'), /^\d+\.\d+\.\d+$/);
  assert.not.match(
    field('Depends'),
    /lvm2|tgt|open-iscsi|libvirt|xen/,
    'no role brings the tools of another one',
  );
  const contents = spawnSync('dpkg-deb', ['-c', deb], { encoding: 'utf8' }).stdout.trim().split('\n');
  for (const line of contents) {
    assert.match(line, /^(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x) root\/root /);
  }
});

test('a fresh host is told what to do, and its unit is enabled', async (world) => {
  const said = dpkg(world, '-i', world.deb);
  assert.match(said, 'then enrol this host');
  const wants = path.join(world.root, 'etc/systemd/system/multi-user.target.wants');
  assert.equal(await readdir(wants), ['vbs-node-agent.service']);
  const { stdout } = spawnSync(path.join(world.root, 'usr/bin/vbs-node-agent'), ['--version'], {
    encoding: 'utf8',
  });
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
});

test('an upgrade keeps what the administrator changed', async (world) => {
  dpkg(world, '-i', world.deb);
  await put(world, 'etc/vbs/agent.yaml', 'host: xen07\n');
  await put(world, 'etc/vbs/profiles/tgt.yaml', '# changed\n');
  await put(world, 'etc/vbs/kubeconfig', 'mine');
  const said = dpkg(world, '-i', world.deb);
  assert.not.match(said, 'enrol this host');
  assert.is(await readFile(path.join(world.root, 'etc/vbs/agent.yaml'), 'utf8'), 'host: xen07\n');
  assert.is(await readFile(path.join(world.root, 'etc/vbs/profiles/tgt.yaml'), 'utf8'), '# changed\n');
});

test('removing it takes the program only', async (world) => {
  dpkg(world, '-i', world.deb);
  await put(world, 'etc/vbs/kubeconfig');
  await put(world, 'var/lib/vbs/volumes/vol1.json');
  dpkg(world, '--remove', 'vbs-node-agent');
  assert.not.ok(await isThere(world, 'usr/bin/vbs-node-agent'));
  for (const place of [
    'etc/vbs/agent.yaml',
    'etc/vbs/profiles/lio.yaml',
    'etc/vbs/kubeconfig',
    'var/lib/vbs/volumes/vol1.json',
  ]) {
    assert.ok(await isThere(world, place), place);
  }
});

test('purging it leaves nothing of a host without volumes', async (world) => {
  dpkg(world, '-i', world.deb);
  await put(world, 'etc/vbs/kubeconfig');
  await put(world, 'var/lib/vbs/token');
  await put(world, 'var/lib/vbs/host/cluster.json');
  await mkdir(path.join(world.root, 'var/lib/vbs/volumes'));
  dpkg(world, '--purge', 'vbs-node-agent');
  for (const place of [
    'etc/vbs',
    'var/lib/vbs',
    'etc/systemd/system/multi-user.target.wants/vbs-node-agent.service',
  ]) {
    assert.not.ok(await isThere(world, place), place);
  }
});

test('purging it never forgets volumes, nor takes what it did not bring', async (world) => {
  for (const memory of ['volumes/vol1.json', 'attachments/a.json']) {
    dpkg(world, '-i', world.deb);
    await put(world, `var/lib/vbs/${memory}`);
    await put(world, 'var/lib/vbs/token');
    await put(world, 'etc/vbs/kubeconfig');
    await put(world, 'etc/vbs/profiles/own.yaml');
    const said = dpkg(world, '--purge', 'vbs-node-agent');
    assert.match(said, 'var/lib/vbs is kept: it remembers volumes');
    assert.match(said, 'etc/vbs is kept');
    assert.ok(await isThere(world, `var/lib/vbs/${memory}`));
    assert.ok(await isThere(world, 'etc/vbs/profiles/own.yaml'));
    assert.not.ok(await isThere(world, 'var/lib/vbs/token'), 'the identity goes');
    assert.not.ok(await isThere(world, 'etc/vbs/kubeconfig'), 'the identity goes');
  }
});

test.run();
