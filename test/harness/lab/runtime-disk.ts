// The read-only second disk of both machines: this very Node and the packages the agent needs at run time. The agent itself is
// copied in at each run, so that a change of it needs neither a new image nor a new disk.

import { createHash } from 'node:crypto';
import { copyFile, cp, mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { cacheRoot, ensureCached } from '../cache.ts';
import type { Log } from '../process.ts';
import { makeFileSystem } from './image.ts';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const DISK_BYTES = 512 * 1024 ** 2;

/** In the machines, which mount the disk at /opt/runtime. */
export const RUNTIME = { node: '/opt/runtime/node', modules: '/opt/runtime/node_modules' };

/** Makes the disk unless it is cached; answers its file. */
export const ensureRuntimeDisk = async (log: Log): Promise<string> => {
  const lock = await readFile(path.join(ROOT, 'package-lock.json'), 'utf8');
  const packages = productionPackages(lock);
  const hash = createHash('sha256').update(process.version).update(JSON.stringify(packages));
  const target = path.join(cacheRoot(), 'lab', `runtime-${hash.digest('hex').slice(0, 16)}`);
  const dir = await ensureCached({
    target,
    log,
    build: async (folder) => {
      const contents = path.join(folder, 'contents');
      await mkdir(contents);
      await copyFile(process.execPath, path.join(contents, 'node'));
      for (const [place] of packages) {
        await cp(path.join(ROOT, place), path.join(contents, place), { recursive: true });
      }
      await makeFileSystem(contents, path.join(folder, 'disk.ext4'), DISK_BYTES);
      await rm(contents, { recursive: true });
    },
  });
  return path.join(dir, 'disk.ext4');
};

interface LockedPackage {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
}

/** Place and version of each outermost package that is needed at run time; nested ones lie within. */
export const productionPackages = (lock: string): readonly (readonly [place: string, version: string])[] => {
  const { packages } = JSON.parse(lock) as { readonly packages: Readonly<Record<string, LockedPackage>> };
  return Object.entries(packages)
    .filter(([place, { dev, optional }]) => {
      return /^node_modules\/(@[^/]+\/)?[^/]+$/.test(place) && dev !== true && optional !== true;
    })
    .map(([place, { version = '' }]) => [place, version]);
};
