// A target daemon with accounts, access lists and sessions, as far as the target role sees them.
import type { Outcome } from '../../../node-agent/profiles/vocabulary.ts';
import type { Given, Tool } from './played.ts';
import type { PlayedPool } from './pool.ts';

interface Lun {
  path: string;
  serial: string;
  scsiID: string;
  readOnly: boolean;
}

interface PlayedTarget {
  readonly tid: string;
  readonly iqn: string;
  readonly luns: Map<string, Lun>;
  readonly users: Set<string>;
  readonly allowed: Set<string>;
  /** Initiator by session number. */
  readonly sessions: Map<number, string>;
}

export interface Login {
  readonly iqn: string;
  readonly lun: string;
  readonly initiator: string;
  readonly user: string;
  readonly password: string;
}

export interface Disk {
  readonly serial: string;
  readonly sizeBytes: bigint;
}

/** RFC 7143 login and what follows it, on all played targets of a world. */
export class PlayedTargets {
  readonly tool: Tool;
  readonly #pool: PlayedPool;
  readonly #targets = new Map<string, PlayedTarget>();
  readonly #accounts = new Map<string, string>();
  #sessions = 0;

  constructor(pool: PlayedPool) {
    this.#pool = pool;
    this.tool = this.#tool();
  }

  get count(): number {
    return this.#targets.size;
  }

  has(iqn: string): boolean {
    return this.#targets.has(iqn);
  }

  /** Reads the disk behind a login, which leaves no session. */
  ask(login: Login): Disk | Outcome {
    const target = this.#admitted(login);
    const lun = target?.luns.get(login.lun);
    const sizeBytes = lun === undefined ? undefined : this.#pool.sizeAt(lun.path);
    if (target === undefined) {
      return 'denied';
    }
    return lun === undefined || sizeBytes === undefined ? 'absent' : { serial: lun.serial, sizeBytes };
  }

  /** Opens a session; undefined when it is refused. */
  open(login: Login): number | undefined {
    const target = this.#admitted(login);
    if (target === undefined) {
      return undefined;
    }
    this.#sessions += 1;
    target.sessions.set(this.#sessions, login.initiator);
    return this.#sessions;
  }

  end(iqn: string, session: number): void {
    this.#targets.get(iqn)?.sessions.delete(session);
  }

  /** Initiators with a session on more than one per target: two writers. */
  initiatorsOf(iqn: string): ReadonlySet<string> {
    return new Set(this.#targets.get(iqn)?.sessions.values());
  }

  /** A target without an account would ask nobody for a password; here it lets nobody in. */
  #admitted({ iqn, initiator, user, password }: Login): PlayedTarget | undefined {
    const target = this.#targets.get(iqn);
    const knows = target?.users.has(user) === true && this.#accounts.get(user) === password;
    return knows && target.allowed.has(initiator) ? target : undefined;
  }

  #show() {
    return [...this.#targets.values()].flatMap(({ iqn, tid, luns, users, allowed, sessions }) => [
      { kind: 'target', iqn, tid, state: 'ready' },
      ...[...luns].map(([lun, { path, serial, scsiID, readOnly }]) => ({
        kind: 'lun',
        iqn,
        lun,
        path,
        serial,
        scsiID,
        online: 'true',
        readOnly: String(readOnly),
        type: 'disk',
      })),
      ...[...users].map((user) => ({ kind: 'account', iqn, user })),
      ...[...allowed].map((initiator) => ({ kind: 'access', iqn, initiator })),
      ...[...sessions.values()].map((initiator) => ({ kind: 'session', iqn, initiator })),
    ]);
  }

  #on(change: (target: PlayedTarget, given: Given) => void) {
    return (given: Given): Outcome | undefined => {
      const target = this.#targets.get(given('iqn'));
      if (target?.tid !== given('tid')) {
        return 'absent';
      }
      change(target, given);
      return undefined;
    };
  }

  #tool(): Tool {
    return {
      show: () => this.#show(),
      accounts: () => [...this.#accounts.keys()].map((user) => ({ user })),
      connections: (given) =>
        [...(this.#targets.get(given('iqn'))?.sessions ?? [])].map(([session, initiator]) => ({
          session: String(session),
          connection: '0',
          initiator,
        })),
      createTarget: (given) => {
        const [iqn, tid] = [given('iqn'), given('tid')];
        if ([...this.#targets.values()].some((one) => one.tid === tid || one.iqn === iqn)) {
          return 'exists';
        }
        const empty = { luns: new Map(), users: new Set<string>(), allowed: new Set<string>() };
        this.#targets.set(iqn, { tid, iqn, ...empty, sessions: new Map() });
        return undefined;
      },
      deleteTarget: this.#on(({ iqn }) => this.#targets.delete(iqn)),
      createLun: this.#on(({ luns }, given) => {
        luns.set(given('lun'), { path: given('path'), serial: '', scsiID: '', readOnly: false });
      }),
      deleteLun: this.#on(({ luns }, given) => luns.delete(given('lun'))),
      identify: this.#on(({ luns }, given) => {
        const lun = luns.get(given('lun'));
        if (lun !== undefined) {
          lun.serial = given('serial');
          lun.scsiID = given('scsi.id');
          lun.readOnly = given('lun.readOnly') === '1';
        }
      }),
      createAccount: (given) => {
        this.#accounts.set(given('chap.user'), given('chap.password'));
        return undefined;
      },
      deleteAccount: (given) => {
        this.#accounts.delete(given('chap.user'));
        return undefined;
      },
      bindAccount: this.#on(({ users }, given) => users.add(given('chap.user'))),
      unbindAccount: this.#on(({ users }, given) => users.delete(given('chap.user'))),
      allow: this.#on(({ allowed }, given) => allowed.add(given('initiator'))),
      deny: this.#on(({ allowed }, given) => allowed.delete(given('initiator'))),
      denyAddress: this.#on(({ allowed }, given) => allowed.delete(given('address'))),
      cut: this.#on(({ sessions }, given) => sessions.delete(Number(given('session')))),
    };
  }
}
