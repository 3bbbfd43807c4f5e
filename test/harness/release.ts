// An earlier release as it was: its files from the history of this checkout, in a directory of its own, ready to run.
import { mkdir, readFile, symlink } from 'node:fs/promises';
import path from 'node:path';
import { type Log, runCommand } from './process.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

export type FoundRelease =
  | { readonly kind: 'found'; readonly version: string; readonly commit: string }
  /** `why` for a person. `shallow`: the checkout has no history in which it could be. */
  | { readonly kind: 'missing'; readonly why: string; readonly shallow: boolean };

/** The commit which CHANGELOG.md names for a version: 40 hex digits. Throws where it names none. */
export function commitOf(changelog: string, version: string): string {
  const section = changelog.split(/^## /m).find((text) => text.startsWith(`${version} `));
  const commit = /^Commit `([0-9a-f]{40})`/m.exec(section ?? '')?.[1];
  if (commit === undefined) {
    throw new Error(`CHANGELOG.md names no commit for version ${version}`);
  }
  return commit;
}

const git = (args: readonly string[]): Promise<string> =>
  runCommand('git', ['-C', ROOT, '-c', `safe.directory=${ROOT}`, ...args]);

const isShallow = async (): Promise<boolean> =>
  (await git(['rev-parse', '--is-shallow-repository']).catch(() => '')).trim() === 'true';

/** Whether the history of this checkout holds that release: a shallow clone does not. */
export async function findRelease(version: string): Promise<FoundRelease> {
  const commit = commitOf(await readFile(path.join(ROOT, 'CHANGELOG.md'), 'utf8'), version);
  try {
    const type = (await git(['cat-file', '-t', commit])).trim();
    return type === 'commit'
      ? { kind: 'found', version, commit }
      : {
          kind: 'missing',
          why: `${commit} is a ${type}, not the commit of version ${version}`,
          shallow: false,
        };
  } catch (error) {
    const said = error instanceof Error ? error.message.split('\n').at(-1) : String(error);
    const why = `version ${version} (commit ${commit}) is not in the history of this checkout (${said}); fetch all of it: git fetch --unshallow`;
    return { kind: 'missing', why, shallow: await isShallow() };
  }
}

/** Unpacks the release below `dir` with all it needs to run, and answers where it is. */
export async function unpackRelease(
  { version, commit }: FoundRelease & { readonly kind: 'found' },
  dir: string,
  log: Log,
): Promise<string> {
  const root = path.join(dir, `release-${version}`);
  const archive = `${root}.tar`;
  await mkdir(root, { mode: 0o700 });
  // Nobody else may write there: an agent refuses profiles which others can change.
  await git(['-c', 'tar.umask=0022', 'archive', '--format=tar', `--output=${archive}`, commit]);
  await runCommand('tar', ['-xf', archive, '-C', root]);
  const missing = await misfits(root);
  if (missing.length === 0) {
    await symlink(path.join(ROOT, 'node_modules'), path.join(root, 'node_modules'));
    log(`version ${version} runs with the packages of this checkout`);
  } else {
    log(`version ${version} gets packages of its own: ${missing.join(', ')}`);
    await runCommand('npm', ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund'], {
      cwd: root,
      timeoutMs: 300_000,
    });
  }
  return root;
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version?: string; readonly dev?: boolean }>>;
}

const readLock = async (file: string): Promise<Lock> => JSON.parse(await readFile(file, 'utf8')) as Lock;

/** What the release's lock file asks for at run time and this checkout has not, or in another version. */
async function misfits(root: string): Promise<readonly string[]> {
  const { packages } = await readLock(path.join(root, 'package-lock.json'));
  const installed = await readLock(path.join(ROOT, 'node_modules', '.package-lock.json')).catch(
    () => undefined,
  );
  return Object.entries(packages)
    .filter(([place, { dev }]) => place !== '' && dev !== true)
    .filter(([place, { version }]) => installed?.packages[place]?.version !== version)
    .map(([place, { version }]) => `${place.replace(/^.*node_modules\//, '')} ${version}`);
}
