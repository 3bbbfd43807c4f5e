// The control plane of a machine without systemd and without that machine: the files of its package below a folder, and its units' own
// commands run as its system user would run them.

import { chmod, chown, mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import path from 'node:path';
import { runCommand as runInControlPlane } from '../../control-plane/command.ts';
import { configFrom, configText } from '../../control-plane/config.ts';
import { machineDisk } from '../../control-plane/files.ts';
import { placesUnder } from '../../control-plane/places.ts';
import type { Surroundings } from '../../control-plane/surroundings.ts';
import type { UnitState, Units } from '../../control-plane/units.ts';
import { systemClock } from '../../runtime/clock.ts';
import { CONTROL_PLANE } from '../../scripts/package/control-plane.ts';
import { buildPackage } from '../../scripts/package/package.ts';
import { exists } from './cache.ts';
import { freePort } from './ports.ts';
import { type Log, type RunningProcess, runCommand, startProcess, waitFor } from './process.ts';
import { settingsOf } from './unit-file.ts';

/** Nobody on the machine of the tests: files must really be for this one to be read. */
const SERVICE_USER = 64_123;
/** What the units name, and is below the folder here. */
const OWN_PLACES =
  /(?<=^|[=/])\/(etc\/vbs|var\/lib\/vbs-control-plane|run\/vbs-control-plane|usr\/lib\/vbs)(?=\/)/g;

export interface StandaloneMachine {
  readonly root: string;
  readonly units: PlayedUnits;
  /** For the commands of the control plane. What they tell is added to `told`, and what they warn of to `warned`. */
  readonly surroundings: Surroundings;
  readonly told: string[];
  readonly warned: string[];
  readonly close: () => Promise<void>;
}

/** Installs the package into `<dir>/<name>`, whose way must be open to all, and writes a configuration for free ports of 127.0.0.1. */
export const installStandalone = async (
  dir: string,
  log: Log,
  name = 'machine',
): Promise<StandaloneMachine> => {
  const root = path.join(dir, name);
  await mkdir(root);
  await symlink(path.join(await unpacked(dir, log), 'usr'), path.join(root, 'usr'));
  const places = placesUnder(root);
  const config = {
    ...configFrom({ addresses: [], listen: `127.0.0.1:${await freePort()}` }),
    controllerPort: await freePort(),
    backup: { directory: path.join(root, 'var/backups/vbs'), keepDays: 14 },
  };
  await mkdir(path.dirname(places.configFile), { recursive: true });
  await machineDisk.write(places.configFile, configText(config), { mode: 0o644, owner: { uid: 0, gid: 0 } });
  const units = new PlayedUnits(root, dir);
  const told: string[] = [];
  const warned: string[] = [];
  const surroundings: Surroundings = {
    places,
    disk: machineDisk,
    run: runInControlPlane,
    units,
    clock: systemClock,
    serviceOwner: { uid: SERVICE_USER, gid: SERVICE_USER },
    rootOwner: { uid: 0, gid: 0 },
    addresses: () => ['127.0.0.1'],
    builtAt: new Date(0),
    tell: (line) => {
      told.push(line);
      log(`  ${line.split('\n')[0]}`);
    },
    warn: (line) => warned.push(line),
  };
  return { root, units, surroundings, told, warned, close: async () => await units.stopAll() };
};

/** Once for all machines of a run. */
const unpacked = async (dir: string, log: Log): Promise<string> => {
  const place = path.join(dir, 'package');
  if (!(await exists(place))) {
    await runCommand('dpkg-deb', ['-x', await buildPackage(CONTROL_PLANE, log), place]);
  }
  return place;
};

/** Those of the units' conditions which there are. */
const CONDITIONS: Readonly<Record<string, (place: string) => Promise<boolean>>> = {
  ConditionPathExists: exists,
  ConditionDirectoryNotEmpty: async (place) => (await readdir(place).catch(() => [])).length > 0,
};

interface Running {
  process: RunningProcess;
  since: Date;
}

/** systemd, as far as the units of the control plane ask for it. */
export class PlayedUnits implements Units {
  readonly enabled = new Set<string>();
  readonly #root: string;
  readonly #dir: string;
  readonly #running = new Map<string, Running>();
  /** Targets and timers, which are no processes. */
  readonly #others = new Set<string>();

  constructor(root: string, dir: string) {
    this.#root = root;
    this.#dir = dir;
  }

  async reload(): Promise<void> {}

  async enable(units: readonly string[]): Promise<void> {
    for (const unit of units) {
      await this.#settings(unit);
      this.enabled.add(unit);
    }
  }

  async start(unit: string): Promise<void> {
    const settings = await this.#settings(unit);
    if (!unit.endsWith('.service')) {
      this.#others.add(unit);
    } else if (this.#running.get(unit)?.process.isRunning() !== true && (await this.#mayStart(settings))) {
      await this.#spawn(unit, settings);
    }
  }

  async restart(unit: string): Promise<void> {
    await this.stop(unit);
    await this.start(unit);
  }

  async stop(unit: string): Promise<void> {
    const running = this.#running.get(unit);
    this.#running.delete(unit);
    // The API server does not end for long while etcd is away.
    await running?.process.stop(5_000);
  }

  async stateOf(unit: string): Promise<UnitState> {
    if (this.#others.has(unit)) {
      return { isActive: true, isOff: false, state: 'active' };
    }
    const running = this.#running.get(unit);
    return running?.process.isRunning() === true
      ? {
          isActive: true,
          isOff: false,
          state: 'active',
          since: running.since,
          memoryBytes: await residentBytes(running.process.pid),
        }
      : { isActive: false, isOff: true, state: running === undefined ? 'inactive' : 'failed' };
  }

  pidOf(unit: string): number | undefined {
    return this.#running.get(unit)?.process.pid;
  }

  /** All services, in the order in which they may go. */
  async stopAll(): Promise<void> {
    for (const unit of [...this.#running.keys()].reverse()) {
      await this.stop(unit);
    }
  }

  async #settings(unit: string): Promise<ReadonlyMap<string, readonly string[]>> {
    return settingsOf(await readFile(path.join(this.#root, 'usr/lib/systemd/system', unit), 'utf8'));
  }

  async #spawn(unit: string, settings: ReadonlyMap<string, readonly string[]>): Promise<void> {
    const one = (key: string) => settings.get(key)?.[0] ?? '';
    for (const name of settings.get('RuntimeDirectory') ?? []) {
      const place = path.join(this.#root, 'run', name);
      await mkdir(place, { recursive: true });
      await chown(place, SERVICE_USER, SERVICE_USER);
      await chmod(place, Number.parseInt(one('RuntimeDirectoryMode'), 8));
    }
    const variables = await this.#variables(settings.get('EnvironmentFile') ?? []);
    const line = one('ExecStart').replaceAll(/\$\{(\w+)\}/g, (_, name: string) => variables.get(name) ?? '');
    const words = line.split(' ').map((word) => word.replaceAll(OWN_PLACES, `${this.#root}/$1`));
    const user = String(SERVICE_USER);
    const [folder] = settings.get('WorkingDirectory') ?? [];
    const inside = folder === undefined ? [] : ['env', `--chdir=${this.#root}${folder}`];
    const as = [
      'setpriv',
      '--reuid',
      user,
      '--regid',
      user,
      '--clear-groups',
      '--pdeathsig',
      'KILL',
      '--',
    ] as const;
    const process = await startProcess({
      name: unit,
      command: [...as, ...inside, ...words],
      dir: this.#dir,
      env: { PATH: '/usr/bin:/bin' },
    });
    const running = { process, since: new Date() };
    this.#running.set(unit, running);
    if (one('Restart') === 'always') {
      void process.exited.then(async () => await this.#again(unit, running, one('RestartSec')));
    }
    await this.#notified(settings, words);
  }

  /** As systemd does with `Restart=always`, unless it was stopped meanwhile. */
  async #again(unit: string, ended: Running, after: string): Promise<void> {
    await systemClock.sleep(Number.parseFloat(after) * 1000);
    if (this.#running.get(unit) !== ended) {
      return;
    }
    const settings = await this.#settings(unit);
    if (await this.#mayStart(settings)) {
      await this.#spawn(unit, settings);
    }
  }

  /** All its conditions hold, and of those with a | at least one. */
  async #mayStart(settings: ReadonlyMap<string, readonly string[]>): Promise<boolean> {
    const judged = await Promise.all(
      Object.entries(CONDITIONS).flatMap(([key, judge]) =>
        (settings.get(key) ?? []).map(async (text) => {
          const [, alternative = '', not = '', place = ''] = /^(\|?)(!?)(.*)$/.exec(text) ?? [];
          const holds = (await judge(path.join(this.#root, place))) !== (not === '!');
          return { isAlternative: alternative === '|', holds };
        }),
      ),
    );
    const alternatives = judged.filter(({ isAlternative }) => isAlternative);
    return (
      judged.every(({ isAlternative, holds }) => isAlternative || holds) &&
      (alternatives.length === 0 || alternatives.some(({ holds }) => holds))
    );
  }

  /** etcd says that it is ready when it listens; whoever starts the API server asks it. */
  async #notified(settings: ReadonlyMap<string, readonly string[]>, words: readonly string[]): Promise<void> {
    const listens = words.flatMap((word) => /^--listen-client-urls=unix:\/\/(.*)$/.exec(word)?.[1] ?? []);
    for (const socket of settings.get('Type')?.[0] === 'notify' ? listens : []) {
      await waitFor({ what: `${socket} to answer`, timeoutMs: 60_000 }, async () => {
        await runCommand(path.join(this.#root, 'usr/lib/vbs/etcdctl'), [
          `--endpoints=unix://${socket}`,
          'endpoint',
          'health',
        ]);
        return true;
      });
    }
  }

  async #variables(files: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const texts = await Promise.all(
      files.map(async (file) => await readFile(path.join(this.#root, file), 'utf8')),
    );
    return new Map(
      texts.flatMap((text) =>
        [...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value] as const),
      ),
    );
  }
}

/** RSS, as the kernel counts it. */
export const residentBytes = async (pid: number): Promise<number> => {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
};
