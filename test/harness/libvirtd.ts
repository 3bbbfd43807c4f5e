// A private libvirtd that shares nothing with the machine's: in a mount namespace where
// libvirt's folders are folders of the work directory. Its socket stands outside of
// them, so that clients need no namespace. QEMU processes outlive it, as they should;
// a new namespace with the same folders finds them again.

import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { cacheRoot } from './cache.ts';
import { type Log, type RunningProcess, runCommand, startProcess, waitFor } from './process.ts';
import { endProcessesOf, identityOf, processesOf } from './workdir.ts';

export interface LibvirtdOptions {
  readonly dir: string;
  readonly log: Log;
}

const folders = {
  etc: '/etc/libvirt',
  lib: '/var/lib/libvirt',
  run: '/run/libvirt',
  log: '/var/log/libvirt',
} as const;
// Holds only what libvirt found out about this QEMU, which takes it seconds; it checks that it is still true.
const sharedCache = { own: path.join(cacheRoot(), 'libvirt'), mounted: '/var/cache/libvirt' };
const startLimitMs = 30_000;

/** Starts a libvirtd without domains and returns when virsh can talk to it. Needs root. */
export const startLibvirtd = async (options: LibvirtdOptions): Promise<Libvirtd> => {
  const libvirtd = new Libvirtd(options);
  await libvirtd.prepare();
  await libvirtd.restart();
  options.log(`libvirt ready at ${libvirtd.uri}`);
  return libvirtd;
};

export class Libvirtd {
  /** For `virsh -c`; works from anywhere on this machine, as root. */
  readonly uri: string;
  readonly socket: string;
  /** The work directory that holds its folders, and guests' console sockets. */
  readonly dir: string;
  readonly log: Log;
  readonly #root: string;
  #process: RunningProcess | undefined;

  constructor({ dir, log }: LibvirtdOptions) {
    this.dir = dir;
    this.log = log;
    this.#root = path.join(dir, 'libvirt');
    this.socket = path.join(dir, 'sock', 'libvirt-sock');
    this.uri = `qemu+unix:///system?socket=${this.socket}`;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Runs virsh against this daemon and returns its standard output; throws with its standard error. */
  async virsh(args: readonly string[]): Promise<string> {
    return await runCommand('virsh', ['-q', '-c', this.uri, ...args]);
  }

  /** Ends the daemon at once (SIGKILL unless told otherwise); running domains go on. */
  async kill(signal?: NodeJS.Signals): Promise<void> {
    await this.#process?.kill(signal);
  }

  /** Starts the daemon again over the same state; kills the running one first. Domains are found again. */
  async restart(): Promise<void> {
    await this.kill();
    const own = Object.entries(folders).map(([name, mounted]) => ({
      own: path.join(this.#root, name),
      mounted,
    }));
    const enter = [...own, sharedCache].map((pair) => {
      return `mkdir -p ${pair.mounted} && mount --bind '${pair.own}' ${pair.mounted}`;
    });
    const files = `--config '${this.#conf('libvirtd.conf')}' --pid-file '${path.join(this.#root, 'libvirtd.pid')}'`;
    const script = [...enter, `exec libvirtd ${files}`].join(' && ');
    const command = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script] as const;
    const libvirtd = await startProcess({ name: 'libvirtd', command, dir: this.dir });
    this.#process = libvirtd;
    await waitFor({ what: 'libvirt to answer', timeoutMs: startLimitMs, process: libvirtd }, async () => {
      await this.virsh(['list', '--all']);
      return true;
    });
  }

  /** Destroys all domains and ends the daemon; safe to call twice, also after `kill`. */
  async stop(): Promise<void> {
    await this.kill();
    const domains = processesOf(this.#root);
    await endProcessesOf(this.#root);
    const left = domains.filter((pid) => identityOf(pid) !== undefined);
    if (left.length > 0) {
      throw new Error(`QEMU processes did not end: ${left.join(', ')}`);
    }
  }

  /** Called once by `startLibvirtd`: the private folders and configuration files. */
  async prepare(): Promise<void> {
    for (const name of Object.keys(folders)) {
      await mkdir(path.join(this.#root, name), { recursive: true, mode: 0o755 });
    }
    await mkdir(sharedCache.own, { recursive: true });
    await mkdir(path.dirname(this.socket), { recursive: true, mode: 0o700 });
    await writeFile(
      this.#conf('libvirtd.conf'),
      [
        'listen_tls = 0',
        'listen_tcp = 0',
        `unix_sock_dir = "${path.dirname(this.socket)}"`,
        'unix_sock_group = "root"',
        'unix_sock_ro_perms = "0700"',
        'unix_sock_rw_perms = "0700"',
        'auth_unix_ro = "none"',
        'auth_unix_rw = "none"',
        '',
      ].join('\n'),
    );
    await writeFile(
      this.#conf('qemu.conf'),
      [
        'user = "root"',
        'group = "root"',
        'dynamic_ownership = 0',
        'remember_owner = 0',
        'security_driver = "none"',
        'namespaces = []',
        'cgroup_controllers = []',
        'stdio_handler = "file"',
        '',
      ].join('\n'),
    );
  }

  #conf(name: string): string {
    return path.join(this.#root, 'etc', name);
  }
}
