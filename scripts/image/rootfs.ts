// node scripts/image/rootfs.ts PROGRAM DIRECTORY
//
// All files of the image of a program: its executable, the libraries which that needs (of the machine on which this runs), and nothing else. There is
// no shell in it and no package manager.
import { execFile } from 'node:child_process';
import { chmod, copyFile, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { bundleProgram, type ProgramName } from '../package/bundle.ts';
import { makeExecutable, NODE } from '../package/executable.ts';
import { PROFILES } from '../package/node-agent.ts';
import { copyright } from '../package/tree.ts';

const run = promisify(execFile);

interface Contents {
  /** As which user and group it runs. */
  readonly user: string;
  /** Programs of Debian beside ours, with the packages that they and their libraries are of. */
  readonly tools: readonly string[];
  readonly packages: readonly string[];
  /** Folders beside the programs: where in the image, and where from. */
  readonly folders: readonly (readonly [place: string, from: string])[];
}

/** Those that are in a cluster. */
export type ImageProgram = Exclude<ProgramName, 'vbs-control-plane'>;

export const CONTENTS: Readonly<Record<ImageProgram, Contents>> = {
  // Whoever runs the controller: nobody else has this number.
  'vbs-controller': { user: '65532:65532', tools: [], packages: [], folders: [] },
  'vbs-node-agent': {
    user: '0:0',
    // Its way into the namespaces of the host.
    tools: ['/usr/bin/nsenter'],
    packages: ['util-linux', 'libselinux1', 'libpcre2-8-0'],
    folders: [['etc/vbs/profiles', PROFILES]],
  },
};
const PASSWD = 'root:x:0:0:root:/:/sbin/nologin\nvbs:x:65532:65532:vbs:/:/sbin/nologin\n';
const GROUP = 'root:x:0:\nvbs:x:65532:\n';
/** Whose libraries Node needs, for the terms under which they are given away. */
const LIBRARY_PACKAGES = ['libc6', 'libstdc++6', 'libgcc-s1'];

/** Paths of the libraries, and of the loader, that a program needs (ldd(1)). */
const librariesOf = async (program: string): Promise<readonly string[]> => {
  const { stdout } = await run('ldd', [program]);
  const paths = stdout.split('\n').flatMap((line) => /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1] ?? []);
  if (paths.length < 3) {
    throw new Error(`ldd ${program} names no libraries: ${stdout}`);
  }
  return paths;
};

const put = async (root: string, file: string, from: string): Promise<void> => {
  const target = path.join(root, file);
  await mkdir(path.dirname(target), { recursive: true });
  await copyFile(from, target);
  await chmod(target, 0o755);
};

/** A program of this machine, at `file` in the image, with all that it loads. */
export const putProgram = async (root: string, file: string, from: string): Promise<void> => {
  await put(root, file, from);
  for (const library of await librariesOf(from)) {
    await put(root, library, library);
  }
};

/** Fills a directory that is empty, or is not there yet. */
export const makeRootfs = async (program: ImageProgram, root: string): Promise<void> => {
  const { tools, packages: toolPackages, folders } = CONTENTS[program];
  await mkdir(path.dirname(root), { recursive: true });
  const work = await mkdtemp(`${root}.`);
  try {
    const { text, packages } = await bundleProgram(program);
    const executable = path.join(root, 'usr/bin', program);
    await mkdir(path.dirname(executable), { recursive: true });
    await makeExecutable(text, work, executable);
    for (const library of await librariesOf(NODE)) {
      await put(root, library, library);
    }
    for (const tool of tools) {
      await putProgram(root, tool, tool);
    }
    await mkdir(path.join(root, 'etc'));
    await writeFile(path.join(root, 'etc/passwd'), PASSWD);
    await writeFile(path.join(root, 'etc/group'), GROUP);
    for (const [place, from] of folders) {
      await cp(from, path.join(root, place), { recursive: true });
    }
    const documents = path.join(root, 'usr/share/doc');
    await mkdir(path.join(documents, program), { recursive: true });
    await writeFile(path.join(documents, program, 'copyright'), await copyright(program, packages));
    for (const name of [...LIBRARY_PACKAGES, ...toolPackages]) {
      await mkdir(path.join(documents, name));
      await copyFile(path.join('/usr/share/doc', name, 'copyright'), path.join(documents, name, 'copyright'));
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
};

if (import.meta.main) {
  const [program = '', root] = process.argv.slice(2);
  if (!Object.hasOwn(CONTENTS, program) || root === undefined) {
    console.error(`usage: node scripts/image/rootfs.ts ${Object.keys(CONTENTS).join('|')} DIRECTORY`);
    process.exit(2);
  }
  await makeRootfs(program as ImageProgram, path.resolve(root));
}
