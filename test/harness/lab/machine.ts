// One emulated machine: QEMU without KVM, a root disk over the image, two network cards.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Log, type RunningProcess, runCommand, startProcess } from '../process.ts';
import type { LabImage } from './image.ts';
import { publicKeyOf, Ssh } from './ssh.ts';

export type MachineRole = 'volume-server' | 'hypervisor';

export interface MachinePlan {
  /** Host name, and the name of its files. */
  readonly name: string;
  readonly role: MachineRole;
  /** In the network between the machines. */
  readonly address: string;
  readonly memoryMiB: number;
  /** Absent: no data disk. */
  readonly dataBytes?: number;
  /** On 127.0.0.1, leading to its port 22. */
  readonly sshPort: number;
  /** The network between the machines is UDP on 127.0.0.1: its own port and the other one's. */
  readonly wire: { readonly own: number; readonly other: number };
}

export interface MachineSurroundings {
  /** For disks, the console and the logs. */
  readonly dir: string;
  readonly image: LabImage;
  readonly runtimeDisk: string;
  readonly keyFile: string;
  readonly log: Log;
}

/** Dom0's share; the rest is for guests. */
const DOM0_MEMORY = '1536M';

/** Makes the disks of a machine that is to be started for the first time. */
export const makeDisks = async (plan: MachinePlan, { dir, image }: MachineSurroundings): Promise<void> => {
  const backing = ['-f', 'qcow2', '-F', 'raw', '-b', image.disk];
  await runCommand('qemu-img', ['create', '-q', ...backing, diskOf(dir, plan)]);
  if (plan.dataBytes !== undefined) {
    await writeFile(dataOf(dir, plan), '');
    await truncate(dataOf(dir, plan), plan.dataBytes);
  }
};

/** Starts the machine as a process of the work directory: it ends with us. */
export const startMachine = async (
  plan: MachinePlan,
  around: MachineSurroundings,
): Promise<RunningProcess> => {
  const command = ['qemu-system-x86_64', ...(await qemuArgs(plan, around))] as const;
  return await startProcess({ name: `${plan.name}.qemu`, command, dir: around.dir });
};

/** Starts the machine so that it outlives us, for whoever reads its pid in the state file. */
export const startKeptMachine = async (plan: MachinePlan, around: MachineSurroundings): Promise<number> => {
  const output = openSync(qemuLogOf(around.dir, plan), 'a', 0o600);
  const child = spawn('qemu-system-x86_64', await qemuArgs(plan, around), {
    cwd: around.dir,
    detached: true,
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  await once(child, 'spawn');
  child.unref();
  return child.pid ?? 0;
};

export const sshOf = (plan: MachinePlan, keyFile: string, dir: string): Ssh =>
  new Ssh({ name: plan.name, port: plan.sshPort, keyFile, dir });

const diskOf = (dir: string, { name }: MachinePlan): string => path.join(dir, `${name}.qcow2`);
const dataOf = (dir: string, { name }: MachinePlan): string => path.join(dir, `${name}.data`);
export const consoleOf = (dir: string, { name }: MachinePlan): string =>
  path.join(dir, `${name}.console.log`);

/** As `startProcess` names it. */
export const qemuLogOf = (dir: string, { name }: MachinePlan): string => path.join(dir, `${name}.qemu.log`);

const qemuArgs = async (plan: MachinePlan, around: MachineSurroundings): Promise<string[]> => {
  const { dir, runtimeDisk } = around;
  const disk = (file: string, format: string, more = ''): string[] => [
    '-drive',
    `file=${file},if=virtio,format=${format},cache=unsafe${more}`,
  ];
  const [first, second] = macsOf(plan);
  const wire = `udp=127.0.0.1:${plan.wire.other},localaddr=127.0.0.1:${plan.wire.own}`;
  return [
    // Xen's Dom0 crashes on the processor with all features that can be emulated (-cpu max).
    ...['-name', plan.name, '-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'Nehalem'],
    ...['-smp', '2', '-m', String(plan.memoryMiB), '-nodefaults', '-display', 'none', '-no-reboot'],
    ...['-serial', `file:${consoleOf(dir, plan)}`],
    ...disk(diskOf(dir, plan), 'qcow2'),
    ...disk(runtimeDisk, 'raw', ',readonly=on'),
    ...(plan.dataBytes === undefined ? [] : disk(dataOf(dir, plan), 'raw')),
    ...['-netdev', `user,id=outside,hostfwd=tcp:127.0.0.1:${plan.sshPort}-:22`],
    ...['-device', `virtio-net-pci,netdev=outside,mac=${first},romfile=`],
    ...['-netdev', `socket,id=between,${wire}`],
    ...['-device', `virtio-net-pci,netdev=between,mac=${second},romfile=`],
    ...(await bootArgs(plan, around)),
  ];
};

const bootArgs = async (plan: MachinePlan, { image, keyFile }: MachineSurroundings): Promise<string[]> => {
  const { name, role, address } = plan;
  const own = [
    `vbs.role=${role}`,
    `vbs.host=${name}`,
    `vbs.address=${address}`,
    `vbs.key=${await publicKeyOf(keyFile)}`,
  ];
  const identity = `systemd.machine_id=${Buffer.from(name.padEnd(16, '-')).toString('hex').slice(0, 32)}`;
  const words = (console: string): string =>
    [`console=${console} quiet net.ifnames=0 mitigations=off panic=-1`, identity, ...own].join(' ');
  if (role === 'volume-server') {
    return ['-kernel', image.kernel, '-initrd', image.initrd, '-append', words('ttyS0')];
  }
  // Xen's mitigations, XPTI above all, empty the emulated TLB at each system call of each domain.
  const quick = 'spec-ctrl=no xpti=no pv-l1tf=no';
  const xen = `console=com1 com1=115200 dom0_mem=${DOM0_MEMORY},max:${DOM0_MEMORY} noreboot=1 ${quick}`;
  const modules = `${image.kernel} ${words('hvc0')},${image.initrd}`;
  return ['-kernel', image.xen, '-initrd', modules, '-append', xen];
};

/** Locally administered, different for each machine. */
const macsOf = ({ address }: MachinePlan): readonly [string, string] => {
  const last = Number(address.split('.').at(-1)).toString(16).padStart(2, '0');
  return [`52:54:00:76:00:${last}`, `52:54:00:76:01:${last}`];
};
