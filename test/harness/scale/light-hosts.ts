// Many hosts in one process: the agents' own roles, Leases and records over tools that are played in memory, each host
// under its own identity at the real API server.
import { appendFileSync } from 'node:fs';
import path from 'node:path';
import { AGENT_ACCOUNT, hostNamespace } from '../../../api/names.ts';
import { chapSource } from '../../../node-agent/chap.ts';
import type { AgentConfig } from '../../../node-agent/config.ts';
import { hypervisorRole } from '../../../node-agent/hypervisor-role.ts';
import { liveClusterID } from '../../../node-agent/identity.ts';
import { runRoles } from '../../../node-agent/main.ts';
import type { BoundProfile } from '../../../node-agent/profiles/bind.ts';
import type { RoleName } from '../../../node-agent/profiles/vocabulary.ts';
import type { Program, Role } from '../../../node-agent/program.ts';
import { serverRole } from '../../../node-agent/server-role.ts';
import { RecordStore } from '../../../node-agent/store.ts';
import { createApi } from '../../../runtime/api.ts';
import { systemClock } from '../../../runtime/clock.ts';
import { createLog } from '../../../runtime/log.ts';
import { Metrics } from '../../../runtime/metrics.ts';
import { memoryFiles } from '../../fakes/memory-files.ts';
import { playedProfile, type Tool } from '../../fakes/tools/played.ts';
import { type PlayedPool, playedPool } from '../../fakes/tools/pool.ts';
import { PlayedTargets } from '../../fakes/tools/target.ts';
import { type PlayedVmm, playedVmm } from '../../fakes/tools/vmm.ts';
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
    const { program, own } = await this.#program({ host, kubeconfig, log, api });
    const roles = await this.#roles(program, own);
    this.#running.push(
      runRoles(program, roles, `machine-of-${host}/${program.bootID}`, this.#stop.signal).finally(() =>
        api.close(),
      ),
    );
  }

  async #program(
    given: Pick<Program, 'log' | 'api'> & { readonly host: string; readonly kubeconfig: string },
  ): Promise<{ readonly program: Program; readonly own: RecordStore<string> }> {
    const { host, kubeconfig, log, api } = given;
    const files = memoryFiles();
    const stateDir = `/state/${host}`;
    const config: AgentConfig = {
      host,
      kubeconfig,
      stateDir,
      profileDirectories: [],
      machineIDFile: '',
      bootIDFile: '',
      logLevel: 'warn',
      iqnPrefix: 'iqn.2026-11.dev.vbs',
      heartbeat: HEARTBEAT,
      observeSeconds: 5,
      resyncSeconds: 20,
      offlineAfterSeconds: 30,
    };
    const program = {
      config,
      api,
      clock: systemClock,
      log,
      metrics: new Metrics(),
      files,
      bindRole: (role: RoleName) => this.#bind(host, role),
      chapOf: chapSource(api, host, await RecordStore.open<string>(files, `${stateDir}/keys`)),
      bootID: crypto.randomUUID(),
      clusterID: await liveClusterID(api, this.#stop.signal),
      version: '0.0.0-played',
    };
    return { program, own: await RecordStore.open<string>(files, `${stateDir}/host`) };
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

  async #roles(program: Program, own: RecordStore<string>): Promise<readonly Role[]> {
    const { host } = program.config;
    const params = {};
    if (this.#servers.has(host)) {
      const pools = [{ name: 'main', profile: 'file', params }];
      return [
        await serverRole(
          program,
          { pools, target: { profile: 'tgt', params, portals: [`${host}:3260`] } },
          own,
        ),
      ];
    }
    const initiator = { profile: 'qemu', params };
    return [await hypervisorRole(program, { initiator, vmm: { profile: 'libvirt-virsh', params } })];
  }
}
