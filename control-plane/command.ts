// The only file of the control plane that starts processes: argument arrays, never a shell, and a deadline on each.
import { type ExecaError, execa, type Result } from 'execa';

export interface CommandOptions {
  readonly stdin?: string;
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

/** As the administrator of the control plane that is here; answers what it printed. */
export type Kubectl = (args: readonly string[], stdin?: string) => Promise<string>;

const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
/** Ends what hangs: some of them read and write a whole store. */
const LIMIT_MS = 900_000;

export const runCommand: RunCommand = async (file, args, { stdin = '' } = {}) => {
  const result = await execa(file, args, {
    env: { PATH, LC_ALL: 'C', HOME: '/root', KUBERC: 'off' },
    extendEnv: false,
    input: stdin,
    stripFinalNewline: false,
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
    reject: false,
  });
  if (result.exitCode === undefined) {
    throw new OperationError(`${file} ${args.join(' ')}: ${whyNotEnded(result)}`);
  }
  return { exitCode: result.exitCode, stdout: result.stdout, stderr: result.stderr };
};

const whyNotEnded = ({ timedOut, signal, code }: Result | ExecaError): string =>
  timedOut
    ? `not done after ${LIMIT_MS / 1000} s`
    : signal === undefined
      ? `did not start (${code})`
      : `ended by ${signal}`;

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
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const ignore = () => {}; // the terminal tells both of us; it is the child's to end
  process.on('SIGINT', ignore);
  try {
    const { exitCode } = await execa(file, args, { stdio: 'inherit', env, reject: false });
    return exitCode ?? 1;
  } finally {
    process.off('SIGINT', ignore);
  }
}

/**
 * Runs `work` while nobody else holds this directory, which is waited for. The kernel lets go of it when we end, however that is: the
 * holder lives as long as its standard input. Throws OperationError when it is held for longer than the limit.
 */
export async function whileHolding<T>(
  directory: string,
  limitSeconds: number,
  work: () => Promise<T>,
): Promise<T> {
  const wait = `--timeout=${limitSeconds}`;
  const holder = execa('flock', ['--exclusive', wait, directory, 'sh', '-c', 'echo held; exec cat'], {
    env: { PATH },
    extendEnv: false,
    reject: false,
  });
  const held = new Promise<undefined>((resolve) => holder.stdout.once('data', () => resolve(undefined)));
  const ended = await Promise.race([held, holder]);
  if (ended !== undefined) {
    throw new OperationError(
      `another process holds ${directory}, and has for long; see pgrep -af vbs-control-plane (flock: exit code ${ended.exitCode} ${ended.stderr})`,
    );
  }
  try {
    return await work();
  } finally {
    holder.stdin.end();
    await holder;
  }
}
