// npm run package: dist/vbs-node-agent_<version>_amd64.deb, the node agent as a host installs it.

import { copyFile, mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { buildPackage } from './package.ts';

const DIST = path.resolve(import.meta.dirname, '../../dist');

const built = await buildPackage((line) => console.log(`# ${line}`));
await mkdir(DIST, { recursive: true });
const target = path.join(DIST, path.basename(built));
await copyFile(built, target);
console.log(`${path.relative(process.cwd(), target)} (${((await stat(target)).size / 1e6).toFixed(1)} MB)`);
