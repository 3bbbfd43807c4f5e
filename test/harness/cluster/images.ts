// The images that the node of the tests runs: of these sources, of an earlier release, and the one that holds a pod's namespaces.
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { build } from 'esbuild';
import type { Image } from '../../../scripts/image/image.ts';
import { putProgram } from '../../../scripts/image/rootfs.ts';
import { NODE } from '../../../scripts/package/executable.ts';

const SCRIPT = '/usr/share/vbs/controller.mjs';

/** The controller of a release that knows nothing of images, from its sources: what it says of itself is that release's. */
export const releasedController = (sources: string, version: string): Image => ({
  tag: version,
  user: '65532:65532',
  entrypoint: ['/usr/bin/node', SCRIPT],
  fill: async (root) => {
    await putProgram(root, '/usr/bin/node', NODE);
    await build({
      entryPoints: [path.join(sources, 'controller/main.ts')],
      outfile: path.join(root, SCRIPT),
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node24',
      logLevel: 'silent',
      // Some of its packages are CommonJS.
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      },
    });
  },
});

export const PAUSE_TAG = '1';

/** Sleeps for as long as its pod lives, whose namespaces it holds. */
export const pauseImage = (tag: string): Image => ({
  tag,
  user: '0:0',
  entrypoint: ['/bin/busybox', 'sleep', '2147483647'],
  fill: async (root) => {
    await mkdir(path.join(root, 'etc'), { recursive: true });
    await writeFile(path.join(root, 'etc/passwd'), 'root:x:0:0:root:/:/sbin/nologin\n');
    await mkdir(path.join(root, 'bin'));
    await copyFile('/bin/busybox', path.join(root, 'bin/busybox'));
  },
});
