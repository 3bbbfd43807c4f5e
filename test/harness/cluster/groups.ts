// The control groups of the node's pods: all of them below one of its own, in each hierarchy of this machine.
import { access, constants, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { hierarchies } from '../../../node-agent/on-node/groups.ts';
import { noteUndo } from '../workdir.ts';

const NEEDED = ['cpu', 'memory', 'pids', 'cpuset'];

/** Why no node can run on this machine; undefined where one can. */
export const obstacle = async (): Promise<string | undefined> => {
  if (process.getuid?.() !== 0) {
    return 'a node needs root';
  }
  const roots = hierarchies(await readFile('/proc/self/mountinfo', 'utf8'));
  const missing = [];
  for (const controller of NEEDED) {
    if ((await rootOf(roots, controller)) === undefined) {
      missing.push(controller);
    }
  }
  return missing.length === 0
    ? undefined
    : `a node needs control groups, and these controllers are not mounted, or cannot be written to, on this machine: ${missing.join(', ')}`;
};

/** Where a controller is: in a hierarchy of its own (version 1), or in the only one (version 2). */
const rootOf = async (roots: readonly string[], controller: string): Promise<string | undefined> => {
  for (const root of roots) {
    const unified = await readFile(path.join(root, 'cgroup.controllers'), 'utf8').catch(() => '');
    const isThere =
      path.basename(root).split(',').includes(controller) || unified.split(/\s/).includes(controller);
    if (
      isThere &&
      (await access(path.join(root, 'cgroup.procs'), constants.W_OK).then(
        () => true,
        () => false,
      ))
    ) {
      return root;
    }
  }
  return undefined;
};

/** Makes the group, which goes with the work directory and is called like it; answers its name. */
export const makeGroup = async (dir: string): Promise<string> => {
  const name = path.basename(dir);
  const inside = ['-depth', '-type', 'd', '-path', `*/${name}*`, '-exec', 'rmdir', '{}', ';'];
  await noteUndo(dir, ['find', '/sys/fs/cgroup', ...inside]);
  for (const root of hierarchies(await readFile('/proc/self/mountinfo', 'utf8'))) {
    const controllers = await readFile(path.join(root, 'cgroup.controllers'), 'utf8').catch(() => '');
    for (const controller of controllers.split(/\s/).filter(Boolean)) {
      await writeFile(path.join(root, 'cgroup.subtree_control'), `+${controller}`);
    }
    await mkdir(path.join(root, name));
    // In version 1 a group of this controller takes nothing from the one above it.
    for (const file of path.basename(root) === 'cpuset' ? ['cpuset.cpus', 'cpuset.mems'] : []) {
      await writeFile(path.join(root, name, file), await readFile(path.join(root, file)));
    }
  }
  return name;
};
