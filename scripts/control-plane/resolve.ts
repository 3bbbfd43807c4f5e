// Where etcd, kube-apiserver and kubectl come from on this machine.

import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Log } from '../../test/harness/process.ts';
import { buildControlPlane } from './build.ts';

const run = promisify(execFile);

/** Absolute paths of the three programs, and in words where they were found. */
export interface ControlPlaneBinaries {
  readonly etcd: string;
  readonly kubeApiserver: string;
  readonly kubectl: string;
  readonly origin: string;
}

/**
 * Finds the control plane: `$KUBEBUILDER_ASSETS`, else PATH if etcd is 3.6 or newer and
 * kube-apiserver 1.32 or newer (selectable fields), else built from source into the cache.
 * A kubectl on PATH is preferred to the built one.
 *
 * @throws Error when `$KUBEBUILDER_ASSETS` names a folder without them, or the build fails.
 */
export const resolveControlPlane = async (log: Log): Promise<ControlPlaneBinaries> => {
  const servers = (await fromAssets()) ?? (await fromPath()) ?? (await fromSource(log));
  const kubectl = (await findOnPath('kubectl')) ?? (await findIn(path.dirname(servers.etcd), 'kubectl'));
  if (kubectl) {
    return { ...servers, kubectl };
  }
  return { ...servers, kubectl: path.join(await buildControlPlane(log), 'kubectl') };
};

type Servers = Omit<ControlPlaneBinaries, 'kubectl'>;

const fromAssets = async (): Promise<Servers | undefined> => {
  const dir = process.env.KUBEBUILDER_ASSETS;
  if (!dir) {
    return undefined;
  }
  const etcd = await findIn(dir, 'etcd');
  const kubeApiserver = await findIn(dir, 'kube-apiserver');
  if (!etcd || !kubeApiserver) {
    throw new Error(`KUBEBUILDER_ASSETS=${dir} holds no etcd and kube-apiserver; correct or unset it`);
  }
  return { etcd, kubeApiserver, origin: 'KUBEBUILDER_ASSETS' };
};

const fromPath = async (): Promise<Servers | undefined> => {
  const etcd = await findOnPath('etcd');
  const kubeApiserver = await findOnPath('kube-apiserver');
  const isUsable =
    etcd && kubeApiserver && (await isAtLeast(etcd, [3, 6])) && (await isAtLeast(kubeApiserver, [1, 32]));
  return isUsable ? { etcd, kubeApiserver, origin: 'PATH' } : undefined;
};

const fromSource = async (log: Log): Promise<Servers> => {
  const dir = await buildControlPlane(log);
  return {
    etcd: path.join(dir, 'etcd'),
    kubeApiserver: path.join(dir, 'kube-apiserver'),
    origin: 'built from source',
  };
};

const isAtLeast = async (file: string, [major, minor]: readonly [number, number]): Promise<boolean> => {
  const { stdout } = await run(file, ['--version']).catch(() => ({ stdout: '' }));
  const found = /(\d+)\.(\d+)\.\d+/.exec(stdout);
  return found !== null && Number(found[1]) === major && Number(found[2]) >= minor;
};

const findOnPath = async (name: string): Promise<string | undefined> => {
  for (const dir of (process.env.PATH ?? '').split(path.delimiter).filter(path.isAbsolute)) {
    const file = await findIn(dir, name);
    if (file) {
      return file;
    }
  }
  return undefined;
};

const findIn = async (dir: string, name: string): Promise<string | undefined> => {
  const file = path.resolve(dir, name);
  return await access(file, constants.X_OK).then(
    () => file,
    () => undefined,
  );
};
