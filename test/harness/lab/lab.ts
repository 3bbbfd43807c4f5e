// VBS on the stacks it is made for, in four emulated machines: two volume servers (LVM with LIO, LVM with tgt) and two hypervisors (Xen,
// libvirt; both with open-iscsi). The control plane and the controller run beside them on this machine.

import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { AGENT_ACCOUNT, hostNamespace } from '../../../api/names.ts';
import { NODE_AGENT } from '../../../scripts/package/node-agent.ts';
import { buildPackage } from '../../../scripts/package/package.ts';
import { type ControlPlane, startControlPlane } from '../control-plane.ts';
import { type Log, type RunningProcess, startProcess } from '../process.ts';
import { installCluster } from '../system.ts';
import { makeWorkdir, type Workdir } from '../workdir.ts';
import { LabAgent } from './agent.ts';
import { LabGuest } from './guest.ts';
import type { Machine, MachineRole } from './machine.ts';
import { LIBVIRT_HOST, type Machines, openMachines, SERVERS, stopKept, XEN_HOST } from './machines.ts';
import { remainsOnHypervisor, remainsOnServer } from './remains.ts';
import { OUTSIDE } from './ssh.ts';

const ROOT = path.resolve(import.meta.dirname, '../../..');
export const [LIO_SERVER, TGT_SERVER] = SERVERS;
export const HYPERVISORS = [XEN_HOST, LIBVIRT_HOST] as const;
export const HOSTS = [...SERVERS, ...HYPERVISORS] as const;
export type HostName = (typeof HOSTS)[number];
/** Thin volumes are in the thin pool of one volume group, thick ones in another. */
export const POOLS = {
  thin: { vg: 'vbs', thinpool: 'pool', disk: '/dev/vdb' },
  thick: { vg: 'thick', disk: '/dev/vdc' },
} as const;
const PORT = 3260;
const TARGETS: Readonly<Record<(typeof SERVERS)[number], string>> = { 'server-1': 'lio', 'server-2': 'tgt' };
const VMMS: Readonly<Record<(typeof HYPERVISORS)[number], { profile: string; kind: 'xen' | 'libvirt' }>> = {
  'xen-host': { profile: 'xen-xl', kind: 'xen' },
  'libvirt-host': { profile: 'libvirt-virsh', kind: 'libvirt' },
};
const GUESTS = [
  { name: 'vm-a', uuid: '7f3b4c1e-8a52-4d0e-9a55-2d1f0c6b7a10', host: XEN_HOST },
  { name: 'vm-b', uuid: '3d7c2a90-51fe-4b7e-8d27-6a0f5e9c1b42', host: LIBVIRT_HOST },
] as const;
/** A look takes seconds here, and would take most of the machine every five seconds; a heartbeat waits for its turn. */
const AGENT_SETTINGS = {
  logLevel: 'debug',
  observeSeconds: 30,
  heartbeat: { leaseSeconds: 60, renewSeconds: 40, retrySeconds: 10 },
};
const READY_LIMIT = '900s';
const READY_LIMIT_MS = 960_000;

export interface LabOptions {
  readonly log: Log;
  /** Machines stay up for the next run. */
  readonly keep: boolean;
  /** See MachineSurroundings. */
  readonly bench?: boolean;
}

/** Starts everything and returns when both hosts are Ready. */
export const openLab = async (options: LabOptions): Promise<Lab> => {
  const workdir = await makeWorkdir(options.log);
  const lab = new Lab(workdir, options);
  try {
    await lab.start();
    return lab;
  } catch (error) {
    await lab.close(true);
    throw error;
  }
};

export class Lab {
  readonly workdir: Workdir;
  readonly #options: LabOptions;
  readonly #agents = new Map<string, LabAgent>();
  /** Their configurations. */
  readonly #roles = new Map<HostName, object>();
  readonly #guests = new Map<string, LabGuest>();
  #controlPlane: ControlPlane | undefined;
  #controller: RunningProcess | undefined;
  #machines: Machines | undefined;
  #package: Promise<string> | undefined;

  constructor(workdir: Workdir, options: LabOptions) {
    this.workdir = workdir;
    this.#options = options;
  }

  get controlPlane(): ControlPlane {
    return started(this.#controlPlane, 'the control plane');
  }
  get controller(): RunningProcess {
    return started(this.#controller, 'the controller');
  }
  get machines(): Machines {
    return started(this.#machines, 'the machines');
  }
  get log(): Log {
    return this.#options.log;
  }

  machine(host: HostName): Machine {
    return this.machines.get(host);
  }

  /** The cables of both volume servers, in the network between the machines. */
  async plugServers(isUp: boolean): Promise<void> {
    await Promise.all(SERVERS.map(async (host) => await this.machine(host).plugWire(isUp)));
  }

  agent(host: HostName): LabAgent {
    return started(this.#agents.get(host), host);
  }

  guest(name: (typeof GUESTS)[number]['name']): LabGuest {
    return started(this.#guests.get(name), name);
  }

  async start(): Promise<void> {
    const parts = [this.#startCluster(), this.#startMachines(), this.package()] as const;
    const [controlPlane] = await Promise.all(parts);
    await Promise.all([
      this.startController(),
      ...SERVERS.map(async (host) => await this.#installServer(host)),
      ...HYPERVISORS.map(async (host) => await this.#installHypervisor(host)),
      ...GUESTS.map(async ({ name }) => await this.#startGuest(name)),
    ]);
    const objects = [
      ...SERVERS.map((host) => `volumeserver/${host}`),
      ...HYPERVISORS.map((host) => `hypervisor/${host}`),
    ];
    for (const object of objects) {
      // It is made by the agent at its first start.
      for (const event of ['create', 'condition=Ready']) {
        const args = ['wait', `--for=${event}`, `--timeout=${READY_LIMIT}`, object];
        await controlPlane.kubectl(args, undefined, READY_LIMIT_MS);
      }
    }
    this.log('all hosts are Ready');
  }

  async #startCluster(): Promise<ControlPlane> {
    const alternativeNames = [`IP:${OUTSIDE}`];
    const controlPlane = await startControlPlane({ dir: this.workdir.dir, log: this.log, alternativeNames });
    this.#controlPlane = controlPlane;
    await this.#installCluster();
    return controlPlane;
  }

  async #installCluster(): Promise<void> {
    await installCluster(this.controlPlane, HOSTS);
    await this.controlPlane.kubectl(
      ['apply', '-f', '-'],
      volumeClasses.map((one) => stringify(one)).join('---\n'),
    );
  }

  /** The store is lost, and another cluster is where the old one was, with nothing of ours but its hosts. Agents do not run. */
  async loseStore(): Promise<void> {
    await this.controller.kill();
    await this.controlPlane.loseStore();
    await this.#installCluster();
    for (const [host, agent] of this.#agents) {
      await agent.stop();
      await this.#enroll(host as HostName, agent);
    }
  }

  /** As new, or as new as ones that were kept up can be. */
  async #startMachines(): Promise<void> {
    const { log, ...options } = this.#options;
    const open = async (): Promise<Machines> => {
      const machines = await openMachines({ ...options, dir: this.workdir.dir, log });
      this.#machines = machines;
      for (const { host, ...plan } of GUESTS) {
        this.#guests.set(plan.name, new LabGuest(machines.get(host).ssh, VMMS[host].kind, plan));
      }
      return machines;
    };
    const machines = await open();
    const left = machines.wereUp ? await this.#remainsOrFault() : [];
    if (left.length > 0) {
      log(`the machines are not as new, so they are replaced:\n${left.join('\n')}`);
      await machines.close();
      await stopKept(log);
      await open();
    }
  }

  async #startGuest(name: (typeof GUESTS)[number]['name']): Promise<void> {
    if (this.machines.wereUp) {
      await this.guest(name).answers();
    } else {
      await this.guest(name).start();
    }
    this.log(`guest ${name} is up`);
  }

  /** The file of the agent's Debian package of this checkout. */
  async package(): Promise<string> {
    this.#package ??= buildPackage(NODE_AGENT, this.log);
    return await this.#package;
  }

  async startController(): Promise<void> {
    const kubeconfig = await this.controlPlane.kubeconfigFor({
      namespace: 'vbs-system',
      serviceAccount: 'vbs-controller',
      name: 'vbs-controller',
    });
    const file = path.join(this.workdir.dir, 'controller.yaml');
    await writeFile(file, stringify({ kubeconfig, http: { port: 0 } }), { mode: 0o600 });
    const command = [process.execPath, path.join(ROOT, 'controller', 'main.ts'), '--config', file] as const;
    this.#controller = await startProcess({ name: 'controller', command, dir: this.workdir.dir });
  }

  async #installServer(host: (typeof SERVERS)[number]): Promise<void> {
    const machine = this.machine(host);
    const profile = TARGETS[host];
    await makePools(machine);
    if (profile === 'tgt') {
      await machine.ssh.succeed('systemctl enable --now tgt');
    }
    const { thin, thick } = POOLS;
    const pools = [
      { name: 'thin', profile: 'lvm-thin', params: { vg: thin.vg, thinpool: thin.thinpool } },
      { name: 'thick', profile: 'lvm-thick', params: { vg: thick.vg } },
    ];
    const target = { profile, portals: [`${machine.plan.address}:${PORT}`] };
    const agent = await this.#install(host, { volumeServer: { pools, target } });
    await agent.preparePools();
    await agent.start();
  }

  /** The host goes to another control plane, with its roles and without a past; `enroll` gives it its identity there. */
  async moveHost(host: HostName, enroll: (agent: LabAgent) => Promise<void>): Promise<void> {
    const agent = this.agent(host);
    const isServer = SERVERS.some((server) => server === host);
    await agent.stop();
    if (isServer) {
      await makePools(this.machine(host));
    }
    await agent.install({ host, ...AGENT_SETTINGS, ...this.#roles.get(host) }, await this.package());
    await enroll(agent);
    if (isServer) {
      await agent.preparePools();
    }
    await agent.start();
  }

  async #installHypervisor(host: (typeof HYPERVISORS)[number]): Promise<void> {
    const hypervisor = { initiator: { profile: 'open-iscsi' }, vmm: { profile: VMMS[host].profile } };
    const agent = await this.#install(host, { hypervisor });
    await agent.start();
  }

  async #install(host: HostName, roles: object): Promise<LabAgent> {
    const agent = new LabAgent(this.machine(host).ssh);
    this.#agents.set(host, agent);
    this.#roles.set(host, roles);
    const config = { host, ...AGENT_SETTINGS, ...roles };
    await agent.install(config, await this.package());
    this.log(`${host}: ${await agent.check()}`);
    await this.#enroll(host, agent);
    return agent;
  }

  async #enroll(host: HostName, agent: LabAgent): Promise<void> {
    const { caFile, port } = this.controlPlane;
    const token = ['create', 'token', AGENT_ACCOUNT, '-n', hostNamespace(host), '--duration=1h'];
    const server = `https://${OUTSIDE}:${port}`;
    await agent.enroll(server, await readFile(caFile, 'utf8'), await this.controlPlane.kubectl(token));
  }

  /** Machines that cannot be asked are not as new either. */
  async #remainsOrFault(): Promise<readonly string[]> {
    try {
      return await this.remains();
    } catch (error) {
      return [String(error)];
    }
  }

  /** Every place outside of the cluster where something of ours could be, with what is there. */
  async remains(): Promise<readonly string[]> {
    const asked = [
      ...SERVERS.map(async (host) => await remainsOnServer(this.machine(host).ssh, TARGETS[host], POOLS)),
      ...GUESTS.map(
        async ({ host, name }) => await remainsOnHypervisor(this.machine(host).ssh, VMMS[host].kind, name),
      ),
    ];
    return (await Promise.all(asked)).flat();
  }

  /** Brings the machines' logs into the work directory. */
  async collect(): Promise<void> {
    for (const [host, agent] of this.#agents) {
      await writeFile(path.join(this.workdir.dir, `${host}.agent.log`), await agent.log());
    }
    const looks: Readonly<Record<MachineRole, string>> = {
      'volume-server':
        'lvs -a -o +lv_tags; find /sys/kernel/config/target; tgtadm --lld iscsi --mode target --op show',
      xen: 'xl list; xenstore-ls -f /local/domain/0/backend; iscsiadm -m session -P 3; tail -n 40 /var/log/xen/*.log',
      libvirt: 'virsh list --all; virsh dumpxml vm-b; iscsiadm -m session -P 3',
    };
    for (const { ssh, plan } of this.machines.all) {
      await ssh.run('dmesg | tail -n 60; journalctl -b --no-pager | tail -n 60');
      await ssh.run(looks[plan.role]);
    }
    await this.machines.collectConsoles();
  }

  /** Ends everything that is to end; a failed lab leaves its logs. */
  async close(isFailed: boolean): Promise<void> {
    if (isFailed) {
      this.workdir.keep();
      await this.collect().catch((error: unknown) => this.log(`no logs of the machines: ${error}`));
    }
    if (this.#options.keep) {
      await Promise.allSettled([...this.#agents.values()].map(async (agent) => await agent.stop()));
    }
    await this.#machines?.close();
    await this.#controller?.stop(10_000);
    await this.#controlPlane?.stop();
    await this.workdir.remove();
  }
}

const started = <T>(part: T | undefined, name: string): T => {
  if (part === undefined) {
    throw new Error(`${name} was not started`);
  }
  return part;
};

/** As an administrator does once; pools that are there already, and empty, are made anew for the new cluster. */
const makePools = async ({ ssh }: Machine): Promise<void> => {
  const { thin, thick } = POOLS;
  const group = ({ vg, disk }: { readonly vg: string; readonly disk: string }): string =>
    `{ ! vgs ${vg} >/dev/null 2>&1 || vgremove -q -f -y ${vg}; } && pvcreate -q -f -y ${disk} && vgcreate -q ${vg} ${disk}`;
  const pool = `lvcreate -q -y --type thin-pool -Z y -l 90%FREE -n ${thin.thinpool} ${thin.vg}`;
  await ssh.succeed([group(thin), pool, group(thick)].join(' && '));
};

const volumeClass = (name: string, profile: string, more: object) => ({
  apiVersion: 'vbs.dev/v1alpha1',
  kind: 'VolumeClass',
  metadata: { name },
  spec: { poolSelector: { profile }, ...more },
});

const volumeClasses = [
  volumeClass('thin', 'lvm-thin', { default: true, description: 'Thin logical volumes' }),
  volumeClass('thick', 'lvm-thick', { description: 'Logical volumes which are allocated in full' }),
];
