import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Command, CommandOutput } from '../../../node-agent/exec/command.ts';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import {
  CannotLook,
  Denied,
  DeviceInUse,
  InstanceAmbiguous,
  InstanceNotFound,
  InstanceNotRunning,
  Mismatch,
  NoFreeDevice,
  NotDone,
  Unsupported,
} from '../../../node-agent/roles/errors.ts';
import { findInstance } from '../../../node-agent/roles/instances.ts';
import { splitPortal } from '../../../node-agent/roles/portal.ts';
import { profiledVmm } from '../../../node-agent/roles/profiled-vmm.ts';
import type { Instance } from '../../../node-agent/roles/vmm.ts';

const root = join(import.meta.dirname, '../../..');
const fixture = (name: string): string => readFileSync(join(root, 'test/fixtures/libvirt', name), 'utf8');
const errors: Readonly<Record<string, { exit: number; stderr: string }>> = JSON.parse(fixture('errors.json'));
const profile = await loadProfile(join(root, 'node-agent/profiles/shipped/libvirt-virsh.yaml'), 'vmm');
const { signal } = new AbortController();

const ID = 'vol0123456789abcdef0';
const GRANT = '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a1111';
const vm: Instance = { name: 'vm1', uuid: 'a0c2f2d8-92fd-4688-853c-a32a0db27281', state: 'Running' };
const locator = {
  kind: 'iscsi',
  portal: '10.0.0.1:3260',
  iqn: `iqn.2026-11.dev.vbs:${ID}`,
  lun: 1,
  initiator: 'iqn.2026-11.dev.vbs:host1',
  chap: { user: 'u1', password: 'hunter22hunter22' },
} as const;
const request = { volumeID: ID, device: 'vdb', readOnly: false, locator, grantUUID: GRANT };

const withDisk = fixture('virsh dumpxml --domain UUID (running, iscsi disk).xml');
const withoutDisk = withDisk.replace(/ {4}<disk.*<\/disk>\n/s, '');
const said = (stdout: string): CommandOutput => ({ exitCode: 0, stdout, stderr: '' });
const failed = (what: string): CommandOutput => {
  const { exit, stderr } = errors[what] ?? { exit: 1, stderr: what };
  return { exitCode: exit, stdout: '', stderr };
};

/** virsh that answers by its subcommand; `disks` may change with each attach. */
const world = (answers: Readonly<Record<string, (count: number) => CommandOutput>>) => {
  const commands: Command[] = [];
  const counts = new Map<string, number>();
  const run = async (command: Command): Promise<CommandOutput> => {
    commands.push(command);
    const verb = command.args[2] ?? '';
    const count = (counts.get(verb) ?? 0) + 1;
    counts.set(verb, count);
    return answers[verb]?.(count) ?? said('');
  };
  const vmm = profiledVmm(bind(profile, { run, files: hostFiles }));
  return { vmm, commands, verbs: () => commands.map(({ args }) => args[2]) };
};
const failure = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

const test = suite('the vmm procedure');

test('an attached volume is seen by its alias', async () => {
  const { vmm } = world({ dumpxml: () => said(withDisk) });
  assert.equal(await vmm.disks(vm, signal), [
    { device: 'vdb', volumeID: ID, iqn: locator.iqn, grantUUID: GRANT },
  ]);
});

test('a machine that is gone, off or not to be seen never has "no disks"', async () => {
  const cases = [
    [failed('dumpxml (no such domain)'), InstanceNotFound],
    [said(fixture('virsh dumpxml --domain UUID (shut off).xml')), InstanceNotRunning],
    [failed('list (no daemon)'), CannotLook],
    [said(''), CannotLook],
    [said(withDisk.slice(0, 900)), CannotLook],
    [said(withDisk.replaceAll(vm.uuid, GRANT)), CannotLook],
    [said(withDisk.replace('<target dev=', '<target x=')), CannotLook],
  ] as const;
  for (const [answer, kind] of cases) {
    const { vmm } = world({ dumpxml: () => answer });
    assert.instance(await failure(vmm.disks(vm, signal)), kind);
  }
});

test('attaching hands the password over, attaches, and takes the password back', async () => {
  const { vmm, verbs, commands } = world({ dumpxml: (count) => said(count === 1 ? withoutDisk : withDisk) });
  await vmm.attach(vm, request, signal);
  assert.equal(verbs(), [
    'dumpxml',
    'secret-define',
    'secret-set-value',
    'attach-device',
    'secret-undefine',
    'dumpxml',
  ]);
  assert.not.match(JSON.stringify(commands.map(({ args }) => args)), 'hunter');
  assert.not.match(JSON.stringify(commands.map(({ args }) => args)), '--config');
});

test('a disk is shown its new size, and the size is QEMU’s own', async () => {
  const GROWN = 32n * 1024n * 1024n;
  const recorded = fixture('virsh domblkinfo UUID vdb (iscsi disk).txt');
  const info = (bytes: bigint) => said(recorded.replaceAll(String(GROWN), String(bytes)));
  const { vmm, commands } = world({
    dumpxml: () => said(withDisk),
    domblkinfo: (count) => info(count === 1 ? 16_777_216n : GROWN),
  });
  assert.is(await vmm.diskBytes(vm, ID, signal), 16_777_216n);
  await vmm.resize(vm, ID, GROWN, signal);
  assert.is(await vmm.diskBytes(vm, ID, signal), GROWN);
  const [resized] = commands.filter(({ args }) => args[2] === 'blockresize');
  assert.equal(resized?.args.slice(3), [vm.uuid, 'vdb', '33554432B']);
});

test('a new size that QEMU does not take is no success, and a disk that is not there has none', async () => {
  for (const [name, words] of [
    ['blockresize (before the target shows it, iscsi disk)', 'Cannot grow iSCSI devices'],
    ['blockresize (read-only disk)', 'readonly disk'],
  ] as const) {
    const { vmm } = world({
      dumpxml: () => said(withDisk),
      blockresize: () => ({ exitCode: 1, stdout: '', stderr: errors[name]?.stderr ?? '' }),
    });
    const error = await failure(vmm.resize(vm, ID, 1n << 40n, signal));
    assert.instance(error, NotDone);
    assert.match((error as Error).message, words);
  }
  const without = world({ dumpxml: () => said(withoutDisk) });
  await without.vmm.resize(vm, ID, 1n, signal);
  assert.is(await without.vmm.diskBytes(vm, ID, signal), undefined);
  assert.equal(without.verbs(), ['dumpxml', 'dumpxml']);
});

test('the password is taken back also when attaching fails', async () => {
  const { vmm, verbs } = world({
    dumpxml: () => said(withoutDisk),
    'attach-device': () => failed('attach-device (wrong password)'),
  });
  assert.instance(await failure(vmm.attach(vm, request, signal)), Denied);
  assert.ok(verbs().includes('secret-undefine'));
});

test('what is attached already is left alone', async () => {
  const { vmm, verbs } = world({ dumpxml: () => said(withDisk) });
  await vmm.attach(vm, request, signal);
  assert.equal(verbs(), ['dumpxml']);
  assert.instance(await failure(vmm.attach(vm, { ...request, device: 'vdc' }, signal)), Mismatch);
});

test('a command that failed and did it after all has done it', async () => {
  const { vmm } = world({
    dumpxml: (count) => said(count === 1 ? withoutDisk : withDisk),
    'attach-device': () => failed('timed out during operation'),
  });
  await vmm.attach(vm, request, signal);
});

test('failures to attach are told apart', async () => {
  const cases = [
    ['attach-device (slots)', NoFreeDevice],
    ['attach-device (not running)', InstanceNotRunning],
    ['attach-device (no such domain)', InstanceNotFound],
  ] as const;
  for (const [what, kind] of cases) {
    const { vmm } = world({ dumpxml: () => said(withoutDisk), 'attach-device': () => failed(what) });
    assert.instance(await failure(vmm.attach(vm, request, signal)), kind, what);
  }
  const taken = withDisk.replaceAll(ID, 'somebody-elses-disk1');
  const { vmm } = world({
    dumpxml: (count) => said(count === 1 ? withoutDisk : taken),
    'attach-device': () => failed('attach-device (device taken)'),
  });
  assert.instance(await failure(vmm.attach(vm, request, signal)), DeviceInUse);
});

test('detaching asks once, and not for what is not there', async () => {
  const there = world({ dumpxml: () => said(withDisk) });
  await there.vmm.detach(vm, ID, signal);
  assert.equal(there.verbs(), ['dumpxml', 'detach-device-alias']);
  const gone = world({ dumpxml: () => said(withoutDisk) });
  await gone.vmm.detach(vm, ID, signal);
  assert.equal(gone.verbs(), ['dumpxml']);
});

test('the first free device is vdb, and one that is taken or unknown is refused', () => {
  const { vmm } = world({});
  assert.is(vmm.freeDevice(vm, []), 'vdb');
  assert.is(vmm.freeDevice(vm, [{ device: 'vdb' }, { device: 'vdd' }]), 'vdc');
  assert.is(vmm.freeDevice(vm, [], 'vda'), 'vda');
  assert.throws(
    () => vmm.freeDevice(vm, [{ device: 'vdb' }], 'vdb'),
    (error: unknown) => error instanceof DeviceInUse,
  );
  assert.throws(
    () => vmm.freeDevice(vm, [], 'xvda'),
    (error: unknown) => error instanceof Unsupported,
  );
  const all = [...'abcdefghijklmnopqrstuvwxyz'].map((letter) => ({ device: `vd${letter}` }));
  assert.throws(
    () => vmm.freeDevice(vm, all),
    (error: unknown) => error instanceof NoFreeDevice,
  );
});

test('a machine between two states is in neither', async () => {
  const row = (uuid: string) => `${uuid} vm\n\n`;
  const lists: readonly string[] = [
    row(GRANT),
    row(GRANT),
    row(vm.uuid),
    `${row(GRANT)}${row(vm.uuid)}${row('11111111-2222-4333-8444-555555555555')}`,
  ];
  const { vmm } = world({ list: (count) => said(lists[count - 1] ?? '') });
  assert.equal(
    (await vmm.instances(signal)).map(({ state }) => state),
    ['Unknown', 'Stopped', 'Unknown'],
  );
});

test('a name is compared with names only, a UUID with UUIDs only', () => {
  const tricky: readonly Instance[] = [
    vm,
    { name: vm.uuid, uuid: GRANT, state: 'Running' },
    { name: '1', uuid: '11111111-2222-4333-8444-555555555555', state: 'Running' },
  ];
  assert.is(findInstance(tricky, { uuid: vm.uuid.toUpperCase() }).name, 'vm1');
  assert.is(findInstance(tricky, { name: vm.uuid }).uuid, GRANT);
  assert.is(findInstance(tricky, { name: '1' }).uuid, '11111111-2222-4333-8444-555555555555');
  assert.throws(
    () => findInstance(tricky, { name: 'VM1' }),
    (error: unknown) => error instanceof InstanceNotFound,
  );
  assert.throws(
    () => findInstance([vm, { ...vm, uuid: GRANT }], { name: 'vm1' }),
    (error: unknown) => error instanceof InstanceAmbiguous,
  );
});

test('secrets of ours that stayed behind are found, those of others are not', async () => {
  const { vmm, verbs } = world({ 'secret-list': () => said(fixture('virsh secret-list.txt')) });
  assert.equal(await vmm.residue(signal), [{ grantUUID: GRANT }]);
  await vmm.cleanResidue(GRANT, signal);
  assert.is(verbs().at(-1), 'secret-undefine');
});

test('portals', () => {
  assert.equal(splitPortal('10.0.0.1:3261'), { host: '10.0.0.1', port: 3261 });
  assert.equal(splitPortal('[fd00::1]:3260'), { host: 'fd00::1', port: 3260 });
  assert.equal(splitPortal('vs1.example'), { host: 'vs1.example', port: 3260 });
  for (const bad of ['', ':3260', 'a:b', 'a:70000', 'fd00::1:3260', 'a b:1']) {
    assert.throws(() => splitPortal(bad), undefined, bad);
  }
});

test.run();
