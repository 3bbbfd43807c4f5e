// A box on this machine for a whole node: a test runs in it with all that it starts, in namespaces of their own for processes, network, mounts, IPC and the name of the
// machine. When the first process of the box ends, for whatever reason, the kernel ends the others, and interfaces, mounts and rules go with them. What outlasts them is
// the work directory and the control groups called like it, which are removed at the end of the run, or by the next one.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { onEarlyEnd } from '../early-end.ts';
import { type Log, runCommand, workdirMark } from '../process.ts';
import { makeWorkdir } from '../workdir.ts';
import { makeGroups, missingControllers } from './groups.ts';

/** Tells a process that it is in a box, and where its work directory is. */
const MARK = 'VBS_BOX';
const INIT = path.join(import.meta.dirname, 'box.sh');
const UNSHARE = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', '--net', '--ipc', '--uts'];
/** What a node does with its kernel. */
const PROBE = `set -e
cd "$0"
mkdir upper work merged
mount -t overlay overlay -o lowerdir=/etc,upperdir=upper,workdir=work merged
ip link add vbs0 type bridge
ip link add vbs1 type veth peer name vbs2`;

/**
 * Called first by a test file: runs this program again in a box, ends with its exit code, and never returns; or, when it is in the box already, answers the work
 * directory. `prepare` comes before, since there is no way out of a box: it may fetch things.
 */
export const enterBox = async (log: Log, prepare: (dir: string) => Promise<void>): Promise<string> => {
  const dir = process.env[MARK];
  if (dir !== undefined) {
    return dir;
  }
  const workdir = await makeWorkdir(log);
  try {
    await refuseObstacles(workdir.dir);
    await prepare(workdir.dir);
    await makeGroups(workdir.dir);
    process.exitCode = await runInBox(workdir.dir);
    if (process.exitCode !== 0) {
      workdir.keep();
    }
  } catch (error) {
    log(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
  await workdir.remove();
  process.exit();
};

const refuseObstacles = async (dir: string): Promise<void> => {
  const missing = await missingControllers();
  if (missing.length > 0) {
    throw new Error(
      `no node can run on this machine: it needs control groups, and these controllers are not mounted, or cannot be written to: ${missing.join(', ')}`,
    );
  }
  const probe = path.join(dir, 'probe');
  await mkdir(probe);
  const [program = '', ...options] = UNSHARE;
  await runCommand(program, [...options, 'sh', '-c', PROBE, probe]).catch((error: Error) => {
    const said = error.message.split('\n').at(-1);
    throw new Error(
      `no node can run on this machine: it needs root and a kernel with namespaces, overlay, bridges and veth, as in a virtual machine, or in a container with all privileges (${said})`,
    );
  });
};

const runInBox = async (dir: string): Promise<number> => {
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  // It dies with us, however we end.
  const box = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...UNSHARE, 'sh', INIT, dir, ...again], {
    env: { ...process.env, [MARK]: dir, [workdirMark]: dir },
    stdio: 'inherit',
  });
  const ended = once(box, 'exit').then(async ([code]) => {
    // What is kept is for people, to whom images say nothing, and large.
    for (const folder of ['images', 'node/containerd']) {
      await rm(path.join(dir, folder), { recursive: true, force: true });
    }
    return (code as number | null) ?? 1;
  });
  let isEarly = false;
  const forget = onEarlyEnd(async () => {
    isEarly = true;
    box.kill('SIGKILL');
    await ended;
  });
  const code = await ended;
  if (isEarly) {
    await new Promise(() => {}); // what ends the run removes the work directory
  }
  forget();
  return code;
};
