// The Debian package of the node agent, from the sources of this checkout.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { cacheRoot, ensureCached } from '../../test/harness/cache.ts';
import type { Log } from '../../test/harness/process.ts';
import { type Bundle, bundleProgram } from './bundle.ts';
import { makeExecutable, NODE } from './executable.ts';
import { ARCHITECTURE, EXECUTABLE, NAME, packageTree, type TreeFile, writeTree } from './tree.ts';

const run = promisify(execFile);
const ROOT = path.resolve(import.meta.dirname, '../..');
/** A package is 38 MB and a change of the agent makes another one. */
const KEPT = 4;

/**
 * Answers the path of the package of these sources, in the cache; makes it when they have changed since. The same sources and the same
 * commit make the same bytes.
 */
export const buildPackage = async (log: Log): Promise<string> => {
  const { version } = JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8')) as {
    version: string;
  };
  const bundle = await bundleProgram(NAME);
  const tree = await packageTree(bundle.packages);
  const epoch = process.env.SOURCE_DATE_EPOCH ?? (await dateOfCommit());
  const place = path.join(cacheRoot(), 'package');
  const file = `${NAME}_${version}_${ARCHITECTURE}.deb`;
  const dir = await ensureCached({
    target: path.join(place, (await fingerprint([version, epoch, bundle.text], tree)).slice(0, 16)),
    log,
    build: async (folder) => {
      log(`building ${file}`);
      await assemble(folder, { bundle, tree, version, epoch, file });
    },
  });
  // What is used is kept, and the oldest of the others go.
  await utimes(dir, new Date(), new Date());
  await removeOld(place);
  return path.join(dir, file);
};

interface Parts {
  readonly bundle: Bundle;
  readonly tree: readonly TreeFile[];
  readonly version: string;
  readonly epoch: string;
  readonly file: string;
}

const assemble = async (folder: string, { bundle, tree, version, epoch, file }: Parts): Promise<void> => {
  const [work, root] = [path.join(folder, 'work'), path.join(folder, 'root')];
  const executable = path.join(root, EXECUTABLE);
  await mkdir(work);
  await mkdir(path.dirname(executable), { recursive: true });
  await makeExecutable(bundle.text, work, executable);
  await writeTree(root, tree, version);
  // One thread: with several, the bytes depend on how many the machine has.
  const compression = ['-Zzstd', '-z9', '--threads-max=1'];
  await run('dpkg-deb', ['--root-owner-group', ...compression, '--build', root, path.join(folder, file)], {
    env: { ...process.env, SOURCE_DATE_EPOCH: epoch },
  });
  await rm(work, { recursive: true });
  await rm(root, { recursive: true });
};

/** Of everything the package is made from and with. */
const fingerprint = async (given: readonly string[], tree: readonly TreeFile[]): Promise<string> => {
  const hash = createHash('sha256');
  for (const part of [
    ...given,
    ...tree.flatMap(({ path, mode, content }) => [path, String(mode), content]),
  ]) {
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
