// npm run package: the Debian packages in dist/, of the node agent as a host installs it, and of a control plane on one machine.

import { copyFile, mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { CONTROL_PLANE } from './control-plane.ts';
import { NODE_AGENT } from './node-agent.ts';
import { buildPackage } from './package.ts';

const DIST = path.resolve(import.meta.dirname, '../../dist');

await mkdir(DIST, { recursive: true });
for (const recipe of [NODE_AGENT, CONTROL_PLANE]) {
  const built = await buildPackage(recipe, (line) => console.log(`# ${line}`));
  const target = path.join(DIST, path.basename(built));
  await copyFile(built, target);
  console.log(`${path.relative(process.cwd(), target)} (${((await stat(target)).size / 1e6).toFixed(1)} MB)`);
}
