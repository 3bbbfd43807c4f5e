// The control groups of the node's pods: all of them below one, in each hierarchy of this machine, which is called like the work directory.
import { access, constants, mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { hierarchies } from '../../../node-agent/on-node/groups.ts';

const NEEDED = ['cpu', 'memory', 'pids', 'cpuset'];

const roots = async (): Promise<readonly string[]> =>
  hierarchies(await readFile('/proc/self/mountinfo', 'utf8'));

/** Of a hierarchy of version 2; undefined for one of version 1. */
const unifiedControllers = async (root: string): Promise<readonly string[] | undefined> =>
  await readFile(path.join(root, 'cgroup.controllers'), 'utf8').then(
    (text) => text.split(/\s/).filter(Boolean),
    () => undefined,
  );

/** Controllers that a node needs and this machine does not give. */
export const missingControllers = async (): Promise<readonly string[]> => {
  const found = new Set<string>();
  for (const root of await roots()) {
    const isOurs = await access(path.join(root, 'cgroup.procs'), constants.W_OK).then(
      () => true,
      () => false,
    );
    // One of version 1 is mounted under the names of its controllers.
    const controllers = (await unifiedControllers(root)) ?? path.basename(root).split(',');
    for (const controller of isOurs ? controllers : []) {
      found.add(controller);
    }
  }
  return NEEDED.filter((controller) => !found.has(controller));
};

/** The name of the group of a work directory. */
export const groupOf = (dir: string): string => path.basename(dir);

/** Makes the groups, which `removeGroups` removes. */
export const makeGroups = async (dir: string): Promise<void> => {
  for (const root of await roots()) {
    for (const controller of (await unifiedControllers(root)) ?? []) {
      await writeFile(path.join(root, 'cgroup.subtree_control'), `+${controller}`);
    }
    const group = path.join(root, groupOf(dir));
    await mkdir(group, { recursive: true });
    // In version 1 a group of this controller takes nothing from the one above it.
    for (const file of path.basename(root) === 'cpuset' ? ['cpuset.cpus', 'cpuset.mems'] : []) {
      await writeFile(path.join(group, file), await readFile(path.join(root, file)));
    }
  }
};

/** Removes the groups of a work directory whose processes have ended, if there are any. */
export const removeGroups = async (dir: string): Promise<void> => {
  for (const root of await roots()) {
    await removeGroup(path.join(root, groupOf(dir)));
  }
};

const removeGroup = async (group: string): Promise<void> => {
  const inside = await readdir(group, { withFileTypes: true }).catch(() => undefined);
  for (const entry of inside ?? []) {
    if (entry.isDirectory()) {
      await removeGroup(path.join(group, entry.name));
    }
  }
  if (inside !== undefined) {
    await rmdir(group);
  }
};
