// The package of the control plane as dpkg installs, removes and purges it; and what systemd thinks of its units.
import { spawnSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CONTROL_PLANE } from '../../scripts/package/control-plane.ts';
import { buildPackage } from '../../scripts/package/package.ts';
import { DpkgRoot } from '../harness/dpkg-root.ts';
import { loud } from '../harness/loud.ts';
import { makeWorkdir, type Workdir } from '../harness/workdir.ts';

interface World {
  workdir: Workdir;
  machine: DpkgRoot;
  deb: string;
}

const test = suite<World>('the package of the control plane');
const log = (line: string) => process.stdout.write(`# ${line}\n`);
const UNITS = 'usr/lib/systemd/system';
const STATE = 'var/lib/vbs-control-plane';
const BACKUP = 'var/backups/vbs/vbs-2026-11-27T040506Z.tar.gz';
/** What `init` and the services put beside the package. */
const OWN = [
  'etc/vbs/control-plane.yaml',
  'etc/vbs/admin.kubeconfig',
  'etc/vbs/pki/ca.key',
  'etc/vbs/pki.before-2026-11-26T040506Z/ca.key',
  `${STATE}/etcd/member/snap/db`,
  'etc/systemd/system/multi-user.target.wants/vbs-control-plane.target',
  'etc/systemd/system/timers.target.wants/vbs-control-plane-backup.timer',
];

test.before(
  loud(async (world) => {
    world.workdir = await makeWorkdir(log);
    world.machine = await DpkgRoot.make(path.join(world.workdir.dir, 'root'));
    world.deb = await buildPackage(CONTROL_PLANE, log);
  }),
);
test.after(loud(async ({ workdir }) => await workdir?.remove()));

test('nothing in it is more than a program, a file or a name of a program', ({ deb }) => {
  const contents = spawnSync('dpkg-deb', ['-c', deb], { encoding: 'utf8' }).stdout.trim().split('\n');
  for (const line of contents) {
    assert.match(line, /^(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x|lrwxrwxrwx) root\/root /);
  }
  log(`${contents.length} entries`);
});

test('a fresh machine has the user of the services, and is told what to do', async ({ machine, deb }) => {
  const said = machine.dpkg('-i', deb);
  assert.match(said, 'vbs-control-plane init --address');
  assert.match(
    await readFile(machine.at('etc/passwd'), 'utf8'),
    /^vbs-control-plane:.*:\/nonexistent:\/usr\/sbin\/nologin$/m,
  );
  const answers = [
    [machine.at('usr/bin/vbs-control-plane'), ['--version'], /^\d+\.\d+\.\d+\n$/],
    [machine.at('usr/lib/vbs/etcd'), ['--version'], /etcd Version: 3\./],
    [machine.at('usr/lib/vbs/etcdctl'), ['version'], /etcdctl version: 3\./],
    [machine.at('usr/lib/vbs/etcdutl'), ['version'], /etcdutl version: 3\./],
    [machine.at('usr/lib/vbs/kube-apiserver'), ['--version'], /^Kubernetes v1\./],
    [machine.at('usr/lib/vbs/kube-controller-manager'), ['--version'], /^Kubernetes v1\./],
    [machine.at('usr/lib/vbs/kubectl'), ['version', '--client'], /Client Version: v1\./],
  ] as const;
  for (const [file, args, words] of answers) {
    assert.match(spawnSync(file, args, { encoding: 'utf8' }).stdout, words, file);
  }
});

test('the terms of everything in it are inside', async ({ machine }) => {
  const terms = await readFile(machine.at('usr/share/doc/vbs-control-plane/copyright'), 'utf8');
  for (const name of [
    'Node.js',
    'undici ',
    'go.etcd.io/etcd/server/v3 ',
    'k8s.io/kubernetes ',
    'go.etcd.io/bbolt ',
  ]) {
    assert.match(terms, name);
  }
});

test('systemd knows every word in its units', async ({ machine }) => {
  const place = machine.at(UNITS);
  const units = (await readdir(place)).filter((name) => !name.startsWith('.'));
  const { error, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', ...units], {
    encoding: 'utf8',
    cwd: place,
    // Those of this machine follow, which ours name.
    env: { ...process.env, LC_ALL: 'C', SYSTEMD_UNIT_PATH: `${place}:` },
  });
  assert.is(error, undefined);
  const complaints = stderr.split('\n').filter((line) => line !== '' && !line.includes(' is not executable'));
  assert.equal(complaints, []);
  assert.match(stderr, 'vbs-etcd.service: Command /usr/lib/vbs/etcd is not executable', 'it has looked');
});

test('removing it takes the programs only', async ({ machine, deb }) => {
  for (const place of OWN) {
    await machine.put(place);
  }
  assert.not.match(machine.dpkg('-i', deb), 'vbs-control-plane init');
  machine.dpkg('--remove', 'vbs-control-plane');
  assert.not.ok(await machine.isThere('usr/lib/vbs'));
  for (const place of OWN) {
    assert.ok(await machine.isThere(place), place);
  }
});

test('purging it without a backup keeps the store and its keys', async ({ machine }) => {
  const said = machine.dpkg('--purge', 'vbs-control-plane');
  assert.match(said, /are kept: there is no backup of them/);
  for (const place of OWN) {
    assert.is(await machine.isThere(place), !place.startsWith('etc/systemd'), place);
  }
});

test('purging it with a backup keeps that, and what is not its own', async ({ machine, deb }) => {
  machine.dpkg('-i', deb);
  await machine.put(BACKUP);
  await machine.put('etc/vbs/agent.yaml');
  assert.match(machine.dpkg('--purge', 'vbs-control-plane'), /var\/backups\/vbs is kept/);
  for (const place of [...OWN, STATE]) {
    assert.not.ok(await machine.isThere(place), place);
  }
  assert.ok(await machine.isThere(BACKUP));
  assert.ok(await machine.isThere('etc/vbs/agent.yaml'));
});

test.run();
