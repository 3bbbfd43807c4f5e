// An image without a container engine: the files of a program in an OCI layout (opencontainers/image-spec), by umoci(1).
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { ensurePackages } from '../../test/harness/packages.ts';
import type { Log } from '../../test/harness/process.ts';
import { CONTENTS, type ImageProgram, makeRootfs } from './rootfs.ts';

const run = promisify(execFile);

export interface Image {
  readonly tag: string;
  readonly user: string;
  readonly entrypoint: readonly string[];
  /** Makes the files of the image below a directory that is not there yet. */
  readonly fill: (root: string) => Promise<void>;
}

/** The image of a program of these sources. */
export const imageOf = (program: ImageProgram, version: string): Image => ({
  tag: version,
  user: CONTENTS[program].user,
  entrypoint: [`/usr/bin/${program}`],
  fill: (root) => makeRootfs(program, root),
});

/** Writes an archive which `ctr images import`, `podman load` and `skopeo copy oci-archive:` take. */
export const buildImage = async (
  { tag, user, entrypoint, fill }: Image,
  target: string,
  log: Log,
): Promise<void> => {
  await ensurePackages(['umoci'], log);
  await mkdir(path.dirname(target), { recursive: true });
  const work = await mkdtemp(`${target}.`);
  const [root, layout] = [path.join(work, 'root'), path.join(work, 'layout')];
  const image = `${layout}:${tag}`;
  try {
    await fill(root);
    await run('umoci', ['init', '--layout', layout]);
    await run('umoci', ['new', '--image', image]);
    for (const entry of await readdir(root)) {
      await run('umoci', ['insert', '--image', image, path.join(root, entry), `/${entry}`]);
    }
    const start = entrypoint.flatMap((word) => ['--config.entrypoint', word]);
    const own = ['--config.user', user, '--config.env', 'PATH=/usr/bin'];
    await run('umoci', ['config', '--image', image, ...own, ...start]);
    await run('umoci', ['gc', '--layout', layout]);
    await run('tar', ['--create', '--file', target, '--directory', layout, '.']);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
};
