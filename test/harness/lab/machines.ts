// The machines of the lab: two volume servers and two hypervisors, made for one run or kept up between runs.

import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { cacheRoot, exists } from '../cache.ts';
import { freePort } from '../ports.ts';
import { type Log, waitFor } from '../process.ts';
import { identityOf } from '../workdir.ts';
import { ensureLabImage } from './image.ts';
import {
  consoleOf,
  copyDisks,
  isUp,
  Machine,
  type MachinePlan,
  type MachineSurroundings,
  makeDisks,
  qemuLogOf,
} from './machine.ts';
import { makeKey } from './ssh.ts';

const GIB = 1024 ** 3;
export const SERVERS = ['server-1', 'server-2'] as const;
export const XEN_HOST = 'xen-host';
export const LIBVIRT_HOST = 'libvirt-host';
const TWIN_ADDRESS = '10.77.0.99';

export interface MachinesOptions {
  /** The work directory of this run. */
  readonly dir: string;
  /** Machines stay up after the run, and ones that did so are used again. */
  readonly keep: boolean;
  readonly bench?: boolean;
  readonly log: Log;
}

/** What is remembered of machines that stay up. */
interface Kept {
  readonly imageDisk: string;
  readonly plans: readonly MachinePlan[];
  /** "pid starttime", in the order of the plans. */
  readonly identities: readonly string[];
}

const keptDir = (): string => path.join(cacheRoot(), 'lab', 'kept');
const stateFile = (): string => path.join(keptDir(), 'state.json');
/** Which process uses the kept machines: "pid starttime". */
const userFile = (): string => path.join(keptDir(), 'user');

/** Starts the machines, or finds the kept ones, and returns when all answer by SSH. */
export const openMachines = async ({ dir, ...options }: MachinesOptions): Promise<Machines> => {
  const { keep, log } = options;
  const image = await ensureLabImage(log);
  const around = { runDir: dir, image, ...options };
  if (!keep) {
    return await startAll({ ...around, dir, keyFile: await makeKey(dir) });
  }
  const found = await findKept(image.disk);
  try {
    if (found !== undefined) {
      return await reuse(found, { ...around, dir: keptDir(), keyFile: path.join(keptDir(), 'ssh-key') });
    }
    await stopKept(log);
    await mkdir(keptDir(), { recursive: true, mode: 0o700 });
    await writeFile(userFile(), identityOf(process.pid) ?? '');
    return await startAll({ ...around, dir: keptDir(), keyFile: await makeKey(keptDir()) });
  } catch (error) {
    // They did not come up, or do not answer any more: of no use to the next run.
    await stopKept(log);
    throw error;
  }
};

const reuse = async (kept: Kept, around: MachineSurroundings): Promise<Machines> => {
  around.log('using the machines that are up (--stop ends them)');
  await writeFile(userFile(), identityOf(process.pid) ?? '');
  const isOn = async (): Promise<void> => await machines.remember();
  const all = kept.plans.map((plan, index) => new Machine(plan, { ...around, isOn }, kept.identities[index]));
  const machines = new Machines(all, around, true);
  await machines.connect();
  return machines;
};

const startAll = async (around: MachineSurroundings): Promise<Machines> => {
  const startedAt = Date.now();
  const plans = await planMachines();
  const isOn = async (): Promise<void> => await machines.remember();
  const all = plans.map((plan) => new Machine(plan, { ...around, isOn }));
  const machines = new Machines(all, around, false);
  for (const machine of all) {
    await makeDisks(machine.plan, around);
    await machine.powerOn();
  }
  try {
    await machines.connect();
  } catch (error) {
    await machines.collectConsoles();
    throw error;
  }
  around.log(`${all.length} machines are up after ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
  return machines;
};

const planMachines = async (): Promise<readonly MachinePlan[]> => {
  const wirePort = await freePort();
  const server = { role: 'volume-server', memoryMiB: 1024, dataDisks: [2 * GIB, GIB] } as const;
  const shapes = [
    { name: SERVERS[0], ...server },
    // It may have a whole control plane as well.
    { name: SERVERS[1], ...server, memoryMiB: 1536 },
    { name: XEN_HOST, role: 'xen', memoryMiB: 2560, dataDisks: [GIB] },
    { name: LIBVIRT_HOST, role: 'libvirt', memoryMiB: 1536, dataDisks: [] },
  ] as const;
  const plans: MachinePlan[] = [];
  for (const [index, shape] of shapes.entries()) {
    plans.push({ ...shape, address: `10.77.0.${index + 1}`, sshPort: await freePort(), wirePort });
  }
  return plans;
};

const readKept = async (): Promise<Kept | undefined> => {
  const text = await readFile(stateFile(), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Kept);
};

/** Machines that are up and made from the same files as new ones would be. */
const findKept = async (imageDisk: string): Promise<Kept | undefined> => {
  const kept = await readKept();
  const user = await readFile(userFile(), 'utf8').catch(() => '');
  if (user !== identityOf(process.pid) && isUp(user)) {
    throw new Error(`process ${user.split(' ')[0]} uses the machines that are kept up: wait for it`);
  }
  return kept?.imageDisk === imageDisk && kept.identities.every(isUp) ? kept : undefined;
};

/** Ends machines that were kept up and removes their disks. */
export const stopKept = async (log: Log): Promise<void> => {
  const identities = (await readKept())?.identities.filter(isUp) ?? [];
  for (const identity of identities) {
    process.kill(Number(identity.split(' ')[0]), 'SIGKILL');
  }
  await waitFor({ what: 'the machines to end', timeoutMs: 10_000 }, async () => !identities.some(isUp));
  if (await exists(keptDir())) {
    await rm(keptDir(), { recursive: true, force: true });
  }
  if (identities.length > 0) {
    log('ended the machines that were kept up');
  }
};

export class Machines {
  readonly all: readonly Machine[];
  /** They were kept up by an earlier run. */
  readonly wereUp: boolean;
  readonly #around: MachineSurroundings;

  constructor(all: readonly Machine[], around: MachineSurroundings, wereUp: boolean) {
    this.all = all;
    this.#around = around;
    this.wereUp = wereUp;
  }

  get(name: string): Machine {
    const found = this.all.find((machine) => machine.name === name);
    if (found === undefined) {
      throw new Error(`the lab has no machine ${name}`);
    }
    return found;
  }

  /** A second machine that takes itself for this one, which is off: a copy of its disks, at another address. It is off, and ends with this run. */
  async twinOf({ plan }: Machine): Promise<Machine> {
    const { dir, runDir } = this.#around;
    const name = `${plan.name}-twin`;
    const twin = { ...plan, name, twinOf: plan.name, address: TWIN_ADDRESS, sshPort: await freePort() };
    await copyDisks([dir, plan], [runDir, twin]);
    return new Machine(twin, { ...this.#around, dir: runDir, keep: false });
  }

  async connect(): Promise<void> {
    await Promise.all(this.all.map(async (machine) => await machine.connect()));
  }

  /** For the next run, when they outlive this one. */
  async remember(): Promise<void> {
    const { keep, image } = this.#around;
    if (keep) {
      const plans = this.all.map(({ plan }) => plan);
      const identities = this.all.map(({ identity }) => identity);
      const kept: Kept = { imageDisk: image.disk, plans, identities };
      await writeFile(stateFile(), JSON.stringify(kept, undefined, 2));
    }
  }

  /** Brings the machines' own logs into this run's directory, beside its others. */
  async collectConsoles(): Promise<void> {
    const { dir, runDir } = this.#around;
    for (const { plan } of this.all.filter(() => dir !== runDir)) {
      await copyFile(consoleOf(dir, plan), consoleOf(runDir, plan));
      await chmod(consoleOf(runDir, plan), 0o600);
      await copyFile(qemuLogOf(dir, plan), qemuLogOf(runDir, plan));
    }
  }

  /** Ends the connections; machines of this run end with its work directory. */
  async close(): Promise<void> {
    await this.remember();
    await Promise.all(this.all.map(async ({ ssh }) => await ssh.close()));
  }
}
