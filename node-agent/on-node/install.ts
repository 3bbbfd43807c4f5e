// Brings this program out of its image to the node: into a folder which is named by its content, and is there as a whole or not at all. A program that
// runs is never written over.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readdir, rename, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { sync } from '../../runtime/sync.ts';
import { errorCode } from '../exec/files.ts';

const PROGRAM = 'vbs-node-agent';
const PROFILES = 'profiles';
const OWN_PROFILES = 'own-profiles';

export interface Image {
  /** The executable of the agent. */
  readonly executable: string;
  /** The folder with the shipped profiles. */
  readonly profiles: string;
  /** The folder with those of the administrator's own, which are looked at first; it need not be there. */
  readonly ownProfiles: string;
}

export interface Installed {
  readonly program: string;
  /** First match wins. */
  readonly profileDirectories: readonly string[];
}

/**
 * Below `<stateDir>/node-agent`, and as `<stateDir>/vbs-node-agent`, which is for people. Programs of other versions are removed: whoever runs one still
 * has it.
 */
export async function install(image: Image, stateDir: string): Promise<Installed> {
  const base = path.join(stateDir, 'node-agent');
  await mkdir(base, { recursive: true, mode: 0o700 });
  // Kubernetes makes the folder for everybody to look into.
  await chmod(stateDir, 0o700);
  const files = await filesOf(image);
  const name = await nameOf(files);
  const names = await readdir(base);
  if (!names.includes(name)) {
    await put(files, base, name);
  }
  const program = path.join(base, name, PROGRAM);
  await pointTo(program, path.join(stateDir, PROGRAM));
  for (const other of names.filter((one) => one !== name)) {
    await rm(path.join(base, other), { recursive: true, force: true });
  }
  return {
    program,
    profileDirectories: [OWN_PROFILES, PROFILES].map((folder) => path.join(base, name, folder)),
  };
}

/** There is one at every moment. */
async function pointTo(program: string, link: string): Promise<void> {
  const unfinished = `${link}.new`;
  await rm(unfinished, { force: true });
  await symlink(program, unfinished);
  await rename(unfinished, link);
}

interface InstalledFile {
  readonly from: string;
  /** Relative. */
  readonly to: string;
  readonly mode: number;
}

async function filesOf({ executable, profiles, ownProfiles }: Image): Promise<readonly InstalledFile[]> {
  return [
    { from: executable, to: PROGRAM, mode: 0o755 },
    ...profileFiles(profiles, PROFILES, await readdir(profiles)),
    ...profileFiles(ownProfiles, OWN_PROFILES, await readdir(ownProfiles).catch(emptyIfAbsent)),
  ];
}

const profileFiles = (folder: string, to: string, names: readonly string[]): readonly InstalledFile[] =>
  names
    .filter((name) => name.endsWith('.yaml'))
    .toSorted()
    .map((name) => ({ from: path.join(folder, name), to: `${to}/${name}`, mode: 0o644 }));

function emptyIfAbsent(error: unknown): readonly string[] {
  if (errorCode(error) === 'ENOENT') {
    return [];
  }
  throw error;
}

async function nameOf(files: readonly InstalledFile[]): Promise<string> {
  const hash = createHash('sha256');
  for (const { from, to } of files) {
    hash.update(`${to}\n`);
    for await (const chunk of createReadStream(from)) {
      hash.update(chunk);
    }
  }
  return hash.digest('hex').slice(0, 16);
}

/** Whatever a crash leaves has another name, and is removed by the next one. */
async function put(files: readonly InstalledFile[], base: string, name: string): Promise<void> {
  const unfinished = await mkdtemp(path.join(base, 'new-'));
  for (const { from, to, mode } of files) {
    const target = path.join(unfinished, to);
    await mkdir(path.dirname(target), { recursive: true, mode: 0o755 });
    await copyFile(from, target);
    await chmod(target, mode);
    await sync(target);
  }
  await sync(unfinished);
  await rename(unfinished, path.join(base, name));
  await sync(base);
}
