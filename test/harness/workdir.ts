// Private work directories under the system's temporary folder, and the sweep that
// ends what a run that died left behind.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { appendFile, lstat, mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { exists } from './cache.ts';
import { removeGroups } from './cluster/groups.ts';
import { onEarlyEnd } from './early-end.ts';
import { type Log, workdirMark } from './process.ts';

export interface Workdir {
  /** Absolute, without symbolic links, short enough for unix sockets below it. */
  readonly dir: string;
  /** Keeps the folder after the end, for a person to look into; says so once. */
  keep(): void;
  /** Ends every process that still belongs to the folder, then removes it unless it is to be kept. */
  remove(): Promise<void>;
}

const prefix = 'vbs-';
const ownerFile = 'owner';
const keptFile = 'kept';
const outsideFile = 'outside';
const keptForMs = 24 * 60 * 60 * 1000;

/**
 * Makes `<tmp>/vbs-XXXXXX`, mode 0700. On an early end of this process its processes are
 * ended; the folder is kept for a look at its logs unless a person interrupted us.
 */
export const makeWorkdir = async (log: Log): Promise<Workdir> => {
  const dir = await mkdtemp(path.join(await realpath(os.tmpdir()), prefix));
  await writeFile(path.join(dir, ownerFile), `${pidNamespace()} ${identityOf(process.pid)}`);
  let isKept = false;
  const remove = async (): Promise<void> => {
    forget();
    await endProcessesOf(dir);
    await removeOutside(dir);
    if (isKept) {
      await writeFile(path.join(dir, keptFile), '');
      log(`logs and data are kept in ${dir} for a day`);
    } else {
      await rm(dir, { recursive: true, force: true });
    }
  };
  const keep = (): void => {
    isKept = true;
  };
  const forget = onEarlyEnd(async (reason) => {
    isKept ||= reason === 'failed';
    await remove();
  });
  return { dir, keep, remove };
};

/**
 * Ends the processes of work directories whose owner is dead and removes those
 * directories; ones kept on purpose go after a day. Touches nothing of a live run.
 */
export const sweepDeadRuns = async (log: Log): Promise<void> => {
  const tmp = await realpath(os.tmpdir());
  for (const name of await readdir(tmp)) {
    const dir = path.join(tmp, name);
    if (!name.startsWith(prefix) || !(await isDead(dir))) {
      continue;
    }
    const ended = await endProcessesOf(dir);
    if (ended.length > 0) {
      log(`ended ${ended.length} processes that an earlier run left behind (${dir})`);
    }
    await removeOutside(dir);
    if (!(await isKeptStill(dir))) {
      await rm(dir, { recursive: true, force: true });
    }
  }
};

// Only our own folders that carry an owner: the temporary folder is everybody's.
const isDead = async (dir: string): Promise<boolean> => {
  const found = await lstat(dir).catch(() => undefined);
  if (!found?.isDirectory() || found.uid !== process.getuid?.()) {
    return false;
  }
  const owner = await readFile(path.join(dir, ownerFile), 'utf8').catch(() => '');
  const [namespace, pid] = owner.split(' ');
  // Of a run in another container that shares this folder we cannot know.
  return namespace === pidNamespace() && owner !== `${namespace} ${identityOf(Number(pid))}`;
};

const pidNamespace = (): string => readlinkSync('/proc/self/ns/pid');

// Files that had to stand elsewhere, one path a line (see `noteOutside`), and control groups.
const removeOutside = async (dir: string): Promise<void> => {
  const list = await readFile(path.join(dir, outsideFile), 'utf8').catch(() => '');
  for (const file of list.split('\n').filter(path.isAbsolute)) {
    await rm(file, { force: true });
  }
  await removeGroups(dir);
};

/** Notes files made outside of the work directory, so that its end, or the sweep after a crash, removes them. */
export const noteOutside = async (dir: string, files: readonly string[]): Promise<void> => {
  await appendFile(path.join(workdirOf(dir), outsideFile), `${files.join('\n')}\n`);
};

// Harness parts may be given folders below the work directory.
const workdirOf = (dir: string): string => {
  const { index, name } = uniqueNameOf(dir);
  return dir.slice(0, index + name.length);
};

const uniqueNameOf = (dir: string): { index: number; name: string } => {
  const found = /\/vbs-[^/]+/.exec(dir);
  if (!found) {
    throw new Error(`${dir} is not in a work directory made by makeWorkdir`);
  }
  return { index: found.index, name: found[0] };
};

const isKeptStill = async (dir: string): Promise<boolean> => {
  const kept = path.join(dir, keptFile);
  return (await exists(kept)) && Date.now() - (await lstat(kept)).mtimeMs < keptForMs;
};

/** "pid starttime", which no other process has or will have until the next boot; undefined when it is gone. */
export const identityOf = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in brackets and may hold anything; field 22 is the start time.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : `${pid} ${fields[19]}`;
  } catch {
    return undefined;
  }
};

/** Pids that are provably of that folder in or at a work directory: marked by their environment, or living in its mounts. */
export const processesOf = (dir: string): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(Number)
    .filter((pid) => isMarked(pid, dir) || livesInMountsOf(pid, dir));

const isMarked = (pid: number, dir: string): boolean => {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8')
      .split('\0')
      .some((entry) => `${entry}/`.startsWith(`${workdirMark}=${dir}/`));
  } catch {
    return false;
  }
};

// QEMU gets a clean environment from libvirt, but stays in the mount namespace where
// libvirt's folders are ours. The fourth field is the mounted folder's own path inside its
// file system, so only the part from the work directory's unique name on is compared.
const livesInMountsOf = (pid: number, dir: string): boolean => {
  try {
    if (readlinkSync(`/proc/${pid}/ns/mnt`) === readlinkSync('/proc/self/ns/mnt')) {
      return false;
    }
    const unique = dir.slice(uniqueNameOf(dir).index);
    return readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
      .split('\n')
      .some((line) => `${line.split(' ')[3]}/`.includes(`${unique}/`));
  } catch {
    return false;
  }
};

/** Half a minute: one that gives gigabytes back on a busy machine takes seconds. */
const END_ROUNDS = 600;

/** Ends every process of that work directory with SIGKILL and waits until they are gone; returns their pids. */
export const endProcessesOf = async (dir: string): Promise<number[]> => {
  const ended = new Set<number>();
  for (let round = 0; round < END_ROUNDS; round += 1) {
    const pids = processesOf(dir).filter((pid) => identityOf(pid) !== undefined);
    if (pids.length === 0) {
      break;
    }
    for (const pid of pids) {
      ended.add(pid);
      killIfThere(pid);
    }
    await sleep(50);
  }
  return [...ended];
};

const killIfThere = (pid: number): void => {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // gone by itself
  }
};
