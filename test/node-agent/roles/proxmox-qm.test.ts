import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createRunCommand, type RunCommand } from '../../../node-agent/exec/command.ts';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile, parseProfile } from '../../../node-agent/profiles/load.ts';
import {
  Busy,
  CannotLook,
  InstanceNotFound,
  NoFreeDevice,
  NotDone,
  Unsupported,
} from '../../../node-agent/roles/errors.ts';
import { findInstance } from '../../../node-agent/roles/instances.ts';
import { profiledVmm } from '../../../node-agent/roles/profiled-vmm.ts';
import type { Instance } from '../../../node-agent/roles/vmm.ts';
import { configsIn, type ProxmoxState, type ProxmoxVM, qm, saveProxmox } from '../../fakes/proxmox/qm.ts';

const file = join(import.meta.dirname, '../../../node-agent/profiles/shipped/proxmox-qm.yaml');
const profile = await loadProfile(file, 'vmm');
const { signal } = new AbortController();

const ID = 'vol0123456789abcdef0';
const GRANT = '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a1111';
const UUID = '37fb0f81-6847-4703-8154-d110fb9fe130';
const PATH = `/dev/vbs/${ID}.${GRANT}`;
const VALUE = `${PATH},serial=${ID},discard=on,backup=0,replicate=0,ro=0`;
const vm: Instance = { name: 'web', uuid: UUID, state: 'Running', vmid: 105 };
const request = {
  volumeID: ID,
  device: 'scsi1',
  readOnly: false,
  locator: { kind: 'block', path: PATH },
  grantUUID: GRANT,
} as const;
const ours = { device: 'scsi1', volumeID: ID, grantUUID: GRANT };

const failure = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

const aVM = (change: Partial<ProxmoxVM> = {}): ProxmoxVM => ({
  name: 'web',
  status: 'running',
  config: { scsi0: 'local-lvm:vm-105-disk-0,size=32G', smbios1: `uuid=${UUID}` },
  pending: {},
  deletes: [],
  held: [],
  ...change,
});

const directories: string[] = [];
const proxmox = (vms: Record<string, ProxmoxVM> = { 105: aVM() }) => {
  const directory = mkdtempSync(join(tmpdir(), 'vbs-proxmox-'));
  directories.push(directory);
  const state: ProxmoxState = { vms, lockTimeouts: 0, calls: [] };
  const real = createRunCommand(directory);
  // The UUIDs are read by the real grep from files such as Proxmox keeps.
  const run: RunCommand = async (command, commandSignal) => {
    saveProxmox(directory, state);
    return command.file === 'qm' ? qm(state, command.args) : real(command, commandSignal);
  };
  const bound = bind(profile, { run, files: hostFiles, params: { configs: configsIn(directory) } });
  const vm105 = vms['105'] ?? aVM();
  const sets = () => state.calls.filter((call) => call.startsWith('set '));
  return { directory, state, vmm: profiledVmm(bound), vm105, sets };
};

const test = suite('proxmox-qm');
test.after(() => {
  for (const directory of directories) {
    rmSync(directory, { recursive: true });
  }
});

/** Nothing of ours, in any view. */
const isClean = ({ config, pending }: ProxmoxVM): boolean =>
  !JSON.stringify([config, pending]).includes('/dev/vbs/');

test('machines have a number for good, a UUID from their configuration, and take no disks without one', async () => {
  const { vmm } = proxmox({
    105: aVM(),
    106: aVM({ name: 'old', config: { smbios1: 'base64=1' } }),
    107: aVM({ name: 'db', status: 'stopped', config: { smbios1: `base64=1,uuid=${GRANT.toUpperCase()}` } }),
    1000: aVM({
      name: 'p',
      status: 'paused',
      config: { smbios1: 'uuid=aaaaaaaa-0000-4000-8000-000000000001,sku=x' },
    }),
  });
  const instances = await vmm.instances(signal);
  assert.equal(instances, [
    vm,
    { name: 'db', uuid: GRANT, state: 'Stopped', vmid: 107 },
    { name: 'p', uuid: 'aaaaaaaa-0000-4000-8000-000000000001', state: 'Paused', vmid: 1000 },
  ]);
  assert.equal(vmm.unidentified(), ['old (106)']);
  assert.is(findInstance(instances, { vmid: 105 }).uuid, UUID);
  assert.throws(
    () => findInstance(instances, { vmid: 106 }),
    (error: unknown) => error instanceof InstanceNotFound,
  );
  assert.throws(
    () => findInstance(instances, { name: '105' }),
    (error: unknown) => error instanceof InstanceNotFound,
  );
});

test('a host without machines', async () => {
  const { vmm } = proxmox({});
  assert.equal(await vmm.instances(signal), []);
});

test('the UUID of a snapshot is not the machine’s', async () => {
  const { vmm, directory, state } = proxmox();
  saveProxmox(directory, state);
  const conf = join(configsIn(directory), '105.conf');
  const text = `name: web\nsmbios1: uuid=${UUID}\n\n[PENDING]\ncores: 2\n\n[before]\nsmbios1: uuid=${GRANT}\n`;
  const real = createRunCommand(directory);
  const run: RunCommand = async (command, commandSignal) => {
    writeFileSync(conf, text);
    return command.file === 'qm' ? qm(state, command.args) : real(command, commandSignal);
  };
  const other = profiledVmm(
    bind(profile, { run, files: hostFiles, params: { configs: configsIn(directory) } }),
  );
  assert.is((await other.instances(signal))[0]?.uuid, UUID);
  assert.is((await vmm.instances(signal))[0]?.uuid, UUID);
});

test('two machines with one UUID take no disks', async () => {
  const { vmm } = proxmox({ 105: aVM(), 106: aVM({ name: 'copy' }) });
  assert.equal(
    (await vmm.instances(signal)).map(({ state }) => state),
    ['Unknown'],
  );
  const [twins] = await vmm.instances(signal);
  assert.ok(twins);
  assert.match(String(await failure(vmm.attach(twins, request, signal))), 'more than one instance');
});

test('attaching and detaching, and again nothing to do; nothing of ours stays', async () => {
  const { vmm, vm105, sets } = proxmox();
  await vmm.attach(vm, request, signal);
  await vmm.attach(vm, request, signal);
  assert.is(vm105.config.scsi1, VALUE);
  assert.equal(await vmm.disks(vm, signal), [{ device: 'scsi0' }, ours]);
  await vmm.detach(vm, ID, signal);
  await vmm.detach(vm, ID, signal);
  assert.ok(isClean(vm105));
  assert.equal(sets(), [`set 105 --scsi1 ${VALUE}`, 'set 105 --delete scsi1']);
});

test('one look tells which machines may hold a disk of ours', async () => {
  const db = aVM({ name: 'db', config: { smbios1: `uuid=${GRANT}` }, pending: { scsi4: VALUE } });
  const { vmm, state } = proxmox({ 105: aVM(), 106: db });
  const all = await vmm.instances(signal);
  assert.equal(
    (await vmm.holders(all, signal)).map(({ vmid }) => vmid),
    [106],
  );
  db.pending = {};
  state.calls.length = 0;
  assert.equal(await vmm.holders(all, signal), []);
  assert.equal(state.calls, ['list --full'], 'however many machines there are');
});

test('another machine under the old number is not taken for the one meant', async () => {
  const { vmm } = proxmox({
    105: aVM({ name: 'other', config: { smbios1: `uuid=${GRANT}`, scsi1: VALUE } }),
  });
  assert.instance(await failure(vmm.disks(vm, signal)), CannotLook);
  assert.instance(await failure(vmm.detach(vm, ID, signal)), CannotLook);
});

test('read-only', async () => {
  const { vmm, vm105 } = proxmox();
  await vmm.attach(vm, { ...request, readOnly: true }, signal);
  assert.match(vm105.config.scsi1 ?? '', /,ro=1$/);
});

test('without hot-plugging of disks it is taken back, and said what helps', async () => {
  for (const hotplug of ['0', 'network,usb']) {
    const { vmm, vm105, sets } = proxmox({ 105: aVM({ config: { hotplug, smbios1: `uuid=${UUID}` } }) });
    const error = await failure(vmm.attach(vm, request, signal));
    assert.instance(error, Unsupported);
    assert.match(String(error), 'let disks of this VM be hot-plugged');
    assert.ok(isClean(vm105));
    assert.is(sets().at(-1), 'set 105 --revert scsi1');
  }
});

test('what QEMU refused is taken back, in Proxmox’s own words', async () => {
  const { vmm, vm105 } = proxmox({ 105: aVM({ plugError: "adding drive failed: can't open" }) });
  const error = await failure(vmm.attach(vm, request, signal));
  assert.instance(error, NotDone);
  assert.match(String(error), 'hotplug problem - adding drive failed');
  assert.ok(isClean(vm105));
});

test('a pending disk of an agent that was killed is seen, and never as plugged in', async () => {
  const { vmm, vm105 } = proxmox({ 105: aVM({ pending: { scsi3: VALUE } }) });
  assert.equal(await vmm.disks(vm, signal), [
    { device: 'scsi0' },
    { ...ours, device: 'scsi3', state: 'pending' },
  ]);
  await vmm.attach(vm, request, signal);
  assert.equal(vm105.pending, {});
  assert.is(vm105.config.scsi1, VALUE);
});

test('taking back a pending disk leaves the one which is in effect there', async () => {
  const theirs = 'local-lvm:vm-105-disk-1';
  const { vmm, vm105 } = proxmox({
    105: aVM({ config: { scsi1: theirs, smbios1: `uuid=${UUID}` }, pending: { scsi1: VALUE } }),
  });
  await vmm.cancel(vm, ID, signal);
  assert.is(vm105.config.scsi1, theirs);
  assert.ok(isClean(vm105));
});

test('slots are chosen in what runs and in what is pending', async () => {
  const busy = aVM({ pending: { scsi1: 'local-lvm:vm-105-disk-1' }, deletes: ['scsi2'] });
  busy.config.scsi2 = 'local-lvm:vm-105-disk-2';
  const { vmm } = proxmox({ 105: busy });
  assert.is(vmm.freeDevice(vm, await vmm.disks(vm, signal)), 'scsi3');
  const all = Array.from({ length: 30 }, (_, index) => ({ device: `scsi${index + 1}` }));
  assert.throws(
    () => vmm.freeDevice(vm, all),
    (error: unknown) => error instanceof NoFreeDevice,
  );
  assert.throws(
    () => vmm.freeDevice(vm, [], 'scsi0'),
    (error: unknown) => error instanceof Unsupported,
  );
});

test('a guest which keeps its disk is asked again until it lets go', async () => {
  const { vmm, vm105, sets } = proxmox();
  await vmm.attach(vm, request, signal);
  vm105.held = ['scsi1'];
  await vmm.detach(vm, ID, signal);
  assert.equal((await vmm.disks(vm, signal)).at(-1), { ...ours, state: 'closing' });
  assert.instance(await failure(vmm.attach(vm, request, signal)), Busy);
  vm105.held = [];
  await vmm.detach(vm, ID, signal);
  assert.ok(isClean(vm105));
  assert.is(sets().filter((call) => call.includes('--delete')).length, 2);
});

test('a stopped machine keeps its disk in its configuration, and it is taken out there', async () => {
  const { vmm, vm105 } = proxmox();
  await vmm.attach(vm, request, signal);
  vm105.status = 'stopped';
  assert.is(vmm.can.keepsDisks, true);
  assert.equal((await vmm.disks(vm, signal)).at(-1), ours);
  await vmm.detach(vm, ID, signal);
  assert.ok(isClean(vm105));
});

test('a disk that was taken out and not forgotten goes as well', async () => {
  const left = aVM();
  left.config.unused0 = PATH;
  const { vmm } = proxmox({ 105: left });
  assert.equal((await vmm.disks(vm, signal)).at(-1), { ...ours, device: 'unused0', state: 'closing' });
  await vmm.detach(vm, ID, signal);
  assert.ok(isClean(left));
});

test('locks are waited for and never taken away', async () => {
  const { vmm, state, vm105, sets } = proxmox();
  state.lockTimeouts = 1;
  const first = await failure(vmm.attach(vm, request, signal));
  assert.instance(first, Busy);
  assert.match(String(first), "can't lock file");
  vm105.lock = 'backup';
  assert.instance(await failure(vmm.attach(vm, request, signal)), Busy);
  delete vm105.lock;
  await vmm.attach(vm, request, signal);
  vm105.lock = 'suspended';
  assert.instance(await failure(vmm.detach(vm, ID, signal)), Busy);
  assert.not.ok(sets().some((call) => call.includes('unlock')));
});

test('a machine that is gone or cannot be seen never has "no disks"', async () => {
  const gone = proxmox({});
  assert.instance(await failure(gone.vmm.disks(vm, signal)), InstanceNotFound);
  const { directory, state } = proxmox();
  for (const pending of ['', 'cur scsi1: x\n', `cur smbios1: uuid=${GRANT}\n`, 'status: running\n']) {
    const real = createRunCommand(directory);
    const run: RunCommand = async (command, commandSignal) => {
      saveProxmox(directory, state);
      if (command.args[0] === 'pending') {
        return { exitCode: 0, stdout: pending, stderr: '' };
      }
      return command.file === 'qm' ? qm(state, command.args) : real(command, commandSignal);
    };
    const vmm = profiledVmm(
      bind(profile, { run, files: hostFiles, params: { configs: configsIn(directory) } }),
    );
    assert.instance(await failure(vmm.disks(vm, signal)), CannotLook, pending);
  }
  const nowhere = bind(profile, {
    run: async (command, commandSignal) =>
      command.file === 'qm' ? qm(state, command.args) : createRunCommand(directory)(command, commandSignal),
    files: hostFiles,
    params: { configs: join(directory, 'no-such-place/') },
  });
  assert.instance(await failure(profiledVmm(nowhere).instances(signal)), CannotLook);
});

test('the stand-in as a program of its own, found by the profile’s search path', async () => {
  const { directory, state } = proxmox();
  saveProxmox(directory, state);
  const script = join(import.meta.dirname, '../../fakes/proxmox/qm.ts');
  writeFileSync(
    join(directory, 'qm'),
    `#!/bin/sh\nexec '${process.execPath}' --no-warnings '${script}' '${directory}' "$@"\n`,
  );
  chmodSync(join(directory, 'qm'), 0o755);
  const text = execFileSync('cat', [file], { encoding: 'utf8' }).replace(
    'path: "/usr/sbin:',
    `path: "${directory}:/usr/sbin:`,
  );
  const bound = bind(parseProfile(text, 'proxmox-qm.yaml', 'vmm'), {
    run: createRunCommand(directory),
    files: hostFiles,
    params: { configs: configsIn(directory) },
  });
  const vmm = profiledVmm(bound);
  await vmm.attach(vm, request, signal);
  assert.equal((await vmm.disks(vm, signal)).at(-1), ours);
  await vmm.detach(vm, ID, signal);
  assert.equal(await vmm.disks(vm, signal), [{ device: 'scsi0' }]);
});

test('a device that would not be known again is not plugged in', async () => {
  const { vmm, sets } = proxmox();
  for (const path of ['/dev/sdb', `/run/vbs/${ID}.${GRANT}`, `/dev/vbs/vol1123456789abcdef0.${GRANT}`]) {
    const locator = { kind: 'block', path } as const;
    assert.instance(await failure(vmm.attach(vm, { ...request, locator }, signal)), Unsupported, path);
  }
  assert.equal(sets(), []);
});

test.run();
