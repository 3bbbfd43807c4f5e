// LIO's part of configfs, in memory: attributes appear with their directory and go with it, one write is
// one act, and what is made cannot be made twice. The errors are those of the kernel's target code.
import { dirname, join } from 'node:path';
import type { Files } from '../../node-agent/exec/files.ts';
import type { Exporter, Login, Refusal, TargetSession, Unit } from './iscsi.ts';
import { type Device, failure, MemoryTree } from './tree.ts';

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

/** Of which nothing is read. */
export const NO_DEVICE: Device = {
  sizeBytes: 0n,
  read: () => {
    throw failure('EIO', 'a device of which only the size is known');
  },
  write: () => {
    throw failure('EIO', 'a device of which only the size is known');
  },
};

/** nopin_timeout and nopin_response_timeout. */
const PATIENCE_MS = 45_000;

export class FakeConfigfs implements Exporter {
  readonly patienceMs = PATIENCE_MS;
  /** Whoever has no password gets in nowhere. */
  readonly unguarded: readonly string[] = [];
  readonly root = '/sys/kernel/config/target';
  /** Of sysfs, with the sizes of devices. */
  readonly sys = '/sys';
  readonly tree: MemoryTree;
  /** The block devices there are. */
  readonly devices = new Map<string, Device>();
  /** Called before each change; may throw. */
  before: (action: string, path: string) => void = () => undefined;
  changes = 0;
  readonly files: Files;
  /** By path of each link: where it leads. */
  readonly #links = new Map<string, string>();
  readonly #made = new Set<string>();
  /** By path of an enabled backstore: it holds its device, whatever becomes of the name. */
  readonly #held = new Map<string, Device>();
  /** By path of the ACL. */
  readonly #sessions = new Map<string, TargetSession>();
  readonly #names = new Map<string, string>();

  constructor(tree = new MemoryTree()) {
    this.tree = tree;
    const isHere = (path: string): boolean => path.startsWith(`${this.root}/`);
    const change =
      <T extends unknown[]>(
        action: 'mkdir' | 'rmdir' | 'write' | 'unlink' | 'symlink',
        pathOf: (...args: T) => string,
        work: (...args: T) => void,
      ) =>
      async (...args: T): Promise<void> => {
        if (!isHere(pathOf(...args))) {
          await (tree.files[action] as unknown as (...rest: T) => Promise<void>)(...args);
          return;
        }
        this.before(action, pathOf(...args));
        this.changes += 1;
        work(...args);
      };
    const first = (path: string, ..._: unknown[]): string => path;
    this.files = {
      ...tree.files,
      mkdir: change('mkdir', first, (path: string) => this.#mkdir(path)),
      rmdir: change('rmdir', first, (path: string) => this.#rmdir(path)),
      write: change('write', first, (path: string, text: string) => this.#write(path, text)),
      unlink: change('unlink', first, (path: string) => this.#unlink(path)),
      symlink: change(
        'symlink',
        (_target: string, path: string) => path,
        (target: string, path: string) => this.#symlink(target, path),
      ),
    };
  }

  /** As after modprobe. */
  load(): void {
    this.tree.makeDirectory(join(this.root, 'core'));
    this.tree.makeDirectory(join(this.sys, 'class/block'));
    this.tree.put(
      join(this.root, 'version'),
      'Target Engine Core ConfigFS Infrastructure v5.0 on Linux/x86_64 on 6.1.0-28-amd64\n',
    );
  }

  /** All that was made is gone, as after a reboot. */
  forget(): void {
    for (const session of this.#sessions.values()) {
      session.end();
    }
    this.tree.remove(this.root);
    for (const all of [this.#links, this.#made, this.#held, this.#sessions, this.devices]) {
      all.clear();
    }
  }

  /** A block device gets, or changes, its size; whoever exports it shows that one. */
  setSize(path: string, bytes: bigint): void {
    this.setDevice(path, { ...NO_DEVICE, sizeBytes: bytes });
  }

  setDevice(path: string, device: Device): void {
    this.devices.set(path, device);
    this.tree.put(join(this.sys, 'class/block', this.#nameOf(path), 'size'), `${device.sizeBytes / 512n}\n`);
  }

  /** Whether a backstore has it open. */
  isHeld(device: Device): boolean {
    return [...this.#held.values()].includes(device);
  }

  #nameOf(path: string): string {
    const name = this.#names.get(path) ?? `dm-${this.#names.size}`;
    this.#names.set(path, name);
    return name;
  }

  /** An initiator's try to log in; undefined when it is not let in. A second one of the same initiator ends its first. */
  login(
    iqn: string,
    initiator: string,
    chap: { readonly user: string; readonly password: string },
  ): TargetSession | undefined {
    const tpg = join(this.root, 'iscsi', iqn, 'tpgt_1');
    const acl = join(tpg, 'acls', initiator);
    if (this.show(join(tpg, 'enable')) !== '1' || !this.#made.has(acl)) {
      return undefined;
    }
    const [user, password] = [this.show(`${acl}/auth/userid`), this.show(`${acl}/auth/password`)];
    if (user === '' || password === '' || user !== chap.user || password !== chap.password) {
      return undefined;
    }
    this.#sessions.get(acl)?.end();
    this.tree.put(
      `${acl}/info`,
      `InitiatorName: ${initiator}\nInitiatorAlias: vm-host\nLIO Session ID: 1   ISID: 0x00 02 3d 01 00 00  TSIH: 1  SessionType: Normal\nSession State: TARG_SESS_STATE_LOGGED_IN\n`,
    );
    let isOpen = true;
    const session: TargetSession = {
      initiator,
      get isOpen() {
        return isOpen;
      },
      end: () => {
        if (isOpen && this.#made.has(acl)) {
          this.tree.put(`${acl}/info`, `${NO_SESSION}${initiator}\n`);
        }
        isOpen = false;
      },
      unit: (lun) => (isOpen ? this.#unit(acl, lun) : undefined),
    };
    this.#sessions.set(acl, session);
    return session;
  }

  admit({ iqn, initiator, ...chap }: Login): TargetSession | Refusal {
    return this.login(iqn, initiator, chap) ?? 'authorization';
  }

  sessions(iqn: string): readonly string[] {
    return [...this.#sessions].flatMap(([acl, { isOpen, initiator }]) =>
      isOpen && acl.startsWith(`${join(this.root, 'iscsi', iqn)}/`) ? [initiator] : [],
    );
  }

  allowed(iqn: string): readonly string[] {
    const acls = join(this.root, 'iscsi', iqn, 'tpgt_1/acls');
    return this.tree.has(acls) ? this.tree.list(acls) : [];
  }

  get targets(): readonly string[] {
    const made = [...this.#made].filter((path) => /\/iscsi\/[^/]+$/.test(path));
    return made.map((path) => path.split('/').at(-1) ?? '');
  }

  #unit(acl: string, lun: number): Unit | undefined {
    const mapped = join(acl, `lun_${lun}`);
    const linkBelow = (path: string): string | undefined =>
      [...this.#links].find(([link]) => dirname(link) === path)?.[1];
    const store = linkBelow(linkBelow(mapped) ?? '');
    const device = this.#held.get(store ?? '');
    return store === undefined || device === undefined
      ? undefined
      : {
          device,
          serial: /: (\S+)/.exec(this.show(`${store}/wwn/vpd_unit_serial`))?.[1] ?? '',
          isReadOnly: this.show(`${mapped}/write_protect`) === '1',
        };
  }

  show(path: string): string {
    return this.tree.has(path) ? this.tree.text(path).trim() : '';
  }

  /** Everything made by hand that is left. */
  left(): readonly string[] {
    return [...this.#made, ...this.#links.keys()].map((path) => path.slice(this.root.length + 1)).toSorted();
  }

  #mkdir(path: string): void {
    const kind = KINDS.find(({ pattern }) => pattern.test(path));
    if (this.#made.has(path)) {
      throw failure('EEXIST', path);
    }
    if (kind === undefined) {
      throw failure('EINVAL', path);
    }
    if (!this.tree.has(dirname(path))) {
      throw failure('ENOENT', path);
    }
    this.tree.makeDirectory(path);
    this.#made.add(path);
    for (const [name, text] of Object.entries(kind.attributes)) {
      if (name.endsWith('/.keep')) {
        this.tree.makeDirectory(dirname(join(path, name)));
      } else {
        const value = text === NO_SESSION ? `${text}${path.split('/').at(-1)}` : text;
        this.tree.put(join(path, name), `${value}\n`);
      }
    }
  }

  #rmdir(path: string): void {
    if (!this.#made.has(path)) {
      throw failure('ENOENT', path);
    }
    const isAcl = /\/acls\/[^/]+$/.test(path);
    if ([...this.#made, ...this.#links.keys()].some((one) => one.startsWith(`${path}/`))) {
      throw failure('ENOTEMPTY', path);
    }
    if ([...this.#links.values()].includes(path)) {
      throw failure('EBUSY', path);
    }
    this.#made.delete(path);
    if (isAcl) {
      this.#sessions.get(path)?.end();
      this.#sessions.delete(path);
    }
    this.#held.delete(path);
    this.tree.remove(path);
  }

  #symlink(target: string, path: string): void {
    if (this.#links.has(path)) {
      throw failure('EEXIST', path);
    }
    if (!this.#made.has(target) || !this.#made.has(dirname(path))) {
      throw failure('ENOENT', path);
    }
    if (/\/core\//.test(target) && this.show(`${target}/enable`) !== '1') {
      throw failure('ENODEV', path);
    }
    this.tree.link(target, path);
    this.#links.set(path, target);
  }

  #unlink(path: string): void {
    if (!this.#links.delete(path)) {
      throw failure('ENOENT', path);
    }
    this.tree.remove(path);
  }

  #write(path: string, text: string): void {
    const owner = dirname(path);
    if (!this.tree.has(owner)) {
      throw failure('ENOENT', path);
    }
    if (!this.tree.has(path)) {
      throw failure('EACCES', path);
    }
    const value = text.trim();
    if (/\/core\/.*\/enable$/.test(path)) {
      this.#enableStore(owner, path);
    } else if (/\/tpgt_1\/enable$/.test(path)) {
      this.#enableGroup(owner, path, value);
    }
    if (path.endsWith('/vpd_unit_serial')) {
      if ([...this.#links.values()].includes(dirname(owner))) {
        throw failure('EINVAL', path);
      }
      this.tree.put(path, `T10 VPD Unit Serial Number: ${value}\n`);
    } else if (path.endsWith('/control')) {
      this.tree.put(join(owner, 'info'), `${storeInfo('DEACTIVATED', value.replace('udev_path=', ''))}\n`);
    } else {
      this.tree.put(path, `${value}\n`);
    }
  }

  #enableGroup(group: string, path: string, value: string): void {
    if (this.show(path) === value) {
      throw failure('EINVAL', path);
    }
    for (const [acl, session] of value === '0' ? this.#sessions : []) {
      if (acl.startsWith(`${group}/`)) {
        session.end();
      }
    }
  }

  #enableStore(store: string, path: string): void {
    if (this.show(path) === '1') {
      throw failure('EEXIST', path);
    }
    const name = /UDEV PATH: (\S+)/.exec(this.show(`${store}/info`))?.[1];
    if (name === undefined) {
      throw failure('EINVAL', path);
    }
    const device = this.devices.get(name);
    if (device === undefined) {
      throw failure('ENOENT', path);
    }
    // It is opened for this backstore alone.
    if (this.isHeld(device)) {
      throw failure('EBUSY', path);
    }
    this.#held.set(store, device);
    this.tree.put(join(store, 'info'), `${storeInfo('ACTIVATED', name, this.#nameOf(name))}\n`);
  }
}
