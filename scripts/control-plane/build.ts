// Builds etcd with its tools, kube-apiserver, kube-controller-manager and kubectl from pinned Go modules into the cache.

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
const source = import.meta.dirname;
const sources = ['go.mod', 'go.sum', 'main.go', 'licenses.ts'];
const oldestGo = [1, 26] as const;
const secondsBetweenReports = 10;
/** The file which holds them all, and the links to it by whose names they are called. */
export const ONE_FILE = 'control-plane';
/** Beside it: the terms of what is in it. */
export const LICENSES = 'licenses.txt';
export const PROGRAMS = [
  'etcd',
  'etcdctl',
  'etcdutl',
  'kube-apiserver',
  'kube-controller-manager',
  'kubectl',
] as const;

/**
 * Returns the folder with the programs, built first if need be (about eight minutes on
 * two cores, once for each change of the module).
 *
 * @throws Error naming the remedy when Go is missing or too old, or with the compiler's words.
 */
export const buildControlPlane = async (log: Log): Promise<string> =>
  await ensureCached({
    target: path.join(cacheRoot(), 'control-plane', await fingerprint()),
    log,
    build: async (dir) => {
      await requireGo();
      log('building etcd and Kubernetes from Go modules: about eight minutes, once');
      await compile(path.join(dir, ONE_FILE), log);
      await writeFile(path.join(dir, LICENSES), await licensesOf(source, goEnvironment()));
      for (const name of PROGRAMS) {
        await symlink(ONE_FILE, path.join(dir, name));
      }
    },
  });

const fingerprint = async (): Promise<string> => {
  const hash = createHash('sha256');
  for (const name of sources) {
    hash.update(await readFile(path.join(source, name)));
  }
  return hash.digest('hex').slice(0, 16);
};

// Asked inside the module, so that a Go that fetches newer toolchains by itself answers for those.
const requireGo = async (): Promise<void> => {
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
const versionFlags = async (): Promise<string> => {
  const goMod = await readFile(path.join(source, 'go.mod'), 'utf8');
  const version = /k8s\.io\/kubernetes (v(\d+)\.(\d+)\.\d+)/.exec(goMod);
  if (!version) {
    throw new Error('scripts/control-plane/go.mod names no version of k8s.io/kubernetes');
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

const compile = async (output: string, log: Log): Promise<void> => {
  const startedAt = Date.now();
  const args = [
    'build',
    '-v',
    '-trimpath',
    '-buildvcs=false',
    '-ldflags',
    await versionFlags(),
    '-o',
    output,
    '.',
  ];
  const go = spawn('go', args, {
    cwd: source,
    env: goEnvironment(),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const lines: string[] = [];
  createInterface({ input: go.stderr }).on('line', (line) => lines.push(line));
  const seconds = () => Math.round((Date.now() - startedAt) / 1000);
  const report = setInterval(() => {
    log(
      `building the control plane: ${seconds()} s, ${lines.length} packages, now ${lines.at(-1) ?? 'looking'}`,
    );
  }, secondsBetweenReports * 1000);
  try {
    const [code] = await once(go, 'close');
    if (code !== 0) {
      throw new Error(`go build failed (exit code ${code}):\n${lines.slice(-20).join('\n')}`);
    }
    log(`built the control plane in ${seconds()} s`);
  } finally {
    clearInterval(report);
    go.kill();
  }
};
