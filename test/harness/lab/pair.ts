// The two machines of the lab: a volume server and a Xen host, made for one run or kept up between runs.

import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { cacheRoot, exists } from '../cache.ts';
import { freePort } from '../ports.ts';
import { type Log, type RunningProcess, waitFor } from '../process.ts';
import { identityOf } from '../workdir.ts';
import { ensureLabImage, type LabImage } from './image.ts';
import {
  consoleOf,
  type MachinePlan,
  type MachineSurroundings,
  makeDisks,
  qemuLogOf,
  sshOf,
  startKeptMachine,
  startMachine,
} from './machine.ts';
import { ensureRuntimeDisk } from './runtime-disk.ts';
import { makeKey, type Ssh } from './ssh.ts';

const BOOT_LIMIT_MS = 600_000;
const DATA_BYTES = 2 * 1024 ** 3;

export interface PairOptions {
  /** The work directory of this run. */
  readonly dir: string;
  /** Machines stay up after the run, and ones that did so are used again. */
  readonly keep: boolean;
  readonly log: Log;
}

/** What is remembered of machines that stay up. */
interface Kept {
  readonly image: LabImage;
  readonly runtimeDisk: string;
  readonly plans: readonly MachinePlan[];
  /** "pid starttime", in the order of the plans. */
  readonly identities: readonly string[];
}

const keptDir = (): string => path.join(cacheRoot(), 'lab', 'kept');
const stateFile = (): string => path.join(keptDir(), 'state.json');
/** Which process uses the kept machines: "pid starttime". */
const userFile = (): string => path.join(keptDir(), 'user');

/** Starts the machines, or finds the kept ones, and returns when both answer by SSH. */
export const openPair = async (options: PairOptions): Promise<Pair> => {
  const { dir, keep, log } = options;
  const image = await ensureLabImage(log);
  const runtimeDisk = await ensureRuntimeDisk(log);
  if (!keep) {
    const keyFile = await makeKey(dir);
    return await startPair({ dir, image, runtimeDisk, keyFile, log }, dir, false);
  }
  const found = await findKept(image, runtimeDisk);
  try {
    return found === undefined
      ? await startAndKeep(options, image, runtimeDisk)
      : await reuse(found, options);
  } catch (error) {
    // They did not come up, or do not answer any more: of no use to the next run.
    await stopKept(log);
    throw error;
  }
};

const startAndKeep = async (
  { dir, log }: PairOptions,
  image: LabImage,
  runtimeDisk: string,
): Promise<Pair> => {
  await stopKept(log);
  await mkdir(keptDir(), { recursive: true, mode: 0o700 });
  await writeFile(userFile(), identityOf(process.pid) ?? '');
  const keyFile = await makeKey(keptDir());
  return await startPair({ dir: keptDir(), image, runtimeDisk, keyFile, log }, dir, true);
};

const reuse = async ({ plans }: Kept, { dir, log }: PairOptions): Promise<Pair> => {
  log('using the machines that are up (--stop ends them)');
  await writeFile(userFile(), identityOf(process.pid) ?? '');
  const pair = new Pair(plans, { dir: keptDir(), runDir: dir, keyFile: keyOf(keptDir()) }, true);
  await pair.open([]);
  return pair;
};

const keyOf = (dir: string): string => path.join(dir, 'ssh-key');

const startPair = async (around: MachineSurroundings, runDir: string, keep: boolean): Promise<Pair> => {
  const { dir, log } = around;
  const startedAt = Date.now();
  const plans = await planPair();
  const processes: RunningProcess[] = [];
  const identities: string[] = [];
  for (const plan of plans) {
    await makeDisks(plan, around);
    if (keep) {
      identities.push(identityOf(await startKeptMachine(plan, around)) ?? '');
    } else {
      processes.push(await startMachine(plan, around));
    }
  }
  if (keep) {
    const kept: Kept = { image: around.image, runtimeDisk: around.runtimeDisk, plans, identities };
    await writeFile(stateFile(), JSON.stringify(kept, undefined, 2));
  }
  const pair = new Pair(plans, { dir, runDir, keyFile: around.keyFile }, false);
  try {
    await pair.open(processes);
  } catch (error) {
    await pair.collectConsoles();
    throw error;
  }
  log(`both machines are up after ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
  return pair;
};

const planPair = async (): Promise<readonly MachinePlan[]> => {
  const [a, b] = [await freePort(), await freePort()];
  return [
    {
      name: 'volume-server',
      role: 'volume-server',
      address: '10.77.0.1',
      memoryMiB: 1536,
      dataBytes: DATA_BYTES,
      sshPort: await freePort(),
      wire: { own: a, other: b },
    },
    {
      name: 'xen-host',
      role: 'hypervisor',
      address: '10.77.0.2',
      memoryMiB: 3072,
      sshPort: await freePort(),
      wire: { own: b, other: a },
    },
  ];
};

const readKept = async (): Promise<Kept | undefined> => {
  const text = await readFile(stateFile(), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Kept);
};

const isUp = (identity: string): boolean =>
  identity !== '' && identityOf(Number(identity.split(' ')[0])) === identity;

/** Machines that are up and made from the same files as new ones would be. */
const findKept = async (image: LabImage, runtimeDisk: string): Promise<Kept | undefined> => {
  const kept = await readKept();
  const user = await readFile(userFile(), 'utf8').catch(() => '');
  if (user !== identityOf(process.pid) && isUp(user)) {
    throw new Error(`process ${user.split(' ')[0]} uses the machines that are kept up: wait for it`);
  }
  const isSame = kept?.image.disk === image.disk && kept.runtimeDisk === runtimeDisk;
  return isSame && kept.identities.every(isUp) ? kept : undefined;
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

interface PairPlaces {
  /** Where the machines' disks and consoles are. */
  readonly dir: string;
  /** Where this run's files are; the same unless the machines are kept. */
  readonly runDir: string;
  readonly keyFile: string;
}

export class Pair {
  readonly server: Ssh;
  readonly hypervisor: Ssh;
  readonly serverAddress: string;
  /** They were kept up by an earlier run. */
  readonly wereUp: boolean;
  readonly #plans: readonly MachinePlan[];
  readonly #places: PairPlaces;

  constructor(plans: readonly MachinePlan[], places: PairPlaces, wereUp: boolean) {
    const [server, hypervisor] = plans;
    if (server === undefined || hypervisor === undefined) {
      throw new Error('the lab has two machines');
    }
    this.#plans = plans;
    this.#places = places;
    this.server = sshOf(server, places.keyFile, places.runDir);
    this.hypervisor = sshOf(hypervisor, places.keyFile, places.runDir);
    this.serverAddress = server.address;
    this.wereUp = wereUp;
  }

  /** `processes` are those of this run, in the order of the plans; one that ends makes this fail at once. */
  async open(processes: readonly RunningProcess[]): Promise<void> {
    const [server, hypervisor] = processes;
    await Promise.all([
      this.server.open(BOOT_LIMIT_MS, server),
      this.hypervisor.open(BOOT_LIMIT_MS, hypervisor),
    ]);
  }

  /** Brings the machines' own logs into this run's directory, beside its others. */
  async collectConsoles(): Promise<void> {
    const { dir, runDir } = this.#places;
    for (const plan of this.#plans.filter(() => dir !== runDir)) {
      await copyFile(consoleOf(dir, plan), consoleOf(runDir, plan));
      await chmod(consoleOf(runDir, plan), 0o600);
      await copyFile(qemuLogOf(dir, plan), qemuLogOf(runDir, plan));
    }
  }

  /** Ends the connections; machines of this run end with its work directory. */
  async close(): Promise<void> {
    await Promise.all([this.server.close(), this.hypervisor.close()]);
  }
}
