// Initramfs archives of busybox, a few kernel modules and one script.

import { chmod, copyFile, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { runCommand } from '../process.ts';

export interface InitramfsParts {
  /** The file to make. */
  readonly archive: string;
  /** Its `/init`. */
  readonly init: string;
  readonly busybox: string;
  /** `/lib/modules/<version>` of the kernel. */
  readonly moduleDir: string;
  /** Names without `.ko`, each after what it needs; `/modules/order` lists the files in this order. */
  readonly modules: readonly string[];
}

/** Throws when the kernel has no such module. */
export const packInitramfs = async (parts: InitramfsParts): Promise<void> => {
  const root = await mkdtemp(`${parts.archive}.tmp-`);
  for (const folder of ['bin', 'dev', 'modules', 'proc', 'root', 'run', 'sys']) {
    await mkdir(path.join(root, folder));
  }
  await copyFile(parts.busybox, path.join(root, 'bin', 'busybox'));
  await symlink('busybox', path.join(root, 'bin', 'sh'));
  await copyFile(parts.init, path.join(root, 'init'));
  await chmod(path.join(root, 'init'), 0o755);
  const files = await readdir(parts.moduleDir, { recursive: true });
  for (const module of parts.modules) {
    const file = files.find((entry) => path.basename(entry) === `${module}.ko`);
    if (file === undefined) {
      throw new Error(`the kernel has no ${module}.ko`);
    }
    await copyFile(path.join(parts.moduleDir, file), path.join(root, 'modules', `${module}.ko`));
  }
  await writeFile(path.join(root, 'modules', 'order'), parts.modules.map((name) => `${name}.ko\n`).join(''));
  const pack = `find . | cpio --quiet -o -H newc -R 0:0 | gzip -1 >"$1"`;
  await runCommand('sh', ['-c', pack, 'sh', parts.archive], { cwd: root });
  await rm(root, { recursive: true });
};
