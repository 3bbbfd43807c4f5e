// open-iscsi on a host without it: iscsiadm, tee and blockdev as a small model in memory, and the sysfs and /dev that the kernel would show.
// Exit codes and words are those of iscsiadm 2.1.8.
import { dirname, join } from 'node:path';
import type { Command, CommandOutput, RunCommand } from '../../node-agent/exec/command.ts';
import type { Files } from '../../node-agent/exec/files.ts';
import type { Login, Reach, Refusal, Remote } from './iscsi.ts';
import { type Device, failure, MemoryTree } from './tree.ts';

/** A target of which only so much is known. */
export interface FakeTarget {
  user: string;
  password: string;
  /** As it stands in the page of its name. */
  serial: string;
  bytes: number;
  up: boolean;
  /** Where it is; undefined: wherever it is looked for. */
  portal?: string;
}

export interface FakeSession {
  readonly number: number;
  readonly host: number;
  readonly iqn: string;
  readonly user: string;
  /** The name of its disk, once it was scanned. */
  disk?: string;
}

interface Held {
  readonly login: Login;
  remote: Remote;
}

interface FakeRecord {
  readonly iqn: string;
  readonly portal: string;
  readonly iface: string;
  readonly values: Map<string, string>;
}

const done = (stdout = ''): CommandOutput => ({ exitCode: 0, stdout, stderr: '' });
const refused = (exitCode: number, words: string): CommandOutput => ({
  exitCode,
  stdout: '',
  stderr: `iscsiadm: ${words}\n`,
});

const LUN = 1;
/** As the kernel names them. */
const diskName = (taken: readonly (string | undefined)[]): string => {
  for (let number = 0; ; number += 1) {
    const last = String.fromCharCode(97 + (number % 26));
    const name = number < 26 ? `sd${last}` : `sd${String.fromCharCode(96 + Math.floor(number / 26))}${last}`;
    if (!taken.includes(name)) {
      return name;
    }
  }
};

export class FakeOpenIscsi {
  readonly sys = '/sys';
  readonly dev = '/dev';
  readonly tree: MemoryTree;
  /** Where logins go, unless `reach` says something else. */
  targets = new Map<string, FakeTarget>();
  sessions: FakeSession[] = [];
  records: FakeRecord[] = [];
  /** Initiator names by interface record. */
  interfaces = new Map<string, string>();
  /** Device names that are something else than a block device. */
  readonly impostors = new Set<string>();
  commands: string[] = [];
  /** Called before each command; may change the world or throw. */
  before: (line: string) => void | Promise<void> = () => undefined;
  reach: Reach = (login) => this.#known(login);
  readonly files: Files;
  readonly #held = new Map<FakeSession, Held>();
  #next = 1;

  constructor(tree = new MemoryTree()) {
    this.tree = tree;
    tree.makeDirectory(join(this.sys, 'class'));
    tree.makeDirectory(this.dev);
    this.files = tree.files;
  }

  readonly run: RunCommand = async ({ file, args, stdin }: Command) => {
    const line = [file, ...args].join(' ');
    await this.before(line);
    this.commands.push(line);
    switch (file) {
      case 'tee':
        return this.#tee(args[0] ?? '', stdin ?? '');
      case 'blockdev':
        return this.#flush(args.at(-1) ?? '');
      case 'systemctl':
        return done();
      case 'iscsiadm':
        return this.#iscsiadm(args);
      default:
        return { exitCode: 127, stdout: '', stderr: `no ${file}\n` };
    }
  };

  /** As when the target cut the session, or went away. */
  setState(session: FakeSession, state: 'LOGGED_IN' | 'FAILED'): void {
    this.tree.put(join(this.#sessionDir(session), 'state'), `${state}\n`);
  }

  /** What iscsid does all the time: notices which sessions are away, and logs in anew. */
  tend(): void {
    for (const [session, held] of this.#held) {
      if (!held.remote.isOpen) {
        const again = this.reach(held.login);
        held.remote = typeof again === 'string' ? held.remote : again;
      }
      const state = held.remote.isOpen ? 'LOGGED_IN' : 'FAILED';
      if (this.tree.text(join(this.#sessionDir(session), 'state')).trim() !== state) {
        this.setState(session, state);
      }
    }
  }

  /** The kernel's memory is gone, as after a reboot; records and interfaces are files, and stay. */
  forget(): void {
    for (const { remote } of this.#held.values()) {
      remote.end();
    }
    for (const session of this.sessions) {
      this.#drop(session);
      this.#remove(session);
    }
    this.#held.clear();
    this.sessions = [];
    this.#next = 1;
  }

  /** Records and interfaces of another host, as on a copy of its disk. */
  copyFiles({ records, interfaces }: FakeOpenIscsi): void {
    this.records = records.map((record) => ({ ...record, values: new Map(record.values) }));
    this.interfaces = new Map(interfaces);
  }

  login(iqn: string, user: string, held?: Held): FakeSession {
    const number = this.#next;
    this.#next += 1;
    const session = { number, host: number + 1, iqn, user };
    const dir = this.#sessionDir(session);
    this.tree.makeDirectory(dir);
    this.tree.link(`../../../session${number}`, join(dir, 'device'));
    for (const [name, text] of Object.entries({ targetname: iqn, username: user, state: 'LOGGED_IN' })) {
      this.tree.put(join(dir, name), `${text}\n`);
    }
    const [address = '10.0.0.1', port = '3260'] = held?.login.portal.split(':') ?? [];
    const connection = join(this.sys, 'class/iscsi_connection', `connection${number}:0`);
    this.tree.put(join(connection, 'persistent_address'), `${address}\n`);
    this.tree.put(join(connection, 'persistent_port'), `${port}\n`);
    this.tree.put(join(this.sys, 'class/scsi_host', `host${session.host}`, 'scan'), '');
    const to = `../../devices/platform/host${session.host}/session${number}/iscsi_session/session${number}`;
    this.tree.link(to, join(this.sys, 'class/iscsi_session', `session${number}`));
    this.sessions.push(session);
    if (held !== undefined) {
      this.#held.set(session, held);
    }
    return session;
  }

  /** Something on the host is built on the disk. */
  hold({ disk = '', ...session }: FakeSession, holder: string): void {
    this.tree.makeDirectory(join(this.#unitDir(session), 'block', disk, 'holders', holder));
  }

  release({ disk = '', ...session }: FakeSession, holder: string): void {
    this.tree.remove(join(this.#unitDir(session), 'block', disk, 'holders', holder));
  }

  #known({ iqn, portal, user, password }: Login): Remote | Refusal | 'away' {
    const target = this.targets.get(iqn);
    if (target?.up !== true || (target.portal ?? portal) !== portal) {
      return 'away';
    }
    const device = (): Device => ({
      get sizeBytes() {
        return BigInt(target.bytes);
      },
      read: () => '',
      write: () => undefined,
    });
    return user === target.user && password === target.password
      ? { isOpen: true, end: () => undefined, unit: () => ({ serial: target.serial, device: device() }) }
      : 'authorization';
  }

  #hostDir({ host, number }: FakeSession): string {
    return join(this.sys, 'devices/platform', `host${host}`, `session${number}`);
  }

  #sessionDir(session: FakeSession): string {
    return join(this.#hostDir(session), 'iscsi_session', `session${session.number}`);
  }

  #unitDir(session: FakeSession): string {
    const at = `${session.host}:0:0`;
    return join(this.#hostDir(session), `target${at}`, `${at}:1`);
  }

  #tee(path: string, text: string): CommandOutput {
    const host = /scsi_host\/host(\d+)\/scan$/.exec(path)?.[1];
    const byPath = this.sessions.find(({ number }) => path.includes(`/session${number}/`));
    const session = host === undefined ? byPath : this.sessions.find((one) => one.host === Number(host));
    if (session === undefined) {
      return { exitCode: 1, stdout: text, stderr: `tee: ${path}: No such file or directory\n` };
    }
    const lun = path.endsWith('/scan') ? /^0 0 (\d+)$/.exec(text)?.[1] : undefined;
    if (lun !== undefined) {
      // There is no other unit to be found.
      if (Number(lun) === LUN) {
        this.#scan(session);
      }
    } else if (path.endsWith('/delete') && text === '1') {
      this.#drop(session);
    } else if (path.endsWith('/rescan') && text === '1') {
      this.#rescan(session);
    } else {
      return { exitCode: 1, stdout: text, stderr: `tee: ${path}: Invalid argument\n` };
    }
    return done(text);
  }

  #flush(path: string): CommandOutput {
    return this.tree.has(path)
      ? done()
      : { exitCode: 1, stdout: '', stderr: `blockdev: cannot open ${path}: No such file or directory\n` };
  }

  #unitOf(session: FakeSession): ReturnType<Remote['unit']> {
    return this.#held.get(session)?.remote.unit(LUN);
  }

  #scan(session: FakeSession): void {
    if (this.#unitOf(session) === undefined || session.disk !== undefined) {
      return;
    }
    const disk = diskName(this.sessions.map((one) => one.disk));
    this.tree.makeDirectory(join(this.#unitDir(session), 'block', disk, 'holders'));
    session.disk = disk;
    this.#rescan(session);
    this.tree.put(join(this.#unitDir(session), 'timeout'), '30\n');
    if (this.impostors.has(disk)) {
      this.tree.put(join(this.dev, disk), '');
    } else {
      this.tree.putDevice(join(this.dev, disk), this.#deviceOf(session, disk));
    }
  }

  /** What sysfs shows of a unit is as old as its last scan. */
  #rescan(session: FakeSession): void {
    const unit = this.#unitOf(session);
    const dir = this.#unitDir(session);
    if (unit !== undefined && session.disk !== undefined) {
      this.tree.put(join(dir, 'block', session.disk, 'size'), `${unit.device.sizeBytes / 512n}\n`);
      const header = String.fromCharCode(0, 0x80, 0, unit.serial.length);
      this.tree.put(join(dir, 'vpd_pg80'), header + unit.serial);
    }
  }

  /** Whoever has it open keeps it, and finds nothing behind it once it was removed. */
  #deviceOf(session: FakeSession, disk: string): Device {
    const sizeFile = join(this.#unitDir(session), 'block', disk, 'size');
    const device = (): Device => {
      if (session.disk !== disk) {
        throw failure('EIO', disk);
      }
      const unit = this.#unitOf(session);
      if (unit === undefined) {
        // Where the session is away it is no error that anybody sees: whoever asks waits until it is back.
        throw failure(this.#held.get(session)?.remote.isOpen === true ? 'EIO' : 'EAGAIN', disk);
      }
      return unit.device;
    };
    const { tree } = this;
    return {
      get sizeBytes() {
        return tree.has(sizeFile) ? BigInt(tree.text(sizeFile).trim()) * 512n : 0n;
      },
      read: (at) => device().read(at),
      write: (at, word) => device().write(at, word),
    };
  }

  #drop(session: FakeSession): void {
    this.tree.remove(dirname(this.#unitDir(session)));
    if (session.disk !== undefined) {
      this.tree.remove(join(this.dev, session.disk));
      delete session.disk;
    }
  }

  #iscsiadm(args: readonly string[]): CommandOutput {
    const option = (name: string) => (args.includes(name) ? (args[args.indexOf(name) + 1] ?? '') : '');
    switch (option('-m')) {
      case 'iface':
        return this.#iface(option, args);
      case 'session':
        return this.#logout(Number(option('-r')));
      default:
        return option('-T') === '' ? this.#listRecords() : this.#node(option, args);
    }
  }

  #iface(option: (name: string) => string, args: readonly string[]): CommandOutput {
    const name = option('-I');
    switch (option('--op')) {
      case 'new':
        this.interfaces.set(name, '<empty>');
        return done(`${name} updated.\nNew interface ${name} added\n`);
      case 'update':
        this.interfaces.set(name, args.at(-1) ?? '');
        return done();
      default: {
        const initiator = this.interfaces.get(name);
        return initiator === undefined
          ? {
              exitCode: 6,
              stdout: '',
              stderr: `iSCSI ERROR: Failed to open /etc/iscsi/ifaces/${name} using read mode: 2 No such file or directory # idbm.c:_idbm_recs_read():834\n`,
            }
          : done(
              `# BEGIN RECORD 2.1.8\niface.iscsi_ifacename = ${name}\niface.transport_name = tcp\niface.initiatorname = ${initiator}\n# END RECORD\n`,
            );
      }
    }
  }

  #listRecords(): CommandOutput {
    return this.records.length === 0
      ? refused(21, 'No records found')
      : done(this.records.map(({ iqn, portal }) => `${portal},4294967295 ${iqn}\n`).join(''));
  }

  #node(option: (name: string) => string, args: readonly string[]): CommandOutput {
    const [iqn, portal, iface] = [option('-T'), option('-p'), option('-I')];
    if (iface !== '' && !this.interfaces.has(iface)) {
      return refused(3, `Could not read iface info for ${iface}.`);
    }
    const record = this.records.find((one) => one.iqn === iqn && one.portal === portal);
    if (args.includes('--login')) {
      return record === undefined ? refused(21, 'No records found') : this.#login(record);
    }
    switch (option('--op')) {
      case 'new':
        this.records = this.records.filter((one) => one !== record);
        this.records.push({ iqn, portal, iface, values: new Map() });
        return done(`New iSCSI node [tcp:[hw=,ip=,net_if=,iscsi_if=${iface}] ${portal},-1 ${iqn}] added\n`);
      case 'delete':
        return record === undefined ? refused(21, 'No records found') : this.#delete(record);
      default:
        return record === undefined ? refused(21, 'No records found') : update(record, args);
    }
  }

  #delete(record: FakeRecord): CommandOutput {
    if (this.sessions.some(({ iqn }) => iqn === record.iqn)) {
      return refused(15, 'This command will remove the record, but a session is using it.');
    }
    this.records = this.records.filter((one) => one !== record);
    return done();
  }

  #login({ iqn, portal, iface, values }: FakeRecord): CommandOutput {
    const where = `[iface: ${iface}, target: ${iqn}, portal: ${portal}]`;
    if (this.sessions.some((one) => one.iqn === iqn)) {
      return refused(
        15,
        `Could not login to ${where}.\niscsiadm: initiator reported error (15 - session exists)`,
      );
    }
    const [user = '', password = ''] = ['username', 'password'].map(
      (name) => values.get(`node.session.auth.${name}`) ?? '',
    );
    const initiator = this.interfaces.get(iface) ?? '';
    const login = { iqn, portal, initiator, isid: `00023d${this.#next}`, user, password };
    const remote = this.reach(login);
    if (remote === 'away') {
      return refused(
        8,
        `Could not login to ${where}.\niscsiadm: initiator reported error (8 - connection timed out)`,
      );
    }
    if (typeof remote === 'string') {
      const [exitCode, words] =
        remote === 'not found'
          ? ([19, 'encountered non-retryable iSCSI login failure'] as const)
          : ([24, 'iSCSI login failed due to authorization failure'] as const);
      return refused(
        exitCode,
        `Could not login to ${where}.\niscsiadm: initiator reported error (${exitCode} - ${words})`,
      );
    }
    this.login(iqn, user, { login, remote });
    return done(`Login to ${where} successful.\n`);
  }

  #logout(number: number): CommandOutput {
    const session = this.sessions.find((one) => one.number === number);
    if (session === undefined) {
      return refused(
        22,
        `could not read session targetname: 5\niscsiadm: Could not get session info for sid ${number}`,
      );
    }
    this.#drop(session);
    this.#held.get(session)?.remote.end();
    this.#held.delete(session);
    this.#remove(session);
    this.sessions = this.sessions.filter((one) => one !== session);
    return done(`Logout of [sid: ${number}, target: ${session.iqn}] successful.\n`);
  }

  #remove({ number, host }: FakeSession): void {
    for (const path of [
      `class/iscsi_session/session${number}`,
      `class/iscsi_connection/connection${number}:0`,
      `class/scsi_host/host${host}`,
      `devices/platform/host${host}`,
    ]) {
      this.tree.remove(join(this.sys, path));
    }
  }
}

const update = ({ values }: FakeRecord, args: readonly string[]): CommandOutput => {
  for (const [at, arg] of args.entries()) {
    if (arg === '-n') {
      values.set(args[at + 1] ?? '', args[at + 3] ?? '');
    }
  }
  return done();
};
