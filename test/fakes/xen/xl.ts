/**
 * A stand-in for xl(1) and xenstore-ls(1), for tests: domains, and the entries that libxl and blkback keep of their disks. Texts and keys
 * are those recorded from Xen 4.17 (test/fixtures/xen); `xl list -v` is put together as xl prints it.
 */

import type { Command, CommandOutput } from '../../../node-agent/exec/command.ts';
import type { Machines, PluggedDisk } from '../machines.ts';
import type { Device } from '../tree.ts';

interface Domain {
  id: number;
  readonly name: string;
  readonly uuid: string;
  /** The six letters of `xl list`. */
  state: string;
  /** Its guest takes a new disk at once. */
  takes: boolean;
  /** Its guest lets a disk go when it is asked. */
  releases: boolean;
}

const ok = (stdout = ''): CommandOutput => ({ exitCode: 0, stdout, stderr: '' });
const failed = (stderr: string): CommandOutput => ({ exitCode: 1, stdout: '', stderr: `${stderr}\n` });

const HEADER =
  'Name                                        ID   Mem VCPUs\tState\tTime(s)   UUID                            Reason-Code\tSecurity Label\n';
const DOM0 =
  'Domain-0                                     0  1536     2     r-----     547.9 00000000-0000-0000-0000-000000000000        -                -\n';

const line = ({ name, id, state, uuid }: Domain): string =>
  `${name.padEnd(40)} ${String(id).padStart(5)} ${'192'.padStart(5)} ${'1'.padStart(5)}     ${state}  ${'52.4'.padStart(8)} ${uuid} ${'-'.padStart(8)} ${'-'.padStart(16)}\n`;

/** 202 is xvd's major number; each disk has 16 minors. */
const numberOf = (vdev: string): number => 202 * 256 + (vdev.charCodeAt(3) - 97) * 16;

export class XenHost implements Machines {
  readonly domains: Domain[] = [];
  readonly xenstore = new Map<string, string>();
  readonly calls: string[] = [];
  version = '4.17.7';
  /** Of a new disk, as blkback tells it: in units of 512 bytes. */
  sectors = 524_288;
  /** The hotplug script of a new disk fails: its entry stays behind. */
  scriptFails = false;
  /** What blkback holds open, by the backend's path: the device which was there when the disk was attached. */
  readonly #opened = new Map<string, Device>();
  readonly #open: ((path: string) => Device) | undefined;
  #lastID = 0;

  /** With `open`, which throws where there is no device, disks are more than their names. */
  constructor(open?: (path: string) => Device) {
    this.#open = open;
  }

  /** The host's kernel logs in, and keeps what there is to be kept. */
  readonly sessions: Machines['sessions'] = [];
  readonly kept: Machines['kept'] = [];

  /** Of ours, by what their paths say. */
  get plugged(): readonly PluggedDisk[] {
    return this.domains.flatMap(({ name: vm, id: life }) =>
      this.disks(vm).flatMap((device) => {
        const volumeID = this.volumeOf(life, device);
        const backing = this.disk(vm, device);
        return volumeID === undefined ? [] : [{ vm, device, volumeID, life, backing, isClosing: false }];
      }),
    );
  }

  setReleases(name: string, releases: boolean): void {
    this.domain(name).releases = releases;
  }

  tend(): void {
    // blkback sends at once whatever it is given.
  }

  /** What the guest's disk is made of; undefined when it has none of that name that is connected. */
  disk(name: string, vdev: string): Device | undefined {
    const path = this.#backend(String(this.domain(name).id), numberOf(vdev));
    return this.xenstore.get(`${path}/state`) === '4' ? this.#opened.get(path) : undefined;
  }

  isReadOnly(name: string, vdev: string): boolean {
    return this.xenstore.get(`${this.#backend(String(this.domain(name).id), numberOf(vdev))}/mode`) === 'r';
  }

  /** Device names of the disks that were attached. */
  disks(name: string): readonly string[] {
    const root = `/libxl/${this.domain(name).id}/device/vbd/`;
    return [...this.xenstore].flatMap(([path, value]) =>
      path.startsWith(root) && path.endsWith('/dev') ? [value] : [],
    );
  }

  /** Of which volume of ours a disk is, by its path. */
  volumeOf(id: number, vdev: string): string | undefined {
    const params = this.xenstore.get(`/libxl/${id}/device/vbd/${numberOf(vdev)}/params`) ?? '';
    return /^\/dev\/vbs\/(?<volumeID>vol[0-9a-f]{17})\./.exec(params)?.groups?.volumeID;
  }

  /** All domains end, and so does xenstored. */
  end(): void {
    this.domains.length = 0;
    this.xenstore.clear();
    this.#opened.clear();
  }

  add(name: string, uuid: string): Domain {
    this.#lastID += 1;
    const domain = { id: this.#lastID, name, uuid, state: '-b----', takes: true, releases: true };
    this.domains.push(domain);
    return domain;
  }

  /** The domain ends and begins anew, as after a guest's reboot: another id, and none of the disks that were added. */
  restart(name: string): void {
    const domain = this.domain(name);
    this.#forgetUnder(`/libxl/${domain.id}/`);
    this.#forgetUnder(`/local/domain/0/backend/vbd/${domain.id}/`);
    this.#lastID += 1;
    domain.id = this.#lastID;
  }

  domain(name: string): Domain {
    const found = this.domains.find((one) => one.name === name);
    if (found === undefined) {
      throw new Error(`no domain ${name}`);
    }
    return found;
  }

  /** Its guest's driver is there now and takes what waits. */
  boot(name: string): void {
    const domain = this.domain(name);
    domain.takes = true;
    for (const [path, value] of this.xenstore) {
      if (
        path.startsWith(`/local/domain/0/backend/vbd/${domain.id}/`) &&
        path.endsWith('/state') &&
        value === '2'
      ) {
        this.xenstore.set(path, '4');
      }
    }
  }

  readonly run = async ({ file, args }: Pick<Command, 'file' | 'args'>): Promise<CommandOutput> => {
    this.calls.push([file, ...args].join(' '));
    if (file === 'xenstore-ls') {
      return this.#ls(args[1] ?? '');
    }
    const [command, ...rest] = args;
    switch (command) {
      case 'info':
        return ok(
          `release                : 6.1.0\nxen_version            : ${this.version}\nxen_caps               : x\n`,
        );
      case 'list':
        return this.#list(rest[1]);
      case 'block-attach':
        return this.#attach(rest);
      case 'block-detach':
        return this.#detach(rest);
      default:
        return failed(`command not implemented: ${command}`);
    }
  };

  #list(id: string | undefined): CommandOutput {
    if (id === undefined) {
      return ok(HEADER + DOM0 + this.domains.map(line).join(''));
    }
    const domain = this.#byID(id);
    return domain === undefined ? failed(`Error: Domain '${id}' does not exist.`) : ok(HEADER + line(domain));
  }

  #ls(root: string): CommandOutput {
    for (const [path, device] of this.#opened) {
      this.xenstore.set(`${path}/sectors`, String(device.sizeBytes / 512n));
    }
    const under = [...this.xenstore].filter(([path]) => path.startsWith(`${root}/`));
    return under.length === 0
      ? failed(`xenstore-ls: xs_directory (${root}): No such file or directory`)
      : ok(
          under
            .map(
              ([path, value]) => `${path} = "${value.length > 72 ? `${value.slice(0, 72)}\\...` : value}"\n`,
            )
            .join(''),
        );
  }

  #attach([id = '', spec = '']: readonly string[]): CommandOutput {
    const domain = this.#byID(id);
    const { format, backendtype, vdev, access, target } =
      /^format=(?<format>\w+),backendtype=(?<backendtype>\w+),vdev=(?<vdev>\w+),access=(?<access>\w+),target=(?<target>.*)$/.exec(
        spec,
      )?.groups ?? {};
    if (
      domain === undefined ||
      format !== 'raw' ||
      backendtype !== 'phy' ||
      vdev === undefined ||
      target === undefined
    ) {
      return failed(`cannot use ${id} ${spec}`);
    }
    const number = numberOf(vdev);
    if (this.xenstore.has(`/libxl/${id}/device/vbd/${number}`)) {
      return failed(
        `libxl: error: libxl_disk.c:343:device_disk_add: Domain ${id}:device already exists in xenstore`,
      );
    }
    if (!this.#isThere(target)) {
      return failed(
        `libxl: error: libxl_device.c:347:libxl__device_disk_set_backend: Disk vdev=${vdev} failed to stat: ${target}: No such file or directory`,
      );
    }
    const mode = access === 'rw' ? 'w' : 'r';
    const entries = { dev: vdev, params: target, mode, online: '1', type: 'phy', state: '1' };
    for (const root of [`/libxl/${id}/device/vbd/${number}`, this.#backend(id, number)]) {
      this.xenstore.set(root, '');
      for (const [key, value] of Object.entries(entries)) {
        this.xenstore.set(`${root}/${key}`, value);
      }
    }
    if (!this.#opens(this.#backend(id, number), target)) {
      return failed('libxl: error: libxl_device.c:1265:device_hotplug_child_death_cb: script: failed');
    }
    this.xenstore.set(`${this.#backend(id, number)}/state`, domain.takes ? '4' : '2');
    this.xenstore.set(`${this.#backend(id, number)}/sectors`, String(this.sectors));
    return ok();
  }

  /** libxl looks at it before it writes anything. */
  #isThere(target: string): boolean {
    try {
      this.#open?.(target);
      return true;
    } catch {
      return false;
    }
  }

  /** The hotplug script's part. */
  #opens(backend: string, target: string): boolean {
    try {
      const device = this.#open?.(target);
      if (device !== undefined) {
        this.#opened.set(backend, device);
      }
      return !this.scriptFails;
    } catch {
      return false;
    }
  }

  #detach(args: readonly string[]): CommandOutput {
    const isForced = args[0] === '--force';
    const [id = '', vdev = ''] = isForced ? args.slice(1) : args;
    const number = numberOf(vdev);
    if (!this.xenstore.has(`/libxl/${id}/device/vbd/${number}`)) {
      return failed(`Error: Device ${vdev} not connected.`);
    }
    if (!isForced && this.#byID(id)?.releases !== true) {
      this.xenstore.set(`${this.#backend(id, number)}/state`, '5');
      return failed(
        `libxl: error: libxl_device.c:1111:device_backend_callback: Domain ${id}:unable to remove device with path ${this.#backend(id, number)}\nlibxl_device_disk_remove failed.`,
      );
    }
    this.#forgetUnder(`/libxl/${id}/device/vbd/${number}`);
    this.#forgetUnder(this.#backend(id, number));
    return ok();
  }

  #backend(id: string, number: number): string {
    return `/local/domain/0/backend/vbd/${id}/${number}`;
  }

  #byID(id: string): Domain | undefined {
    return this.domains.find((one) => String(one.id) === id);
  }

  #forgetUnder(root: string): void {
    for (const path of [...this.xenstore.keys()].filter((one) => one.startsWith(root))) {
      this.xenstore.delete(path);
      this.#opened.delete(path);
    }
  }
}
