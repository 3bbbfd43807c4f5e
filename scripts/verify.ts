// Everything a change has to pass: formatting and lint, types, generated files, tests.
// Stops at the first step that fails.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
const bin = (name: string): string => path.join(root, 'node_modules', '.bin', name);
const generator = path.join(root, 'scripts', 'generate.ts');

interface Step {
  readonly title: string;
  readonly command: readonly [file: string, ...args: string[]];
}

const steps: Step[] = [
  { title: 'Formatting and lint', command: [bin('biome'), 'check', '--error-on-warnings', '.'] },
  { title: 'Types', command: [bin('tsc'), '--noEmit'] },
  ...(existsSync(generator)
    ? [{ title: 'Generated files in step', command: [process.execPath, generator, '--check'] } satisfies Step]
    : []),
  { title: 'Tests', command: [process.execPath, path.join(root, 'scripts', 'test.ts')] },
];

for (const { title, command } of steps) {
  const startedAt = Date.now();
  console.log(`\n=== ${title}`);
  const [file, ...args] = command;
  const child = spawn(file, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  const relay = (signal: NodeJS.Signals): boolean => child.kill(signal);
  process.once('SIGTERM', relay);
  process.once('SIGINT', relay);
  const [code, signal] = await once(child, 'exit');
  process.off('SIGTERM', relay);
  process.off('SIGINT', relay);
  if (code !== 0) {
    console.error(`\n=== FAILED: ${title} (${signal ?? `exit code ${code}`})`);
    process.exit(1);
  }
  // The last step ends with the testers' closing line, which stays last.
  if (title !== 'Tests') {
    console.log(`=== ${title}: in order (${((Date.now() - startedAt) / 1000).toFixed(1)} s)`);
  }
}
