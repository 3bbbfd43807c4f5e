// Many hosts in one process: the agents' own roles, Leases and records over tools that are played in memory, each host
// under its own identity at the real API server.
import { appendFileSync } from 'node:fs';
import path from 'node:path';
import { AGENT_ACCOUNT, hostNamespace } from '../../../api/names.ts';
import type { AgentConfig } from '../../../node-agent/config.ts';
import type { BoundProfile } from '../../../node-agent/profiles/bind.ts';
import type { RoleName } from '../../../node-agent/profiles/vocabulary.ts';
import { runHost } from '../../../node-agent/run.ts';
import { createApi } from '../../../runtime/api.ts';
import { systemClock } from '../../../runtime/clock.ts';
import { createLog } from '../../../runtime/log.ts';
import { Metrics } from '../../../runtime/metrics.ts';
import { playedProfile, type Tool } from '../../fakes/tools/played.ts';
import { type PlayedPool, playedPool } from '../../fakes/tools/pool.ts';
import { PlayedTargets } from '../../fakes/tools/target.ts';
import { type PlayedVmm, playedVmm } from '../../fakes/tools/vmm.ts';
import { MemoryTree } from '../../fakes/tree.ts';
import type { ControlPlane } from '../control-plane.ts';

export interface LightHostsOptions {
  readonly dir: string;
  readonly controlPlane: ControlPlane;
  readonly servers: readonly string[];
  readonly hypervisors: readonly string[];
  /** Names of the machines of a hypervisor. */
  readonly machinesOf: (hypervisor: string) => readonly string[];
}

interface PlayedServer {
  readonly pool: PlayedPool;
  readonly targets: PlayedTargets;
}

const STATE = '/state';
const POOL_BYTES = 64n << 40n;
/** Heartbeats of dozens of hosts are not what is measured. */
const HEARTBEAT = { leaseSeconds: 40, renewSeconds: 30, retrySeconds: 8 };

export class LightHosts {
  readonly #options: LightHostsOptions;
  readonly #servers = new Map<string, PlayedServer>();
  readonly #vmms = new Map<string, PlayedVmm>();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>[] = [];
  /** Verbs that change something, run by all hosts so far. */
  changes = 0;
  /** Targets on which two initiators had sessions at once. */
  readonly twoWriters: string[] = [];

  constructor(options: LightHostsOptions) {
    this.#options = options;
  }

  get names(): readonly string[] {
    return [...this.#options.servers, ...this.#options.hypervisors];
  }

  /** Everything on the played hosts, for a proof that nothing is left. */
  get contents(): { readonly backings: number; readonly targets: number; readonly disks: number } {
    const servers = [...this.#servers.values()];
    return {
      backings: servers.reduce((sum, { pool }) => sum + pool.count, 0),
      targets: servers.reduce((sum, { targets }) => sum + targets.count, 0),
      disks: [...this.#vmms.values()].reduce((sum, { disks }) => sum + disks(), 0),
    };
  }

  async start(): Promise<void> {
    const { servers, hypervisors } = this.#options;
    for (const server of servers) {
      const pool = playedPool(`/pool/${server}`, POOL_BYTES);
      this.#servers.set(server, { pool, targets: new PlayedTargets(pool) });
    }
    const find = (iqn: string) =>
      [...this.#servers.values()].find(({ targets }) => targets.has(iqn))?.targets;
    for (const hypervisor of hypervisors) {
      const onTwoWriters = (iqn: string) => void this.twoWriters.push(iqn);
      const vmm = playedVmm(this.#options.machinesOf(hypervisor), { find, onTwoWriters });
      this.#vmms.set(hypervisor, vmm);
    }
    for (const host of this.names) {
      await this.#run(host);
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }

  async #run(host: string): Promise<void> {
    const { dir, controlPlane } = this.#options;
    const identity = { namespace: hostNamespace(host), serviceAccount: AGENT_ACCOUNT, name: host };
    const kubeconfig = await controlPlane.kubeconfigFor(identity);
    const stream = { write: (line: string) => appendFileSync(path.join(dir, 'light-hosts.log'), line) };
    const log = createLog({ level: 'warn', name: 'node-agent', stream }).child({ host });
    const api = createApi({ kubeconfigPath: kubeconfig, log, userAgent: 'vbs-node-agent' });
    const tree = new MemoryTree();
    tree.put('/machine-id', `machine-of-${host}`);
    tree.put('/boot-id', crypto.randomUUID());
    tree.makeDirectory(`${STATE}/tmp`);
    const around = {
      config: this.#config(host, kubeconfig),
      api,
      clock: systemClock,
      log,
      metrics: new Metrics(),
      files: tree.files,
      bindRole: (role: RoleName) => this.#bind(host, role),
      reach: async () => true,
    };
    this.#running.push(runHost(around, this.#stop.signal).finally(() => api.close()));
  }

  #config(host: string, kubeconfig: string): AgentConfig {
    const params = {};
    const roles = this.#servers.has(host)
      ? {
          volumeServer: {
            pools: [{ name: 'main', profile: 'file', params }],
            target: { profile: 'tgt', params, portals: [`${host}:3260`] },
          },
        }
      : { hypervisor: { initiator: { profile: 'qemu', params }, vmm: { profile: 'libvirt-virsh', params } } };
    return {
      host,
      kubeconfig,
      stateDir: STATE,
      profileDirectories: [],
      machineIDFile: '/machine-id',
      bootIDFile: '/boot-id',
      logLevel: 'warn',
      iqnPrefix: 'iqn.2026-11.dev.vbs',
      heartbeat: HEARTBEAT,
      observeSeconds: 5,
      resyncSeconds: 20,
      offlineAfterSeconds: 30,
      ...roles,
    };
  }

  #bind(host: string, role: RoleName): Promise<BoundProfile> {
    const server = this.#servers.get(host);
    const vmm = this.#vmms.get(host);
    const played: Readonly<Record<RoleName, readonly [string, Tool | undefined]>> = {
      pool: ['file', server?.pool.tool],
      target: ['tgt', server?.targets.tool],
      vmm: ['libvirt-virsh', vmm?.vmm],
      initiator: ['qemu', vmm?.initiator],
    };
    const [name, tool = {}] = played[role];
    const onChange = () => {
      this.changes += 1;
    };
    return playedProfile({ role, name, tool, onChange });
  }
}
