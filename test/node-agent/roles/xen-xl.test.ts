import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Command, CommandOutput } from '../../../node-agent/exec/command.ts';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import {
  Busy,
  CannotLook,
  InstanceAmbiguous,
  InstanceNotFound,
  Mismatch,
  NotDone,
  Unsupported,
} from '../../../node-agent/roles/errors.ts';
import { findInstance } from '../../../node-agent/roles/instances.ts';
import { profiledVmm } from '../../../node-agent/roles/profiled-vmm.ts';
import type { Instance } from '../../../node-agent/roles/vmm.ts';
import { XenHost } from '../../fakes/xen/xl.ts';

const root = join(import.meta.dirname, '../../..');
const fixture = (name: string): string => readFileSync(join(root, 'test/fixtures/xen', name), 'utf8');
const errors: Readonly<Record<string, { exit: number; stderr: string }>> = JSON.parse(fixture('errors.json'));
const profile = await loadProfile(join(root, 'node-agent/profiles/shipped/xen-xl.yaml'), 'vmm');
const { signal } = new AbortController();

const ID = 'vol0123456789abcdef0';
const GRANT = '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a1111';
const UUID = '37fb0f81-6847-4703-8154-d110fb9fe130';
const PATH = `/dev/vbs/${ID}.${GRANT}`;
const vm: Instance = { name: 'vm1', uuid: UUID, state: 'Running' };
const request = {
  volumeID: ID,
  device: 'xvdb',
  readOnly: false,
  locator: { kind: 'block', path: PATH },
  grantUUID: GRANT,
} as const;
const sizeBytes = 268_435_456n;
const ours = { device: 'xvdb', volumeID: ID, grantUUID: GRANT, sizeBytes };

const failure = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

const xen = () => {
  const host = new XenHost();
  host.add('vm1', UUID);
  const vmm = profiledVmm(bind(profile, { run: host.run, files: hostFiles }));
  const changes = () => host.calls.filter((call) => call.includes('block-'));
  return { host, vmm, changes };
};

const said = (stdout: string): CommandOutput => ({ exitCode: 0, stdout, stderr: '' });
const recorded = (what: string): CommandOutput => {
  const { exit = 1, stderr = '' } = errors[what] ?? {};
  return { exitCode: exit, stdout: '', stderr };
};
const HEADER =
  'Name                                        ID   Mem VCPUs\tState\tTime(s)   UUID                            Reason-Code\tSecurity Label\n';
const listed = (name: string, uuid: string): string =>
  fixture('xl list.txt')
    .split('\n')
    .filter((line) => line.startsWith(name))
    .map((line) => `${line} ${uuid}        -                -\n`)
    .join('');
const VM1 = `${HEADER}${listed('vm1', UUID)}`;
const LISTED = `${HEADER}${listed('Domain-0', '00000000-0000-0000-0000-000000000000')}${listed('vm1', UUID)}`;
/** The recorded entries of one disk, in the way `-f` prints them, with another backing path. */
const recordedDisk = (path: string): string =>
  fixture('xenstore-ls BACKEND.txt')
    .split('\n')
    .flatMap((line) => {
      const [, indent = '', rest = ''] = /^( *)(\S.*)$/.exec(line) ?? [];
      if (indent.length === 0) {
        return [];
      }
      const value = rest.startsWith('params = ') ? `params = "${path}"` : rest;
      return [`/local/domain/0/backend/vbd/1/${indent.length === 1 ? rest : `51728/${value}`}\n`];
    })
    .join('');

/** What was recorded of a domain with one disk. */
const recordedHost = (answers: Readonly<Record<string, CommandOutput>>) => {
  const run = async ({ file, args }: Command): Promise<CommandOutput> => {
    const key = file === 'xl' ? args.join(' ') : (args[1] ?? '');
    return answers[key] ?? recorded('xenstore-ls (nothing there)');
  };
  return profiledVmm(bind(profile, { run, files: hostFiles }));
};
const proven = { 'list -v': said(LISTED), 'list -v 1': said(VM1) };

const test = suite('xen-xl');

test('a recorded disk is seen, and whose it is by its path', async () => {
  const backend = '/local/domain/0/backend/vbd/1';
  const foreign = '/dev/disk/by-path/ip-10.77.0.1:3260-iscsi-iqn.2026-11.io.vbs:vol-2-lun-1';
  const cut = `${foreign.slice(0, 60)}\\...`;
  const cases = [
    [PATH, [ours]],
    [foreign, [{ device: 'xvdb', sizeBytes }]],
    [cut, [{ device: 'xvdb', sizeBytes }]],
    [`/dev/vbs/${ID}`, [{ device: 'xvdb', sizeBytes }]],
  ] as const;
  for (const [path, expected] of cases) {
    const vmm = recordedHost({ ...proven, [backend]: said(recordedDisk(path)) });
    assert.equal(await vmm.disks(vm, signal), expected, path);
  }
});

test('what was not understood is never "no disk"', async () => {
  const backend = '/local/domain/0/backend/vbd/1';
  const disk = recordedDisk(PATH);
  const cases: readonly CommandOutput[] = [
    said(recordedDisk(`${PATH.slice(0, 40)}\\...`)),
    said(recordedDisk(PATH.replace('0', '\u{fffd}'))),
    said(recordedDisk(PATH.replace('-', '\0'))),
    said(disk.replace('/dev = ', '/name = ')),
    said(disk.replace('/state = "4"', '/state = "9"')),
    said(disk.replace(/^.*\/params = .*\n/m, '')),
    said(disk.replace(/^.*\/state = .*\n/m, '')),
    said('something else\n'),
    { exitCode: 1, stdout: '', stderr: 'xenstore-ls: xs_open: No such file or directory\n' },
  ];
  for (const answer of cases) {
    const vmm = recordedHost({ ...proven, [backend]: answer });
    assert.instance(await failure(vmm.disks(vm, signal)), CannotLook, answer.stdout);
  }
  const other = recordedHost({ ...proven, 'list -v 1': said(VM1.replaceAll(UUID, GRANT)) });
  assert.instance(await failure(other.disks(vm, signal)), CannotLook, 'the id is another domain’s by now');
});

test('an answer of xl that lacks its beginning is no list of domains', async () => {
  for (const text of ['', HEADER, listed('vm1', UUID), VM1, LISTED.slice(0, -20)]) {
    const vmm = recordedHost({ 'list -v': said(text) });
    assert.instance(await failure(vmm.instances(signal)), CannotLook, text);
  }
});

test('a disk of ours that only libxl’s list shows is not taken for one that never came', async () => {
  const { host, vmm, changes } = xen();
  await vmm.attach(vm, request, signal);
  const before = changes().length;
  for (const path of [...host.xenstore.keys()].filter((one) => one.startsWith('/local/domain/0/backend/'))) {
    host.xenstore.delete(path);
  }
  assert.instance(await failure(vmm.disks(vm, signal)), CannotLook);
  assert.instance(await failure(vmm.detach(vm, ID, signal)), CannotLook);
  assert.instance(await failure(vmm.cancel(vm, ID, signal)), CannotLook);
  assert.is(changes().length, before);
});

test('a domain that is gone has no "empty list of disks"', async () => {
  const { host, vmm } = xen();
  host.domains.length = 0;
  assert.instance(await failure(vmm.disks(vm, signal)), InstanceNotFound);
  const between = recordedHost({ 'list -v': said(LISTED), 'list -v 1': recorded('list (no such domain)') });
  assert.instance(await failure(between.disks(vm, signal)), InstanceNotFound);
});

test('a disk that has grown shows so when blkback has seen it, and nothing is to be called for that', async () => {
  const { host, vmm, changes } = xen();
  await vmm.attach(vm, request, signal);
  const before = changes().length;
  await vmm.resize(vm, ID, 2n * sizeBytes, signal);
  assert.is(await vmm.diskBytes(vm, ID, signal), sizeBytes, 'not before blkback looks');
  host.xenstore.set('/local/domain/0/backend/vbd/1/51728/sectors', '1048576');
  assert.is(await vmm.diskBytes(vm, ID, signal), 2n * sizeBytes);
  assert.is(changes().length, before);
});

test('every state of a backend', async () => {
  const states = [
    ['1', 'connecting'],
    ['2', 'connecting'],
    ['3', 'connecting'],
    ['4', undefined],
    ['5', 'closing'],
    ['6', 'closing'],
  ] as const;
  for (const [xenbus, state] of states) {
    const { host, vmm } = xen();
    await vmm.attach(vm, request, signal);
    host.xenstore.set('/local/domain/0/backend/vbd/1/51728/state', xenbus);
    assert.is((await vmm.disks(vm, signal))[0]?.state, state, xenbus);
  }
});

test('domains, and Dom0 is none of them', async () => {
  const { host, vmm } = xen();
  host.add('2', 'aaaaaaaa-0000-4000-8000-000000000001').state = '--p---';
  host.add('crashed one', 'aaaaaaaa-0000-4000-8000-000000000002').state = '---s?-';
  const instances = await vmm.instances(signal);
  assert.equal(
    instances.map(({ name, state }) => `${name} ${state}`),
    ['vm1 Running', '2 Paused', 'crashed one Unknown'],
  );
  assert.not.ok(instances.some((instance) => 'ids' in instance || 'vmid' in instance));
});

test('one look tells which domains may hold a disk of ours', async () => {
  const { host, vmm } = xen();
  host.add('idle', 'aaaaaaaa-0000-4000-8000-000000000001');
  const all = await vmm.instances(signal);
  assert.equal(await vmm.holders(all, signal), []);
  await vmm.attach(vm, request, signal);
  assert.equal(
    (await vmm.holders(all, signal)).map(({ name }) => name),
    ['vm1'],
  );
});

test('a name that looks like an id is told by its id', async () => {
  const { host, vmm, changes } = xen();
  host.add('1', 'aaaaaaaa-0000-4000-8000-000000000001');
  const tricky = findInstance(await vmm.instances(signal), { name: '1' });
  await vmm.attach(tricky, request, signal);
  assert.equal(changes(), [
    `xl block-attach 2 format=raw,backendtype=phy,vdev=xvdb,access=rw,target=${PATH}`,
  ]);
});

test('attaching and detaching, and again nothing to do', async () => {
  const { host, vmm, changes } = xen();
  await vmm.attach(vm, { ...request, readOnly: true }, signal);
  await vmm.attach(vm, request, signal);
  assert.equal(await vmm.disks(vm, signal), [ours]);
  assert.is(host.xenstore.get('/local/domain/0/backend/vbd/1/51728/mode'), 'r');
  assert.instance(await failure(vmm.attach(vm, { ...request, device: 'xvdc' }, signal)), Mismatch);
  await vmm.detach(vm, ID, signal);
  await vmm.detach(vm, ID, signal);
  assert.equal(await vmm.disks(vm, signal), []);
  assert.equal(changes(), [
    `xl block-attach 1 format=raw,backendtype=phy,vdev=xvdb,access=ro,target=${PATH}`,
    'xl block-detach 1 xvdb',
  ]);
  assert.is(host.xenstore.size, 0);
});

test('a domain that was restarted has another id and no disk', async () => {
  const { host, vmm, changes } = xen();
  await vmm.attach(vm, request, signal);
  host.restart('vm1');
  assert.equal(await vmm.disks(vm, signal), []);
  await vmm.attach(vm, request, signal);
  assert.ok(changes()[1]?.startsWith('xl block-attach 2 '));
});

test('while the old self of a domain is dying both are looked into, and nothing is plugged in', async () => {
  const { host, vmm } = xen();
  await vmm.attach(vm, request, signal);
  host.domain('vm1').state = '---s-d';
  host.add('vm1', UUID);
  assert.is((await vmm.instances(signal))[0]?.state, 'Running');
  assert.equal(await vmm.disks(vm, signal), [ours], 'the old one still holds it');
  const volumeID = 'vol1123456789abcdef0';
  const locator = { kind: 'block', path: `/dev/vbs/${volumeID}.${GRANT}` } as const;
  const other = { ...request, volumeID, locator, device: 'xvdc' };
  assert.instance(await failure(vmm.attach(vm, other, signal)), InstanceAmbiguous);
});

test('a guest which keeps its disk is asked, and the disk stays seen', async () => {
  const { host, vmm, changes } = xen();
  await vmm.attach(vm, request, signal);
  host.domain('vm1').releases = false;
  await vmm.detach(vm, ID, signal);
  assert.equal(await vmm.disks(vm, signal), [{ ...ours, state: 'closing' }]);
  assert.instance(await failure(vmm.attach(vm, request, signal)), Busy);
  await vmm.cancel(vm, ID, signal);
  assert.not.ok(
    changes().some((call) => call.includes('--force')),
    'what a guest holds is never torn out',
  );
  host.domain('vm1').releases = true;
  await vmm.detach(vm, ID, signal);
  assert.equal(await vmm.disks(vm, signal), []);
});

test('a disk that its guest has not taken waits, and is taken back by force when it is not wanted', async () => {
  for (const takeBack of ['cancel', 'detach'] as const) {
    const { host, vmm, changes } = xen();
    host.domain('vm1').takes = false;
    await vmm.attach(vm, request, signal);
    assert.equal(await vmm.disks(vm, signal), [{ ...ours, state: 'connecting' }]);
    await vmm[takeBack](vm, ID, signal);
    assert.equal(await vmm.disks(vm, signal), []);
    assert.is(changes().at(-1), 'xl block-detach --force 1 xvdb');
  }
});

test('a failed hotplug script leaves an entry that is seen', async () => {
  const { host, vmm } = xen();
  host.scriptFails = true;
  await vmm.attach(vm, request, signal);
  assert.is((await vmm.disks(vm, signal))[0]?.state, 'connecting');
});

test('versions before 4.15 force a detach by themselves, and are bad', async () => {
  const told = fixture('xl info.txt');
  const bad: string[] = [];
  for (const version of ['4.17.7', '4.15.0', '5.0.1', '4.14.6', '4.9', '3.4.2']) {
    const run = async () => said(told.replace('4.17.7', version));
    const seen = await bind(profile, { run, files: hostFiles }).version(signal);
    assert.is(seen?.version, version);
    bad.push(...(seen?.bad === undefined ? [] : [version]));
  }
  assert.equal(bad, ['4.14.6', '4.9', '3.4.2']);
});

test('devices', async () => {
  const { host, vmm } = xen();
  assert.is(vmm.freeDevice(vm, []), 'xvdb');
  assert.throws(
    () => vmm.freeDevice(vm, [], 'xvda'),
    (error: unknown) => error instanceof Unsupported,
  );
  // A disk that another domain serves is in libxl's own list only.
  for (const [key, value] of Object.entries({ dev: 'xvdb', params: 'aio:/srv/vm1.raw', state: '1' })) {
    host.xenstore.set(`/libxl/1/device/vbd/51728/${key}`, value);
  }
  assert.is(vmm.freeDevice(vm, await vmm.disks(vm, signal)), 'xvdc');
  assert.equal(vmm.can, {
    readOnly: true,
    serialMax: 0,
    keepsDisks: false,
    growOnline: true,
    growReadOnly: true,
  });
});

test('a recorded refusal of a device is told in xl’s own words', async () => {
  const { host } = xen();
  const run = async (command: Command): Promise<CommandOutput> =>
    command.args[0] === 'block-attach' ? recorded('block-attach (device taken)') : host.run(command);
  const vmm = profiledVmm(bind(profile, { run, files: hostFiles }));
  const error = await failure(vmm.attach(vm, request, signal));
  assert.instance(error, NotDone);
  assert.match(String(error), 'device already exists in xenstore');
});

test('recorded failures to detach', async () => {
  const { host } = xen();
  const vmm = profiledVmm(
    bind(profile, {
      run: async (command) =>
        command.args[0] === 'block-detach' ? recorded('block-detach (not there)') : host.run(command),
      files: hostFiles,
    }),
  );
  await vmm.attach(vm, request, signal);
  await vmm.detach(vm, ID, signal);
  assert.equal(await vmm.disks(vm, signal), [ours], 'what xl says decides nothing');
});

test('a device that would not be known again is not plugged in', async () => {
  const { vmm, changes } = xen();
  for (const path of ['/dev/sdb', `/run/vbs/${ID}.${GRANT}`, `/dev/vbs/vol1123456789abcdef0.${GRANT}`]) {
    const locator = { kind: 'block', path } as const;
    assert.instance(await failure(vmm.attach(vm, { ...request, locator }, signal)), Unsupported, path);
  }
  assert.equal(changes(), []);
});

test.run();
