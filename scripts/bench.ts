// Figures of the control plane at full size: 5,000 Volumes and 1,000 Attachments. The same file that `npm test` runs at a
// reduced size; what it prints is in docs/development.md.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

const runner = path.join(import.meta.dirname, 'test.ts');
const child = spawn(process.execPath, [runner, '--tier', 'integration', 'integration/scale'], {
  env: { ...process.env, VBS_SCALE: 'full' },
  stdio: ['ignore', 'inherit', 'inherit'],
});
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => child.kill(signal));
}
const [code] = await once(child, 'exit');
process.exitCode = code ?? 1;
