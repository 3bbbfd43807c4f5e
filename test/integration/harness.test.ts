// The ground under the other integration tests: a real API server, a real target and a
// real guest start, survive kill -9 and leave nothing behind.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { exists } from '../harness/cache.ts';
import { type ControlPlane, startControlPlane } from '../harness/control-plane.ts';
import { type Guest, startGuest } from '../harness/guest.ts';
import { type Libvirtd, startLibvirtd } from '../harness/libvirtd.ts';
import { loud } from '../harness/loud.ts';
import { startTgtd, type Tgtd } from '../harness/tgtd.ts';
import { makeWorkdir, processesOf, sweepDeadRuns, type Workdir } from '../harness/workdir.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);

interface World {
  workdir: Workdir;
}
interface ApiWorld extends World {
  controlPlane: ControlPlane;
}
interface HostWorld extends World {
  tgtd: Tgtd;
  libvirtd: Libvirtd;
  guest: Guest;
}

const api = suite<ApiWorld>('the control plane');

api.before(
  loud(async (world) => {
    world.workdir = await makeWorkdir(log);
    world.controlPlane = await startControlPlane({ dir: world.workdir.dir, log });
  }),
);

api('keeps its data and port when the API server is killed and started again', async ({ controlPlane }) => {
  await controlPlane.kubectl(['create', 'configmap', 'kept', '--from-literal=a=1']);
  const firstPid = controlPlane.apiServerPid;
  await controlPlane.killApiServer('SIGKILL');
  await controlPlane.startApiServer();
  assert.is.not(controlPlane.apiServerPid, firstPid);
  assert.match(await controlPlane.kubectl(['get', 'configmap', 'kept', '-o', 'name']), 'configmap/kept');
});

api('keeps its data when etcd is killed and started again', async ({ controlPlane }) => {
  await controlPlane.killEtcd('SIGKILL');
  await controlPlane.startEtcd();
  assert.match(await controlPlane.kubectl(['get', 'configmap', 'kept', '-o', 'name']), 'configmap/kept');
});

api('gives a service account a kubeconfig with its rights and no more', async ({ controlPlane }) => {
  await controlPlane.kubectl(['create', 'serviceaccount', 'agent']);
  const request = { serviceAccount: 'agent', namespace: 'default', name: 'agent' };
  const kubeconfig = await controlPlane.kubeconfigFor(request);
  const asAgent = async (...args: string[]) =>
    await controlPlane.kubectl(['--kubeconfig', kubeconfig, ...args]);
  assert.match(await asAgent('auth', 'whoami'), 'system:serviceaccount:default:agent');
  const refusal = await asAgent('get', 'secrets').catch((error: Error) => error.message);
  assert.match(refusal, 'Forbidden');
});

api('is gone after stop', async ({ controlPlane, workdir }) => {
  await controlPlane.stop();
  assert.equal(processesOf(workdir.dir), []);
  await workdir.remove();
  assert.not.ok(await exists(workdir.dir));
});

api.after(async ({ workdir }) => await workdir?.remove());

api.run();

const host = suite<HostWorld>('the host');
const iqn = 'iqn.2026-11.dev.vbs:harness';
const serial = 'vol0123456789abcdef0';
const diskBytes = 16 * 1024 * 1024;

host.before(
  loud(async (world) => {
    world.workdir = await makeWorkdir(log);
    const { dir } = world.workdir;
    world.tgtd = await startTgtd({ dir, log });
    world.libvirtd = await startLibvirtd({ dir, log });
    world.guest = await startGuest({ libvirtd: world.libvirtd, name: 'vm1', log });
  }),
);

const exportFile = async (tgtd: Tgtd, file: string): Promise<void> => {
  const target = ['--lld', 'iscsi', '--mode', 'target', '--tid', '1'];
  const unit = ['--lld', 'iscsi', '--mode', 'logicalunit', '--tid', '1', '--lun', '1'];
  await tgtd.tgtadm([...target, '--op', 'new', '--targetname', iqn]);
  await tgtd.tgtadm([...unit, '--op', 'new', '--backing-store', file]);
  await tgtd.tgtadm([...target, '--op', 'bind', '--initiator-address', 'ALL']);
};

const diskXml = ({ portal }: Tgtd): string => {
  const [address, port] = portal.split(':');
  return `<disk type='network' device='disk'>
  <driver name='qemu' type='raw' cache='none'/>
  <source protocol='iscsi' name='${iqn}/1'><host name='${address}' port='${port}'/></source>
  <target dev='vda' bus='virtio'/>
  <serial>${serial}</serial>
</disk>`;
};

const isListening = async (portal: string): Promise<boolean> =>
  await new Promise((resolve) => {
    const [address, port] = portal.split(':');
    const socket = connect(Number(port), address);
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });

const readStart = async (file: string, length: number): Promise<string> => {
  const handle = await open(file);
  try {
    const { buffer } = await handle.read(Buffer.alloc(length), 0, length, 0);
    return buffer.toString();
  } finally {
    await handle.close();
  }
};

host('has a guest that answers, also with a lot, and tells failure', async ({ guest }) => {
  const { stdout } = await guest.run('uname -s');
  assert.is(stdout, 'Linux\n');
  assert.is((await guest.run('exit 3')).exitCode, 3);
  const long = await guest.run('seq 1 20000 | wc -l; seq 1 20000');
  assert.is(long.stdout.split('\n').length, 20_002);
});

host('answers other commands while one hangs', async ({ guest }) => {
  const hanging = guest.run('sleep 5; echo late', 20_000);
  assert.is((await guest.run('echo soon', 4000)).stdout, 'soon\n');
  assert.is((await hanging).stdout, 'late\n');
});

host(
  'carries what the guest writes through the target into the file',
  async ({ tgtd, libvirtd, guest, workdir }) => {
    const file = path.join(workdir.dir, 'disk.img');
    await writeFile(file, Buffer.alloc(diskBytes));
    await exportFile(tgtd, file);
    const xml = path.join(workdir.dir, 'disk.xml');
    await writeFile(xml, diskXml(tgtd));
    await libvirtd.virsh(['attach-device', 'vm1', xml, '--live']);
    assert.match(await guest.waitForDisk(serial), /^\/dev\/vd/);
    assert.is(await guest.sizeBytes(serial), BigInt(diskBytes));
    await guest.writeMarker(serial, 'hello from the guest');
    assert.is(await readStart(file, 20), 'hello from the guest');
    assert.is(await guest.readMarker(serial), 'hello from the guest');
    const bytes = Buffer.from(Array.from({ length: 150_000 }, (_, index) => (index * 7) % 251));
    await guest.write(serial, 1_000_001, bytes);
    assert.ok((await guest.read(serial, 1_000_001, bytes.length)).equals(bytes));
  },
);

host('finds the running guest again after libvirtd was killed', async ({ libvirtd, guest, workdir }) => {
  const before = processesOf(workdir.dir).length;
  await libvirtd.kill('SIGKILL');
  assert.is(await guest.readMarker(serial), 'hello from the guest');
  await libvirtd.restart();
  assert.is(await guest.state(), 'running');
  await libvirtd.virsh(['detach-device', 'vm1', path.join(workdir.dir, 'disk.xml'), '--live']);
  await guest.waitForNoDisk(serial);
  assert.is(processesOf(workdir.dir).length, before);
});

host('boots the guest anew after a power cut and after a shutdown', async ({ guest }) => {
  await guest.destroy();
  assert.is(await guest.state(), 'shut off');
  await guest.start();
  await guest.stop();
  assert.is(await guest.state(), 'shut off');
  await guest.start();
  assert.is((await guest.run('echo again')).stdout, 'again\n');
});

host('starts tgtd again empty on the same portal', async ({ tgtd }) => {
  const { portal } = tgtd;
  await tgtd.kill('SIGKILL');
  assert.not.ok(await isListening(portal));
  await tgtd.restart();
  assert.ok(await isListening(portal));
  assert.is(await tgtd.tgtadm(['--lld', 'iscsi', '--op', 'show', '--mode', 'target']), '');
});

host('is gone after stop', async ({ tgtd, libvirtd, workdir }) => {
  await libvirtd.stop();
  await tgtd.stop();
  assert.equal(processesOf(workdir.dir), []);
  assert.not.ok(await isListening(tgtd.portal));
  assert.not.ok(await exists(`/var/run/tgtd/socket.${tgtd.controlPort}`));
});

host.after(async ({ workdir }) => await workdir?.remove());

host.run();

const deadRun = suite('a run that died');

const harness = (file: string): string => JSON.stringify(new URL(`../harness/${file}`, import.meta.url).href);
const fatedRun = `
import { startLibvirtd } from ${harness('libvirtd.ts')};
import { startTgtd } from ${harness('tgtd.ts')};
import { startGuest } from ${harness('guest.ts')};
import { makeWorkdir } from ${harness('workdir.ts')};
const { dir } = await makeWorkdir(() => {});
const { controlPort } = await startTgtd({ dir, log() {} });
const libvirtd = await startLibvirtd({ dir, log() {} });
await startGuest({ libvirtd, name: 'orphan', log() {} });
console.log(JSON.stringify({ dir, controlPort }));
setInterval(() => {}, 1000);
`;

deadRun('is swept away with its processes, sockets and files by the next one', async () => {
  const run = spawn(process.execPath, ['--input-type=module', '-e', fatedRun], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(run.stdout, 'data');
  const { dir, controlPort } = JSON.parse(String(line));
  run.kill('SIGKILL');
  await once(run, 'exit');
  assert.ok(processesOf(dir).length > 0, 'QEMU outlives the run');
  await sweepDeadRuns(log);
  assert.equal(processesOf(dir), []);
  assert.not.ok(await exists(dir));
  assert.not.ok(await exists(`/var/run/tgtd/socket.${controlPort}`));
});

deadRun.run();
