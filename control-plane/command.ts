// The only file of the control plane that starts processes: argument arrays, never a shell, and a deadline on each.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface CommandOptions {
  readonly stdin?: string;
  readonly timeoutMs?: number;
}

export interface CommandOutput {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Resolves for every command that ended by itself, whatever its exit code. */
export type RunCommand = (
  file: string,
  args: readonly string[],
  options?: CommandOptions,
) => Promise<CommandOutput>;

const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
const LIMIT_MS = 120_000;

export const runCommand: RunCommand = async (file, args, { stdin = '', timeoutMs = LIMIT_MS } = {}) => {
  const child = spawn(file, args, {
    env: { PATH, LC_ALL: 'C', HOME: '/root', KUBERC: 'off' },
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  child.stdin.on('error', () => {}); // a command that reads no input may close it; its exit code tells
  child.stdin.end(stdin);
  const [exitCode, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (exitCode === null) {
    throw new OperationError(
      `${file} ${args.join(' ')}: ended by ${signal} after ${timeoutMs / 1000} s at most`,
    );
  }
  return { exitCode, ...output };
};

/** Something on this machine did not do its part. The message says what, and where to look. */
export class OperationError extends Error {
  override readonly name = 'OperationError';
}

/** Answers what it printed; throws with what it complained of when its exit code is not 0. */
export async function succeed(
  run: RunCommand,
  file: string,
  args: readonly string[],
  options?: CommandOptions,
): Promise<string> {
  const { exitCode, stdout, stderr } = await run(file, args, options);
  if (exitCode !== 0) {
    throw new OperationError(
      `${file} ${args.join(' ')}: exit code ${exitCode}: ${stderr.trim() || stdout.trim() || 'it said nothing'}`,
    );
  }
  return stdout;
}

/** In our place at the terminal. Answers the exit code. */
export async function passThrough(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const child = spawn(file, args, { stdio: 'inherit', env: { ...process.env, ...env } });
  const ignore = () => {}; // the terminal tells both of us; it is the child's to end
  process.on('SIGINT', ignore);
  try {
    const [exitCode] = (await once(child, 'close')) as [number | null];
    return exitCode ?? 1;
  } finally {
    process.off('SIGINT', ignore);
  }
}
