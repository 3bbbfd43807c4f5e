// The simulated world: hosts, networks, the API server, guests that write, and the real controller and agents among them. One seed, one
// history: time is virtual, whatever happens at once is put in an order by numbers that follow from the seed.
import type { Hypervisor } from '../../api/hosts.ts';
import { uuidFrom } from '../../api/ids.ts';
import { HYPERVISORS, SNAPSHOTS, VOLUMES } from '../../api/resources.ts';
import { idOf, isDeleting, type Snapshot, type Stored, type Volume } from '../../api/volume.ts';
import { FakeClock, settle } from '../fakes/clock.ts';
import type { Login, Refusal, Remote } from '../fakes/iscsi.ts';
import { LibvirtHost } from '../fakes/libvirt/virsh.ts';
import { ApiServer } from './api-server.ts';
import { CommandFaults } from './command-faults.ts';
import { Guests } from './guests.ts';
import type { Host } from './host.ts';
import { HypervisorHost } from './hypervisor-host.ts';
import { Judge } from './judge.ts';
import { type Kit, kitOf } from './kit.ts';
import { Life, type Strike } from './life.ts';
import { agentOn, controllerIn } from './programs.ts';
import { Random } from './random.ts';
import { ServerHost } from './server-host.ts';

export interface WorldOptions {
  readonly seed: number;
  readonly servers?: readonly string[];
  readonly hypervisors?: Readonly<Record<string, readonly string[]>>;
  /** What is not named is as usual. */
  readonly kit?: Partial<Kit> | undefined;
  /** Told of everything that happens. */
  readonly onLine?: (line: string) => void;
}

export const CONTROLLER = 'controller';
/** How long a process stays away after its end. */
const RESTART_MS = 3_000;
const TICK_MS = 1_000;
const OFF_MS = 20_000;
/** From the moment at which its disk was copied until a clone runs. */
const COPY_MS = 12_000;
export const LEAST_LAG_MS = 20;
/** Until systemd has started it anew. */
const TGT_BACK_MS = 8_000;
/** For so long nothing was wrong: every Lease was renewed meanwhile. */
const CALM_MS = 60_000;
/** Longer than from one look at a host to the next (observeSeconds). */
const QUIET_MS = 6_000;

/** A session between two hosts, as the target knows it. */
interface Wire {
  readonly from: string;
  /** Of the initiator's host: after another one nobody speaks for it any more. */
  readonly boots: number;
  readonly to: string;
  readonly patienceMs: number;
  readonly end: () => void;
  cutSinceMs?: number;
}

/** A promise was broken, or something does not come to its end. */
export class Broken extends Error {
  override readonly name = 'Broken';
}

export class World {
  readonly clock = new FakeClock();
  readonly random: Random;
  readonly kit: Kit;
  readonly api: ApiServer;
  readonly servers: ServerHost[];
  readonly hypervisors: HypervisorHost[];
  readonly guests: Guests;
  readonly commandFaults: CommandFaults;
  readonly story: string[] = [];
  isApiUp = true;
  /** Largest age of what a watch tells. */
  mostLagMs = LEAST_LAG_MS;
  /** The same, for a process of which more is known. */
  readonly lags = new Map<string, number>();
  /** Of answers to writes, the share that is lost. */
  lostAnswers = 0;
  readonly #judge: Judge;
  readonly #onLine: (line: string) => void;
  readonly #controllers = new Set([CONTROLLER]);
  readonly #lives = new Map<string, Life>();
  /** Processes that shall not start again. */
  readonly #kept = new Set<string>();
  readonly #cutFromApi = new Set<string>();
  readonly #cuts = new Set<string>();
  readonly #sessions = new Set<Wire>();
  broken: Broken | undefined;
  #actedAtMs = 0;
  #troubledAtMs = Number.NEGATIVE_INFINITY;

  constructor({
    seed,
    servers = ['s1'],
    hypervisors = { h1: ['vm-a'], h2: ['vm-b'] },
    kit,
    onLine = () => {},
  }: WorldOptions) {
    this.#onLine = onLine;
    this.random = new Random(seed);
    this.kit = kitOf(kit);
    this.api = new ApiServer(this.clock, uuidFrom('cluster'));
    const now = () => this.clock.now();
    this.servers = servers.map(
      (name, index) => new ServerHost(name, `10.0.0.${index + 1}`, { now, kit: this.kit }),
    );
    this.hypervisors = Object.entries(hypervisors).map(
      ([name, vms]) => new HypervisorHost(name, vms, this.#around(name)),
    );
    this.guests = new Guests(this);
    this.commandFaults = new CommandFaults(this);
    this.#judge = new Judge(this);
  }

  get hosts(): readonly Host[] {
    return [...this.servers, ...this.hypervisors];
  }

  host(name: string): Host {
    const found = this.hosts.find((host) => host.name === name);
    if (found === undefined) {
      throw new Error(`no host ${name}`);
    }
    return found;
  }

  get processes(): readonly string[] {
    return [...this.#controllers, ...this.hosts.map(({ name }) => name)];
  }

  async start(): Promise<void> {
    // Whoever waits chooses by chance; a world has one source of it.
    Math.random = () => this.random.next();
    for (const process of this.processes) {
      this.#begin(process);
    }
    this.#tick();
    await settle();
  }

  /** Nothing of it goes on. */
  async end(): Promise<void> {
    for (const life of this.#lives.values()) {
      this.#kept.add(life.name);
      life.kill();
    }
    await settle();
  }

  /** Nothing but heartbeats for a while. */
  isQuiet(): boolean {
    return this.clock.monotonicMs() - this.#actedAtMs > QUIET_MS;
  }

  /** Something was done which is no heartbeat. */
  acted(): void {
    this.#actedAtMs = this.clock.monotonicMs();
  }

  tell(line: string): void {
    const seconds = (this.clock.monotonicMs() / 1_000).toFixed(3).padStart(9);
    this.story.push(`${seconds}  ${line}`);
    this.#onLine(line);
  }

  /** Judges what is there now; the first broken promise is kept. */
  look(): void {
    const what = this.broken === undefined ? this.#judge.violation() : undefined;
    if (what !== undefined) {
      this.break(what);
    }
  }

  break(what: string): void {
    this.tell(`BROKEN: ${what}`);
    this.broken ??= new Broken(what);
  }

  /** Turns time until it is so. Throws Broken when it is not within the limit, or a promise breaks. */
  async until(what: string, isSo: () => boolean, limitMs = 1_800_000): Promise<void> {
    const endMs = this.clock.monotonicMs() + limitMs;
    for (;;) {
      await this.clock.advance(100);
      if (this.broken !== undefined) {
        throw this.broken;
      }
      if (isSo()) {
        return;
      }
      if (this.clock.monotonicMs() >= endMs) {
        throw new Broken(`P4: not within ${limitMs / 1_000} s: ${what}\n${this.describe()}`);
      }
    }
  }

  async pass(ms: number): Promise<void> {
    await this.clock.advance(ms);
    if (this.broken !== undefined) {
      throw this.broken;
    }
  }

  /** What is wrong once nobody has anything left to do. */
  lie(): string | undefined {
    return this.#judge.lie();
  }

  expectTruth(): void {
    const what = this.lie();
    if (what !== undefined) {
      throw new Broken(`P6: ${what}`);
    }
  }

  /** All that is said of all objects. */
  describe(): string {
    return this.#judge.describe();
  }

  leftOver(): string | undefined {
    return this.#judge.leftOver();
  }

  /** Turns time until nothing of ours is left. Throws Broken. */
  async untilNothingLeft(limitMs: number): Promise<void> {
    await this.until('nothing is left', () => this.leftOver() === undefined, limitMs);
  }

  // Processes

  life(process: string): Life | undefined {
    return this.#lives.get(process);
  }

  /** Of the life it has now. */
  strike(process: string, strike: Strike): void {
    const life = this.#lives.get(process);
    if (life !== undefined) {
      life.strike = strike;
    }
  }

  /** No strike that has not come yet will come. */
  spare(): void {
    for (const life of this.#lives.values()) {
      life.strike = undefined;
    }
  }

  kill(process: string): void {
    this.#lives.get(process)?.kill();
  }

  #begin(process: string): void {
    const host = this.hosts.find(({ name }) => name === process);
    if (this.#lives.has(process) || this.#kept.has(process) || host?.isUp === false) {
      return;
    }
    const life = new Life(this, process, () => this.#over(process));
    this.#lives.set(process, life);
    this.tell(`${process} starts`);
    const running = host === undefined ? controllerIn(life, this) : agentOn(host, life, this);
    running
      .catch((error: unknown) => {
        this.tell(`${process} ends: ${error instanceof Error ? error.message : String(error)}`);
      })
      .finally(() => life.kill());
  }

  #over(process: string): void {
    this.#lives.delete(process);
    this.clock.after(RESTART_MS, () => this.#begin(process));
  }

  /** Another controller, which believes that it leads. */
  addController(name: string): void {
    this.#controllers.add(name);
    this.#begin(name);
  }

  /** It ends and does not come back. */
  retire(controller: string): void {
    this.#controllers.delete(controller);
    this.#kept.add(controller);
    this.kill(controller);
  }

  // Hosts and networks

  /** A machine made of the disk of another one as it is now, with the same VMs. */
  cloneHypervisor(original: HypervisorHost, name: string): HypervisorHost {
    const clone = new HypervisorHost(name, original.vms, { ...this.#around(name), original });
    this.hypervisors.push(clone);
    this.#joined(clone, original);
    return clone;
  }

  /** A machine with a copy of the disks of another one as they are now. */
  cloneServer(original: ServerHost, name: string): ServerHost {
    const address = `10.0.0.${100 + this.servers.length}`;
    const clone = new ServerHost(name, address, { now: () => this.clock.now(), original });
    this.servers.push(clone);
    this.#joined(clone, original);
    return clone;
  }

  #joined({ name }: Host, original: Host): void {
    this.tell(`${name} is a copy of ${original.name}`);
    this.clock.after(COPY_MS, () => this.#begin(name));
  }

  #around(name: string) {
    const reach = (login: Login) => this.#login(name, login);
    return { now: () => this.clock.now(), reach, kit: this.kit };
  }

  /** It loses its power, and is never seen again. */
  carryAway(name: string): void {
    this.#kept.add(name);
    this.powerOff(name);
    for (const hosts of [this.servers, this.hypervisors] as Host[][]) {
      const at = hosts.findIndex((host) => host.name === name);
      hosts.splice(at === -1 ? hosts.length : at, 1);
    }
  }

  powerOff(name: string): void {
    this.tell(`${name} loses its power`);
    const host = this.host(name);
    host.powerOff();
    this.#lives.get(name)?.kill();
    this.look();
  }

  powerOn(name: string): void {
    this.tell(`${name} is switched on`);
    this.host(name).boot();
    this.guests.booted(name);
    this.clock.after(RESTART_MS, () => this.#begin(name));
  }

  /** Off, and on again a little later. */
  powerCycle(name: string): void {
    if (this.host(name).isUp) {
      this.powerOff(name);
      this.clock.after(OFF_MS, () => this.powerOn(name));
    }
  }

  /** Connections to a server that goes down break. */
  turnApi(isUp: boolean): void {
    this.isApiUp = isUp;
    if (!isUp) {
      this.api.breakWatches();
    }
  }

  cutFromApi(name: string, isCut: boolean): void {
    this.tell(`${name} ${isCut ? 'does not reach' : 'reaches'} the API server${isCut ? '' : ' again'}`);
    this.#cutFromApi[isCut ? 'add' : 'delete'](name);
  }

  isCutFromApi(name: string | undefined): boolean {
    return name !== undefined && this.#cutFromApi.has(name);
  }

  /** The network of the disks, between two hosts. */
  cut(one: string, other: string, isCut: boolean): void {
    this.tell(`the wire between ${one} and ${other} is ${isCut ? 'cut' : 'mended'}`);
    for (const pair of [`${one} ${other}`, `${other} ${one}`]) {
      this.#cuts[isCut ? 'add' : 'delete'](pair);
    }
  }

  /** Faults are over, and have been for a while. */
  isCalm(): boolean {
    const areUp = this.processes.every((process) => this.#lives.has(process));
    return areUp && this.clock.monotonicMs() - this.#troubledAtMs > CALM_MS;
  }

  /** Something is still cut, off or lying. */
  #isTroubled(): boolean {
    return (
      !this.isApiUp ||
      this.#cuts.size > 0 ||
      this.#cutFromApi.size > 0 ||
      this.commandFaults.share > 0 ||
      this.commandFaults.hanging > 0 ||
      this.lostAnswers > 0 ||
      this.hosts.some(({ isUp }) => !isUp) ||
      this.api.all<Hypervisor>(HYPERVISORS).some(({ spec }) => spec?.fenced === true)
    );
  }

  restartVm(vm: string): void {
    const host = this.#runs(vm);
    if (host !== undefined) {
      this.tell(`${vm} restarts`);
      host.machines.restart(vm);
    }
  }

  #runs(vm: string): HypervisorHost | undefined {
    return this.hypervisors.find(({ vms, isUp }) => isUp && vms.includes(vm));
  }

  /** Its guest lets go of nothing for so long, or until it starts anew. */
  keepDisks(vm: string, ms: number): void {
    this.#runs(vm)?.machines.setReleases(vm, false);
    this.clock.after(ms, () => this.#runs(vm)?.machines.setReleases(vm, true));
  }

  restartLibvirtd(name: string, awayMs: number): void {
    const { machines } = this.hypervisors.find((host) => host.name === name) ?? {};
    if (machines instanceof LibvirtHost) {
      this.tell(`libvirtd of ${name} is killed`);
      machines.killLibvirtd();
      this.clock.after(awayMs, () => machines.startLibvirtd());
    }
  }

  /** tgtd ends, now or in the midst of the next command, and comes back empty. */
  restartTgt(server: string, awayMs?: number): void {
    const { tgt } = this.servers.find(({ name }) => name === server) ?? {};
    if (awayMs === undefined) {
      tgt?.killInTheMidst();
    } else {
      tgt?.kill();
      this.tell(`tgtd of ${server} is killed`);
    }
    this.clock.after(awayMs ?? TGT_BACK_MS, () => {
      if (this.host(server).isUp) {
        tgt?.start();
      }
    });
    this.look();
  }

  watchLagMs(process: string): number {
    return this.random.between(1, this.lags.get(process) ?? this.mostLagMs);
  }

  losesAnswer(): boolean {
    return this.lostAnswers > 0 && this.random.chance(this.lostAnswers);
  }

  /** How far the wall clock of a process is off. */
  readonly skews = new Map<string, number>();

  skewMs(process: string): number {
    return this.skews.get(process) ?? 0;
  }

  isReachable(from: string, address: string): boolean {
    const server = this.servers.find((one) => one.address === address);
    return server?.isUp === true && !this.#cuts.has(`${from} ${server.name}`);
  }

  #login(from: string, login: Login): Remote | Refusal | 'away' {
    const address = login.portal.split(':')[0] ?? '';
    const server = this.servers.find((one) => one.address === address);
    if (server === undefined || !this.isReachable(from, address)) {
      return 'away';
    }
    const session = server.exporter.admit(login);
    if (typeof session === 'string') {
      return session;
    }
    const { patienceMs } = server.exporter;
    const wire: Wire = { from, boots: this.#bootsOf(from), to: server.name, patienceMs, end: session.end };
    const isThere = (): boolean => session.isOpen && this.#isHeard(wire);
    this.#sessions.add(wire);
    this.look();
    return {
      get isOpen() {
        return isThere();
      },
      end: () => {
        // A farewell that does not arrive is noticed by the target later.
        if (this.#isHeard(wire)) {
          session.end();
        }
      },
      unit: (lun) => (isThere() ? session.unit(lun) : undefined),
    };
  }

  /** Of a host that is up. */
  #bootsOf(name: string): number {
    const host = this.hosts.find((one) => one.name === name);
    return host?.isUp === true ? host.boots : 0;
  }

  #isHeard({ from, boots, to }: Wire): boolean {
    const server = this.servers.find(({ name }) => name === to);
    return this.#bootsOf(from) === boots && server !== undefined && this.isReachable(from, server.address);
  }

  /** What kernels and daemons do all the time. */
  #tick(): void {
    const now = this.clock.monotonicMs();
    for (const wire of this.#sessions) {
      if (this.#isHeard(wire)) {
        delete wire.cutSinceMs;
        continue;
      }
      wire.cutSinceMs ??= now;
      if (now - wire.cutSinceMs >= wire.patienceMs) {
        wire.end();
        this.#sessions.delete(wire);
      }
    }
    for (const hypervisor of this.hypervisors.filter(({ isUp }) => isUp)) {
      hypervisor.tend();
    }
    this.guests.tick();
    this.look();
    if (this.#isTroubled()) {
      this.#troubledAtMs = now;
    }
    this.clock.after(TICK_MS, () => this.#tick());
  }

  /** The object that is stored as that ID, now. */
  #storedAs(id: string): Stored | undefined {
    return [...this.api.all<Volume>(VOLUMES), ...this.api.all<Snapshot>(SNAPSHOTS)].find(
      (object) => idOf(object) === id,
    );
  }

  /** The ID of what it is a copy of. */
  sourceOf(id: string): string | undefined {
    return this.#storedAs(id)?.status?.source?.id;
  }

  /** Nobody has deleted it, and that server has it. */
  isWanted(id: string, server: string): boolean {
    const object = this.#storedAs(id);
    return object !== undefined && !isDeleting(object) && object.status?.server === server;
  }
}
