// VBS on the stack it is made for: LVM and LIO in one emulated machine, open-iscsi and Xen in another; the control plane and the
// controller beside them on this machine.

import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { AGENT_ACCOUNT, hostNamespace } from '../../../api/names.ts';
import { type ControlPlane, startControlPlane } from '../control-plane.ts';
import { type Log, type RunningProcess, startProcess } from '../process.ts';
import { installCluster } from '../system.ts';
import { makeWorkdir, type Workdir } from '../workdir.ts';
import { LabAgent } from './agent.ts';
import { openPair, type Pair, stopKept } from './pair.ts';
import { remainsOnHypervisor, remainsOnServer } from './remains.ts';
import { startXenGuest, XenGuest } from './xen-guest.ts';

const ROOT = path.resolve(import.meta.dirname, '../../..');
export const SERVER = 'volume-server';
export const HYPERVISOR = 'xen-host';
export const VG = 'vbs';
const THIN_POOL = 'pool';
const GUEST = 'vm-a';
const GUEST_UUID = '7f3b4c1e-8a52-4d0e-9a55-2d1f0c6b7a10';
/** As which the machines reach this machine's 127.0.0.1: QEMU's user-mode network. */
const OUTSIDE = '10.0.2.2';
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
  #controlPlane: ControlPlane | undefined;
  #controller: RunningProcess | undefined;
  #pair: Pair | undefined;
  #guest: XenGuest | undefined;

  constructor(workdir: Workdir, options: LabOptions) {
    this.workdir = workdir;
    this.#options = options;
  }

  get controlPlane(): ControlPlane {
    return started(this.#controlPlane, 'the control plane');
  }
  get pair(): Pair {
    return started(this.#pair, 'the machines');
  }
  get guest(): XenGuest {
    return started(this.#guest, 'the guest');
  }

  agent(host: string): LabAgent {
    return started(this.#agents.get(host), host);
  }

  async start(): Promise<void> {
    const { log } = this.#options;
    const [controlPlane] = await Promise.all([this.#startCluster(), this.#startMachines()]);
    await Promise.all([
      this.#startController(),
      this.#startServer(),
      this.#startHypervisor(),
      this.#startGuest(),
    ]);
    for (const host of [`volumeserver/${SERVER}`, `hypervisor/${HYPERVISOR}`]) {
      // The object is made by the agent at its first start.
      for (const event of ['create', 'condition=Ready']) {
        const args = ['wait', `--for=${event}`, `--timeout=${READY_LIMIT}`, host];
        await controlPlane.kubectl(args, undefined, READY_LIMIT_MS);
      }
    }
    log('both hosts are Ready');
  }

  async #startCluster(): Promise<ControlPlane> {
    const { log } = this.#options;
    const alternativeNames = [`IP:${OUTSIDE}`];
    const controlPlane = await startControlPlane({ dir: this.workdir.dir, log, alternativeNames });
    this.#controlPlane = controlPlane;
    await installCluster(controlPlane, [SERVER, HYPERVISOR]);
    await controlPlane.kubectl(['apply', '-f', '-'], stringify(volumeClass));
    return controlPlane;
  }

  /** As new, or as new as ones that were kept up can be. */
  async #startMachines(): Promise<void> {
    const { log, keep } = this.#options;
    const open = async (): Promise<Pair> => {
      const pair = await openPair({ dir: this.workdir.dir, keep, log });
      this.#pair = pair;
      return pair;
    };
    const pair = await open();
    const left = pair.wereUp ? await this.#remainsOrFault() : [];
    if (left.length > 0) {
      log(`the machines are not as new, so they are replaced:\n${left.join('\n')}`);
      await pair.close();
      await stopKept(log);
      await open();
    }
  }

  async #startGuest(): Promise<void> {
    const { hypervisor, wereUp } = this.pair;
    this.#guest = wereUp
      ? new XenGuest(hypervisor, GUEST)
      : await startXenGuest(hypervisor, GUEST, GUEST_UUID);
    this.#options.log(`guest ${GUEST} is up`);
  }

  async #startController(): Promise<void> {
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

  async #startServer(): Promise<void> {
    const { server, serverAddress } = this.pair;
    await makePool(this.pair);
    const agent = new LabAgent(server);
    this.#agents.set(SERVER, agent);
    const pools = [{ name: 'main', profile: 'lvm-thin', params: { vg: VG, thinpool: THIN_POOL } }];
    const target = { profile: 'lio', portals: [`${serverAddress}:3260`] };
    await agent.install(
      { host: SERVER, ...AGENT_SETTINGS, volumeServer: { pools, target } },
      await this.#kubeconfigOf(SERVER),
    );
    await agent.preparePools();
    await agent.start();
  }

  async #startHypervisor(): Promise<void> {
    const agent = new LabAgent(this.pair.hypervisor);
    this.#agents.set(HYPERVISOR, agent);
    const hypervisor = { initiator: { profile: 'open-iscsi' }, vmm: { profile: 'xen-xl' } };
    await agent.install(
      { host: HYPERVISOR, ...AGENT_SETTINGS, hypervisor },
      await this.#kubeconfigOf(HYPERVISOR),
    );
    await agent.start();
  }

  async #kubeconfigOf(host: string): Promise<string> {
    const { controlPlane } = this;
    const file = await controlPlane.kubeconfigFor({
      namespace: hostNamespace(host),
      serviceAccount: AGENT_ACCOUNT,
      name: host,
    });
    const text = await readFile(file, 'utf8');
    return text.replace(controlPlane.server, `https://${OUTSIDE}:${controlPlane.port}`);
  }

  /** Machines that cannot be asked are not as new either. */
  async #remainsOrFault(): Promise<readonly string[]> {
    try {
      await this.pair.hypervisor.succeed(`xl domid ${GUEST}`);
      return await this.remains();
    } catch (error) {
      return [String(error)];
    }
  }

  /** Every place outside of the cluster where something of ours could be, with what is there. */
  async remains(): Promise<readonly string[]> {
    const { server, hypervisor } = this.pair;
    const found = await Promise.all([
      remainsOnServer(server, VG, THIN_POOL),
      remainsOnHypervisor(hypervisor, GUEST),
    ]);
    return found.flat();
  }

  /** Brings the machines' logs into the work directory. */
  async collect(): Promise<void> {
    for (const [host, agent] of this.#agents) {
      await writeFile(path.join(this.workdir.dir, `${host}.agent.log`), await agent.log());
    }
    const { hypervisor, server } = this.pair;
    for (const ssh of [server, hypervisor]) {
      await ssh.run('dmesg | tail -n 60; journalctl -b --no-pager | tail -n 60');
    }
    await hypervisor.run(
      'xl list; xenstore-ls -f /local/domain/0/backend; iscsiadm -m session -P 3; tail -n 40 /var/log/xen/*.log',
    );
    await server.run('lvs -a -o +lv_tags; find /sys/kernel/config/target');
    await this.pair.collectConsoles();
  }

  /** Ends everything that is to end; a failed lab leaves its logs. */
  async close(isFailed: boolean): Promise<void> {
    if (isFailed) {
      this.workdir.keep();
      await this.collect().catch((error: unknown) => this.#options.log(`no logs of the machines: ${error}`));
    }
    if (this.#options.keep) {
      await Promise.allSettled([...this.#agents.values()].map((agent) => agent.stop()));
    }
    await this.#pair?.close();
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

/** As an administrator does once; a pool that is there already, and empty, is made anew for the new cluster. */
const makePool = async ({ server }: Pair): Promise<void> => {
  await server.succeed(
    `! vgs ${VG} >/dev/null 2>&1 || vgremove -q -f -y ${VG} && pvcreate -q -f -y /dev/vdc && vgcreate -q ${VG} /dev/vdc &&
lvcreate -q -y --type thin-pool -Z y -l 90%FREE -n ${THIN_POOL} ${VG}`,
  );
};

const volumeClass = {
  apiVersion: 'vbs.dev/v1alpha1',
  kind: 'VolumeClass',
  metadata: { name: 'standard' },
  spec: { default: true, description: 'Thin logical volumes', poolSelector: { profile: 'lvm-thin' } },
};
