// Each shipped profile with a tool behind it that answers as the real one: what a role sees there, as facts that can be compared.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command, CommandOutput, RunCommand } from '../../../../node-agent/exec/command.ts';
import { type Files, hostFiles } from '../../../../node-agent/exec/files.ts';
import { type BoundProfile, bind } from '../../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../../node-agent/profiles/load.ts';
import type { Settings } from '../../../../node-agent/profiles/settings.ts';
import type { RoleName } from '../../../../node-agent/profiles/vocabulary.ts';
import type { Connection } from '../../../../node-agent/roles/initiator.ts';
import type { Pool } from '../../../../node-agent/roles/pool.ts';
import { profiledPool } from '../../../../node-agent/roles/profiled-pool.ts';
import { profiledTarget } from '../../../../node-agent/roles/profiled-target.ts';
import { profiledVmm } from '../../../../node-agent/roles/profiled-vmm.ts';
import { sessionInitiator } from '../../../../node-agent/roles/session-initiator.ts';
import type { Instance, Vmm } from '../../../../node-agent/roles/vmm.ts';
import { vmmInitiator } from '../../../../node-agent/roles/vmm-initiator.ts';
import { FakeLvm, THIN_POOL, VG } from '../../../fakes/lvm.ts';
import { FakeOpenIscsi } from '../../../fakes/open-iscsi.ts';
import { type ProxmoxState, qm } from '../../../fakes/proxmox/qm.ts';
import { XenHost } from '../../../fakes/xen/xl.ts';

const root = join(import.meta.dirname, '../../../..');
const { signal } = new AbortController();
const fixture = (name: string): string => readFileSync(join(root, 'test/fixtures', name), 'utf8');
const said = (stdout: string, exitCode = 0): CommandOutput => ({ exitCode, stdout, stderr: '' });

export const ONE = 'vol0123456789abcdef0';
export const TWO = 'vol0123456789abcdef1';
const SNAP = 'snap0123456789abcdef';
const CLUSTER = '0b1c9f5e-4a55-4c6b-9a0e-3b2f1f6f7a01';
const GRANT = '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a1111';
const UUID = '37fb0f81-6847-4703-8154-d110fb9fe130';
const OTHER_UUID = '37fb0f81-6847-4703-8154-d110fb9fe131';
const pathOf = (id: string): string => `/dev/vbs/${id}.${GRANT}`;

export interface Scene {
  readonly name: string;
  /** Answers every look of it. */
  readonly run: RunCommand;
  /** What the role sees through this starter of commands: one text for each thing. */
  readonly look: (run: RunCommand) => Promise<readonly string[]>;
  /** Could the real tool print this, all of it, and mean it? Where facts may be missing it must be so. */
  readonly isPossible: (command: string, text: string) => boolean;
  /** Each line stands for itself: lines that are lost, doubled or moved change no other's meaning. */
  readonly isFlat: boolean;
}

const bound = async (
  profile: string,
  role: RoleName,
  { run, files = hostFiles, params = {} }: { run: RunCommand; files?: Files; params?: Settings },
): Promise<BoundProfile> =>
  bind(await loadProfile(join(root, 'node-agent/profiles/shipped', `${profile}.yaml`), role), {
    run,
    files,
    params,
  });

const poolFacts = async (pool: Pool): Promise<readonly string[]> => {
  const { backings } = await pool.observe(signal);
  return backings.map(
    ({ id, state, sizeBytes, path, foreign = false, sourceID = '' }) =>
      `${id} ${state} ${sizeBytes} ${path} ${foreign} ${sourceID}`,
  );
};

const lvmScene = async (name: string): Promise<Scene> => {
  const lvm = new FakeLvm();
  lvm.thin = name === 'lvm-thin';
  lvm.vgExtents = 640;
  lvm.poolBytes *= 10;
  const params = lvm.thin ? { vg: VG, thinpool: THIN_POOL } : { vg: VG };
  const poolOn = async (run: RunCommand): Promise<Pool> =>
    profiledPool(await bound(name, 'pool', { run, params }), { name: 'p', clusterID: CLUSTER });
  const pool = await poolOn(lvm.run);
  await pool.prepare(signal);
  const owner = { clusterID: CLUSTER, namespace: 'team-a', name: 'db' };
  for (const id of [ONE, TWO]) {
    await pool.create(id, 16n * 1024n * 1024n, owner, signal);
    await pool.complete(id, 16n * 1024n * 1024n, signal);
  }
  await pool.snapshot(SNAP, ONE, owner, signal);
  await pool.complete(SNAP, 16n * 1024n * 1024n, signal);
  return {
    name,
    run: lvm.run,
    look: async (run) => poolFacts(await poolOn(run)),
    // JSON is whole or none: what is cut does not end its brackets.
    isPossible: () => false,
    isFlat: false,
  };
};

const TARGETS = ((): string => {
  const text = fixture('tgt/tgtadm --lld iscsi --op show --mode target (session).txt');
  const ours = text.slice(0, text.indexOf('Target 9:'));
  const another = ours.replaceAll(ONE, TWO).replace('Target 5:', 'Target 6:').replaceAll('a.raw', 'b.raw');
  return ours + another + text.slice(text.indexOf('Target 9:'));
})();

const tgtScene = (): Scene => ({
  name: 'tgt',
  run: async ({ args }) => said(args.includes('target') ? TARGETS : ''),
  look: async (run) => {
    const target = profiledTarget(await bound('tgt', 'target', { run }), { portals: ['10.0.0.1:3260'] });
    return (await target.observe(signal)).map(
      ({ volumeID, ready, path, serial, allowed, sessions, chapUsers }) =>
        JSON.stringify({ volumeID, ready, path, serial, allowed, sessions, chapUsers }),
    );
  },
  // tgtadm prints a target after the other, and no word at the end: cut between two lines below "ACL information:" it is whole.
  isPossible: (_, text) => text === '' || /\n {4}ACL information:\n(?: {8}\S+\n)*$/.test(text),
  isFlat: false,
});

const XML = fixture('libvirt/virsh dumpxml --domain UUID (running, iscsi disk).xml');
const DOMAIN = /<uuid>(?<uuid>[0-9a-f-]+)<\/uuid>/.exec(XML)?.groups?.uuid ?? '';
const VIRSH_SECRETS = fixture('libvirt/virsh secret-list.txt');

const vmmFacts = async (vmm: Vmm): Promise<readonly string[]> => {
  const instances = await vmm.instances(signal);
  const holders = await vmm.holders(instances, signal);
  const facts = instances.map((one) => JSON.stringify(one));
  const disks = await Promise.all(
    instances.map(async (one) =>
      one.state === 'Stopped'
        ? []
        : (await vmm.disks(one, signal)).map(
            ({ sizeBytes, ...disk }) => `${one.uuid} ${JSON.stringify(disk)} ${sizeBytes ?? ''}`,
          ),
    ),
  );
  const residue = (await vmm.residue(signal)).map(({ grantUUID }) => `secret ${grantUUID}`);
  return [...facts, ...holders.map(({ uuid }) => `holder ${uuid}`), ...disks.flat(), ...residue];
};

const libvirtScene = (): Scene => {
  const list = (lines: readonly string[]): string => `${lines.map((line) => `${line}\n`).join('')}\n`;
  return {
    name: 'libvirt-virsh',
    run: async ({ args }) => {
      const line = args.join(' ');
      if (line.includes('dumpxml')) {
        return said(`${XML.trimEnd()}\n\n`);
      }
      if (line.includes('secret-list')) {
        return said(VIRSH_SECRETS);
      }
      const running = [`${DOMAIN} vm1`];
      const stopped = [`${OTHER_UUID} web & db`];
      const which = { running, paused: [], shutoff: stopped, all: [...running, ...stopped] };
      const state = /--(?:state-)?(?<state>running|paused|shutoff|all)$/.exec(line)?.groups?.state;
      return said(list(which[(state ?? 'all') as keyof typeof which]));
    },
    look: async (run) => vmmFacts(profiledVmm(await bound('libvirt-virsh', 'vmm', { run }))),
    // Everything virsh prints ends with an empty line.
    isPossible: () => false,
    isFlat: false,
  };
};

const virshSizeScene = (): Scene => ({
  name: 'libvirt-virsh size',
  run: async ({ args }) =>
    said(
      args.includes('dumpxml')
        ? `${XML.trimEnd()}\n\n`
        : fixture('libvirt/virsh domblkinfo UUID vdb (iscsi disk).txt'),
    ),
  look: async (run) => {
    const vmm = profiledVmm(await bound('libvirt-virsh', 'vmm', { run }));
    const instance: Instance = { name: 'vm1', uuid: DOMAIN, state: 'Running' };
    const [disk] = (await vmm.disks(instance, signal)).filter(({ volumeID }) => volumeID !== undefined);
    return [`${disk?.volumeID} ${await vmm.diskBytes(instance, disk?.volumeID ?? '', signal)}`];
  },
  isPossible: () => false,
  isFlat: false,
});

const xenScene = async (): Promise<Scene> => {
  const host = new XenHost();
  const vm: Instance = { name: 'vm1', uuid: UUID, state: 'Running' };
  host.add('vm1', UUID);
  host.add('vm2', OTHER_UUID);
  const on = async (run: RunCommand): Promise<Vmm> => profiledVmm(await bound('xen-xl', 'vmm', { run }));
  const vmm = await on(host.run);
  for (const [volumeID, device] of [
    [ONE, 'xvdb'],
    [TWO, 'xvdc'],
  ] as const) {
    const locator = { kind: 'block', path: pathOf(volumeID) } as const;
    await vmm.attach(vm, { volumeID, device, readOnly: false, locator, grantUUID: GRANT }, signal);
  }
  return {
    name: 'xen-xl',
    run: host.run,
    look: async (run) => vmmFacts(await on(run)),
    isPossible: (command, text) =>
      // Of all domains: a line says nothing of the next one.
      command.endsWith('/backend/vbd')
        ? text === '' || text.endsWith('\n')
        : command.startsWith('xl ')
          ? /^Name +ID .*\n(?:.* 0 .*\n)(?:\S.*\n)*$/.test(text) && text.includes('Domain-0')
          : isWholeStore(text),
    isFlat: true,
  };
};

/** Entries of disks, none of which lacks what libxl writes of each at once. */
const isWholeStore = (text: string): boolean => {
  if (text !== '' && !text.endsWith('\n')) {
    return false;
  }
  const disks = new Map<string, Set<string>>();
  for (const [, disk = '', key = ''] of text.matchAll(/^(\S*\/\d+)\/([a-z-]+) = /gm)) {
    disks.set(disk, (disks.get(disk) ?? new Set()).add(key));
  }
  return [...disks.values()].every((keys) => ['dev', 'params', 'state'].every((key) => keys.has(key)));
};

const VM = (name: string, uuid: string, more: Record<string, string> = {}) => ({
  name,
  status: 'running' as const,
  config: { scsi0: 'local-lvm:vm-1-disk-0,size=32G', smbios1: `uuid=${uuid}`, ...more },
  pending: {},
  deletes: [],
  held: [],
});

const proxmoxScene = (): Scene => {
  const value = `${pathOf(ONE)},serial=${ONE},discard=on,backup=0,replicate=0,ro=0`;
  const vms = { 105: VM('web', UUID, { scsi1: value }), 106: VM('mail', OTHER_UUID) };
  const state: ProxmoxState = { vms, lockTimeouts: 0, calls: [] };
  const configs = '/etc/pve/qemu-server';
  const grep = ({ args }: Command): CommandOutput =>
    said(
      args[0] === '-rl'
        ? `${configs}/105.conf\n`
        : Object.entries(vms)
            .map(([vmid, { config }]) => `${configs}/${vmid}.conf:smbios1: ${config.smbios1}\n`)
            .join(''),
    );
  return {
    name: 'proxmox-qm',
    run: async (command) => (command.file === 'qm' ? qm(state, command.args) : grep(command)),
    look: async (run) => vmmFacts(profiledVmm(await bound('proxmox-qm', 'vmm', { run }))),
    isPossible: (command, text) => {
      if (command.startsWith('grep ')) {
        return text !== '' && text.endsWith('\n');
      }
      return text === '' ? command.startsWith('qm list') : text.endsWith('\n');
    },
    isFlat: true,
  };
};

const CONNECTION: Connection = {
  volumeID: ONE,
  grantUUID: GRANT,
  iqn: `iqn.2026-11.dev.vbs:${ONE}`,
  lun: 1,
  portal: '10.0.0.1:3260',
  initiator: 'iqn.2026-11.dev.vbs:host.h1',
  chap: { user: 'u1', password: 'hunter22hunter22' },
};

const openIscsiScene = async (): Promise<Scene> => {
  const host = new FakeOpenIscsi();
  const on = async (run: RunCommand) =>
    sessionInitiator(
      await bound('open-iscsi', 'initiator', {
        run,
        files: host.files,
        params: { sys: host.sys, dev: host.dev, links: join(host.dev, 'vbs') },
      }),
    );
  const real = await on(host.run);
  const { user, password } = CONNECTION.chap;
  for (const volumeID of [ONE, TWO]) {
    const iqn = `iqn.2026-11.dev.vbs:${volumeID}`;
    host.targets.set(iqn, { user, password, serial: volumeID, bytes: 4096 * 512, up: true });
    await real.connect({ ...CONNECTION, volumeID, iqn }, signal);
  }
  // What is left of them when only their records are left.
  host.sessions.length = 0;
  const sessions = `${host.sys}/class/iscsi_session`;
  for (const name of host.tree.has(sessions) ? host.tree.list(sessions) : []) {
    host.tree.remove(`${sessions}/${name}`);
  }
  for (const name of host.tree.list(join(host.dev, 'vbs'))) {
    host.tree.remove(join(host.dev, 'vbs', name));
  }
  return {
    name: 'open-iscsi',
    run: host.run,
    look: async (run) => (await (await on(run)).observe(signal)).map(({ volumeID }) => volumeID),
    // Without a record it says so, with exit code 21.
    isPossible: (_, text) => text !== '' && text.endsWith('\n'),
    isFlat: true,
  };
};

const qemuScene = (): Scene => ({
  name: 'qemu',
  run: async ({ file }) =>
    said(
      fixture(
        file === 'iscsi-inq'
          ? 'libiscsi/iscsi-inq --evpd 1 --pagecode 128.txt'
          : 'libiscsi/iscsi-readcapacity16 --size.txt',
      ),
    ),
  look: async (run) => {
    const { serial, sizeBytes } = await vmmInitiator(await bound('qemu', 'initiator', { run })).verify(
      CONNECTION,
      signal,
    );
    return [`${serial} ${sizeBytes}`];
  },
  isPossible: () => false,
  isFlat: false,
});

export const SCENES: readonly Scene[] = [
  await lvmScene('lvm-thick'),
  await lvmScene('lvm-thin'),
  tgtScene(),
  libvirtScene(),
  virshSizeScene(),
  await xenScene(),
  proxmoxScene(),
  await openIscsiScene(),
  qemuScene(),
];
