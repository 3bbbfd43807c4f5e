// The package of the agent as dpkg installs, upgrades, removes and purges it.
import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NODE_AGENT } from '../../scripts/package/node-agent.ts';
import { buildPackage } from '../../scripts/package/package.ts';
import { DpkgRoot } from '../harness/dpkg-root.ts';
import { loud } from '../harness/loud.ts';
import { makeWorkdir, type Workdir } from '../harness/workdir.ts';

interface World {
  workdir: Workdir;
  deb: string;
  host: DpkgRoot;
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
  world.host = await DpkgRoot.make(path.join(world.workdir.dir, `root-${nth}`));
});

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

test('a fresh host is told what to do, and its unit is enabled', async ({ host, deb }) => {
  const said = host.dpkg('-i', deb);
  assert.match(said, 'then enrol this host');
  const wants = host.at('etc/systemd/system/multi-user.target.wants');
  assert.equal(await readdir(wants), ['vbs-node-agent.service']);
  const { stdout } = spawnSync(host.at('usr/bin/vbs-node-agent'), ['--version'], {
    encoding: 'utf8',
  });
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
});

test('an upgrade keeps what the administrator changed', async ({ host, deb }) => {
  host.dpkg('-i', deb);
  await host.put('etc/vbs/agent.yaml', 'host: xen07\n');
  await host.put('etc/vbs/profiles/tgt.yaml', '# changed\n');
  await host.put('etc/vbs/kubeconfig', 'mine');
  const said = host.dpkg('-i', deb);
  assert.not.match(said, 'enrol this host');
  assert.is(await readFile(host.at('etc/vbs/agent.yaml'), 'utf8'), 'host: xen07\n');
  assert.is(await readFile(host.at('etc/vbs/profiles/tgt.yaml'), 'utf8'), '# changed\n');
});

test('removing it takes the program only', async ({ host, deb }) => {
  host.dpkg('-i', deb);
  await host.put('etc/vbs/kubeconfig');
  await host.put('var/lib/vbs/volumes/vol1.json');
  host.dpkg('--remove', 'vbs-node-agent');
  assert.not.ok(await host.isThere('usr/bin/vbs-node-agent'));
  for (const place of [
    'etc/vbs/agent.yaml',
    'etc/vbs/profiles/lio.yaml',
    'etc/vbs/kubeconfig',
    'var/lib/vbs/volumes/vol1.json',
  ]) {
    assert.ok(await host.isThere(place), place);
  }
});

test('purging it leaves nothing of a host without volumes', async ({ host, deb }) => {
  host.dpkg('-i', deb);
  await host.put('etc/vbs/kubeconfig');
  await host.put('var/lib/vbs/token');
  await host.put('var/lib/vbs/host/cluster.json');
  await mkdir(host.at('var/lib/vbs/volumes'));
  host.dpkg('--purge', 'vbs-node-agent');
  for (const place of [
    'etc/vbs',
    'var/lib/vbs',
    'etc/systemd/system/multi-user.target.wants/vbs-node-agent.service',
  ]) {
    assert.not.ok(await host.isThere(place), place);
  }
});

test('purging it never forgets volumes, nor takes what it did not bring', async ({ host, deb }) => {
  for (const memory of ['volumes/vol1.json', 'attachments/a.json']) {
    host.dpkg('-i', deb);
    await host.put(`var/lib/vbs/${memory}`);
    await host.put('var/lib/vbs/token');
    await host.put('etc/vbs/kubeconfig');
    await host.put('etc/vbs/profiles/own.yaml');
    const said = host.dpkg('--purge', 'vbs-node-agent');
    assert.match(said, 'var/lib/vbs is kept: it remembers volumes');
    assert.match(said, 'etc/vbs is kept');
    assert.ok(await host.isThere(`var/lib/vbs/${memory}`));
    assert.ok(await host.isThere('etc/vbs/profiles/own.yaml'));
    assert.not.ok(await host.isThere('var/lib/vbs/token'), 'the identity goes');
    assert.not.ok(await host.isThere('etc/vbs/kubeconfig'), 'the identity goes');
  }
});

test.run();
