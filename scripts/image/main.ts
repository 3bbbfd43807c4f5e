// npm run image: dist/vbs-controller_<version>.oci.tar and dist/vbs-node-agent_<version>.oci.tar
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { buildImage, imageOf } from './image.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const { version } = JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8')) as {
  version: string;
};

for (const program of ['vbs-controller', 'vbs-node-agent'] as const) {
  const target = path.join(ROOT, 'dist', `${program}_${version}.oci.tar`);
  await buildImage(imageOf(program, version), target, (line) => console.log(`# ${line}`));
  console.log(`${path.relative(process.cwd(), target)} (${((await stat(target)).size / 1e6).toFixed(1)} MB)`);
}
