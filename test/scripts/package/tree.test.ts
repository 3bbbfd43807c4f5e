// What the package puts where, without making its executable.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseDocument } from 'yaml';
import { loadAgentConfig } from '../../../node-agent/config.ts';
import { NODE_AGENT } from '../../../scripts/package/node-agent.ts';
import { isFile, type TreeFile } from '../../../scripts/package/tree.ts';
import { settingsOf } from '../../harness/unit-file.ts';

const test = suite('the tree of the package');
const ROOT = path.resolve(import.meta.dirname, '../../..');
const PROFILES = path.join(ROOT, 'node-agent/profiles/shipped');
const bundled = [{ name: 'a-package', version: '1.0.0', license: 'MIT', licenseText: 'As is.' }];
const tree = (await NODE_AGENT.tree(bundled, () => {})).filter(isFile);
const textOf = (place: string): string =>
  String((tree.find((file) => file.path === place) as TreeFile).content);

test('it has these files, with these rights', async () => {
  const profiles = (await readdir(PROFILES)).sort();
  assert.equal(
    tree.map(({ path: place, mode }) => `${mode.toString(8)} ${place}`),
    [
      '644 usr/lib/systemd/system/vbs-node-agent.service',
      '644 etc/vbs/agent.yaml',
      ...profiles.map((file) => `644 etc/vbs/profiles/${file}`),
      '644 usr/share/doc/vbs-node-agent/README.md',
      '644 usr/share/doc/vbs-node-agent/changelog.gz',
      '644 usr/share/doc/vbs-node-agent/copyright',
      '644 DEBIAN/conffiles',
      '755 DEBIAN/postinst',
      '755 DEBIAN/prerm',
      '755 DEBIAN/postrm',
    ],
  );
});

test('what an administrator may change is kept by dpkg', () => {
  const etc = tree
    .filter(({ path: place }) => place.startsWith('etc/'))
    .map(({ path: place }) => `/${place}`);
  assert.equal(textOf('DEBIAN/conffiles').trim().split('\n'), etc);
});

test('profiles are the shipped ones', async () => {
  for (const file of await readdir(PROFILES)) {
    assert.is(textOf(`etc/vbs/profiles/${file}`), await readFile(path.join(PROFILES, file), 'utf8'));
  }
});

test('changelog and licenses are inside', () => {
  const { content } = tree.find(({ path: place }) => place.endsWith('changelog.gz')) as TreeFile;
  assert.match(gunzipSync(content).toString(), '# Changelog');
  const licenses = textOf('usr/share/doc/vbs-node-agent/copyright');
  assert.match(licenses, 'a-package 1.0.0 (MIT)\n\nAs is.');
  assert.match(licenses, 'Node.js is licensed for use as follows');
});

test('the unit never takes the data path down, nor ends what the agent started', () => {
  const unit = settingsOf(textOf('usr/lib/systemd/system/vbs-node-agent.service'));
  const expected = {
    ConditionPathExists: '/etc/vbs/kubeconfig',
    ExecStart: '/usr/bin/vbs-node-agent run --config /etc/vbs/agent.yaml',
    KillMode: 'process',
    Restart: 'on-failure',
    RestartPreventExitStatus: '2',
    StartLimitIntervalSec: '0',
  };
  for (const [key, value] of Object.entries(expected)) {
    assert.equal(unit.get(key), [value], key);
  }
  for (const key of ['Requires', 'Requisite', 'BindsTo', 'PartOf', 'Conflicts', 'Before', 'Upholds']) {
    assert.is(unit.get(key), undefined, `${key} ties the agent to other units`);
  }
  const after = (unit.get('After') ?? []).join(' ').split(' ');
  for (const service of ['network-online.target', 'iscsid.service', 'tgt.service', 'libvirtd.service']) {
    assert.ok(after.includes(service), service);
  }
});

test('the unit keeps the tools on the host: no namespaces, no filter of devices, no limit that children share', () => {
  const unit = settingsOf(textOf('usr/lib/systemd/system/vbs-node-agent.service'));
  const harmful =
    /^(Private|Protect(?!ion)|ReadOnly|ReadWrite|Inaccessible|Bind(ReadOnly)?Paths|Root|TemporaryFileSystem|Mount|Device|DynamicUser|User$|NoNewPrivileges|Capability|Memory|Tasks|CPU|IO|StateDirectory)/;
  assert.equal(
    [...unit.keys()].filter((key) => harmful.test(key)),
    [],
  );
});

test('the default configuration is an example, and says what is missing', async () => {
  const file = path.join(ROOT, 'scripts/package/debian/node-agent/agent.yaml');
  const error = await loadAgentConfig(file).catch((caught: unknown) => caught);
  assert.match(String(error), 'the key host is missing; add it');
});

test('each example in the default configuration can be used as it is', async () => {
  const text = textOf('etc/vbs/agent.yaml');
  // Commented lines of YAML, not the sentences, which begin with a capital.
  const active = text.replaceAll(/^# (?=( {2})*[-#a-z])/gm, '');
  const [, libvirt = ''] = active.split('# With libvirt, where QEMU logs in itself:\n');
  const one = active.slice(0, active.length - libvirt.length);
  for (const part of [one, `host: xen07\nkubeconfig: /etc/vbs/kubeconfig\n${libvirt}`]) {
    const document = parseDocument(part);
    assert.equal(document.errors, [], part);
    const { volumeServer, hypervisor } = document.toJS();
    assert.ok(hypervisor.vmm.profile);
    const names = [
      hypervisor.initiator.profile,
      hypervisor.vmm.profile,
      ...(volumeServer?.pools ?? []).map(({ profile }: { profile: string }) => profile),
      ...(volumeServer === undefined ? [] : [volumeServer.target.profile]),
    ];
    for (const name of names) {
      assert.ok(textOf(`etc/vbs/profiles/${name}.yaml`), name);
    }
  }
});

test.run();
