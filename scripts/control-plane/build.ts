// Builds etcd and parts of Kubernetes from pinned Go modules into the cache.

import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { cacheRoot, ensureCached } from '../../test/harness/cache.ts';
import type { Log } from '../../test/harness/process.ts';
import { licensesOf } from './licenses.ts';

const run = promisify(execFile);
const oldestGo = [1, 26] as const;
const secondsBetweenReports = 10;
const LICENSES = 'licenses.txt';

interface Build {
  /** Of the file that is all of them, and of the folder in the cache. */
  readonly name: string;
  /** Where its module is. */
  readonly source: string;
  /** What it is made of, there. */
  readonly files: readonly string[];
  /** Of Go, for the build. */
  readonly tag?: string;
  /** By which names the file is called. */
  readonly programs: readonly string[];
  readonly duration: string;
}

const CONTROL_PLANE: Build = {
  name: 'control-plane',
  source: import.meta.dirname,
  files: ['go.mod', 'go.sum', 'main.go'],
  programs: ['etcd', 'kube-apiserver', 'kubectl'],
  duration: 'about six minutes',
};
const NODE: Build = {
  name: 'node',
  source: path.resolve(import.meta.dirname, '../node'),
  files: ['go.mod', 'go.sum', 'main.go'],
  programs: ['kube-controller-manager', 'kube-scheduler', 'kubelet'],
  duration: 'about two minutes after the control plane',
};
const STANDALONE: Build = {
  name: 'standalone',
  source: import.meta.dirname,
  files: ['go.mod', 'go.sum', 'main.go', 'standalone.go', 'licenses.ts'],
  tag: 'standalone',
  programs: ['etcd', 'etcdctl', 'etcdutl', 'kube-apiserver', 'kube-controller-manager', 'kubectl'],
  duration: 'about three minutes after the control plane',
};

/**
 * Returns the folder with `etcd`, `kube-apiserver` and `kubectl`, built first if need
 * be (about six minutes on two cores, once for each change of the module).
 *
 * @throws Error naming the remedy when Go is missing or too old, or with the compiler's words.
 */
export const buildControlPlane = (log: Log): Promise<string> => built(CONTROL_PLANE, log);

/** The same with `kube-controller-manager`, `kube-scheduler` and `kubelet`. */
export const buildNode = (log: Log): Promise<string> => built(NODE, log);

export interface Standalone {
  /** The file that is all of them. */
  readonly file: string;
  /** The terms of what is in it. */
  readonly licensesFile: string;
}

/** By which names the file of `buildStandalone` is called. */
export const STANDALONE_PROGRAMS = STANDALONE.programs;

/** The same with what a control plane without a cluster needs beside it, in one file. */
export const buildStandalone = async (log: Log): Promise<Standalone> => {
  const dir = await built(STANDALONE, log, async (unfinished) => {
    const terms = await licensesOf(STANDALONE.source, STANDALONE.tag ?? '', goEnvironment());
    await writeFile(path.join(unfinished, LICENSES), terms);
  });
  return { file: path.join(dir, STANDALONE.name), licensesFile: path.join(dir, LICENSES) };
};

const built = async (
  build: Build,
  log: Log,
  finish: (dir: string) => Promise<void> = async () => {},
): Promise<string> =>
  await ensureCached({
    target: path.join(cacheRoot(), build.name, await fingerprint(build)),
    log,
    build: async (dir) => {
      await requireGo(build);
      log(`building ${build.programs.join(', ')} from Go modules: ${build.duration}, once`);
      await compile(build, path.join(dir, build.name), log);
      for (const name of build.programs) {
        await symlink(build.name, path.join(dir, name));
      }
      await finish(dir);
    },
  });

const fingerprint = async ({ source, files }: Build): Promise<string> => {
  const hash = createHash('sha256');
  for (const name of files) {
    hash.update(await readFile(path.join(source, name)));
  }
  return hash.digest('hex').slice(0, 16);
};

// Asked inside the module, so that a Go that fetches newer toolchains by itself answers for those.
const requireGo = async ({ source }: Build): Promise<void> => {
  const wanted = oldestGo.join('.');
  const remedy = `Install Go ${wanted} or newer (https://go.dev/dl) and put it on PATH, or set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver.`;
  const answer = await run('go', ['version'], { cwd: source }).catch((error: NodeJS.ErrnoException) => {
    throw new Error(`The control plane is built with Go ${wanted}, which is not here. ${remedy}`, {
      cause: error,
    });
  });
  const [, major = '0', minor = '0'] = /go(\d+)\.(\d+)/.exec(answer.stdout) ?? [];
  const isOldEnough =
    Number(major) > oldestGo[0] || (Number(major) === oldestGo[0] && Number(minor) >= oldestGo[1]);
  if (!isOldEnough) {
    throw new Error(`The control plane needs Go ${wanted}, but ${answer.stdout.trim()} is here. ${remedy}`);
  }
};

// Without these the server calls itself v0.0.0-master+$Format, which clients cannot parse.
const versionFlags = async ({ source }: Build): Promise<string> => {
  const goMod = await readFile(path.join(source, 'go.mod'), 'utf8');
  const version = /k8s\.io\/kubernetes (v(\d+)\.(\d+)\.\d+)/.exec(goMod);
  if (!version) {
    throw new Error(`${source}/go.mod names no version of k8s.io/kubernetes`);
  }
  const [, full, major, minor] = version;
  const values = { gitVersion: full, gitMajor: major, gitMinor: minor, gitTreeState: 'clean' };
  const flags = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'].flatMap((holder) =>
    Object.entries(values).map(([name, value]) => `-X ${holder}.${name}=${value}`),
  );
  return ['-s', '-w', ...flags].join(' ');
};

const goEnvironment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  CGO_ENABLED: '0',
  GOFLAGS: '',
  GOWORK: 'off',
});

const compile = async (build: Build, output: string, log: Log): Promise<void> => {
  const startedAt = Date.now();
  const args = [
    'build',
    '-v',
    '-trimpath',
    '-buildvcs=false',
    ...(build.tag === undefined ? [] : ['-tags', build.tag]),
    '-ldflags',
    await versionFlags(build),
    '-o',
    output,
    '.',
  ];
  const go = spawn('go', args, {
    cwd: build.source,
    env: goEnvironment(),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const lines: string[] = [];
  createInterface({ input: go.stderr }).on('line', (line) => lines.push(line));
  const seconds = () => Math.round((Date.now() - startedAt) / 1000);
  const report = setInterval(() => {
    log(
      `building the ${build.name}: ${seconds()} s, ${lines.length} packages, now ${lines.at(-1) ?? 'looking'}`,
    );
  }, secondsBetweenReports * 1000);
  try {
    const [code] = await once(go, 'close');
    if (code !== 0) {
      throw new Error(`go build failed (exit code ${code}):\n${lines.slice(-20).join('\n')}`);
    }
    log(`built the ${build.name} in ${seconds()} s`);
  } finally {
    clearInterval(report);
    go.kill();
  }
};
