// Our Debian packages, from the sources of this checkout.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { cacheRoot, ensureCached } from '../../test/harness/cache.ts';
import type { Log } from '../../test/harness/process.ts';
import { bundleProgram } from './bundle.ts';
import { makeExecutable, NODE } from './executable.ts';
import { ARCHITECTURE, isFile, type Recipe, type TreeEntry, writeTree } from './tree.ts';

const run = promisify(execFile);
const ROOT = path.resolve(import.meta.dirname, '../..');
/** A package is 38 or 73 MB, and a change of what is in it makes another one. */
const KEPT = 6;

/**
 * Answers the path of the package of these sources, in the cache; makes it when they have changed since. The same sources and the same
 * commit make the same bytes.
 */
export const buildPackage = async (recipe: Recipe, log: Log): Promise<string> => {
  const { version } = JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8')) as {
    version: string;
  };
  const { text, packages } = await bundleProgram(recipe.executable.program);
  const tree = await recipe.tree(packages, log);
  const epoch = process.env.SOURCE_DATE_EPOCH ?? (await dateOfCommit());
  const place = path.join(cacheRoot(), 'package');
  const file = `${recipe.name}_${version}_${ARCHITECTURE}.deb`;
  const given = [version, epoch, recipe.control, text];
  const dir = await ensureCached({
    target: path.join(place, (await fingerprint(given, tree)).slice(0, 16)),
    log,
    build: async (folder) => {
      log(`building ${file}`);
      await assemble(folder, { recipe, text, tree, version, epoch, file });
    },
  });
  // What is used is kept, and the oldest of the others go.
  await utimes(dir, new Date(), new Date());
  await removeOld(place);
  return path.join(dir, file);
};

interface Parts {
  readonly recipe: Recipe;
  /** Of the executable. */
  readonly text: string;
  readonly tree: readonly TreeEntry[];
  readonly version: string;
  readonly epoch: string;
  readonly file: string;
}

const assemble = async (
  folder: string,
  { recipe, text, tree, version, epoch, file }: Parts,
): Promise<void> => {
  const [work, root] = [path.join(folder, 'work'), path.join(folder, 'root')];
  await mkdir(work);
  const executable = path.join(root, recipe.executable.path);
  await mkdir(path.dirname(executable), { recursive: true });
  await makeExecutable(text, work, executable);
  await writeTree(root, recipe, tree, version);
  // One thread: with several, the bytes depend on how many the machine has.
  const compression = ['-Zzstd', '-z9', '--threads-max=1'];
  await run('dpkg-deb', ['--root-owner-group', ...compression, '--build', root, path.join(folder, file)], {
    env: { ...process.env, SOURCE_DATE_EPOCH: epoch },
  });
  await rm(work, { recursive: true });
  await rm(root, { recursive: true });
};

/** Of everything a package is made from and with. */
const fingerprint = async (given: readonly string[], tree: readonly TreeEntry[]): Promise<string> => {
  const hash = createHash('sha256');
  const entries = tree.flatMap((entry) =>
    isFile(entry) ? [entry.path, String(entry.mode), entry.content] : [entry.path, entry.target],
  );
  for (const part of [...given, ...entries]) {
    hash.update(`${Buffer.byteLength(part)}\n`).update(part);
  }
  for (const script of (await readdir(import.meta.dirname)).filter((name) => name.endsWith('.ts')).sort()) {
    hash.update(await readFile(path.join(import.meta.dirname, script)));
  }
  return hash.update((await run(NODE, ['--version'])).stdout).digest('hex');
};

/** In seconds. Sources without their history are as old as the epoch. */
const dateOfCommit = async (): Promise<string> =>
  await run('git', ['log', '-1', '--format=%ct'], { cwd: ROOT }).then(
    ({ stdout }) => stdout.trim(),
    () => '0',
  );

const removeOld = async (place: string): Promise<void> => {
  const folders = (await readdir(place)).filter((name) => /^[0-9a-f]{16}$/.test(name));
  const dated = await Promise.all(
    folders.map(async (name) => ({ name, ms: (await stat(path.join(place, name))).mtimeMs })),
  );
  for (const { name } of dated.sort((a, b) => b.ms - a.ms).slice(KEPT)) {
    await rm(path.join(place, name), { recursive: true, force: true });
    await rm(path.join(place, `${name}.lock`), { force: true });
  }
};
