// virsh on a host without libvirt: machines of QEMU, their live descriptions, and secrets. A detach only asks the guest; once it has let go,
// the disk leaves the description first and is closed after that, and until QEMU has closed it the machine stands still and libvirt changes
// nothing else of it. Texts are those recorded from libvirt 9.0 (test/fixtures/libvirt).
import { XMLParser } from 'fast-xml-parser';
import type { Command, CommandOutput } from '../../../node-agent/exec/command.ts';
import type { Reach } from '../iscsi.ts';
import type { Machines, PluggedDisk } from '../machines.ts';
import { type Device, failure } from '../tree.ts';
import { CannotOpen, type Opened, openBlock, openIscsi } from './qemu.ts';

interface DiskXml {
  readonly '@type': string;
  readonly source: {
    readonly '@name'?: string;
    readonly '@dev'?: string;
    readonly host?: { readonly '@name': string; readonly '@port': string };
    readonly initiator?: { readonly iqn: { readonly '@name': string } };
    readonly auth?: { readonly '@username': string; readonly secret: { readonly '@uuid': string } };
  };
  readonly target: { readonly '@dev': string };
  readonly readonly?: unknown;
  readonly serial: string;
  readonly alias: { readonly '@name': string };
}

interface LiveDisk {
  readonly xml: DiskXml;
  readonly opened: Opened;
  /** Seconds since its guest was asked to let it go. */
  askedFor?: number;
}

interface Domain {
  readonly name: string;
  readonly uuid: string;
  /** Of its present life. */
  id: number;
  disks: LiveDisk[];
  /** Out of the description, and not closed yet. */
  closing: LiveDisk[];
  /** Its guest lets a disk go when it is asked. */
  releases: boolean;
}

interface Secret {
  readonly usage: string;
  value?: string;
}

const SLOTS = 4;
/** For so long QEMU takes no second request for the same disk. */
const UNPLUG_SECONDS = 5;
const OUR_ALIAS = /^ua-vbs-(?<volumeID>vol[0-9a-f]{17})$/;

const parser = new XMLParser({ ignoreAttributes: false, attributeNamePrefix: '@', parseTagValue: false });
const ok = (stdout: string): CommandOutput => ({ exitCode: 0, stdout: `${stdout}\n`, stderr: '' });
const failed = (...lines: readonly string[]): CommandOutput => ({
  exitCode: 1,
  stdout: '',
  stderr: lines.map((line) => `error: ${line}\n`).join(''),
});
const noSecret = (uuid: string): string => `Secret not found: no secret with matching uuid '${uuid}'`;
const noDomain = (uuid: string): CommandOutput => failed(`failed to get domain '${uuid}'`);
const LOCKED =
  'Timed out during operation: cannot acquire state change lock (held by monitor=remoteDispatchDomainDetachDeviceAlias)';

/** Ways out of the host. */
export interface Around {
  readonly open: (path: string) => Device;
  readonly reach: Reach;
}

export class LibvirtHost implements Machines {
  readonly domains: Domain[] = [];
  readonly secrets = new Map<string, Secret>();
  /** libvirtd; machines run on without it. */
  isUp = true;
  readonly #around: Around;
  #lastID = 0;
  #connections = 0;

  constructor(around: Around) {
    this.#around = around;
  }

  get plugged(): readonly PluggedDisk[] {
    return this.domains.flatMap(({ name: vm, id: life, disks, closing }) =>
      [...disks, ...closing].flatMap((disk) => {
        const { volumeID } = OUR_ALIAS.exec(disk.xml.alias['@name'])?.groups ?? {};
        const isClosing = closing.includes(disk);
        const device = disk.xml.target['@dev'];
        const backing = closing.length > 0 && !isClosing ? standing(disk.opened.device) : disk.opened.device;
        return volumeID === undefined ? [] : [{ vm, device, volumeID, life, backing, isClosing }];
      }),
    );
  }

  get sessions(): Machines['sessions'] {
    return this.domains
      .flatMap(({ disks, closing }) => [...disks, ...closing])
      .flatMap(({ opened: { session } }) => (session === undefined ? [] : [session]));
  }

  get kept(): readonly string[] {
    return [...this.secrets.keys()].map((uuid) => `secret ${uuid}`);
  }

  add(name: string, uuid: string): void {
    this.#lastID += 1;
    this.domains.push({ name, uuid, id: this.#lastID, disks: [], closing: [], releases: true });
  }

  /** Its QEMU ends with all that it has open, and another one starts. */
  restart(name: string): void {
    const domain = this.#named(name);
    for (const { opened } of [...domain.disks, ...domain.closing]) {
      opened.drop();
    }
    this.#lastID += 1;
    Object.assign(domain, { id: this.#lastID, disks: [], closing: [], releases: true });
  }

  setReleases(name: string, releases: boolean): void {
    this.#named(name).releases = releases;
  }

  /** Nothing of a live machine is lost by it; secrets that are not stored are. */
  killLibvirtd(): void {
    this.isUp = false;
    this.secrets.clear();
  }

  startLibvirtd(): void {
    this.isUp = true;
  }

  end(): void {
    for (const { opened } of this.domains.flatMap(({ disks, closing }) => [...disks, ...closing])) {
      opened.drop();
    }
    this.domains.length = 0;
    this.secrets.clear();
    this.isUp = true;
  }

  tend(): void {
    for (const domain of this.domains) {
      for (const { opened } of [...domain.disks, ...domain.closing]) {
        opened.tend();
      }
      domain.closing = domain.closing.filter(({ opened }) => !opened.close());
      this.#unplug(domain);
    }
  }

  /** What the guest was asked for, a moment later. A machine that stands still does nothing. */
  #unplug(domain: Domain): void {
    if (domain.closing.length > 0) {
      return;
    }
    for (const disk of domain.disks.filter(({ askedFor }) => askedFor !== undefined)) {
      if (domain.releases && disk.opened.isIdle()) {
        domain.disks = domain.disks.filter((one) => one !== disk);
        domain.closing.push(disk);
      } else {
        disk.askedFor = (disk.askedFor ?? 0) + 1;
      }
    }
  }

  #named(name: string): Domain {
    const found = this.domains.find((one) => one.name === name);
    if (found === undefined) {
      throw new Error(`no domain ${name}`);
    }
    return found;
  }

  /** virsh -c URI COMMAND … */
  readonly run = async ({ args, stdin = '' }: Pick<Command, 'args' | 'stdin'>): Promise<CommandOutput> => {
    const [, , command = '', ...rest] = args;
    if (!this.isUp) {
      return failed(
        'failed to connect to the hypervisor',
        "Failed to connect socket to '/var/run/libvirt/libvirt-sock': Connection refused",
      );
    }
    if (command.startsWith('secret-')) {
      return this.#onSecret(command, rest[0] ?? '', stdin);
    }
    if (command === 'version') {
      return ok(
        'Compiled against library: libvirt 9.0.0\nUsing library: libvirt 9.0.0\nUsing API: QEMU 9.0.0\n',
      );
    }
    if (command === 'list') {
      return this.#list(rest);
    }
    const uuid = (rest[0] === '--domain' ? rest[1] : rest[0]) ?? '';
    const domain = this.domains.find((one) => one.uuid === uuid);
    return domain === undefined ? noDomain(uuid) : this.#onDomain(command, domain, rest, stdin);
  };

  #list(options: readonly string[]): CommandOutput {
    const isShown = options.includes('--state-running') || options.includes('--all');
    const shown = isShown ? this.domains : [];
    return ok(shown.map(({ uuid, name }) => `${uuid} ${name}\n`).join(''));
  }

  #onSecret(command: string, uuid: string, stdin: string): CommandOutput {
    switch (command) {
      case 'secret-list':
        return ok(secretList(this.secrets));
      case 'secret-define': {
        const { secret } = parser.parse(stdin);
        const known = this.secrets.get(secret.uuid);
        this.secrets.set(secret.uuid, { ...known, usage: secret.usage.target });
        return ok(`Secret ${secret.uuid} created\n`);
      }
      case 'secret-set-value': {
        const secret = this.secrets.get(uuid);
        if (secret === undefined) {
          return failed(`failed to get secret '${uuid}'`, noSecret(uuid));
        }
        secret.value = stdin;
        return ok('Secret value set\n');
      }
      case 'secret-undefine':
        return this.secrets.delete(uuid)
          ? ok(`Secret ${uuid} deleted\n`)
          : failed(`failed to get secret '${uuid}'`, noSecret(uuid));
      default:
        return failed(`unknown command: '${command}'`);
    }
  }

  #onDomain(command: string, domain: Domain, rest: readonly string[], stdin: string): CommandOutput {
    if (command === 'dumpxml') {
      return ok(domainXml(domain));
    }
    const isLocked = domain.closing.length > 0;
    switch (command) {
      case 'domblkerror':
        return isLocked ? failed('Failed to get block device errors', LOCKED) : ok('No errors found\n');
      case 'attach-device':
        return isLocked
          ? failed('Failed to attach device from /dev/stdin', LOCKED)
          : this.#attach(domain, stdin);
      case 'detach-device-alias':
        return isLocked
          ? failed(`Failed to detach device with alias ${rest[1]}`, LOCKED)
          : detach(domain, rest[1] ?? '');
      case 'domblkinfo':
      case 'blockresize':
        return isLocked ? failed(LOCKED) : onDisk(command, domain, rest);
      default:
        return failed(`unknown command: '${command}'`);
    }
  }

  #attach(domain: Domain, stdin: string): CommandOutput {
    const xml = parser.parse(stdin).disk as DiskXml;
    const refused = (words: string) => failed('Failed to attach device from /dev/stdin', words);
    const { '@dev': device } = xml.target;
    const alias = xml.alias['@name'];
    const same = domain.disks.find((one) => one.xml.target['@dev'] === device);
    if (domain.disks.some((one) => one.xml.alias['@name'] === alias)) {
      return refused(`unsupported configuration: non unique alias detected: ${alias}`);
    }
    if (same !== undefined) {
      const names = [same.xml, xml].map(({ source }) => `'${source['@name'] ?? source['@dev']}'`);
      return refused(`XML error: target '${device}' duplicated for disk sources ${names.join(' and ')}`);
    }
    if (domain.disks.length >= SLOTS) {
      return refused('internal error: No more available PCI slots');
    }
    try {
      domain.disks.push({ xml, opened: this.#open(xml) });
      return ok('Device attached successfully\n');
    } catch (error) {
      return refused((error as Error).message);
    }
  }

  /** Throws what libvirt says when it cannot be opened. */
  #open({ source }: DiskXml): Opened {
    if (source.auth === undefined) {
      const path = source['@dev'] ?? '';
      try {
        return openBlock(path, this.#around.open);
      } catch {
        throw new Error(`Cannot access storage file '${path}': No such file or directory`);
      }
    }
    const { '@username': user, secret } = source.auth;
    const password = this.secrets.get(secret['@uuid'])?.value;
    if (password === undefined) {
      throw new Error(noSecret(secret['@uuid']));
    }
    this.#connections += 1;
    const login = {
      iqn: source['@name']?.split('/')[0] ?? '',
      portal: `${source.host?.['@name']}:${source.host?.['@port']}`,
      initiator: source.initiator?.iqn['@name'] ?? '',
      isid: `qemu ${this.#lastID} ${this.#connections}`,
      user,
      password,
    };
    try {
      return openIscsi(login, this.#around.reach);
    } catch (error) {
      const said = error instanceof CannotOpen ? error.message : String(error);
      throw new Error(
        `internal error: unable to execute QEMU command 'blockdev-add': iSCSI: Failed to connect to LUN : ${said}`,
      );
    }
  }
}

/** Nothing of a machine goes on while QEMU closes one of its disks. */
const standing = ({ sizeBytes }: Device): Device => {
  const stands = (): never => {
    throw failure('EIO', 'a machine that stands still');
  };
  return { sizeBytes, read: stands, write: stands };
};

/** Success only means that the guest was asked. */
const detach = (domain: Domain, alias: string): CommandOutput => {
  const refused = (words: string) => failed(`Failed to detach device with alias ${alias}`, words);
  const disk = domain.disks.find(({ xml }) => xml.alias['@name'] === alias);
  if (disk === undefined) {
    return refused(`internal error: no device found with alias ${alias}`);
  }
  if (disk.askedFor !== undefined && disk.askedFor < UNPLUG_SECONDS) {
    return refused(
      `internal error: unable to execute QEMU command 'device_del': Device ${alias} is already in the process of unplug`,
    );
  }
  disk.askedFor = 0;
  return ok('Device detach request sent successfully\n');
};

const onDisk = (command: string, { disks }: Domain, [, device = '', size = '']: readonly string[]) => {
  const disk = disks.find(({ xml }) => xml.target['@dev'] === device);
  if (disk === undefined) {
    return failed(`invalid argument: invalid path ${device} not assigned to domain`);
  }
  return command === 'domblkinfo' ? blockInfo(disk.opened) : blockResize(disk, size);
};

const blockInfo = ({ device: { sizeBytes } }: Opened): CommandOutput =>
  ok(`Capacity:       ${sizeBytes}\nAllocation:     ${sizeBytes}\nPhysical:       ${sizeBytes}\n`);

const blockResize = ({ xml, opened }: LiveDisk, size: string): CommandOutput => {
  const device = xml.target['@dev'];
  const refused = (words: string) => failed(`Failed to resize block device '${device}'`, words);
  const bytes = BigInt(size.replace(/B$/, ''));
  if (xml.readonly !== undefined) {
    return refused(`Operation not supported: can't resize empty or readonly disk '${device}'`);
  }
  const kind = opened.session === undefined ? 'device files' : 'iSCSI devices';
  try {
    if (opened.sizeBehind() < bytes) {
      return refused(`internal error: unable to execute QEMU command 'block_resize': Cannot grow ${kind}`);
    }
  } catch {
    return refused("internal error: unable to execute QEMU command 'block_resize': Input/output error");
  }
  opened.resize(bytes);
  return ok(`Block device '${device}' is resized\n`);
};

const secretList = (secrets: ReadonlyMap<string, Secret>): string =>
  [
    ` UUID${' '.repeat(35)}Usage`,
    '-'.repeat(88),
    ...[...secrets].map(([uuid, { usage }]) => ` ${uuid}   iscsi ${usage}`),
    '',
  ].join('\n');

const sourceXml = ({ source }: DiskXml): readonly string[] =>
  source.auth === undefined
    ? [`      <source dev='${source['@dev']}' index='1'/>`]
    : [
        `      <source protocol='iscsi' name='${source['@name']}' index='1'>`,
        `        <host name='${source.host?.['@name']}' port='${source.host?.['@port']}'/>`,
        '        <initiator>',
        `          <iqn name='${source.initiator?.iqn['@name']}'/>`,
        '        </initiator>',
        `        <auth username='${source.auth['@username']}'>`,
        `          <secret type='iscsi' uuid='${source.auth.secret['@uuid']}'/>`,
        '        </auth>',
        '      </source>',
      ];

const diskXml = ({ xml }: LiveDisk): readonly string[] => [
  `    <disk type='${xml['@type']}' device='disk'>`,
  "      <driver name='qemu' type='raw' cache='none' io='threads'/>",
  ...sourceXml(xml),
  `      <target dev='${xml.target['@dev']}' bus='virtio'/>`,
  ...(xml.readonly === undefined ? [] : ['      <readonly/>']),
  `      <serial>${xml.serial}</serial>`,
  `      <alias name='${xml.alias['@name']}'/>`,
  '    </disk>',
];

const domainXml = ({ id, name, uuid, disks }: Domain): string =>
  [
    `<domain type='qemu' id='${id}'>`,
    `  <name>${name}</name>`,
    `  <uuid>${uuid}</uuid>`,
    "  <memory unit='KiB'>131072</memory>",
    "  <vcpu placement='static'>1</vcpu>",
    '  <devices>',
    '    <emulator>/usr/bin/qemu-system-x86_64</emulator>',
    ...disks.flatMap(diskXml),
    "    <controller type='pci' index='0' model='pcie-root'>",
    "      <alias name='pcie.0'/>",
    '    </controller>',
    "    <memballoon model='none'/>",
    '  </devices>',
    '</domain>',
    '',
  ].join('\n');
