// One emulated machine: QEMU without KVM, a root disk over the image, two network cards.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { rename, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { exists } from '../cache.ts';
import { type Log, type RunningProcess, runCommand, startProcess, waitFor } from '../process.ts';
import { identityOf } from '../workdir.ts';
import type { LabImage } from './image.ts';
import { qmp } from './qmp.ts';
import { publicKeyOf, Ssh } from './ssh.ts';

export type MachineRole = 'volume-server' | 'xen' | 'libvirt';

export interface MachinePlan {
  /** The name of its files, and of the host unless this is a twin. */
  readonly name: string;
  /** The name of the machine of which this is a copy, and for which it takes itself. */
  readonly twinOf?: string;
  readonly role: MachineRole;
  /** In the network between the machines. */
  readonly address: string;
  readonly memoryMiB: number;
  /** Sizes of its data disks, `/dev/vdb` and so on. */
  readonly dataDisks: readonly number[];
  /** On 127.0.0.1, leading to its port 22. */
  readonly sshPort: number;
  /** The network between the machines is a multicast group on the loopback device: its port. */
  readonly wirePort: number;
}

export interface MachineSurroundings {
  /** For disks, the console and the logs. */
  readonly dir: string;
  /** For the logs of this run; another folder when the machines outlive it. */
  readonly runDir: string;
  readonly image: LabImage;
  readonly keyFile: string;
  /** The machines outlive this process. */
  readonly keep: boolean;
  /** For measurements: this machine's cache is not between them and their data disks, and Dom0 has the image's system as a disk. */
  readonly bench?: boolean;
  readonly log: Log;
  /** A machine was switched on: which process it is should be remembered. */
  readonly isOn?: () => Promise<void>;
}

/** Dom0's share; the rest is for guests. */
const DOM0_MEMORY = '1536M';
const WIRE_GROUP = '230.76.66.83';
const BOOT_LIMIT_MS = 600_000;
const SHUTDOWN_LIMIT_MS = 300_000;

/** The disks of a machine that is to be started for the first time. */
export const makeDisks = async (
  plan: MachinePlan,
  { dir, image }: Pick<MachineSurroundings, 'dir' | 'image'>,
): Promise<void> => {
  const backing = ['-f', 'qcow2', '-F', 'raw', '-b', image.disk];
  await runCommand('qemu-img', ['create', '-q', ...backing, diskOf(dir, plan)]);
  for (const [index, bytes] of plan.dataDisks.entries()) {
    await writeFile(dataOf(dir, plan, index), '');
    await truncate(dataOf(dir, plan, index), bytes);
  }
};

/** A copy of the disks of a machine that is off. */
export const copyDisks = async (
  [from, plan]: readonly [dir: string, plan: MachinePlan],
  [to, twin]: readonly [dir: string, plan: MachinePlan],
): Promise<void> => {
  const copy = async (file: string, target: string): Promise<void> => {
    await runCommand('cp', ['--sparse=always', file, target]);
  };
  await copy(diskOf(from, plan), diskOf(to, twin));
  for (const index of plan.dataDisks.keys()) {
    await copy(dataOf(from, plan, index), dataOf(to, twin, index));
  }
};

export class Machine {
  readonly plan: MachinePlan;
  readonly ssh: Ssh;
  readonly #around: MachineSurroundings;
  #process: RunningProcess | undefined;
  /** "pid starttime" of its QEMU. */
  #identity: string;

  constructor(plan: MachinePlan, around: MachineSurroundings, identity = '') {
    this.plan = plan;
    this.#around = around;
    this.#identity = identity;
    const { keyFile, runDir } = around;
    this.ssh = new Ssh({ name: plan.name, port: plan.sshPort, keyFile, dir: runDir });
  }

  get name(): string {
    return this.plan.name;
  }
  get identity(): string {
    return this.#identity;
  }

  /** Switches it on, with the disks as they are; `connect` waits for it. */
  async powerOn(): Promise<void> {
    const command = ['qemu-system-x86_64', ...(await qemuArgs(this.plan, this.#around))] as const;
    if (this.#around.keep) {
      this.#identity = identityOf(await startKept(this.plan, this.#around, command)) ?? '';
      await this.#around.isOn?.();
      return;
    }
    this.#process = await startProcess({
      name: `${this.plan.name}.qemu`,
      command,
      dir: this.#around.dir,
    });
    this.#identity = identityOf(this.#process.pid) ?? '';
  }

  /** Returns when it answers by SSH. */
  async connect(): Promise<void> {
    await this.ssh.open(BOOT_LIMIT_MS, this.#process);
  }

  /** Pulls the plug: what its kernel had not written to its disks is lost. */
  async powerOff(): Promise<void> {
    process.kill(this.#pid(), 'SIGKILL');
    await this.#ended(30_000);
    await this.ssh.close();
  }

  /** An orderly restart, from inside. Returns when it answers again. */
  async reboot(): Promise<void> {
    await this.ssh.run('systemctl reboot');
    await this.ssh.close();
    await this.#ended(SHUTDOWN_LIMIT_MS);
    await this.powerOn();
    await this.connect();
  }

  /** Pulls the plug and puts it in again. Returns when it answers. */
  async cutPower(whileOff?: () => Promise<void>): Promise<void> {
    await this.powerOff();
    await whileOff?.();
    await this.powerOn();
    await this.connect();
  }

  /** While it is off: an empty disk takes the place of a data disk, or the data disk that of the empty one. */
  async swapDisk(index: number): Promise<void> {
    const { dir } = this.#around;
    const file = dataOf(dir, this.plan, index);
    const aside = `${file}.aside`;
    if (await exists(aside)) {
      await rename(aside, file);
      return;
    }
    await rename(file, aside);
    await writeFile(file, '');
    await truncate(file, this.plan.dataDisks[index]);
  }

  /** The network between the machines; the one to the outside, with the API server, stays. */
  async plugWire(isUp: boolean): Promise<void> {
    await qmp(qmpOf(this.#around.dir, this.plan), 'set_link', { name: 'between', up: isUp });
  }

  #pid(): number {
    return Number(this.#identity.split(' ')[0]);
  }

  /** A process that ends lets go of its disks a moment later. */
  async #ended(timeoutMs: number): Promise<void> {
    await waitFor({ what: `${this.name} to be off`, timeoutMs }, async () => !isUp(this.#identity));
    const disk = diskOf(this.#around.dir, this.plan);
    await waitFor({ what: `the disk of ${this.name} to be free`, timeoutMs }, async () => {
      await runCommand('qemu-img', ['info', disk]);
      return true;
    });
  }
}

export const isUp = (identity: string): boolean =>
  identity !== '' && identityOf(Number(identity.split(' ')[0])) === identity;

/** As a process that outlives us. */
const startKept = async (
  plan: MachinePlan,
  { dir }: MachineSurroundings,
  [file, ...args]: readonly [string, ...string[]],
): Promise<number> => {
  const output = openSync(qemuLogOf(dir, plan), 'a', 0o600);
  const child = spawn(file, args, { cwd: dir, detached: true, stdio: ['ignore', output, output] });
  closeSync(output);
  await once(child, 'spawn');
  child.unref();
  return child.pid ?? 0;
};

const diskOf = (dir: string, { name }: MachinePlan): string => path.join(dir, `${name}.qcow2`);
const dataOf = (dir: string, { name }: MachinePlan, index: number): string =>
  path.join(dir, `${name}.data${index}`);
const qmpOf = (dir: string, { name }: MachinePlan): string => path.join(dir, `${name}.qmp`);
export const consoleOf = (dir: string, { name }: MachinePlan): string =>
  path.join(dir, `${name}.console.log`);

/** As `startProcess` names it. */
export const qemuLogOf = (dir: string, { name }: MachinePlan): string => path.join(dir, `${name}.qemu.log`);

const qemuArgs = async (plan: MachinePlan, around: MachineSurroundings): Promise<string[]> => {
  const { dir, bench = false, image } = around;
  const disk = (file: string, format: string, more = 'cache=unsafe'): string[] => [
    '-drive',
    `file=${file},if=virtio,format=${format},${more}`,
  ];
  const cache = bench ? 'cache=none' : 'cache=unsafe';
  const [first, second] = macsOf(plan);
  const wire = `mcast=${WIRE_GROUP}:${plan.wirePort},localaddr=127.0.0.1`;
  return [
    // Xen's Dom0 crashes on the processor with all features that can be emulated (-cpu max).
    ...['-name', plan.name, '-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'Nehalem'],
    ...['-smp', '2', '-m', String(plan.memoryMiB), '-nodefaults', '-display', 'none', '-no-reboot'],
    // A boot more begins where the last one ended.
    ...['-chardev', `file,id=console,path=${consoleOf(dir, plan)},append=on`, '-serial', 'chardev:console'],
    ...['-qmp', `unix:${qmpOf(dir, plan)},server=on,wait=off`],
    ...disk(diskOf(dir, plan), 'qcow2'),
    ...plan.dataDisks.flatMap((_, index) => disk(dataOf(dir, plan, index), 'raw', cache)),
    ...(bench && plan.role === 'xen' ? disk(image.disk, 'raw', 'readonly=on') : []),
    ...['-netdev', `user,id=outside,hostfwd=tcp:127.0.0.1:${plan.sshPort}-:22`],
    ...['-device', `virtio-net-pci,netdev=outside,mac=${first},romfile=`],
    ...['-netdev', `socket,id=wire,${wire}`],
    ...['-device', `virtio-net-pci,id=between,netdev=wire,mac=${second},romfile=`],
    ...(await bootArgs(plan, around)),
  ];
};

const bootArgs = async (plan: MachinePlan, { image, keyFile }: MachineSurroundings): Promise<string[]> => {
  const { role, address } = plan;
  const name = plan.twinOf ?? plan.name;
  const own = [
    `vbs.role=${role}`,
    `vbs.host=${name}`,
    `vbs.address=${address}`,
    `vbs.key=${await publicKeyOf(keyFile)}`,
  ];
  const identity = `systemd.machine_id=${Buffer.from(name.padEnd(16, '-')).toString('hex').slice(0, 32)}`;
  const words = (console: string): string =>
    [`console=${console} quiet net.ifnames=0 mitigations=off panic=-1`, identity, ...own].join(' ');
  if (role !== 'xen') {
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
