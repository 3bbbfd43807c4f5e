// What is built once and used by every later run: outside the checkout, named by
// its content, complete or absent.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Log } from './process.ts';

/** The cache root: `$VBS_CACHE`, else `$XDG_CACHE_HOME/vbs`, else `~/.cache/vbs`. */
export const cacheRoot = (): string => {
  const { VBS_CACHE, XDG_CACHE_HOME } = process.env;
  return path.resolve(VBS_CACHE || path.join(XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'vbs'));
};

export interface CacheEntry {
  /** Where the finished folder stands or will stand, absolute. */
  readonly target: string;
  readonly log: Log;
  /** Fills the empty folder it is given; the folder appears under `target` only when this succeeds. */
  readonly build: (dir: string) => Promise<void>;
}

/**
 * Returns `target`, built first if it is absent. A second process building the same
 * entry waits for the first; a crash on the way leaves nothing under `target`.
 */
export const ensureCached = async ({ target, log, build }: CacheEntry): Promise<string> => {
  if (await exists(target)) {
    return target;
  }
  await mkdir(path.dirname(target), { recursive: true });
  return await withLock(`${target}.lock`, log, async () => {
    if (await exists(target)) {
      return target;
    }
    await removeUnfinished(target);
    const dir = await mkdtemp(`${target}.tmp-`);
    try {
      await build(dir);
      await rename(dir, target);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
    return target;
  });
};

// Left by a crash: whoever holds the lock is the only builder.
const removeUnfinished = async (target: string): Promise<void> => {
  const parent = path.dirname(target);
  for (const name of await readdir(parent)) {
    if (name.startsWith(`${path.basename(target)}.tmp-`)) {
      await rm(path.join(parent, name), { recursive: true, force: true });
    }
  }
};

/** Whether the path is there, whatever it is. */
export const exists = async (file: string): Promise<boolean> =>
  await access(file).then(
    () => true,
    () => false,
  );

/**
 * Runs `work` while holding an exclusive kernel lock on `file`. The holder is a child
 * that lives as long as its standard input, so the lock cannot outlive this process.
 */
const withLock = async <T>(file: string, log: Log, work: () => Promise<T>): Promise<T> => {
  const holder = spawn('flock', ['--exclusive', file, 'sh', '-c', 'echo locked; cat >/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const waiting = setTimeout(
    () => log(`waiting for another run that is building ${path.dirname(file)}`),
    2000,
  );
  try {
    await Promise.race([
      once(holder.stdout, 'data'),
      once(holder, 'exit').then(() => Promise.reject(new Error(`cannot lock ${file}`))),
    ]);
  } finally {
    clearTimeout(waiting);
  }
  try {
    return await work();
  } finally {
    holder.stdin.end();
  }
};
