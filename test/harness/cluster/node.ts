// A Kubernetes node on this machine: containerd and kubelet beside an API server of ours, with kube-controller-manager and kube-scheduler. Both live in a
// mount namespace of their own, in which the places where they would leave something are folders of the work directory, and the settings of the kernel that
// kubelet wants are there already: whatever is mounted goes with the last process, and the machine stays as it was.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { buildNode } from '../../../scripts/control-plane/build.ts';
import type { ControlPlane } from '../control-plane.ts';
import { freePort } from '../ports.ts';
import { type Log, type RunningProcess, runCommand, startProcess, waitFor } from '../process.ts';
import { makeGroup } from './groups.ts';
import { cniConfiguration, type PodNetwork, passOn } from './network.ts';

export interface NodeOptions {
  /** The work directory. */
  readonly dir: string;
  readonly log: Log;
  readonly name: string;
  readonly controlPlane: ControlPlane;
  readonly network: PodNetwork;
  /** The archive with the image `pause`, which holds the namespaces of a pod. */
  readonly pause: string;
}

/** Where images are from, according to their names. */
export const REGISTRY = 'vbs.test';
export const PAUSE_TAG = '1';
const PAUSE = `${REGISTRY}/pause:${PAUSE_TAG}`;
const LIMIT_MS = 90_000;
/** What kubelet demands, and would set by itself. */
const TUNABLES = {
  'vm/overcommit_memory': '1',
  'vm/panic_on_oom': '0',
  'kernel/panic': '10',
  'kernel/panic_on_oops': '1',
  'kernel/keys/root_maxkeys': '1000000',
  'kernel/keys/root_maxbytes': '25000000',
};
/** Where containerd, kubelet and the plugins leave something whatever they are told. */
const PLACES = ['/var/log', '/var/lib/cni', '/run/containerd', '/run/netns'];

export const startNode = async (options: NodeOptions): Promise<Node> => {
  const node = new Node(options, await buildNode(options.log));
  try {
    await node.start();
    return node;
  } catch (error) {
    await node.stop();
    throw error;
  }
};

export class Node {
  readonly name: string;
  readonly #options: NodeOptions;
  readonly #binaries: string;
  readonly #dir: string;
  readonly #running: RunningProcess[] = [];
  #callOff: () => Promise<void> = async () => {};

  constructor(options: NodeOptions, binaries: string) {
    this.#options = options;
    this.#binaries = binaries;
    this.#dir = path.join(options.dir, 'node');
    this.name = options.name;
  }

  async start(): Promise<void> {
    const { controlPlane, network, pause, log } = this.#options;
    this.#callOff = await passOn({ address: network.apiAddress, port: 443 }, controlPlane.port);
    await mkdir(this.#dir, { mode: 0o700 });
    await this.#startControllers();
    const containerd = await this.#startContainerd();
    await this.loadImage('pause', pause);
    await this.#startKubelet(containerd);
    const wait = ['wait', '--for=condition=Ready', '--timeout=5s', `node/${this.name}`];
    await waitFor({ what: `node ${this.name} to be Ready`, timeoutMs: LIMIT_MS }, async () => {
      await controlPlane.kubectl(wait);
      return true;
    });
    log(`node ${this.name} is Ready (kubelet and containerd)`);
  }

  /** Takes an image from its archive; pods name it `vbs.test/NAME:TAG`. */
  async loadImage(name: string, archive: string): Promise<void> {
    await this.ctr('images', 'import', '--base-name', `${REGISTRY}/${name}`, archive);
  }

  async tagImage(name: string, tag: string, other: string): Promise<void> {
    await this.ctr('images', 'tag', `${REGISTRY}/${name}:${tag}`, `${REGISTRY}/${name}:${other}`);
  }

  /** Process IDs of the containers that run, by ID. */
  async containers(): Promise<ReadonlyMap<string, number>> {
    const lines = (await this.ctr('tasks', 'list')).split('\n').slice(1);
    return new Map(
      lines.flatMap((line) => {
        const [id = '', pid, status] = line.trim().split(/\s+/);
        return status === 'RUNNING' ? [[id, Number(pid)] as const] : [];
      }),
    );
  }

  async ctr(...args: readonly string[]): Promise<string> {
    return await runCommand('ctr', ['--address', this.#socket, '--namespace', 'k8s.io', ...args], {
      timeoutMs: 120_000,
    });
  }

  /** Ends everything of the node but what the containers were; that goes with the work directory. */
  async stop(): Promise<void> {
    await Promise.all(this.#running.map((one) => one.stop(2_000)));
    await this.#callOff();
  }

  get #socket(): string {
    return path.join(this.#dir, 'containerd.sock');
  }

  async #start(name: string, command: readonly [string, ...string[]]): Promise<RunningProcess> {
    const started = await startProcess({ name, command, dir: this.#options.dir });
    this.#running.push(started);
    return started;
  }

  async #startControllers(): Promise<void> {
    const { controlPlane } = this.#options;
    const { pki, adminKubeconfig } = controlPlane;
    const common = [`--kubeconfig=${adminKubeconfig}`, '--leader-elect=false', '--bind-address=127.0.0.1'];
    await this.#start('kube-controller-manager', [
      path.join(this.#binaries, 'kube-controller-manager'),
      ...common,
      `--secure-port=${await freePort()}`,
      `--cert-dir=${path.join(this.#dir, 'controller-manager')}`,
      `--root-ca-file=${pki.ca.certFile}`,
      `--service-account-private-key-file=${pki.serviceAccountKeyFile}`,
    ]);
    await this.#start('kube-scheduler', [
      path.join(this.#binaries, 'kube-scheduler'),
      ...common,
      `--secure-port=${await freePort()}`,
      `--cert-dir=${path.join(this.#dir, 'scheduler')}`,
    ]);
  }

  async #startContainerd(): Promise<RunningProcess> {
    const configuration = path.join(this.#dir, 'containerd.toml');
    await writeFile(configuration, this.#containerdConfiguration());
    const cni = path.join(this.#dir, 'cni');
    await mkdir(cni);
    await writeFile(
      path.join(cni, '10-bridge.conflist'),
      JSON.stringify(cniConfiguration(this.#options.network)),
    );
    const binds = [...(await this.#ownPlaces()), ...(await this.#ownTunables())];
    const script = [
      ...binds.map(({ own, place }) => `mount --bind '${own}' ${place}`),
      `exec containerd --config '${configuration}'`,
    ].join(' && ');
    const containerd = await this.#start('containerd', [
      ...(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script] as const),
    ]);
    await waitFor({ what: 'containerd to answer', timeoutMs: LIMIT_MS, process: containerd }, async () => {
      await this.ctr('version');
      return true;
    });
    return containerd;
  }

  async #ownPlaces(): Promise<readonly { readonly own: string; readonly place: string }[]> {
    const pairs = PLACES.map((place) => ({ own: path.join(this.#dir, 'places', place), place }));
    for (const { own, place } of pairs) {
      await mkdir(own, { recursive: true });
      await mkdir(place, { recursive: true });
    }
    return pairs;
  }

  async #ownTunables(): Promise<readonly { readonly own: string; readonly place: string }[]> {
    const folder = path.join(this.#dir, 'tunables');
    await mkdir(folder);
    return await Promise.all(
      Object.entries(TUNABLES).map(async ([name, value]) => {
        const own = path.join(folder, name.replaceAll('/', '.'));
        await writeFile(own, `${value}\n`);
        return { own, place: `/proc/sys/${name}` };
      }),
    );
  }

  #containerdConfiguration(): string {
    const folder = (name: string) => JSON.stringify(path.join(this.#dir, name));
    return `version = 2
root = ${folder('containerd/root')}
state = ${folder('containerd/state')}
[grpc]
  address = ${JSON.stringify(this.#socket)}
[plugins."io.containerd.internal.v1.opt"]
  path = ${folder('containerd/opt')}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE}"
  disable_apparmor = true
  # A machine may not have the capability to make its processes less likely to be killed.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = ${folder('cni')}
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`;
  }

  async #startKubelet({ pid }: RunningProcess): Promise<void> {
    const { controlPlane, network } = this.#options;
    const configuration = path.join(this.#dir, 'kubelet.yaml');
    await writeFile(configuration, stringify(await this.#kubeletConfiguration()));
    const subject = `/O=system:nodes/CN=system:node:${this.name}`;
    const args = [
      `--kubeconfig=${await controlPlane.certifiedKubeconfig('kubelet', subject)}`,
      `--config=${configuration}`,
      `--root-dir=${path.join(this.#dir, 'kubelet')}`,
      `--cert-dir=${path.join(this.#dir, 'kubelet-pki')}`,
      `--hostname-override=${this.name}`,
      `--node-ip=${network.nodeAddress}`,
    ];
    // Without iptables it leaves the machine's firewall alone.
    const tools = path.join(this.#dir, 'tools');
    await mkdir(tools);
    await runCommand('ln', ['-s', '/usr/bin/mount', '/usr/bin/umount', tools]);
    const program = ['/usr/bin/env', `PATH=${tools}`, path.join(this.#binaries, 'kubelet')];
    await this.#start('kubelet', ['nsenter', `--mount=/proc/${pid}/ns/mnt`, ...program, ...args]);
  }

  async #kubeletConfiguration(): Promise<object> {
    const { controlPlane, network, dir } = this.#options;
    return {
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      kind: 'KubeletConfiguration',
      address: network.nodeAddress,
      port: await freePort(),
      healthzPort: 0,
      authentication: {
        anonymous: { enabled: false },
        webhook: { enabled: true },
        x509: { clientCAFile: controlPlane.pki.ca.certFile },
      },
      authorization: { mode: 'Webhook' },
      containerRuntimeEndpoint: `unix://${this.#socket}`,
      cgroupDriver: 'cgroupfs',
      cgroupRoot: `/${await makeGroup(dir)}`,
      failCgroupV1: false,
      failSwapOn: false,
      enforceNodeAllocatable: [],
      // A full disk of the machine is not what is tested.
      evictionHard: { 'nodefs.available': '0%', 'imagefs.available': '0%', 'memory.available': '1Mi' },
      imageGCHighThresholdPercent: 100,
      volumePluginDir: path.join(this.#dir, 'volume-plugins'),
      clusterDomain: 'cluster.local',
    };
  }
}
