import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseAllDocuments } from 'yaml';
import { joinText, parseJoin } from '../../api/join.ts';
import { applyHosts, type HostRole, hostManifests } from '../../control-plane/cluster.ts';
import { enrollCommandFrom } from '../../control-plane/enroll.ts';
import { machineDisk } from '../../control-plane/files.ts';
import { placesUnder } from '../../control-plane/places.ts';
import { ConfigError } from '../../runtime/errors.ts';

const test = suite('the identity of a host');
const template = await readFile(path.resolve(import.meta.dirname, '../../deploy/host.yaml'), 'utf8');

const bindingsFor = (roles: readonly HostRole[]): readonly string[] =>
  parseAllDocuments(hostManifests(template, 'xen07', roles))
    .map((document) => document.toJS() as { kind: string; metadata: { name: string } })
    .filter(({ kind }) => kind === 'ClusterRoleBinding')
    .map(({ metadata }) => metadata.name);

test('a host has the bindings of its roles only', () => {
  assert.equal(bindingsFor(['volumeServer', 'hypervisor']), [
    'vbs-agent-xen07',
    'vbs-volume-server-xen07',
    'vbs-hypervisor-xen07',
  ]);
  assert.equal(bindingsFor(['hypervisor']), ['vbs-agent-xen07', 'vbs-hypervisor-xen07']);
  assert.equal(bindingsFor(['volumeServer']), ['vbs-agent-xen07', 'vbs-volume-server-xen07']);
});

test('any number of hosts costs two commands, and each has its roles and no others', async () => {
  const calls: { readonly args: readonly string[]; readonly stdin: string }[] = [];
  const kubectl = async (args: readonly string[], stdin = '') => {
    calls.push({ args, stdin });
    return '';
  };
  const surroundings = { places: placesUnder('/'), disk: { ...machineDisk, read: async () => template } };
  await applyHosts(surroundings, kubectl, [
    { host: 'xen07', roles: ['hypervisor'] },
    { host: 'store1', roles: ['volumeServer'] },
    { host: 'both1', roles: ['volumeServer', 'hypervisor'] },
  ]);
  const [applied, deleted, ...others] = calls;
  assert.equal(others, []);
  const names = parseAllDocuments(applied?.stdin ?? '').flatMap((document) => {
    const { kind, metadata } = document.toJS() as { kind: string; metadata: { name: string } };
    return kind === 'ClusterRoleBinding' && /-(server|hypervisor)-/.test(metadata.name)
      ? [metadata.name]
      : [];
  });
  assert.equal(names, [
    'vbs-hypervisor-xen07',
    'vbs-volume-server-store1',
    'vbs-volume-server-both1',
    'vbs-hypervisor-both1',
  ]);
  assert.equal(deleted?.args.slice(-2), ['vbs-volume-server-xen07', 'vbs-hypervisor-store1']);
  calls.length = 0;
  await applyHosts(surroundings, kubectl, []);
  assert.equal(calls, []);
});

test('what is asked for is understood, or refused with the argument', () => {
  const command = enrollCommandFrom('xen07', { roles: 'hypervisor,volumeServer' });
  assert.equal(command, { host: 'xen07', roles: ['volumeServer', 'hypervisor'], onlyJoinText: false });
  for (const [host, roles, words] of [
    [undefined, 'hypervisor', /give the name of the host/],
    ['Xen07', 'hypervisor', /lower-case letters/],
    ['x'.repeat(53), 'hypervisor', /at most 52/],
    ['xen07', '', /--roles : there is no role ; give volumeServer or hypervisor/],
    ['xen07', 'server', /there is no role server/],
  ] as const) {
    assert.throws(
      () => enrollCommandFrom(host, { roles }),
      (error: unknown) => error instanceof ConfigError && words.test(error.message),
    );
  }
});

test('a join text survives a terminal, and no damage goes unseen', () => {
  const join = { server: 'https://192.0.2.10:6443', ca: '-----BEGIN CERTIFICATE-----\n…\n', token: 'a.b.c' };
  const text = joinText(join);
  assert.ok(text.split('\n').every((line) => line.length <= 76));
  assert.equal(parseJoin(text), join);
  assert.equal(parseJoin(`  ${text.replaceAll('\n', '\r\n   ')}\n\n`), join);
  for (const broken of [
    '',
    text.slice(0, -10),
    text.split('\n').slice(1).join('\n'),
    'a.b.c',
    btoa('{"server":"x"}'),
  ]) {
    assert.is(parseJoin(broken), undefined, broken);
  }
});

test.run();
