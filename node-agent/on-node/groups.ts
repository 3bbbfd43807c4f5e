// Out of the control groups of the pod. When a container ends that shares the process IDs of its node, whatever is in its groups is killed; and a command
// of this agent may hold a lock of LVM, or have left a process which serves a guest's disk.
import path from 'node:path';
import type { Files } from '../exec/files.ts';

/** Moves this process to the root of each hierarchy of control groups of the host, where no limit holds and nobody ends it. */
export async function leaveControlGroups(files: Pick<Files, 'read' | 'write'>, pid: number): Promise<void> {
  for (const root of hierarchies(await files.read('/proc/self/mountinfo'))) {
    await files.write(path.join(root, 'cgroup.procs'), `${pid}\n`);
  }
}

/** Where hierarchies are mounted as a whole, of either version, according to proc_pid_mountinfo(5). */
export function hierarchies(mountinfo: string): readonly string[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [mount = '', type = ''] = line.split(' - ');
    const [, , , root, place = ''] = mount.split(' ');
    return root === '/' && /^cgroup2? /.test(type) ? [place] : [];
  });
}
