// open-iscsi on a host without it: iscsiadm, tee and blockdev as a small model in memory, and the sysfs and /dev that the kernel would show in
// plain directories. Exit codes and words are those of iscsiadm 2.1.8.
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Command, CommandOutput, RunCommand } from '../../node-agent/exec/command.ts';
import { type Files, hostFiles } from '../../node-agent/exec/files.ts';

export interface FakeTarget {
  user: string;
  password: string;
  /** As it stands in the page of its name. */
  serial: string;
  bytes: number;
  up: boolean;
}

export interface FakeSession {
  readonly number: number;
  readonly host: number;
  readonly iqn: string;
  readonly user: string;
  /** The name of its disk, once it was scanned. */
  disk?: string;
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

export class FakeOpenIscsi {
  readonly sys: string;
  readonly dev: string;
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
  readonly files: Files;
  #next = 1;

  constructor(dir: string) {
    this.sys = join(dir, 'sys');
    this.dev = join(dir, 'dev');
    this.files = {
      ...hostFiles,
      stat: async (path) => {
        const found = await hostFiles.stat(path);
        const isDisk = /\/sd[a-z]+$/.test(path) && !this.impostors.has(path.split('/').at(-1) ?? '');
        return isDisk ? { ...found, kind: 'block' } : found;
      },
    };
  }

  async boot(): Promise<void> {
    await mkdir(join(this.sys, 'class'), { recursive: true });
    await mkdir(this.dev, { recursive: true });
  }

  readonly run: RunCommand = async ({ file, args, stdin }: Command) => {
    const line = [file, ...args].join(' ');
    await this.before(line);
    this.commands.push(line);
    switch (file) {
      case 'tee':
        return this.#tee(args[0] ?? '', stdin ?? '');
      case 'blockdev':
      case 'systemctl':
        return done();
      case 'iscsiadm':
        return this.#iscsiadm(args);
      default:
        return { exitCode: 127, stdout: '', stderr: `no ${file}\n` };
    }
  };

  /** As when the target cut the session, or went away. */
  async setState(session: FakeSession, state: 'LOGGED_IN' | 'FAILED'): Promise<void> {
    await writeFile(join(this.#sessionDir(session), 'state'), `${state}\n`);
  }

  async login(iqn: string, user: string): Promise<FakeSession> {
    const number = this.#next;
    this.#next += 1;
    const session = { number, host: number + 1, iqn, user };
    const dir = this.#sessionDir(session);
    await mkdir(dir, { recursive: true });
    await symlink(`../../../session${number}`, join(dir, 'device'));
    for (const [name, text] of Object.entries({ targetname: iqn, username: user, state: 'LOGGED_IN' })) {
      await writeFile(join(dir, name), `${text}\n`);
    }
    const connection = join(this.sys, 'class/iscsi_connection', `connection${number}:0`);
    await mkdir(connection, { recursive: true });
    await writeFile(join(connection, 'persistent_address'), '10.0.0.1\n');
    await writeFile(join(connection, 'persistent_port'), '3260\n');
    await mkdir(join(this.sys, 'class/iscsi_session'), { recursive: true });
    await mkdir(join(this.sys, 'class/scsi_host', `host${session.host}`), { recursive: true });
    await writeFile(join(this.sys, 'class/scsi_host', `host${session.host}`, 'scan'), '');
    const to = `../../devices/platform/host${session.host}/session${number}/iscsi_session/session${number}`;
    await symlink(to, join(this.sys, 'class/iscsi_session', `session${number}`));
    this.sessions.push(session);
    return session;
  }

  /** Something on the host is built on the disk. */
  async hold({ disk = '', ...session }: FakeSession, holder: string): Promise<void> {
    await mkdir(join(this.#unitDir(session), 'block', disk, 'holders', holder));
  }

  async release({ disk = '', ...session }: FakeSession, holder: string): Promise<void> {
    await rm(join(this.#unitDir(session), 'block', disk, 'holders', holder), { recursive: true });
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

  async #tee(path: string, text: string): Promise<CommandOutput> {
    const host = /scsi_host\/host(\d+)\/scan$/.exec(path)?.[1];
    const byPath = this.sessions.find(({ number }) => path.includes(`/session${number}/`));
    const session = host === undefined ? byPath : this.sessions.find((one) => one.host === Number(host));
    if (session === undefined) {
      return { exitCode: 1, stdout: text, stderr: `tee: ${path}: No such file or directory\n` };
    }
    if (path.endsWith('/scan') && text === '0 0 1') {
      await this.#scan(session);
    } else if (path.endsWith('/delete') && text === '1') {
      await this.#drop(session);
    } else if (!(path.endsWith('/rescan') && text === '1')) {
      return { exitCode: 1, stdout: text, stderr: `tee: ${path}: Invalid argument\n` };
    }
    return done(text);
  }

  async #scan(session: FakeSession): Promise<void> {
    const target = this.targets.get(session.iqn);
    if (target === undefined || session.disk !== undefined) {
      return;
    }
    const taken = this.sessions.map(({ disk }) => disk);
    const disk = ['sda', 'sdb', 'sdc', 'sdd'].find((name) => !taken.includes(name)) ?? 'sde';
    const unit = this.#unitDir(session);
    await mkdir(join(unit, 'block', disk, 'holders'), { recursive: true });
    await writeFile(join(unit, 'block', disk, 'size'), `${target.bytes / 512}\n`);
    const serial = Buffer.from(target.serial, 'latin1');
    await writeFile(
      join(unit, 'vpd_pg80'),
      Buffer.concat([Buffer.from([0, 0x80, 0, serial.length]), serial]),
    );
    await writeFile(join(unit, 'timeout'), '30\n');
    await writeFile(join(this.dev, disk), '');
    session.disk = disk;
  }

  async #drop(session: FakeSession): Promise<void> {
    await rm(dirname(this.#unitDir(session)), { recursive: true, force: true });
    if (session.disk !== undefined) {
      await rm(join(this.dev, session.disk), { force: true });
      delete session.disk;
    }
  }

  async #iscsiadm(args: readonly string[]): Promise<CommandOutput> {
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

  async #node(option: (name: string) => string, args: readonly string[]): Promise<CommandOutput> {
    const [iqn, portal, iface] = [option('-T'), option('-p'), option('-I')];
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

  async #login({ iqn, portal, iface, values }: FakeRecord): Promise<CommandOutput> {
    const target = this.targets.get(iqn);
    const where = `[iface: ${iface}, target: ${iqn}, portal: ${portal}]`;
    if (this.sessions.some((one) => one.iqn === iqn)) {
      return refused(
        15,
        `Could not login to ${where}.\niscsiadm: initiator reported error (15 - session exists)`,
      );
    }
    if (target?.up !== true) {
      return refused(
        8,
        `Could not login to ${where}.\niscsiadm: initiator reported error (8 - connection timed out)`,
      );
    }
    const [user, password] = ['username', 'password'].map(
      (name) => values.get(`node.session.auth.${name}`) ?? '',
    );
    if (user !== target.user || password !== target.password) {
      return refused(
        24,
        `Could not login to ${where}.\niscsiadm: initiator reported error (24 - iSCSI login failed due to authorization failure)`,
      );
    }
    await this.login(iqn, user ?? '');
    return done(`Login to ${where} successful.\n`);
  }

  async #logout(number: number): Promise<CommandOutput> {
    const session = this.sessions.find((one) => one.number === number);
    if (session === undefined) {
      return refused(
        22,
        `could not read session targetname: 5\niscsiadm: Could not get session info for sid ${number}`,
      );
    }
    await this.#drop(session);
    await rm(join(this.sys, 'class/iscsi_session', `session${number}`));
    await rm(join(this.sys, 'class/scsi_host', `host${session.host}`), { recursive: true });
    await rm(join(this.sys, 'devices/platform', `host${session.host}`), { recursive: true });
    this.sessions = this.sessions.filter((one) => one !== session);
    return done(`Logout of [sid: ${number}, target: ${session.iqn}] successful.\n`);
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
