// LIO's part of configfs, in plain directories below a temporary one: attributes appear with their directory and go with it, one write is
// one act, and what is made cannot be made twice. The errors are those of the kernel's target code.
import { access, mkdir, readFile, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type Files, hostFiles } from '../../node-agent/exec/files.ts';

const failure = (code: string, path: string): Error =>
  Object.assign(new Error(`${code}: refused, '${path}'`), { code });

/** As Linux 6.1 shows a backstore of a logical volume. */
const storeInfo = (status: string, device: string, name = ''): string => {
  const isActive = status === 'ACTIVATED';
  const limits = isActive ? 'SectorSize: 512  HwMaxSectors: 4294967288' : 'SectorSize: 0  HwMaxSectors: 0';
  return [
    `Status: ${status}  Max Queue Depth: 0  ${limits}`,
    `        ${isActive ? `iBlock device: ${name}` : ''}${device === '' ? '' : `  UDEV PATH: ${device}`}  readonly: 0`,
    `        ${isActive ? `Major: 253 Minor: ${name.slice(3)}  CLAIMED: IBLOCK` : 'Major: 0 Minor: 0'}`,
  ].join('\n');
};

interface Kind {
  readonly pattern: RegExp;
  readonly attributes: Readonly<Record<string, string>>;
}

const NO_SESSION = 'No active iSCSI Session for Initiator Endpoint: ';

/** Defaults are set to the unsafe side: what must be so must be written. */
const KINDS: readonly Kind[] = [
  { pattern: /\/core\/iblock_\d+$/, attributes: { hba_info: 'HBA Index: 1 plugin: iblock' } },
  {
    pattern: /\/core\/iblock_\d+\/[^/]+$/,
    attributes: {
      control: '',
      enable: '0',
      // A note of whoever writes it; the device is given through control and shown in info.
      udev_path: '',
      info: storeInfo('DEACTIVATED', ''),
      'attrib/emulate_3pc': '1',
      'wwn/vpd_unit_serial': 'T10 VPD Unit Serial Number: 4d1ab67c-0b6d-4f4c-8f55-61a2b7d39a10',
    },
  },
  { pattern: /\/iscsi$/, attributes: { lio_version: 'Datera Inc. iSCSI Target v4.1.0' } },
  { pattern: /\/iscsi\/[^/]+$/, attributes: { 'fabric_statistics/x': '' } },
  {
    pattern: /\/tpgt_1$/,
    attributes: {
      enable: '0',
      dynamic_sessions: '',
      'attrib/authentication': '0',
      'attrib/generate_node_acls': '1',
      'attrib/demo_mode_write_protect': '0',
      'lun/.keep': '',
      'np/.keep': '',
      'acls/.keep': '',
    },
  },
  { pattern: /\/tpgt_1\/lun\/lun_\d+$/, attributes: { alua_tg_pt_gp: '' } },
  { pattern: /\/tpgt_1\/np\/[\d.[\]a-f:]+:\d+$/, attributes: { iser: '0' } },
  {
    pattern: /\/tpgt_1\/acls\/[^/]+$/,
    attributes: { info: NO_SESSION, 'auth/userid': '', 'auth/password': '', cmdsn_depth: '64' },
  },
  { pattern: /\/tpgt_1\/acls\/[^/]+\/lun_\d+$/, attributes: { write_protect: '0' } },
];

export class FakeConfigfs {
  readonly root: string;
  /** Of sysfs, with the sizes of devices. */
  readonly sys: string;
  /** Block devices there are. */
  readonly devices = new Set<string>();
  /** Called before each change; may throw. */
  before: (action: string, path: string) => void = () => undefined;
  changes = 0;
  /** By what was made: its links by path. */
  readonly #links = new Map<string, string>();
  readonly #made = new Set<string>();
  readonly files: Files;

  constructor(dir: string) {
    this.root = join(dir, 'target');
    this.sys = join(dir, 'sys');
    const change =
      <T extends unknown[]>(action: string, work: (path: string, ...rest: T) => Promise<void>) =>
      async (path: string, ...rest: T): Promise<void> => {
        this.before(action, path);
        this.changes += 1;
        await work(path, ...rest);
      };
    this.files = {
      ...hostFiles,
      mkdir: change('mkdir', (path: string) => this.#mkdir(path)),
      rmdir: change('rmdir', (path: string) => this.#rmdir(path)),
      write: change('write', (path: string, text: string) => this.#write(path, text)),
      unlink: change('unlink', (path: string) => this.#unlink(path)),
      symlink: async (target, path) => {
        this.before('symlink', path);
        this.changes += 1;
        await this.#symlink(target, path);
      },
    };
  }

  /** As after modprobe. */
  async load(): Promise<void> {
    await mkdir(join(this.root, 'core'), { recursive: true });
    await mkdir(join(this.sys, 'class/block'), { recursive: true });
    await writeFile(
      join(this.root, 'version'),
      'Target Engine Core ConfigFS Infrastructure v5.0 on Linux/x86_64 on 6.1.0-28-amd64\n',
    );
  }

  /** A block device gets, or changes, its size; whoever exports it shows that one. */
  async setSize(device: string, bytes: bigint): Promise<void> {
    this.devices.add(device);
    const directory = join(this.sys, 'class/block', this.#nameOf(device));
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, 'size'), `${bytes / 512n}\n`);
  }

  #nameOf(device: string): string {
    return `dm-${[...this.devices].indexOf(device)}`;
  }

  /** An initiator's try to log in: true when it is let in. */
  async login(
    iqn: string,
    initiator: string,
    chap: { readonly user: string; readonly password: string },
  ): Promise<boolean> {
    const tpg = join(this.root, 'iscsi', iqn, 'tpgt_1');
    const acl = join(tpg, 'acls', initiator);
    if ((await this.show(join(tpg, 'enable'))) !== '1' || !this.#made.has(acl)) {
      return false;
    }
    const [user, password] = [await this.show(`${acl}/auth/userid`), await this.show(`${acl}/auth/password`)];
    if (user === '' || password === '' || user !== chap.user || password !== chap.password) {
      return false;
    }
    await writeFile(
      `${acl}/info`,
      `InitiatorName: ${initiator}\nInitiatorAlias: vm-host\nLIO Session ID: 1   ISID: 0x00 02 3d 01 00 00  TSIH: 1  SessionType: Normal\nSession State: TARG_SESS_STATE_LOGGED_IN\n`,
    );
    return true;
  }

  async show(path: string): Promise<string> {
    return (await readFile(path, 'utf8').catch(() => '')).trim();
  }

  /** Everything made by hand that is left. */
  left(): readonly string[] {
    return [...this.#made, ...this.#links.keys()].map((path) => path.slice(this.root.length + 1)).toSorted();
  }

  async #mkdir(path: string): Promise<void> {
    const kind = KINDS.find(({ pattern }) => pattern.test(path));
    if (this.#made.has(path)) {
      throw failure('EEXIST', path);
    }
    if (kind === undefined) {
      throw failure('EINVAL', path);
    }
    await mkdir(path);
    this.#made.add(path);
    for (const [name, text] of Object.entries(kind.attributes)) {
      await mkdir(dirname(join(path, name)), { recursive: true });
      if (!name.endsWith('.keep')) {
        const value = text === NO_SESSION ? `${text}${path.split('/').at(-1)}` : text;
        await writeFile(join(path, name), `${value}\n`);
      }
    }
  }

  async #rmdir(path: string): Promise<void> {
    if (!this.#made.has(path)) {
      throw failure('ENOENT', path);
    }
    if ([...this.#made, ...this.#links.keys()].some((one) => one.startsWith(`${path}/`))) {
      throw failure('ENOTEMPTY', path);
    }
    if ([...this.#links.values()].includes(path)) {
      throw failure('EBUSY', path);
    }
    await rm(path, { recursive: true });
    this.#made.delete(path);
  }

  async #symlink(target: string, path: string): Promise<void> {
    if (this.#links.has(path)) {
      throw failure('EEXIST', path);
    }
    if (!this.#made.has(resolve(target)) || !this.#made.has(dirname(path))) {
      throw failure('ENOENT', path);
    }
    if (/\/core\//.test(target) && (await this.show(`${target}/enable`)) !== '1') {
      throw failure('ENODEV', path);
    }
    await symlink(target, path);
    this.#links.set(path, resolve(target));
  }

  async #unlink(path: string): Promise<void> {
    if (!this.#links.delete(path)) {
      throw failure('ENOENT', path);
    }
    await unlink(path);
  }

  async #write(path: string, text: string): Promise<void> {
    if (!(await exists(dirname(path)))) {
      throw failure('ENOENT', path);
    }
    if (!(await exists(path))) {
      throw failure('EACCES', path);
    }
    const value = text.trim();
    const owner = dirname(path);
    if (/\/core\/.*\/enable$/.test(path)) {
      await this.#enableStore(owner, path);
    } else if (/\/tpgt_1\/enable$/.test(path) && (await this.show(path)) === value) {
      throw failure('EINVAL', path);
    }
    if (path.endsWith('/vpd_unit_serial')) {
      if ([...this.#links.values()].includes(dirname(owner))) {
        throw failure('EINVAL', path);
      }
      await writeFile(path, `T10 VPD Unit Serial Number: ${value}\n`);
    } else if (path.endsWith('/control')) {
      await writeFile(join(owner, 'info'), `${storeInfo('DEACTIVATED', value.replace('udev_path=', ''))}\n`);
    } else {
      await writeFile(path, `${value}\n`);
    }
  }

  async #enableStore(store: string, path: string): Promise<void> {
    if ((await this.show(path)) === '1') {
      throw failure('EEXIST', path);
    }
    const device = /UDEV PATH: (\S+)/.exec(await this.show(`${store}/info`))?.[1];
    if (device === undefined) {
      throw failure('EINVAL', path);
    }
    if (!this.devices.has(device)) {
      throw failure('ENOENT', path);
    }
    await writeFile(join(store, 'info'), `${storeInfo('ACTIVATED', device, this.#nameOf(device))}\n`);
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
