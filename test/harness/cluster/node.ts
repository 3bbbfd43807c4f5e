// A Kubernetes node in a box: containerd and kubelet beside an API server of ours, with kube-controller-manager and kube-scheduler. Nothing here is taken back: it goes
// with the box.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { buildNode } from '../../../scripts/control-plane/build.ts';
import type { ControlPlane } from '../control-plane.ts';
import { type Log, type RunningProcess, runCommand, startProcess, waitFor } from '../process.ts';
import { NODE_ADDRESS } from './addresses.ts';
import { PAUSE_TAG } from './images.ts';
import {
  cniConfiguration,
  containerdConfiguration,
  kubeletConfiguration,
  type NodePlace,
} from './settings.ts';

export interface NodeOptions {
  /** The work directory. */
  readonly dir: string;
  readonly log: Log;
  readonly name: string;
  readonly controlPlane: ControlPlane;
}

/** Where images are from, according to their names. */
export const REGISTRY = 'vbs.test';
const LIMIT_MS = 90_000;
/** Of proc_pid_stat(5), on every machine in use. */
const TICKS_PER_SECOND = 100;

/** Starts what a cluster of one node has beside its API server, and returns when containerd takes images. */
export const startNode = async (options: NodeOptions): Promise<Node> => {
  const node = new Node(options);
  await node.start(await buildNode(options.log));
  return node;
};

export class Node {
  readonly #options: NodeOptions;
  readonly #place: NodePlace;

  constructor(options: NodeOptions) {
    this.#options = options;
    const nodeDir = path.join(options.dir, 'node');
    this.#place = { dir: options.dir, nodeDir, socket: path.join(nodeDir, 'containerd.sock') };
  }

  /** Called once by `startNode`. */
  async start(binaries: string): Promise<void> {
    await mkdir(path.join(this.#place.nodeDir, 'cni'), { recursive: true, mode: 0o700 });
    await this.#startControllers(binaries);
    await this.#startContainerd();
    await this.#startKubelet(binaries);
  }

  async waitReady(): Promise<void> {
    const { name, controlPlane, log } = this.#options;
    const wait = ['wait', '--for=condition=Ready', '--timeout=5s', `node/${name}`];
    await waitFor({ what: `node ${name} to be Ready`, timeoutMs: LIMIT_MS }, async () => {
      await controlPlane.kubectl(wait);
      return true;
    });
    log(`node ${name} is Ready (kubelet and containerd)`);
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
    return await runCommand('ctr', ['--address', this.#place.socket, '--namespace', 'k8s.io', ...args], {
      timeoutMs: 120_000,
    });
  }

  async #start(name: string, command: readonly [string, ...string[]]): Promise<RunningProcess> {
    return await startProcess({ name, command, dir: this.#options.dir });
  }

  async #startControllers(binaries: string): Promise<void> {
    const { pki, adminKubeconfig } = this.#options.controlPlane;
    const common = [`--kubeconfig=${adminKubeconfig}`, '--leader-elect=false', '--bind-address=127.0.0.1'];
    const certificates = (name: string) => `--cert-dir=${path.join(this.#place.nodeDir, name)}`;
    await this.#start('kube-controller-manager', [
      path.join(binaries, 'kube-controller-manager'),
      ...common,
      certificates('controller-manager'),
      `--root-ca-file=${pki.ca.certFile}`,
      `--service-account-private-key-file=${pki.serviceAccountKeyFile}`,
    ]);
    const scheduler = path.join(binaries, 'kube-scheduler');
    await this.#start('kube-scheduler', [scheduler, ...common, certificates('scheduler')]);
  }

  async #startContainerd(): Promise<void> {
    const { nodeDir } = this.#place;
    const configuration = path.join(nodeDir, 'containerd.toml');
    const pause = `${REGISTRY}/pause:${PAUSE_TAG}`;
    await writeFile(configuration, containerdConfiguration(this.#place, pause));
    await writeFile(path.join(nodeDir, 'cni/pods.conflist'), JSON.stringify(cniConfiguration));
    const containerd = await this.#start('containerd', ['containerd', '--config', configuration]);
    await waitFor({ what: 'containerd to answer', timeoutMs: LIMIT_MS, process: containerd }, async () => {
      await this.ctr('version');
      return true;
    });
  }

  async #startKubelet(binaries: string): Promise<void> {
    const { controlPlane, name } = this.#options;
    const { nodeDir } = this.#place;
    const configuration = path.join(nodeDir, 'kubelet.yaml');
    await writeFile(
      configuration,
      stringify(kubeletConfiguration(this.#place, controlPlane.pki.ca.certFile)),
    );
    const subject = `/O=system:nodes/CN=system:node:${name}`;
    await this.#start('kubelet', [
      path.join(binaries, 'kubelet'),
      `--kubeconfig=${await controlPlane.certifiedKubeconfig('kubelet', subject)}`,
      `--config=${configuration}`,
      `--root-dir=${path.join(nodeDir, 'kubelet')}`,
      `--cert-dir=${path.join(nodeDir, 'kubelet-pki')}`,
      `--hostname-override=${name}`,
      `--node-ip=${NODE_ADDRESS}`,
    ]);
  }
}

/** What a process takes of the memory of its host, and the most that it took so far; in MiB. */
export const residentOf = async (pid: number): Promise<{ readonly now: number; readonly most: number }> => {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const read = (key: string): number =>
    Math.round(Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024);
  return { now: read('VmRSS'), most: read('VmHWM') };
};

/** What a process has of the processors within that time, in thousandths of one; what it started and has ended is not in it. */
export const processorsOf = async (pid: number, ms: number): Promise<number> => {
  const ticks = async (): Promise<number> => {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11]) + Number(fields[12]);
  };
  const [before, startedAt] = [await ticks(), performance.now()];
  await sleep(ms);
  const seconds = (performance.now() - startedAt) / 1000;
  return Math.round((((await ticks()) - before) / TICKS_PER_SECOND / seconds) * 1000);
};

/** What the control group of a process, of either version, is charged for without what could be dropped at once, as kubelet reckons; in MiB. */
export const workingSetOf = async (pid: number): Promise<number> => {
  const groups = await readFile(`/proc/${pid}/cgroup`, 'utf8');
  const first = /^\d+:(?:.*,)?memory(?:,.*)?:(.*)$/m.exec(groups)?.[1];
  const root = first === undefined ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory';
  const group = path.join(root, first ?? /^0::(.*)$/m.exec(groups)?.[1] ?? '');
  const [usage, inactive] =
    first === undefined
      ? (['memory.current', /^inactive_file (\d+)$/m] as const)
      : (['memory.usage_in_bytes', /^total_inactive_file (\d+)$/m] as const);
  const dropped = Number(inactive.exec(await readFile(path.join(group, 'memory.stat'), 'utf8'))?.[1]);
  return Math.round((Number(await readFile(path.join(group, usage), 'utf8')) - dropped) / 1024 ** 2);
};
