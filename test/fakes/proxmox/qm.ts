/**
 * A stand-in for qm(1) of Proxmox VE, for tests. It is not the real thing and was not recorded from it: it behaves as qm(1) and
 * qm.conf(5) document, and prints the texts that users of the real one report. What it knows: values in effect and pending ones,
 * hot-plugging that works, fails or is switched off, guests that keep a disk, locks, and machines that stop and start.
 *
 * `node qm.ts DIRECTORY qm-arguments…` works on DIRECTORY/state.json and keeps DIRECTORY/qemu-server/VMID.conf beside it.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface ProxmoxVM {
  readonly name: string;
  status: 'running' | 'paused' | 'stopped';
  /** Values in effect. */
  config: Record<string, string>;
  /** Values for the next start. */
  pending: Record<string, string>;
  /** In effect, and to be removed. */
  deletes: string[];
  /** As `backup`: nothing may be changed. */
  lock?: string;
  /** Keys of disks which the guest does not let go. */
  held: string[];
  /** What QEMU says to each new disk. */
  plugError?: string;
}

export interface ProxmoxState {
  readonly vms: Record<string, ProxmoxVM>;
  /** So many next changes find the configuration locked by another task. */
  lockTimeouts: number;
  /** Every argument list, in order. */
  readonly calls: string[];
}

export interface Said {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const ok = (stdout = ''): Said => ({ exitCode: 0, stdout, stderr: '' });
const failed = (stderr: string, exitCode = 255): Said => ({ exitCode, stdout: '', stderr: `${stderr}\n` });

const plugsDisks = ({ config: { hotplug = '1' } }: ProxmoxVM): boolean =>
  hotplug === '1' || hotplug.split(',').includes('disk');

const list = ({ vms }: ProxmoxState): Said => {
  const rows = Object.entries(vms).map(([vmid, { name, status }]) => {
    const pid = status === 'stopped' ? '0' : '4711';
    return `${vmid.padStart(10)} ${name.padEnd(20)} ${status.padEnd(10)} ${'2048'.padEnd(10)} ${'32.00'.padStart(12)} ${pid.padEnd(10)}\n`;
  });
  const header = '      VMID NAME                 STATUS     MEM(MB)    BOOTDISK(GB) PID       \n';
  return ok(rows.length === 0 ? '' : header + rows.join(''));
};

const pendingLines = ({ config, pending, deletes }: ProxmoxVM): readonly string[] => {
  const keys = [...new Set([...Object.keys(config), ...Object.keys(pending)])].sort();
  return keys.flatMap((key) => {
    const now = config[key];
    const next = pending[key];
    if (now === undefined) {
      return [`new ${key}: ${next}`];
    }
    if (deletes.includes(key)) {
      return [`del ${key}: ${now}`];
    }
    return next === undefined ? [`cur ${key}: ${now}`] : [`cur ${key}: ${now}`, `new ${key}: ${next}`];
  });
};

const hotplugProblem = (key: string, why: string): Said =>
  failed(`400 Parameter verification failed.\n${key}: hotplug problem - ${why}\nqm set <vmid> [OPTIONS]`);

const without = <T>(record: Record<string, T>, key: string): Record<string, T> =>
  Object.fromEntries(Object.entries(record).filter(([one]) => one !== key));

const forget = (vm: ProxmoxVM, key: string): void => {
  vm.pending = without(vm.pending, key);
  vm.deletes = vm.deletes.filter((one) => one !== key);
};

const setValue = (vm: ProxmoxVM, vmid: string, key: string, value: string): Said => {
  const told = ok(`update VM ${vmid}: -${key} ${value}\n`);
  forget(vm, key);
  if (vm.status === 'stopped') {
    vm.config = { ...vm.config, [key]: value };
    return told;
  }
  vm.pending = { ...vm.pending, [key]: value };
  if (!plugsDisks(vm)) {
    return told;
  }
  if (vm.plugError !== undefined) {
    return hotplugProblem(key, vm.plugError);
  }
  forget(vm, key);
  vm.config = { ...vm.config, [key]: value };
  return told;
};

const deleteValue = (vm: ProxmoxVM, vmid: string, key: string): Said => {
  const told = ok(`update VM ${vmid}: -delete ${key}\n`);
  vm.pending = without(vm.pending, key);
  if (vm.config[key] === undefined) {
    return { ...told, stderr: `cannot delete '${key}' - not set in current configuration!\n` };
  }
  vm.deletes = [...new Set([...vm.deletes, key])];
  if (vm.status !== 'stopped' && !key.startsWith('unused')) {
    if (!plugsDisks(vm)) {
      return told;
    }
    if (vm.held.includes(key)) {
      return hotplugProblem(key, `error on hot-unplugging device 'virtio${key}' - still busy in guest?`);
    }
  }
  forget(vm, key);
  vm.config = without(vm.config, key);
  return told;
};

const set = (state: ProxmoxState, vm: ProxmoxVM, vmid: string, [option = '', value = '']: string[]): Said => {
  if (state.lockTimeouts > 0) {
    state.lockTimeouts -= 1;
    return failed(`can't lock file '/var/lock/qemu-server/lock-${vmid}.conf' - got timeout`);
  }
  if (vm.lock !== undefined) {
    return failed(`VM is locked (${vm.lock})`);
  }
  if (option === '--revert') {
    forget(vm, value);
    return ok(`update VM ${vmid}: -revert ${value}\n`);
  }
  if (option === '--delete') {
    return deleteValue(vm, vmid, value);
  }
  return /^--(scsi|virtio|sata|ide)\d+$/.test(option)
    ? setValue(vm, vmid, option.slice(2), value)
    : failed(`Unknown option: ${option.slice(2)}`);
};

/** Runs one command line against the state, which it changes. */
export const qm = (state: ProxmoxState, args: readonly string[]): Said => {
  state.calls.push(args.join(' '));
  const [command = '', vmid = '', ...rest] = args;
  if (command === 'list') {
    return list(state);
  }
  const vm = state.vms[vmid];
  if (vm === undefined) {
    return failed(`Configuration file 'nodes/pve1/qemu-server/${vmid}.conf' does not exist`, 2);
  }
  switch (command) {
    case 'pending':
      return ok(
        pendingLines(vm)
          .map((line) => `${line}\n`)
          .join(''),
      );
    case 'set':
      return set(state, vm, vmid, rest);
    case 'start':
      vm.status = 'running';
      vm.config = { ...vm.config, ...vm.pending };
      for (const key of [...vm.deletes, ...Object.keys(vm.pending)]) {
        vm.config = vm.deletes.includes(key) ? without(vm.config, key) : vm.config;
        forget(vm, key);
      }
      return ok();
    case 'stop':
      vm.status = 'stopped';
      return ok();
    default:
      return failed(`ERROR: unknown command 'qm ${command}'`);
  }
};

const configText = ({ config, pending, deletes }: ProxmoxVM): string => {
  const lines = (values: Record<string, string>) =>
    Object.entries(values).map(([key, value]) => `${key}: ${value}\n`);
  const later = [...(deletes.length === 0 ? [] : [`delete: ${deletes.join(',')}\n`]), ...lines(pending)];
  return [...lines(config), ...(later.length === 0 ? [] : ['\n[PENDING]\n', ...later])].join('');
};

/** Where the profile's `configs` setting must point. */
export const configsIn = (directory: string): string => join(directory, 'qemu-server/');

export const saveProxmox = (directory: string, state: ProxmoxState): void => {
  mkdirSync(configsIn(directory), { recursive: true });
  writeFileSync(join(directory, 'state.json'), JSON.stringify(state));
  for (const [vmid, vm] of Object.entries(state.vms)) {
    writeFileSync(join(configsIn(directory), `${vmid}.conf`), configText(vm));
  }
};

export const readProxmox = (directory: string): ProxmoxState =>
  JSON.parse(readFileSync(join(directory, 'state.json'), 'utf8'));

if (import.meta.main) {
  const [directory = '', ...args] = process.argv.slice(2);
  const state = readProxmox(directory);
  const { exitCode, stdout, stderr } = qm(state, args);
  saveProxmox(directory, state);
  process.stdout.write(stdout);
  process.stderr.write(stderr);
  process.exitCode = exitCode;
}
