// Debian as the test machine itself gets it: its mirrors, its release, single packages unpacked.

import { readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { type Log, runCommand } from '../process.ts';

const LONG_MS = 10 * 60_000;

/** Lines for a sources.list with the Debian mirrors of this machine. Throws when apt knows none of its own release. */
export const ownSources = async (log: Log): Promise<readonly string[]> => {
  const known = await findSources();
  if (known.length > 0) {
    return known;
  }
  log('apt-get update (no package lists are here)');
  await runCommand('apt-get', ['-q', 'update'], { timeoutMs: LONG_MS });
  const found = await findSources();
  if (found.length === 0) {
    throw new Error(`apt knows no package lists of ${await ownRelease()}: the machines are made from them`);
  }
  return found;
};

const findSources = async (): Promise<readonly string[]> => {
  const release = await ownRelease();
  const format = '$(REPO_URI) $(RELEASE) $(COMPONENT)';
  const filters = ['Created-By: Packages', 'Origin: Debian'];
  const text = await runCommand('apt-get', ['indextargets', '--format', format, ...filters]).catch(() => '');
  return text
    .split('\n')
    .filter((line) => new RegExp(`^\\S+ ${release}(-\\S+)? main$`).test(line))
    .map((line) => `deb ${line}`);
};

/** The code name of this machine's Debian, such as `bookworm`. */
export const ownRelease = async (): Promise<string> => {
  const text = await readFile('/etc/os-release', 'utf8');
  const found = /^VERSION_CODENAME=(\w+)$/m.exec(text)?.[1];
  if (found === undefined) {
    throw new Error('/etc/os-release names no release: the machines are made from this machine’s Debian');
  }
  return found;
};

/** The package that an ever-same name stands for: `linux-image-amd64` only depends on the newest kernel. */
export const newestOf = async (name: string): Promise<string> => {
  const depends = await runCommand('apt-cache', ['depends', '--important', name]);
  const found = new RegExp(`Depends: (${name.replace(/-[^-]+$/, '')}-\\S+)`).exec(depends)?.[1];
  if (found === undefined) {
    throw new Error(`apt knows no package behind ${name}`);
  }
  return found;
};

/** Fetches one package without what it depends on and unpacks it below `into`. Works in `dir`, a folder of the caller's. */
export const unpackPackage = async (name: string, dir: string, into: string): Promise<void> => {
  const options = { cwd: dir, timeoutMs: LONG_MS };
  // As ourselves: apt's own user may not write into this folder.
  await runCommand('apt-get', ['-q', '-o', 'APT::Sandbox::User=root', 'download', name], options);
  const [file] = (await readdir(dir)).filter((entry) => entry.endsWith('.deb'));
  if (file === undefined) {
    throw new Error(`apt-get download ${name} left no file`);
  }
  await runCommand('dpkg-deb', ['-x', file, into], options);
  await rm(path.join(dir, file));
};

/** Debian's minimal system with these packages, as the tar archive `archive`. Needs root. */
export const bootstrap = async (
  archive: string,
  packages: readonly string[],
  sources: readonly string[],
): Promise<void> => {
  const withoutDocs = ['doc', 'man', 'locale', 'info', 'lintian'].map(
    (folder) => `--dpkgopt=path-exclude=/usr/share/${folder}/*`,
  );
  const options = ['--variant=minbase', `--include=${packages.join(',')}`, ...withoutDocs, '--quiet'];
  const aptOptions = ['--aptopt=Acquire::Languages "none"', '--aptopt=APT::Install-Recommends "false"'];
  const args = [...options, ...aptOptions, await ownRelease(), archive, '-'];
  await runCommand('mmdebstrap', args, { timeoutMs: LONG_MS, stdin: `${sources.join('\n')}\n` });
};
