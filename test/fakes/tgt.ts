// tgtd on a host without it, and tgtadm: one exit code for every error, everything forgotten when the daemon ends, targets by numbers which
// are used again. Texts and words are those recorded from tgt 1.0.85 (test/fixtures/tgt); whom it lets in is what its source says.
import type { Command, CommandOutput } from '../../node-agent/exec/command.ts';
import type { Exporter, Login, Refusal, TargetSession, Unit } from './iscsi.ts';
import { type Device, failure } from './tree.ts';

interface Lun {
  readonly path: string;
  /** What was there when the LUN was made, and as large as it was then. */
  readonly device: Device;
  readonly sizeBytes: bigint;
  serial: string;
  scsiID: string;
  readOnly: boolean;
}

interface Nexus {
  readonly sid: number;
  readonly initiator: string;
  readonly isid?: string;
}

export interface TgtTarget {
  readonly tid: number;
  readonly iqn: string;
  readonly luns: Map<number, Lun>;
  /** Names, addresses, `ALL`: whoever fits one of them is let in. */
  acl: string[];
  /** Any of them will do; where there is none nobody is asked for a password. */
  users: string[];
  sessions: Nexus[];
}

type Option = (letter: string) => string;

const done = (stdout = ''): CommandOutput => ({ exitCode: 0, stdout, stderr: '' });
const refused = (words: string): CommandOutput => ({
  exitCode: 22,
  stdout: '',
  stderr: `tgtadm: ${words}\n`,
});
const NO_TARGET = refused("can't find the target");
const NO_LUN = refused("can't find the logical unit");
const NO_ACCOUNT = refused("can't find the account");
const NO_DAEMON: CommandOutput = {
  exitCode: 107,
  stdout: '',
  stderr: 'tgtadm: failed to send request hdr to tgt daemon, Transport endpoint is not connected\n',
};
/** tgtadm says 0 to that (usr/tgtadm.c). */
const DIED: CommandOutput = { exitCode: 0, stdout: '', stderr: 'tgtadm: tgtd closed the socket\n' };

/** TCP_KEEPIDLE and three times TCP_KEEPINTVL of usr/iscsi/iscsi_tcp.c: tgtd itself asks nobody whether he is there. */
const PATIENCE_MS = (1_800 + 3 * 60) * 1_000;
/** The page of the serial is as wide as that, with blanks before it. */
const SERIAL_WIDTH = 36;

export class FakeTgt implements Exporter {
  readonly patienceMs = PATIENCE_MS;
  all: TgtTarget[] = [];
  readonly accounts = new Map<string, string>();
  isUp = true;
  /** Of tgtadm: operation and mode. */
  commands: string[] = [];
  /** Called before each command; may change the world or throw. */
  before: (line: string) => void = () => undefined;
  readonly #open: (path: string) => Device;
  #diesInTheMidst = false;
  #sid = 0;

  /** `open` throws where there is nothing that can be opened. */
  constructor(open: (path: string) => Device) {
    this.#open = open;
  }

  add(tid: number, iqn: string): TgtTarget {
    const target: TgtTarget = { tid, iqn, luns: new Map(), acl: [], users: [], sessions: [] };
    this.all.push(target);
    return target;
  }

  /** tgtd ends, and with it all that it had; it is not started by that. */
  kill(): void {
    this.isUp = false;
    this.all = [];
    this.accounts.clear();
    this.#diesInTheMidst = false;
  }

  /** It ends before it answers the next command. */
  killInTheMidst(): void {
    this.#diesInTheMidst = true;
  }

  /** As systemd does, with nothing in it. */
  start(): void {
    this.isUp = true;
    this.#diesInTheMidst = false;
  }

  get targets(): readonly string[] {
    return this.all.map(({ iqn }) => iqn);
  }

  sessions(iqn: string): readonly string[] {
    return this.#named(iqn)?.sessions.map(({ initiator }) => initiator) ?? [];
  }

  allowed(iqn: string): readonly string[] {
    return this.#named(iqn)?.acl ?? [];
  }

  get unguarded(): readonly string[] {
    return this.all.flatMap(({ iqn, acl, users }) => (acl.length > 0 && users.length === 0 ? [iqn] : []));
  }

  left(): readonly string[] {
    return [
      ...this.all.flatMap(({ iqn, luns, acl, users }) => [
        iqn,
        ...[...luns].map(
          ([lun, { path, serial, scsiID, readOnly }]) =>
            `${iqn} LUN ${lun} ${path} ${serial} ${scsiID}${readOnly ? ' read-only' : ''}`,
        ),
        ...acl.map((entry) => `${iqn} lets ${entry} in`),
        ...users.map(() => `${iqn} has an account`),
      ]),
      ...[...this.accounts].map(() => 'an account'),
    ].toSorted();
  }

  isHeld(device: Device): boolean {
    return this.all.some(({ luns }) => [...luns.values()].some((lun) => lun.device === device));
  }

  admit({ iqn, initiator, isid, user, password }: Login): TargetSession | Refusal {
    const target = this.#named(iqn);
    if (target === undefined || !target.acl.some((entry) => entry === initiator || entry === 'ALL')) {
      return 'not found';
    }
    const isKnown = target.users.includes(user) && this.accounts.get(user) === password;
    if (target.users.length > 0 && !isKnown) {
      return 'authentication';
    }
    this.#sid += 1;
    const nexus: Nexus = { sid: this.#sid, initiator, isid };
    const others = target.sessions.filter((one) => one.initiator !== initiator || one.isid !== isid);
    target.sessions = [...others, nexus];
    const isOpen = (): boolean => this.all.includes(target) && target.sessions.includes(nexus);
    return {
      initiator,
      get isOpen() {
        return isOpen();
      },
      end: () => {
        target.sessions = target.sessions.filter((one) => one !== nexus);
      },
      unit: (number) => (isOpen() ? unitOf(target.luns.get(number)) : undefined),
    };
  }

  readonly run = async ({ args }: Pick<Command, 'args'>): Promise<CommandOutput> => {
    const option: Option = (letter) => (args.includes(letter) ? (args[args.indexOf(letter) + 1] ?? '') : '');
    if (args[0] === '--version') {
      return done('1.0.85\n');
    }
    const line = `${option('-o')} ${option('-m')}`;
    this.before(line);
    this.commands.push(line);
    if (this.#diesInTheMidst) {
      this.kill();
      return DIED;
    }
    return this.isUp ? this.#answer(line, option) : NO_DAEMON;
  };

  #named(iqn: string): TgtTarget | undefined {
    return this.all.find((one) => one.iqn === iqn);
  }

  #answer(line: string, option: Option): CommandOutput {
    switch (line) {
      case 'show sys':
        return done('System:\n    State: ready\n    debug: off\nLLDs:\n    iscsi: ready\n');
      case 'show target':
        return done(this.all.map(shown).join(''));
      case 'show account':
        return done(this.#accountList());
      case 'new target':
        return this.#newTarget(Number(option('-t')), option('-T'));
      case 'new account':
        return this.#newAccount(option('-u'), option('-p'));
      case 'delete account':
        return this.#deleteAccount(option('-u'));
      default: {
        const target = this.all.find(({ tid }) => tid === Number(option('-t')));
        return target === undefined ? NO_TARGET : this.#onTarget(line, target, option);
      }
    }
  }

  #onTarget(line: string, target: TgtTarget, option: Option): CommandOutput {
    switch (line) {
      case 'show conn':
        return done(target.sessions.map(shownConnection).join(''));
      case 'new logicalunit':
        return this.#newLun(target, Number(option('-l')), option('-b'));
      case 'update logicalunit':
        return updateLun(target, Number(option('-l')), option('-P'));
      case 'delete logicalunit':
        return target.luns.delete(Number(option('-l'))) ? done() : NO_LUN;
      case 'bind account':
        return this.#bindAccount(target, option('-u'));
      case 'unbind account':
        return unbindAccount(target, option('-u'));
      case 'bind target':
        return bindEntry(target, option('-Q') || option('-I'));
      case 'unbind target':
        return unbindEntry(target, option('-Q') || option('-I'));
      case 'delete conn':
        return deleteConnection(target, Number(option('-s')));
      case 'delete target':
        return this.#deleteTarget(target);
      default:
        return refused('invalid request');
    }
  }

  /** The newest first; where there is none, nothing at all. */
  #accountList(): string {
    const users = [...this.accounts.keys()].toReversed();
    return users.length === 0 ? '' : `Account list:\n${users.map((user) => `    ${user}\n`).join('')}`;
  }

  #newTarget(tid: number, iqn: string): CommandOutput {
    if (this.all.some((one) => one.tid === tid || one.iqn === iqn)) {
      return refused('this target already exists');
    }
    this.add(tid, iqn);
    return done();
  }

  /** Whoever is in its midst keeps it; LUNs, bindings and accesses go with it. */
  #deleteTarget(target: TgtTarget): CommandOutput {
    if (target.sessions.length > 0) {
      return refused('this target is still active');
    }
    this.all = this.all.filter((one) => one !== target);
    return done();
  }

  #newLun({ tid, luns }: TgtTarget, lun: number, path: string): CommandOutput {
    if (lun === 0 || luns.has(lun)) {
      return refused('this logical unit number already exists');
    }
    try {
      const device = this.#open(path);
      const scsiID = `IET     ${hex(tid)}${hex(lun)}`;
      const { sizeBytes } = device;
      luns.set(lun, { path, device, sizeBytes, serial: `beaf${tid}${lun}`, scsiID, readOnly: false });
      return done();
    } catch {
      return refused('invalid request');
    }
  }

  /** One that is there keeps the password it has. */
  #newAccount(user: string, password: string): CommandOutput {
    if (this.accounts.has(user)) {
      return refused('this account already exists');
    }
    this.accounts.set(user, password);
    return done();
  }

  /** Targets that had it ask nobody from then on, if it was their last. */
  #deleteAccount(user: string): CommandOutput {
    if (!this.accounts.delete(user)) {
      return NO_ACCOUNT;
    }
    for (const target of this.all) {
      target.users = target.users.filter((one) => one !== user);
    }
    return done();
  }

  #bindAccount(target: TgtTarget, user: string): CommandOutput {
    if (!this.accounts.has(user)) {
      return NO_ACCOUNT;
    }
    if (target.users.includes(user)) {
      return refused('this account already exists');
    }
    target.users.push(user);
    return done();
  }
}

const hex = (number: number): string => number.toString(16).padStart(4, '0');

const updateLun = ({ luns }: TgtTarget, number: number, params: string): CommandOutput => {
  const lun = luns.get(number);
  if (lun === undefined) {
    return NO_LUN;
  }
  const given = new Map(params.split(',').map((pair) => pair.split('=') as [string, string]));
  lun.serial = given.get('scsi_sn') ?? lun.serial;
  lun.scsiID = given.get('scsi_id') ?? lun.scsiID;
  lun.readOnly = (given.get('readonly') ?? (lun.readOnly ? '1' : '0')) === '1';
  return done();
};

const unbindAccount = (target: TgtTarget, user: string): CommandOutput => {
  if (!target.users.includes(user)) {
    return NO_ACCOUNT;
  }
  target.users = target.users.filter((one) => one !== user);
  return done();
};

const bindEntry = ({ acl }: TgtTarget, entry: string): CommandOutput => {
  if (acl.includes(entry)) {
    return refused('this access control rule already exists');
  }
  acl.push(entry);
  return done();
};

/** Sessions that are open stay so. */
const unbindEntry = (target: TgtTarget, entry: string): CommandOutput => {
  if (!target.acl.includes(entry)) {
    return refused('this access control rule does not exist');
  }
  target.acl = target.acl.filter((one) => one !== entry);
  return done();
};

const deleteConnection = (target: TgtTarget, sid: number): CommandOutput => {
  if (!target.sessions.some((one) => one.sid === sid)) {
    return refused("can't find the session");
  }
  target.sessions = target.sessions.filter((one) => one.sid !== sid);
  return done();
};

const unitOf = (lun: Lun | undefined): Unit | undefined => {
  if (lun === undefined) {
    return undefined;
  }
  const { device, sizeBytes, serial } = lun;
  return {
    serial: serial.padStart(SERIAL_WIDTH),
    device: {
      sizeBytes,
      read: (at) => device.read(at),
      write: (at, word) => {
        if (lun.readOnly) {
          throw failure('EIO', 'a unit that is read-only');
        }
        device.write(at, word);
      },
    },
  };
};

const shownConnection = ({ sid, initiator }: Nexus): string =>
  [
    `Session: ${sid}`,
    '    Connection: 0',
    `        Initiator: ${initiator}`,
    '        IP Address: 10.0.0.2',
    '',
  ].join('\n');

const shownUnit = (
  number: number,
  {
    type,
    scsiID,
    serial,
    size,
    isReadOnly,
    store,
  }: Readonly<Record<'type' | 'scsiID' | 'serial' | 'size' | 'isReadOnly' | 'store', string>>,
): readonly string[] => [
  `        LUN: ${number}`,
  `            Type: ${type}`,
  `            SCSI ID: ${scsiID}`,
  `            SCSI SN: ${serial}`,
  `            Size: ${size}`,
  '            Online: Yes',
  '            Removable media: No',
  '            Prevent removal: No',
  `            Readonly: ${isReadOnly}`,
  '            SWP: No',
  '            Thin-provisioning: No',
  ...['type', 'path'].map((what, at) => `            Backing store ${what}: ${store.split(' ')[at]}`),
  '            Backing store flags: ',
];

const shownLun = ([number, { path, sizeBytes, serial, scsiID, readOnly }]: readonly [number, Lun]) =>
  shownUnit(number, {
    type: 'disk',
    scsiID,
    serial,
    size: `${Math.round(Number(sizeBytes) / 1e6)} MB, Block size: 512`,
    isReadOnly: readOnly ? 'Yes' : 'No',
    store: `rdwr ${path}`,
  });

const shown = ({ tid, iqn, luns, acl, users, sessions }: TgtTarget): string =>
  [
    `Target ${tid}: ${iqn}`,
    '    System information:',
    '        Driver: iscsi',
    '        State: ready',
    '    I_T nexus information:',
    ...sessions.flatMap(({ sid, initiator }) => [
      `        I_T nexus: ${sid}`,
      `            Initiator: ${initiator} alias: none`,
      '            Connection: 0',
      '                IP Address: 10.0.0.2',
    ]),
    '    LUN information:',
    ...shownUnit(0, {
      type: 'controller',
      scsiID: `IET     ${hex(tid)}0000`,
      serial: `beaf${tid}0`,
      size: '0 MB, Block size: 1',
      isReadOnly: 'No',
      store: 'null None',
    }),
    ...[...luns].flatMap(shownLun),
    '    Account information:',
    ...users.map((user) => `        ${user}`),
    '    ACL information:',
    ...acl.map((entry) => `        ${entry}`),
    '',
  ].join('\n');
