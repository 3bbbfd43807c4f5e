// What tests of the whole system say: apply an object, wait until it is ready or says why not, and prove from the outside
// that nothing is left.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import { type Condition, findCondition } from '../../api/conditions.ts';
import { AGENT_ACCOUNT, hostNamespace } from '../../api/names.ts';
import type { KubeObject, Resource } from '../../api/object.ts';
import { ATTACHMENTS, HYPERVISORS, SNAPSHOTS, VOLUME_SERVERS, VOLUMES } from '../../api/resources.ts';
import { type Api, createApi } from '../../runtime/api.ts';
import { silentLog } from '../../runtime/log.ts';
import { type Guest, startGuest } from './guest.ts';
import { type Libvirtd, startLibvirtd } from './libvirtd.ts';
import { type Log, type RunningProcess, startProcess, waitFor } from './process.ts';
import { HYPERVISOR, preparePools, SERVER, type System, type SystemOptions, startSystem } from './system.ts';
import { startTgtd, type Tgtd } from './tgtd.ts';
import { makeWorkdir, type Workdir } from './workdir.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const NAMESPACE = 'default';
/** Long enough for the Lease of a crashed host to go stale and a few retries to pass, on a machine that is busy; a healthy step takes a second. */
const LIMIT_MS = 120_000;

export interface Thing extends KubeObject {
  readonly spec?: Record<string, unknown>;
  readonly status?: Readonly<Record<string, unknown>> & { readonly conditions?: readonly Condition[] };
}

/** Which object: its kind and name; in namespace `default` unless another is named or the kind has none. */
export interface Ref {
  readonly resource: Resource;
  readonly name: string;
  readonly namespace?: string | undefined;
}

export const volume = (name: string): Ref => ({ resource: VOLUMES, name });
export const snapshot = (name: string): Ref => ({ resource: SNAPSHOTS, name });
export const attachment = (name: string): Ref => ({ resource: ATTACHMENTS, name });
export const serverHost = (name: string = SERVER): Ref => ({ resource: VOLUME_SERVERS, name });
export const hypervisorHost = (name: string = HYPERVISOR): Ref => ({ resource: HYPERVISORS, name });

export interface Wanted {
  readonly reason: string;
  /** What the message must tell a person. */
  readonly message: RegExp;
  /** Ready unless told otherwise. */
  readonly type?: string;
}

export type StoryOptions = Omit<SystemOptions, 'dir' | 'log'>;

/** Starts the whole system in a directory of its own. */
export async function openStory(log: Log, options: StoryOptions = {}): Promise<Story> {
  const workdir = await makeWorkdir(log);
  try {
    const system = await startSystem({ dir: workdir.dir, log, ...options });
    return new Story(system, workdir, log);
  } catch (error) {
    workdir.keep();
    await workdir.remove();
    throw error;
  }
}

export class Story {
  readonly system: System;
  readonly workdir: Workdir;
  readonly log: Log;
  /** As administrator. */
  readonly api: Api & { close(): Promise<void> };
  readonly guests: Guest[] = [];
  readonly #libvirtds: Libvirtd[];
  readonly #libvirtdOf = new Map<string, Libvirtd>();
  readonly #tgtds: Tgtd[] = [];
  readonly #programs: RunningProcess[] = [];
  readonly #supervisor: NodeJS.Timeout;

  constructor(system: System, workdir: Workdir, log: Log) {
    this.system = system;
    this.workdir = workdir;
    this.log = log;
    this.#libvirtds = [system.libvirtd];
    this.api = createApi({ kubeconfigPath: system.controlPlane.adminKubeconfig, log: silentLog });
    this.#supervisor = setInterval(() => void this.#restartFailed(), 300).unref();
  }

  /** As systemd or Kubernetes would: a program that leaves with exit code 1 wants to start afresh. */
  async #restartFailed(): Promise<void> {
    for (const { name, process: running } of this.system.programs.values()) {
      if (running?.isRunning() === false && (await running.exited) === 'exit code 1') {
        this.log(`${name} left with exit code 1 and is started again`);
        await this.system.run(name);
      }
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#supervisor);
    await this.api.close();
    await Promise.all(this.#programs.map((one) => one.stop(5_000)));
    await this.system.stop();
    await Promise.all([...this.#libvirtds, ...this.#tgtds].map((one) => one.stop()));
    await this.workdir.remove();
  }

  async guest(name: string, libvirtd: Libvirtd = this.system.libvirtd): Promise<Guest> {
    const guest = await startGuest({ libvirtd, name, log: this.log });
    this.guests.push(guest);
    return guest;
  }

  async kubectl(...args: string[]): Promise<string> {
    return await this.system.controlPlane.kubectl(args);
  }

  /** Makes the object; retries while the API server is away. */
  async make(ref: Ref, spec: object): Promise<Thing> {
    const { resource } = ref;
    const draft = {
      apiVersion: `${resource.group}/${resource.version}`,
      kind: resource.kind,
      metadata: whereOf(ref),
      spec,
    };
    return await this.api.create<Thing>(resource, draft as never);
  }

  async makeVolume(name: string, spec: object = {}): Promise<Thing> {
    const size = 'source' in spec ? {} : { size: '16Mi' };
    return await this.make(volume(name), { ...size, ...spec });
  }

  async makeSnapshot(name: string, volumeName: string): Promise<Thing> {
    return await this.make(snapshot(name), { volumeRef: { name: volumeName } });
  }

  async attach(name: string, volumeName: string, instance: string, spec: object = {}): Promise<Thing> {
    const own = { volumeRef: { name: volumeName }, instance: { name: instance } };
    return await this.make(attachment(name), { ...own, ...spec });
  }

  async get(ref: Ref): Promise<Thing | undefined> {
    return await this.api.get<Thing>(ref.resource, whereOf(ref));
  }

  async change(ref: Ref, spec: object): Promise<void> {
    const options = { fieldManager: 'story', type: 'merge' } as const;
    await this.api.patch(ref.resource, whereOf(ref), { spec }, options);
  }

  async remove(ref: Ref): Promise<void> {
    await this.api.remove(ref.resource, whereOf(ref));
  }

  async removeAndWait(...refs: Ref[]): Promise<void> {
    for (const ref of refs) {
      await this.remove(ref);
    }
    for (const ref of refs) {
      await this.waitGone(ref);
    }
  }

  async waitReady(ref: Ref, timeoutMs: number = LIMIT_MS): Promise<Thing> {
    return await this.#until(ref, 'be Ready', timeoutMs, (thing) => {
      const ready = findCondition(thing?.status?.conditions, 'Ready');
      return ready?.status === 'True' && ready.observedGeneration === thing?.metadata.generation;
    });
  }

  async waitReason(ref: Ref, { reason, message, type = 'Ready' }: Wanted): Promise<Thing> {
    const what = `say ${type}: ${reason} (${message.source})`;
    return await this.#until(ref, what, LIMIT_MS, (thing) => {
      const found = findCondition(thing?.status?.conditions, type);
      return found?.reason === reason && message.test(found.message);
    });
  }

  async waitGone(ref: Ref, timeoutMs: number = LIMIT_MS): Promise<void> {
    await waitFor({ what: `${nameOf(ref)} to go`, timeoutMs }, async () => {
      const thing = await this.get(ref);
      if (thing !== undefined) {
        throw new Error(told(thing));
      }
      return true;
    });
  }

  async #until(
    ref: Ref,
    what: string,
    timeoutMs: number,
    test: (thing: Thing | undefined) => boolean,
  ): Promise<Thing> {
    return await waitFor({ what: `${nameOf(ref)} to ${what}`, timeoutMs }, async () => {
      const thing = await this.get(ref);
      if (thing === undefined || !test(thing)) {
        throw new Error(thing === undefined ? 'it does not exist' : told(thing));
      }
      return thing;
    });
  }

  /** The volumeID of a Volume that has one. */
  async volumeID(name: string): Promise<string> {
    return await waitFor({ what: `volumeID of ${name}`, timeoutMs: LIMIT_MS }, async () => {
      const id = (await this.get(volume(name)))?.status?.volumeID;
      return typeof id === 'string' ? id : undefined;
    });
  }

  /** A Volume, ready, attached to the guest; answers its volumeID. */
  async attached(name: string, guest: Guest, spec: object = {}): Promise<string> {
    await this.makeVolume(name);
    return await this.plugIn(name, guest, spec);
  }

  /** Attaches the Volume to the guest, until that has the disk; answers its volumeID. */
  async plugIn(name: string, guest: Guest, spec: object = {}): Promise<string> {
    await this.attach(`${name}-on-${guest.name}`, name, guest.name, spec);
    await this.waitReady(attachment(`${name}-on-${guest.name}`));
    const id = await this.volumeID(name);
    await guest.waitForDisk(id);
    return id;
  }

  /** The Volume is in the guest for as long as the work takes. */
  async inGuest<T>(name: string, guest: Guest, work: (serial: string) => Promise<T>): Promise<T> {
    const result = await work(await this.plugIn(name, guest));
    await this.removeAndWait(attachment(`${name}-on-${guest.name}`));
    return result;
  }

  /** Every outside place where something of ours could be, with what is there. Empty: nothing is left anywhere. */
  async leftovers(): Promise<readonly string[]> {
    const found = await Promise.all([
      this.system.poolContents().then((names) => names.map((name) => `pool file ${name}`)),
      this.targets().then((lines) => lines.map((line) => `tgt: ${line}`)),
      ...this.#libvirtds.map((libvirtd) => leftInLibvirt(libvirtd)),
      this.#records(),
      this.#objects(),
      this.#reported(),
    ]);
    return found.flat();
  }

  async nothingLeft(): Promise<void> {
    await waitFor({ what: 'nothing to be left', timeoutMs: LIMIT_MS, intervalMs: 200 }, async () => {
      const left = await this.leftovers();
      if (left.length > 0) {
        throw new Error(left.join('\n'));
      }
      return true;
    });
  }

  /** Our targets, sessions and accounts at tgt. */
  async targets(): Promise<readonly string[]> {
    const show = (mode: string) =>
      this.system.tgtd.tgtadm(['--lld', 'iscsi', '--op', 'show', '--mode', mode]);
    const targets = (await show('target')).split('\n').filter((line) => /Target \d+:.*dev\.vbs/.test(line));
    const accounts = (await show('account')).split('\n').filter((line) => /^\s+\S/.test(line));
    return [...targets, ...accounts].map((line) => line.trim());
  }

  async #records(): Promise<readonly string[]> {
    const stores = [
      [SERVER, 'volumes'],
      [SERVER, 'trash'],
      [SERVER, 'copies-volumes'],
      [SERVER, 'copies-snapshots'],
      [SERVER, 'copies-exports'],
      [HYPERVISOR, 'attachments'],
      [HYPERVISOR, 'copies-attachments'],
    ] as const;
    const found = await Promise.all(
      stores.map(async ([host, store]) => {
        const names = await readdir(path.join(this.system.dir, host, store)).catch(() => []);
        return names.map((name) => `record ${host}/${store}/${name}`);
      }),
    );
    return found.flat();
  }

  async #objects(): Promise<readonly string[]> {
    const lists = await Promise.all((await this.#kinds()).map((resource) => this.api.list(resource)));
    return lists.flatMap(({ items }) => items.map(({ metadata }) => `object ${metadata.name}`));
  }

  /** Of those whose objects users make, the ones which the API server has: version 0.1.0 has no Snapshots. */
  async #kinds(): Promise<readonly Resource[]> {
    const names = (await this.kubectl('get', 'crd', '--output=name')).split('\n');
    return [VOLUMES, SNAPSHOTS, ATTACHMENTS].filter(({ plural, group }) =>
      names.some((name) => name.endsWith(`/${plural}.${group}`)),
    );
  }

  async #reported(): Promise<readonly string[]> {
    const hosts = await Promise.all([this.get(serverHost()), this.get(hypervisorHost())]);
    return hosts.flatMap((host) => {
      const agent = (host?.status?.agent ?? {}) as {
        leftovers?: unknown[];
        wiping?: unknown[];
        disks?: number;
      };
      const { leftovers = [], wiping = [], disks = 0 } = agent;
      const reported = [...leftovers, ...wiping].map(
        (one) => `${host?.metadata.name}: ${JSON.stringify(one)}`,
      );
      return disks === 0 ? reported : [...reported, `${host?.metadata.name} tells of ${disks} disks`];
    });
  }

  /** Bytes of the volume's backing file. */
  async backingBytes(volumeID: string, offset: number, length: number): Promise<Buffer> {
    const bytes = await readFile(path.join(this.system.poolDir, `${volumeID}.raw`));
    return bytes.subarray(offset, offset + length);
  }

  async configOf(name: string): Promise<object> {
    return parse(await readFile(this.system.programs.get(name)?.configFile ?? '', 'utf8')) as object;
  }

  /** Changes the configuration of one of the programs and starts it afresh. */
  async reconfigure(name: string, change: object): Promise<void> {
    const config = { ...(await this.configOf(name)), ...change };
    await writeFile(this.system.programs.get(name)?.configFile ?? '', stringify(config));
    await this.system.kill(name);
    await this.system.run(name);
  }

  /** One of those that `startProgram` or `addHypervisor` started. */
  program(name: string): RunningProcess {
    const found = this.#programs.findLast((one) => one.name === name);
    if (found === undefined) {
      throw new Error(`${name} was not started`);
    }
    return found;
  }

  /** Starts one more of our programs, with the configuration given. */
  async startProgram(
    name: string,
    part: 'controller' | 'node-agent',
    config: object,
  ): Promise<RunningProcess> {
    const file = path.join(this.system.dir, `${name}.yaml`);
    await writeFile(file, stringify(config), { mode: 0o600 });
    const program = await startProcess({
      name,
      command: [process.execPath, path.join(ROOT, part, 'main.ts'), '--config', file],
      dir: this.system.dir,
    });
    this.#programs.push(program);
    return program;
  }

  /** virsh on a hypervisor that `addHypervisor` added. */
  async virshOf(host: string, args: readonly string[]): Promise<string> {
    return (await this.#libvirtdOf.get(host)?.virsh(args)) ?? '';
  }

  /** One more hypervisor with a libvirtd and an identity of its own; Ready. */
  async addHypervisor(host: string, base: object): Promise<Libvirtd> {
    const libvirtd = await startLibvirtd({ dir: path.join(this.system.dir, 'h2'), log: this.log });
    this.#libvirtds.push(libvirtd);
    this.#libvirtdOf.set(host, libvirtd);
    await this.#addHost(host, base, {
      hypervisor: {
        initiator: { profile: 'qemu' },
        vmm: { profile: 'libvirt-virsh', params: { uri: libvirtd.uri } },
      },
    });
    await this.waitReady(hypervisorHost(host));
    return libvirtd;
  }

  /** One more volume server with a tgtd and an identity of its own, and a pool in that directory; Ready. */
  async addServer(host: string, base: object, poolDir: string): Promise<Tgtd> {
    const tgtd = await startTgtd({ dir: path.join(this.system.dir, host), log: this.log });
    this.#tgtds.push(tgtd);
    const pools = [{ name: 'main', profile: 'file', params: { dir: poolDir } }];
    const target = {
      profile: 'tgt',
      params: { controlPort: tgtd.controlPort },
      portals: [tgtd.portal],
    };
    await this.#addHost(
      host,
      base,
      { volumeServer: { pools, target, initiator: { profile: 'qemu' } } },
      preparePools,
    );
    await this.waitReady(serverHost(host));
    return tgtd;
  }

  async #addHost(
    host: string,
    base: object,
    role: object,
    prepare: (configFile: string) => Promise<void> = async () => undefined,
  ): Promise<void> {
    const { controlPlane, dir } = this.system;
    const template = await readFile(path.join(ROOT, 'deploy', 'host.yaml'), 'utf8');
    await controlPlane.kubectl(['apply', '-f', '-'], template.replaceAll('HOST', host));
    const kubeconfig = await controlPlane.kubeconfigFor({
      namespace: hostNamespace(host),
      serviceAccount: AGENT_ACCOUNT,
      name: host,
    });
    await this.system.reboot(host);
    const { volumeServer: _, hypervisor: __, ...common } = base as Readonly<Record<string, unknown>>;
    const config = {
      ...common,
      host,
      kubeconfig,
      stateDir: path.join(dir, host, 'state'),
      bootIDFile: path.join(dir, `${host}.boot-id`),
      ...role,
    };
    const file = path.join(dir, `${host}.yaml`);
    await mkdir(path.join(dir, host), { recursive: true, mode: 0o700 });
    await writeFile(file, stringify(config), { mode: 0o600 });
    await prepare(file);
    await this.startProgram(host, 'node-agent', config);
  }
}

const whereOf = ({ resource, name, namespace = NAMESPACE }: Ref) => ({
  name,
  ...(resource.namespaced ? { namespace } : {}),
});

const nameOf = ({ resource, name }: Ref): string => `${resource.kind} ${name}`;

const told = ({ metadata, status }: Thing): string =>
  [
    `${metadata.name}${metadata.deletionTimestamp === undefined ? '' : ' (being deleted)'} says`,
    ...(status?.conditions ?? []).map(
      (one) =>
        `  ${one.type}=${one.status} ${one.reason}: ${one.message} (generation ${one.observedGeneration})`,
    ),
  ].join('\n');

async function leftInLibvirt(libvirtd: Libvirtd): Promise<readonly string[]> {
  const names = (await libvirtd.virsh(['list', '--all', '--name'])).split('\n').filter((name) => name !== '');
  const disks = await Promise.all(
    names.map(async (name) => {
      const xml = await libvirtd.virsh(['dumpxml', name]);
      return [...xml.matchAll(/<serial>(vol[0-9a-f]{17})</g)].map(([, id]) => `disk ${id} in ${name}`);
    }),
  );
  const secrets = (await libvirtd.virsh(['secret-list'])).split('\n').filter((line) => /\S/.test(line));
  return [...disks.flat(), ...secrets.map((line) => `secret ${line.trim()}`)];
}

/** Keeps writing numbered blocks, each flushed to the target, and stops at the first error. */
export class Heartbeat {
  readonly #guest: Guest;
  readonly #name: string;

  private constructor(guest: Guest, name: string) {
    this.#guest = guest;
    this.#name = name;
  }

  static async start(guest: Guest, volumeID: string): Promise<Heartbeat> {
    const device = await guest.waitForDisk(volumeID);
    const name = `/run/beat-${volumeID}`;
    await guest.run(
      `rm -f ${name}.stop; ( i=0; while [ ! -e ${name}.stop ]; do i=$((i+1)); printf '%511s\\n' "beat $i" |
dd of=${device} bs=512 count=1 seek=$((2048 + i % 64)) conv=notrunc,fsync 2>${name}.out ||
{ cp ${name}.out ${name}.error; break; }; echo $i > ${name}.new; mv ${name}.new ${name}.count; done;
touch ${name}.ended ) >/dev/null 2>&1 &`,
    );
    const heartbeat = new Heartbeat(guest, name);
    await heartbeat.goesOn();
    return heartbeat;
  }

  async count(): Promise<number> {
    const { stdout } = await this.#guest.run(`cat ${this.#name}.error ${this.#name}.count 2>/dev/null`);
    if (!/^\d*\s*$/.test(stdout)) {
      throw new Error(`the guest's writing failed: ${stdout}`);
    }
    return Number(stdout.trim() || '0');
  }

  /** Until further blocks were written and flushed. Throws at once when a write failed. */
  async goesOn(timeoutMs = 90_000): Promise<void> {
    const before = await this.count();
    const deadline = Date.now() + timeoutMs;
    while ((await this.count()) < before + 5) {
      if (Date.now() > deadline) {
        throw new Error(`the guest's writing has stood still at ${before} for ${timeoutMs / 1000} s`);
      }
    }
  }

  /** Stops; answers how many blocks were written, and throws when one failed. */
  async stop(): Promise<number> {
    await this.#guest.run(`touch ${this.#name}.stop`);
    await waitFor({ what: 'the guest to stop writing', timeoutMs: 90_000 }, async () => {
      return (await this.#guest.run(`test -e ${this.#name}.ended`)).exitCode === 0;
    });
    const count = await this.count();
    await this.#guest.run(`rm -f ${this.#name}.*`);
    return count;
  }
}
