// The shipped profiles against the real tools: files on a real file system, a real tgtd, libiscsi's own tools, a real
// libvirt and a running guest. Everything is private to the test's folder; needs root.

import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { copyInitiatorName } from '../../api/names.ts';
import { createRunCommand } from '../../node-agent/exec/command.ts';
import { hostFiles } from '../../node-agent/exec/files.ts';
import { createLocks } from '../../node-agent/exec/locks.ts';
import { type BoundProfile, bind, type CommandEvent } from '../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../node-agent/profiles/load.ts';
import type { Settings } from '../../node-agent/profiles/settings.ts';
import type { RoleName } from '../../node-agent/profiles/vocabulary.ts';
import {
  Busy,
  CannotLook,
  Denied,
  DeviceInUse,
  InstanceNotFound,
  InstanceNotRunning,
  NoSpace,
  NotDone,
  NotOurs,
  PoolMissing,
} from '../../node-agent/roles/errors.ts';
import { iqnOf } from '../../node-agent/roles/exports.ts';
import type { Connection } from '../../node-agent/roles/initiator.ts';
import { findInstance } from '../../node-agent/roles/instances.ts';
import type { Pool } from '../../node-agent/roles/pool.ts';
import { profiledPool } from '../../node-agent/roles/profiled-pool.ts';
import { profiledTarget } from '../../node-agent/roles/profiled-target.ts';
import { profiledVmm } from '../../node-agent/roles/profiled-vmm.ts';
import { profiledReader, type Reader } from '../../node-agent/roles/reader.ts';
import type { Target } from '../../node-agent/roles/target.ts';
import type { Instance, Vmm } from '../../node-agent/roles/vmm.ts';
import { vmmInitiator } from '../../node-agent/roles/vmm-initiator.ts';
import { type Guest, startGuest } from '../harness/guest.ts';
import { type Libvirtd, startLibvirtd } from '../harness/libvirtd.ts';
import { loud } from '../harness/loud.ts';
import { startTgtd, type Tgtd } from '../harness/tgtd.ts';
import { makeWorkdir, type Workdir } from '../harness/workdir.ts';

const MIB = 1024n * 1024n;
const CLUSTER = '0b1c9f5e-4a55-4c6b-9a0e-3b2f1f6f7a01';
const HOST = 'iqn.2026-11.dev.vbs:host1';
const OTHER = 'iqn.2026-11.dev.vbs:host2';
const GRANT = '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a1111';
const chap = { user: 'grant1', password: 'a0b1c2d3e4f5a6b7c8d9' };
const owner = { clusterID: CLUSTER, namespace: 'default', name: 'db' };
const { signal } = new AbortController();
const log = (): void => undefined;
const shipped = path.join(import.meta.dirname, '../../node-agent/profiles/shipped');

interface World {
  readonly workdir: Workdir;
  readonly tgtd: Tgtd;
  readonly libvirtd: Libvirtd;
  readonly guest: Guest;
  readonly events: CommandEvent[];
  readonly pool: Pool;
  readonly target: Target;
  readonly vmm: Vmm;
  readonly initiator: ReturnType<typeof vmmInitiator>;
  readonly reader: Reader;
}

let world: World;

const within = async (what: string, check: () => Promise<boolean>, timeoutMs = 20_000): Promise<void> => {
  const deadline = Date.now() + timeoutMs;
  while (!(await check())) {
    if (Date.now() > deadline) {
      throw new Error(`${what} did not happen within ${timeoutMs} ms`);
    }
    await sleep(50);
  }
};

const failsWith = async (
  work: Promise<unknown>,
  kind: abstract new (...args: never[]) => Error,
): Promise<Error> => {
  try {
    await work;
  } catch (error) {
    if (error instanceof kind) {
      return error;
    }
    throw error;
  }
  throw new Error(`no ${kind.name}`);
};

const volumeIDOf = (digit: string): string => `vol${digit.repeat(17)}`;

const connectionOf = (volumeID: string): Connection => ({
  volumeID,
  grantUUID: '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a1111',
  iqn: iqnOf(volumeID),
  lun: 1,
  portal: world.tgtd.portal,
  initiator: HOST,
  chap,
});

const exportOf = async (volumeID: string) =>
  (await world.target.observe(signal)).find((one) => one.volumeID === volumeID);

const theGuest = async (): Promise<Instance> =>
  findInstance(await world.vmm.instances(signal), { name: world.guest.name });

/** A complete backing, exported to nobody yet. */
const makeExport = async (volumeID: string, sizeBytes = 16n * MIB): Promise<string> => {
  const { pool, target } = world;
  await pool.create(volumeID, sizeBytes, owner, signal);
  await pool.complete(volumeID, sizeBytes, signal);
  const { backings } = await pool.observe(signal);
  const backing = backings.find(({ id }) => id === volumeID);
  assert.ok(backing);
  await target.open(volumeID, { path: backing.path, serial: volumeID, sizeBytes, readOnly: false }, signal);
  return backing.path;
};

const removeExport = async (volumeID: string): Promise<void> => {
  const { pool, target } = world;
  await target.close(volumeID, signal);
  await pool.retire(volumeID, signal);
  await pool.free(volumeID, signal);
};

const attachTo = async (instance: Instance, volumeID: string, device?: string): Promise<string> => {
  const { vmm, initiator } = world;
  const locator = await initiator.connect(connectionOf(volumeID), signal);
  const chosen = vmm.freeDevice(instance, await vmm.disks(instance, signal), device);
  const request = { volumeID, device: chosen, readOnly: false, locator, grantUUID: GRANT };
  await vmm.attach(instance, request, signal);
  return chosen;
};

const detachFrom = async (instance: Instance, volumeID: string): Promise<void> => {
  const { vmm } = world;
  await vmm.detach(instance, volumeID, signal);
  await within(`${volumeID} leaving ${instance.name}`, async () => {
    const disks = await vmm.disks(instance, signal);
    return disks.every((disk) => disk.volumeID !== volumeID);
  });
};

const sessionsGone = (volumeID: string) =>
  within(`the session of ${volumeID} ending`, async () => (await exportOf(volumeID))?.sessions.length === 0);

const test = suite('the roles against the real tools');

test.before(
  loud(async () => {
    const workdir = await makeWorkdir(log);
    const dir = workdir.dir;
    const pools = path.join(dir, 'pool');
    await mkdir(pools);
    const [tgtd, libvirtd] = await Promise.all([startTgtd({ dir, log }), startLibvirtd({ dir, log })]);
    const guest = await startGuest({ libvirtd, name: 'vm1', log });
    const events: CommandEvent[] = [];
    const locks = createLocks();
    const load = async (name: string, role: RoleName, params: Settings): Promise<BoundProfile> =>
      bind(await loadProfile(path.join(shipped, `${name}.yaml`), role), {
        run: createRunCommand(dir),
        files: hostFiles,
        params,
        locks,
        directory: dir,
        onCommand: (event) => events.push(event),
      });
    const pool = profiledPool(await load('file', 'pool', { dir: pools }), { name: 'p', clusterID: CLUSTER });
    const tgt = await load('tgt', 'target', { controlPort: tgtd.controlPort });
    const target = profiledTarget(tgt, { portals: [tgtd.portal] });
    const vmm = profiledVmm(await load('libvirt-virsh', 'vmm', { uri: libvirtd.uri }));
    const qemu = await load('qemu', 'initiator', {});
    const initiator = vmmInitiator(qemu);
    const reader = profiledReader(qemu);
    assert.ok(reader);
    await pool.prepare(signal);
    world = { workdir, tgtd, libvirtd, guest, events, pool, target, vmm, initiator, reader };
  }),
);

test.after(async () => {
  await world?.libvirtd.stop();
  await world?.tgtd.stop();
  await world?.workdir.remove();
});

test('a volume goes through its three names and leaves nothing behind', async () => {
  const { pool, workdir } = world;
  const id = volumeIDOf('0');
  const stateOf = async () => (await pool.observe(signal)).backings.find((one) => one.id === id)?.state;
  const before = await pool.observe(signal);
  await pool.create(id, 3n * MIB + 1n, owner, signal);
  await pool.create(id, 3n * MIB + 1n, owner, signal);
  assert.is(await stateOf(), 'provisional');
  await pool.complete(id, 3n * MIB + 1n, signal);
  await pool.complete(id, 3n * MIB + 1n, signal);
  const [backing] = (await pool.observe(signal)).backings;
  assert.is(backing?.state, 'complete');
  assert.is(backing?.sizeBytes, 4n * MIB);
  assert.is(backing?.clusterID, CLUSTER);
  await pool.grow(id, 6n * MIB, signal);
  assert.is((await pool.observe(signal)).backings[0]?.sizeBytes, 6n * MIB);
  await pool.retire(id, signal);
  await pool.retire(id, signal);
  assert.is(await stateOf(), 'dying');
  await pool.free(id, signal);
  await pool.free(id, signal);
  assert.equal(await readdir(path.join(workdir.dir, 'pool')), ['.vbs-pool']);
  assert.is((await pool.observe(signal)).identity, before.identity);
});

test('a volume larger than the pool is refused and leaves nothing behind', async () => {
  const { pool, workdir } = world;
  const { freeBytes } = await pool.observe(signal);
  await failsWith(pool.create(volumeIDOf('1'), freeBytes + MIB, owner, signal), NoSpace);
  assert.equal(await readdir(path.join(workdir.dir, 'pool')), ['.vbs-pool']);
});

test('a pool whose file system is not mounted is missing, not empty', async () => {
  const { pool, workdir } = world;
  const place = path.join(workdir.dir, 'pool');
  await rename(place, `${place}.away`);
  await failsWith(pool.observe(signal), PoolMissing);
  await mkdir(place);
  await failsWith(pool.observe(signal), PoolMissing);
  await failsWith(pool.create(volumeIDOf('2'), MIB, owner, signal), PoolMissing);
  await rm(place, { recursive: true });
  await rename(`${place}.away`, place);
  assert.equal((await pool.observe(signal)).backings, []);
});

test('a volume of another cluster is shown and never touched', async () => {
  const { pool } = world;
  const id = volumeIDOf('3');
  const other = profiledPool(
    bind(await loadProfile(path.join(shipped, 'file.yaml'), 'pool'), {
      run: createRunCommand(),
      files: hostFiles,
      params: { dir: path.join(world.workdir.dir, 'pool') },
    }),
    { name: 'p', clusterID: GRANT },
  );
  await other.create(id, MIB, { ...owner, clusterID: GRANT }, signal);
  assert.is((await pool.observe(signal)).backings[0]?.foreign, true);
  await failsWith(pool.retire(id, signal), NotOurs);
  await other.retire(id, signal);
  await other.free(id, signal);
});

test('only the right name with the right password is let in, and the device says who it is', async () => {
  const { target, initiator, tgtd } = world;
  const id = volumeIDOf('4');
  await makeExport(id);
  const right = connectionOf(id);
  await failsWith(initiator.verify(right, signal), Denied);
  await target.allow(id, HOST, chap, signal);
  await target.allow(id, HOST, chap, signal);
  assert.equal(await initiator.verify(right, signal), { serial: id, sizeBytes: 16n * MIB });
  await failsWith(initiator.verify({ ...right, initiator: OTHER }, signal), Denied);
  await failsWith(
    initiator.verify({ ...right, chap: { ...chap, password: 'another0password' } }, signal),
    Denied,
  );
  await failsWith(initiator.verify({ ...right, chap: { ...chap, user: 'somebody' } }, signal), Denied);
  const url = `iscsi://${tgtd.portal}/${iqnOf(id)}/1`;
  const bare = { file: 'iscsi-inq', args: ['-i', HOST, url], timeoutMs: 10_000 };
  const unnamed = await createRunCommand()(bare, signal);
  assert.is.not(unnamed.exitCode, 0, 'without CHAP');
  await target.deny(id, HOST, chap.user, signal);
  await target.deny(id, HOST, chap.user, signal);
  await failsWith(initiator.verify(right, signal), Denied);
  const seen = await exportOf(id);
  assert.equal([seen?.allowed, seen?.chapUsers, seen?.ready], [[], [], true]);
  await removeExport(id);
  assert.is(await exportOf(id), undefined);
});

test('an address that somebody put on the access list is seen and taken off', async () => {
  const { target, tgtd } = world;
  const id = volumeIDOf('5');
  await makeExport(id);
  await tgtd.tgtadm(['--lld', 'iscsi', '--op', 'bind', '--mode', 'target', '--tid', '1', '-I', 'ALL']);
  assert.equal((await exportOf(id))?.allowed, ['ALL']);
  await target.deny(id, 'ALL', '', signal);
  assert.equal((await exportOf(id))?.allowed, []);
  await removeExport(id);
});

test('foreign targets are neither shown nor touched', async () => {
  const { target, tgtd } = world;
  const id = volumeIDOf('6');
  await tgtd.tgtadm([
    '--lld',
    'iscsi',
    '--op',
    'new',
    '--mode',
    'target',
    '--tid',
    '7',
    '-T',
    'iqn.2001-04.org.example:x',
  ]);
  await makeExport(id);
  assert.equal(
    (await target.observe(signal)).map(({ volumeID }) => volumeID),
    [id],
  );
  await removeExport(id);
  assert.match(await tgtd.tgtadm(['--lld', 'iscsi', '--op', 'show', '--mode', 'target']), 'org.example:x');
  await tgtd.tgtadm(['--lld', 'iscsi', '--op', 'delete', '--mode', 'target', '--tid', '7']);
});

test('a half-made export is finished', async () => {
  const { target, tgtd } = world;
  const id = volumeIDOf('7');
  const file = await makeExport(id);
  await target.close(id, signal);
  await tgtd.tgtadm(['--lld', 'iscsi', '--op', 'new', '--mode', 'target', '--tid', '3', '-T', iqnOf(id)]);
  assert.is((await exportOf(id))?.ready, false);
  const spec = { path: file, serial: id, sizeBytes: 16n * MIB, readOnly: false };
  await target.open(id, spec, signal);
  assert.is((await exportOf(id))?.ready, true);
  await target.open(id, { ...spec, readOnly: true }, signal);
  assert.is((await exportOf(id))?.readOnly, true);
  await removeExport(id);
});

test('a guest reads and writes an attached volume, across a restart of libvirt and of the target', async () => {
  const { target, vmm, guest, tgtd, libvirtd, initiator } = world;
  const id = volumeIDOf('8');
  const file = await makeExport(id);
  await target.allow(id, HOST, chap, signal);
  assert.equal(await initiator.verify(connectionOf(id), signal), { serial: id, sizeBytes: 16n * MIB });
  const instance = await theGuest();
  assert.is(await attachTo(instance, id), 'vdb');
  await guest.writeMarker(id, 'first');
  assert.is(await guest.readMarker(id), 'first');
  assert.is(await guest.sizeBytes(id), 16n * MIB);
  assert.equal(await vmm.disks(instance, signal), [
    { device: 'vdb', volumeID: id, iqn: iqnOf(id), grantUUID: GRANT },
  ]);
  // QEMU tells the size, and takes only one which the target has.
  assert.is(await vmm.diskBytes(instance, id, signal), 16n * MIB);
  await vmm.resize(instance, id, 16n * MIB, signal);
  await failsWith(vmm.resize(instance, id, 32n * MIB, signal), NotDone);
  assert.is(await vmm.diskBytes(instance, id, signal), 16n * MIB);
  assert.equal(await vmm.residue(signal), []);
  assert.equal((await exportOf(id))?.sessions, [HOST]);
  await failsWith(target.close(id, signal), Busy);
  await failsWith(target.cut(id, HOST, signal), Busy);

  await libvirtd.restart();
  assert.is(await guest.readMarker(id), 'first');
  await tgtd.kill();
  await failsWith(target.observe(signal), CannotLook);
  await tgtd.restart();
  assert.equal(await target.observe(signal), []);
  await target.open(id, { path: file, serial: id, sizeBytes: 16n * MIB, readOnly: false }, signal);
  await target.allow(id, HOST, chap, signal);
  await guest.writeMarker(id, 'second');
  assert.is(await guest.readMarker(id), 'second');

  await detachFrom(instance, id);
  await within('the disk leaving the guest', async () => {
    const { stdout } = await guest.run('cat /sys/block/*/serial 2>/dev/null');
    return !stdout.includes(id);
  });
  await sessionsGone(id);
  assert.equal(await vmm.disks(instance, signal), []);
  await target.deny(id, HOST, chap.user, signal);
  await removeExport(id);
});

/** tgt opens a file again only while its LUN is off line, so no profile may ask it to; here it is what makes a target grow. */
const showNewSize = async (id: string, file: string): Promise<void> => {
  const { tgtd } = world;
  const shown = await tgtd.tgtadm(['--lld', 'iscsi', '--op', 'show', '--mode', 'target']);
  const tid = new RegExp(`^Target (\\d+): ${iqnOf(id)}$`, 'm').exec(shown)?.[1] ?? '';
  for (const params of ['online=0', `path=${file}`]) {
    const lun = ['--mode', 'logicalunit', '--tid', tid, '--lun', '1', '--params', params];
    await tgtd.tgtadm(['--lld', 'iscsi', '--op', 'update', ...lun]);
  }
};

test('a running guest is shown that its disk has grown, as soon as its target shows it', async () => {
  const { pool, target, vmm, guest, initiator } = world;
  const id = volumeIDOf('d');
  const file = await makeExport(id);
  await target.allow(id, HOST, chap, signal);
  const instance = await theGuest();
  await attachTo(instance, id);
  await guest.writeMarker(id, 'before');
  await pool.grow(id, 32n * MIB, signal);
  assert.is((await initiator.verify(connectionOf(id), signal)).sizeBytes, 16n * MIB, 'tgt keeps the size');
  const early = await failsWith(vmm.resize(instance, id, 32n * MIB, signal), NotDone);
  assert.match(early.message, 'Cannot grow iSCSI devices');

  await showNewSize(id, file);
  assert.is((await initiator.verify(connectionOf(id), signal)).sizeBytes, 32n * MIB);
  assert.is(await vmm.diskBytes(instance, id, signal), 16n * MIB, 'QEMU asks only when it is told to');
  await vmm.resize(instance, id, 32n * MIB, signal);
  assert.is(await vmm.diskBytes(instance, id, signal), 32n * MIB);
  assert.is(await guest.sizeBytes(id), 32n * MIB);
  assert.is(await guest.readMarker(id), 'before');
  await guest.write(id, Number(31n * MIB), Buffer.from('at the new end'));
  assert.is((await guest.read(id, Number(31n * MIB), 14)).toString(), 'at the new end');

  await detachFrom(instance, id);
  await sessionsGone(id);
  await target.deny(id, HOST, chap.user, signal);
  await removeExport(id);
});

test('a disk that may only be read keeps its size', async () => {
  const { pool, target, vmm, guest, initiator } = world;
  const id = volumeIDOf('e');
  const file = await makeExport(id);
  await target.allow(id, HOST, chap, signal);
  const instance = await theGuest();
  const locator = await initiator.connect(connectionOf(id), signal);
  const request = { volumeID: id, device: 'vdb', readOnly: true, locator, grantUUID: GRANT };
  await vmm.attach(instance, request, signal);
  await guest.waitForDisk(id);
  await pool.grow(id, 32n * MIB, signal);
  await showNewSize(id, file);
  await failsWith(vmm.resize(instance, id, 32n * MIB, signal), NotDone);
  assert.equal([vmm.can.growOnline, vmm.can.growReadOnly], [true, false], 'as its profile says');
  assert.is(await vmm.diskBytes(instance, id, signal), 16n * MIB);
  await detachFrom(instance, id);
  await sessionsGone(id);
  await target.deny(id, HOST, chap.user, signal);
  await removeExport(id);
});

test('devices and instances that are not there are said so', async () => {
  const { vmm, target, guest } = world;
  const [first, second] = [volumeIDOf('9'), volumeIDOf('a')];
  await makeExport(first);
  await makeExport(second);
  await target.allow(first, HOST, chap, signal);
  await target.allow(second, HOST, { ...chap, user: 'grant2' }, signal);
  const instance = await theGuest();
  await attachTo(instance, first, 'vdc');
  await guest.waitForDisk(first);
  await failsWith(attachTo(instance, second, 'vdc'), DeviceInUse);
  const locator = { ...connectionOf(second), kind: 'iscsi' as const };
  const wrong = { volumeID: second, device: 'vdd', readOnly: false, locator, grantUUID: GRANT };
  await failsWith(vmm.attach(instance, wrong, signal), Denied);
  assert.equal(await vmm.residue(signal), []);
  await detachFrom(instance, first);
  const ghost = { name: 'ghost', uuid: CLUSTER, state: 'Running' as const };
  await failsWith(vmm.disks(ghost, signal), InstanceNotFound);
  for (const id of [first, second]) {
    await sessionsGone(id);
    await removeExport(id);
  }
});

test('another server reads a range of what is exported read-only, and nobody else does', async () => {
  const { target, reader, workdir } = world;
  const id = 'snap0123456789abcdef';
  const file = path.join(workdir.dir, 'exported');
  const chunk = path.join(workdir.dir, 'chunk');
  const bytes = Buffer.alloc(Number(4n * MIB), 0);
  bytes.fill('here', Number(MIB), Number(MIB) + 70_000);
  await writeFile(file, bytes);
  await target.open(id, { path: file, serial: id, sizeBytes: 4n * MIB, readOnly: true }, signal);
  const initiator = copyInitiatorName(volumeIDOf('1'), 1);
  await target.allow(id, initiator, { ...chap, readOnly: true }, signal);
  const right = { ...connectionOf(id), initiator };
  assert.equal(await reader.verify(right, signal), { serial: id, sizeBytes: 4n * MIB });
  for (const range of [
    { offset: 0n, length: 2n * MIB },
    { offset: 2n * MIB, length: 2n * MIB },
  ]) {
    await reader.read(right, range, chunk, signal);
    const wanted = bytes.subarray(Number(range.offset), Number(range.offset + range.length));
    assert.ok((await readFile(chunk)).equals(wanted), `from ${range.offset} on`);
  }
  const range = { offset: 0n, length: MIB };
  await failsWith(reader.read({ ...right, initiator: OTHER }, range, chunk, signal), Denied);
  const wrong = { ...chap, password: 'another0password' };
  await failsWith(reader.read({ ...right, chap: wrong }, range, chunk, signal), Denied);
  // What is not whole is no answer.
  await failsWith(reader.read(right, { offset: 3n * MIB, length: 2n * MIB }, chunk, signal), CannotLook);
  await sessionsGone(id);
  await target.deny(id, initiator, chap.user, signal);
  await failsWith(reader.read(right, range, chunk, signal), Denied);
  await target.close(id, signal);
});

test('a cut initiator is out and stays out', async () => {
  const { target, guest } = world;
  const id = volumeIDOf('b');
  await makeExport(id);
  await target.allow(id, HOST, chap, signal);
  const instance = await theGuest();
  await attachTo(instance, id);
  await guest.writeMarker(id, 'before');
  await target.deny(id, HOST, chap.user, signal);
  assert.equal((await exportOf(id))?.sessions, [HOST]);
  await target.cut(id, HOST, signal);
  // The guest's writes make QEMU try to come back.
  const device = await guest.findDisk(id);
  await guest.run(`dd if=/dev/zero of=${device} bs=4096 count=1 oflag=direct >/dev/null 2>&1 &`);
  const deadline = Date.now() + 6_000;
  while (Date.now() < deadline) {
    assert.equal((await exportOf(id))?.sessions, []);
    await sleep(100);
  }
  await target.close(id, signal);
  await guest.destroy();
  await failsWith(world.vmm.disks(instance, signal), InstanceNotRunning);
  await removeExport(id);
});

test('no secret was ever shown to the observer', () => {
  const { events } = world;
  assert.ok(events.length > 100);
  assert.not.match(JSON.stringify(events), chap.password);
  assert.match(JSON.stringify(events), '***');
});

test('nothing is left over', async () => {
  const { tgtd, workdir, vmm } = world;
  assert.is(await tgtd.tgtadm(['--lld', 'iscsi', '--op', 'show', '--mode', 'target']), '');
  assert.is(await tgtd.tgtadm(['--lld', 'iscsi', '--op', 'show', '--mode', 'account']), '');
  assert.equal(await readdir(path.join(workdir.dir, 'pool')), ['.vbs-pool']);
  assert.equal(await vmm.residue(signal), []);
  const left = (await readdir(workdir.dir)).filter((name) => name.startsWith('.vbs-'));
  assert.equal(left, []);
});

test.run();
