// An image without a container engine: the files of the program in an OCI layout (opencontainers/image-spec), by umoci(1).
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { ensurePackages } from '../../test/harness/packages.ts';
import type { Log } from '../../test/harness/process.ts';
import type { ProgramName } from '../package/bundle.ts';
import { makeRootfs, USER } from './rootfs.ts';

const run = promisify(execFile);

/** Writes an archive which `ctr images import`, `podman load` and `skopeo copy oci-archive:` take. */
export const buildImage = async (
  { program, version, target }: { program: ProgramName; version: string; target: string },
  log: Log,
): Promise<void> => {
  await ensurePackages(['umoci'], log);
  const work = await mkdtemp(path.join(os.tmpdir(), 'vbs-image-'));
  const [root, layout] = [path.join(work, 'root'), path.join(work, 'layout')];
  const image = `${layout}:${version}`;
  try {
    await makeRootfs(program, root);
    await run('umoci', ['init', '--layout', layout]);
    await run('umoci', ['new', '--image', image]);
    for (const entry of await readdir(root)) {
      await run('umoci', ['insert', '--image', image, path.join(root, entry), `/${entry}`]);
    }
    const config = ['--config.user', USER, '--config.entrypoint', `/usr/bin/${program}`];
    await run('umoci', ['config', '--image', image, ...config]);
    await run('umoci', ['gc', '--layout', layout]);
    await mkdir(path.dirname(target), { recursive: true });
    await run('tar', ['--create', '--file', target, '--directory', layout, '.']);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
};
