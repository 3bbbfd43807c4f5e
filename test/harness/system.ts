// The whole of VBS on this machine, for the quickstart and for tests: a real control plane, the controller, an agent as
// volume server over a private tgtd (or more of them) and one as hypervisor over a private libvirtd, each a process under its own identity.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { AGENT_ACCOUNT, hostNamespace } from '../../api/names.ts';
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from './control-plane.ts';
import { type Libvirtd, startLibvirtd } from './libvirtd.ts';
import { freePort } from './ports.ts';
import { type Log, type RunningProcess, runCommand, startProcess, waitFor } from './process.ts';
import { startTgtd, type Tgtd } from './tgtd.ts';

/** Of this checkout. */
export const ROOT = path.resolve(import.meta.dirname, '../..');
export const SERVER = 'server-1';
export const SECOND_SERVER = 'server-2';
export const HYPERVISOR = 'hypervisor-1';

export interface SystemOptions {
  /** A private work directory. */
  readonly dir: string;
  readonly log: Log;
  readonly logLevel?: 'debug' | 'info';
  /** More flags for the API server. */
  readonly apiServerArgs?: readonly string[];
  /** Where else it is reached. */
  readonly apiServer?: Pick<ControlPlaneOptions, 'port' | 'alternativeNames'>;
  /** The volume servers; one when absent. The agent of any but the first is started by `join`. */
  readonly servers?: readonly string[];
  /** Where the sources of each part are; of this checkout when absent. */
  readonly sources?: Sources;
  /** In the place of `kubectl apply`: CRDs, rights, policies, the identities of these hosts, a default class. */
  readonly installation?: (controlPlane: ControlPlane, hosts: readonly string[]) => Promise<void>;
  /** The servers copy from others, which is a setting that version 0.1.0 does not know; true when absent. */
  readonly remoteCopy?: boolean;
}

/** Directories with the sources of some version: what the API server is given, and what is run. */
export interface Sources {
  readonly cluster?: string;
  readonly controller?: string;
  readonly agents?: string;
}

/** A volume server's pool and target daemon. */
export interface ServerParts {
  readonly name: string;
  readonly poolDir: string;
  readonly tgtd: Tgtd;
}

export interface Program {
  readonly name: string;
  readonly configFile: string;
  process: RunningProcess | undefined;
}

export async function startSystem(options: SystemOptions): Promise<System> {
  const system = new System(options);
  try {
    await system.start();
    return system;
  } catch (error) {
    await system.stop();
    throw error;
  }
}

export class System {
  readonly dir: string;
  readonly #options: SystemOptions;
  readonly #servers: ServerParts[] = [];
  #controlPlane: ControlPlane | undefined;
  #libvirtd: Libvirtd | undefined;
  readonly programs = new Map<string, Program>();
  /** Where the controller serves health and metrics. */
  controllerPort = 0;
  #sources: Sources;

  constructor(options: SystemOptions) {
    this.#options = options;
    this.#sources = options.sources ?? {};
    this.dir = options.dir;
  }

  get controlPlane(): ControlPlane {
    return started(this.#controlPlane, 'control plane');
  }
  get servers(): readonly ServerParts[] {
    return this.#servers;
  }
  /** Of the first server. */
  get tgtd(): Tgtd {
    return started(this.#servers[0], 'tgtd').tgtd;
  }
  /** Of the first server. */
  get poolDir(): string {
    return path.join(this.dir, 'pool');
  }
  /** The hosts, servers first. */
  get hosts(): readonly string[] {
    return [...this.#servers.map(({ name }) => name), HYPERVISOR];
  }
  get libvirtd(): Libvirtd {
    return started(this.#libvirtd, 'libvirtd');
  }

  async start(): Promise<void> {
    await this.startParts();
    await this.install();
    await Promise.all(['controller', SERVER, HYPERVISOR].map((name) => this.run(name)));
    await this.waitForHosts();
  }

  /** The components that are not ours. */
  async startParts(): Promise<void> {
    const { dir, log, apiServerArgs = [], apiServer = {}, servers = [SERVER] } = this.#options;
    this.#controlPlane = await startControlPlane({ dir, log, apiServerArgs, ...apiServer });
    for (const name of servers) {
      const poolDir = name === SERVER ? this.poolDir : path.join(dir, `${name}-pool`);
      this.#servers.push({ name, poolDir, tgtd: await startTgtd({ dir, log }) });
    }
    this.#libvirtd = await startLibvirtd({ dir, log });
  }

  /** What an administrator does once in a cluster: CRDs, rights, policies, identities, a class. */
  async installCluster(): Promise<void> {
    const { installation } = this.#options;
    if (installation !== undefined) {
      await installation(this.controlPlane, this.hosts);
      return;
    }
    await installCluster(this.controlPlane, this.hosts, this.#sources.cluster);
    await this.controlPlane.kubectl(['apply', '-f', path.join(ROOT, 'examples', 'volumeclass.yaml')]);
  }

  /** The same with the credentials of all programs, in the place of a cluster that was lost. None of them runs. */
  async installAgain(): Promise<void> {
    await this.installCluster();
    for (const name of this.programs.keys()) {
      const isController = name === 'controller';
      await this.controlPlane.kubeconfigFor({
        namespace: isController ? 'vbs-system' : hostNamespace(name),
        serviceAccount: isController ? 'vbs-controller' : AGENT_ACCOUNT,
        name: isController ? 'vbs-controller' : name,
      });
    }
  }

  /** What that command of the agent of a host prints. */
  async agentCommand(host: string, command: string): Promise<string> {
    const main = path.join(ROOT, 'node-agent', 'main.ts');
    return await runCommand(process.execPath, [main, command, '--config', this.#file(host)]);
  }

  /** And configuration and pools of the hosts. */
  async install(): Promise<void> {
    await this.installCluster();
    await this.#configure();
    for (const { name, poolDir } of this.#servers) {
      await mkdir(poolDir, { mode: 0o700 });
      await this.preparePools(name);
    }
  }

  /** What an administrator does once for new pools of a volume server. */
  async preparePools(host: string = SERVER): Promise<void> {
    await preparePools(this.#file(host), this.#sources.agents);
  }

  async #configure(): Promise<void> {
    const { controlPlane, dir } = this;
    const kubeconfig = (namespace: string, serviceAccount: string, name: string) =>
      controlPlane.kubeconfigFor({ namespace, serviceAccount, name });
    const logLevel = this.#options.logLevel ?? 'info';
    this.controllerPort = await freePort();
    await this.#write('controller', {
      kubeconfig: await kubeconfig('vbs-system', 'vbs-controller', 'vbs-controller'),
      logLevel,
      http: { port: this.controllerPort },
      leaderElection: { leaseSeconds: 4, renewSeconds: 3, retrySeconds: 0.5 },
    });
    const agent = async (host: string, role: object) => ({
      host,
      kubeconfig: await kubeconfig(hostNamespace(host), AGENT_ACCOUNT, host),
      stateDir: path.join(dir, host),
      bootIDFile: await this.#bootID(host),
      logLevel,
      heartbeat: { leaseSeconds: 6, renewSeconds: 4, retrySeconds: 1 },
      observeSeconds: 1,
      resyncSeconds: 10,
      offlineAfterSeconds: 4,
      ...role,
    });
    for (const { name, poolDir, tgtd } of this.#servers) {
      await this.#write(
        name,
        await agent(name, {
          volumeServer: {
            pools: [{ name: 'main', profile: 'file', params: { dir: poolDir } }],
            target: { profile: 'tgt', params: { controlPort: tgtd.controlPort }, portals: [tgtd.portal] },
            ...(this.#options.remoteCopy === false ? {} : { initiator: { profile: 'qemu' } }),
          },
        }),
      );
    }
    await this.#write(
      HYPERVISOR,
      await agent(HYPERVISOR, {
        hypervisor: {
          initiator: { profile: 'qemu' },
          vmm: { profile: 'libvirt-virsh', params: { uri: this.libvirtd.uri } },
        },
      }),
    );
  }

  /** A boot ID of the host's own, so that a test can reboot it. */
  async #bootID(host: string): Promise<string> {
    const file = path.join(this.dir, `${host}.boot-id`);
    await this.reboot(host);
    return file;
  }

  /** From now on the host is in another boot. */
  async reboot(host: string): Promise<void> {
    await writeFile(path.join(this.dir, `${host}.boot-id`), `${crypto.randomUUID()}\n`);
  }

  #file(name: string): string {
    return path.join(this.dir, `${name}.yaml`);
  }

  async #write(name: string, config: object): Promise<void> {
    await writeFile(this.#file(name), stringify(config), { mode: 0o600 });
    this.programs.set(name, { name, configFile: this.#file(name), process: undefined });
  }

  /** Starts one of our programs; nothing happens while it runs. */
  async run(name: string): Promise<void> {
    const program = started(this.programs.get(name), name);
    if (program.process?.isRunning() === true) {
      return;
    }
    const { controller = ROOT, agents = ROOT } = this.#sources;
    const main =
      name === 'controller'
        ? path.join(controller, 'controller', 'main.ts')
        : path.join(agents, 'node-agent', 'main.ts');
    program.process = await startProcess({
      name,
      command: [process.execPath, main, '--config', program.configFile],
      dir: this.dir,
    });
  }

  /** Gives the API server what an administrator applies, in the version that is there. */
  async replaceCluster(sources: string): Promise<void> {
    this.#sources = { ...this.#sources, cluster: sources };
    await installCluster(this.controlPlane, this.hosts, sources);
  }

  /** Ends the controller in order, and starts the version that is there. */
  async replaceController(sources: string): Promise<void> {
    this.#sources = { ...this.#sources, controller: sources };
    await this.#restart('controller');
  }

  /** Ends the agents in order, one after the other, and starts the version that is there. */
  async replaceAgents(sources: string): Promise<void> {
    this.#sources = { ...this.#sources, agents: sources };
    for (const host of this.hosts) {
      await this.#restart(host);
    }
  }

  async #restart(name: string): Promise<void> {
    await this.programs.get(name)?.process?.stop(30_000);
    await this.run(name);
  }

  async kill(name: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.programs.get(name)?.process?.kill(signal);
  }

  logFile(name: string): string {
    return started(this.programs.get(name)?.process, name).logFile;
  }

  /** Until the controller calls the first two hosts Ready. */
  async waitForHosts(timeoutMs = 60_000): Promise<void> {
    for (const host of [`volumeserver/${SERVER}`, `hypervisor/${HYPERVISOR}`]) {
      await this.#waitForHost(host, timeoutMs);
    }
  }

  async #waitForHost(host: string, timeoutMs: number): Promise<void> {
    await waitFor({ what: `${host} to be Ready`, timeoutMs }, async () => {
      await this.controlPlane.kubectl(['wait', '--for=condition=Ready', '--timeout=2s', host]);
      return true;
    });
  }

  /** Starts the agent of another volume server and waits until the controller calls it Ready. */
  async join(server: string): Promise<void> {
    await this.run(server);
    await this.#waitForHost(`volumeserver/${server}`, 60_000);
  }

  /** Names of what is in a pool, its own marker apart. */
  async poolContents(poolDir: string = this.poolDir): Promise<readonly string[]> {
    return (await readdir(poolDir)).filter((name) => name !== '.vbs-pool' && name !== 'lost+found').sort();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.programs.values()].map(({ process: running }) => running?.stop(10_000)));
    await this.#libvirtd?.stop();
    await Promise.all(this.#servers.map(({ tgtd }) => tgtd.stop()));
    await this.#controlPlane?.stop();
  }
}

function started<T>(part: T | undefined, name: string): T {
  if (part === undefined) {
    throw new Error(`${name} was not started`);
  }
  return part;
}

/** What an administrator applies once: CRDs, rights, policies, the identities of the hosts. */
export async function installCluster(
  controlPlane: ControlPlane,
  hosts: readonly string[],
  sources: string = ROOT,
): Promise<void> {
  const deploy = path.join(sources, 'deploy');
  await controlPlane.kubectl(['apply', '-f', path.join(sources, 'crds')]);
  await controlPlane.kubectl([
    'apply',
    '-f',
    path.join(deploy, 'controller.yaml'),
    '-f',
    path.join(deploy, 'agents.yaml'),
    '-f',
    path.join(deploy, 'admission'),
  ]);
  await controlPlane.kubectl([
    'wait',
    '--for=condition=Established',
    '--timeout=60s',
    ...(await crdNames(path.join(sources, 'crds'))),
  ]);
  const template = await readFile(path.join(deploy, 'host.yaml'), 'utf8');
  for (const host of hosts) {
    await controlPlane.kubectl(['apply', '-f', '-'], template.replaceAll('HOST', host));
  }
}

async function crdNames(dir: string): Promise<readonly string[]> {
  const names = await Promise.all(
    (await readdir(dir)).map(
      async (file) => /^ {2}name: (\S+)$/m.exec(await readFile(path.join(dir, file), 'utf8'))?.[1],
    ),
  );
  return names.flatMap((name) => (name === undefined ? [] : [`crd/${name}`]));
}

/** Makes the empty places named in the configuration pools. */
export async function preparePools(configFile: string, sources: string = ROOT): Promise<void> {
  const agent = path.join(sources, 'node-agent', 'main.ts');
  await runCommand(process.execPath, [agent, 'prepare-pools', '--config', configFile]);
}
