// Starts and ends the outside processes of tests and the quickstart. Every child is
// marked by its work directory (an environment variable), dies with this process, and
// is known to the cleanup that runs on exit, on signals and on crashes.

import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { catchExits } from './early-end.ts';

/** Receives one line of progress for a person. */
export type Log = (line: string) => unknown;

/** The environment variable that says to which work directory a process belongs. */
export const workdirMark = 'VBS_WORKDIR';

export interface ProcessOptions {
  /** Names the log file and the errors. */
  readonly name: string;
  readonly command: readonly [file: string, ...args: string[]];
  /** The private work directory; output is appended to `<dir>/<name>.log`. */
  readonly dir: string;
  readonly env?: NodeJS.ProcessEnv;
}

export interface RunningProcess {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  /** Settles, never rejects, with "exit code 1" or "SIGKILL" when the process is gone. */
  readonly exited: Promise<string>;
  isRunning(): boolean;
  /** Sends the signal and waits until the process is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** SIGTERM, then SIGKILL after `graceMs`; returns when the process is gone. */
  stop(graceMs?: number): Promise<void>;
}

const children = new Set<ChildProcess>();

process.on('exit', () => {
  for (const child of children) {
    child.kill('SIGKILL');
  }
});

/**
 * Starts a program in a session of its own (a Ctrl-C at the terminal reaches only us),
 * tied to our life by the kernel: when this process dies in any way, so does it.
 *
 * @throws Error when the program cannot be started.
 */
export const startProcess = async (options: ProcessOptions): Promise<RunningProcess> => {
  const { name, command, dir, env } = options;
  const logFile = path.join(dir, `${name}.log`);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const output = openSync(logFile, 'a', 0o600);
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...command], {
    cwd: dir,
    detached: true,
    env: { ...(env ?? process.env), [workdirMark]: dir },
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  const exited = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => {
      children.delete(child);
      resolve(signal ?? `exit code ${code}`);
    });
  });
  await once(child, 'spawn');
  child.unref(); // a test that forgets to stop it must still be able to end
  children.add(child);
  catchExits();
  return running(child, { name, logFile, exited });
};

const running = (
  child: ChildProcess,
  { name, logFile, exited }: Pick<RunningProcess, 'name' | 'logFile' | 'exited'>,
): RunningProcess => {
  const pid = child.pid ?? 0;
  const isRunning = () => child.exitCode === null && child.signalCode === null;
  const kill = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    child.ref();
    child.kill(signal);
    await exited;
  };
  const stop = async (graceMs = 5000): Promise<void> => {
    child.ref();
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), graceMs);
    await exited;
    clearTimeout(late);
  };
  return { name, pid, logFile, exited, isRunning, kill, stop };
};

export interface Deadline {
  /** What is awaited, for the error: "etcd to answer". */
  readonly what: string;
  readonly timeoutMs: number;
  readonly intervalMs?: number;
  /** Ends the wait early, with the tail of its log, when it is gone. */
  readonly process?: RunningProcess;
}

/**
 * Polls until `probe` returns something other than undefined or false, and returns it.
 * Errors of the probe count as "not yet".
 *
 * @throws Error with the last error of the probe, or the process' last words.
 */
export const waitFor = async <T>(
  { what, timeoutMs, intervalMs = 50, process: watched }: Deadline,
  probe: () => Promise<T | undefined | false>,
): Promise<T> => {
  const deadline = Date.now() + timeoutMs;
  let reason = '';
  while (Date.now() < deadline) {
    if (watched && !watched.isRunning()) {
      throw new Error(`${watched.name} ended (${await watched.exited}):\n${await tail(watched.logFile)}`);
    }
    try {
      const answer = await probe();
      if (answer !== undefined && answer !== false) {
        return answer;
      }
    } catch (error) {
      reason = `: ${error instanceof Error ? error.message : String(error)}`;
    }
    await sleep(intervalMs);
  }
  const lastWords = watched ? `\n${await tail(watched.logFile)}` : '';
  throw new Error(`waited ${timeoutMs / 1000} s for ${what} in vain${reason}${lastWords}`);
};

const tail = async (file: string): Promise<string> =>
  (await readFile(file, 'utf8').catch(() => '')).trimEnd().split('\n').slice(-15).join('\n');

export interface CommandOptions {
  readonly stdin?: string;
  readonly timeoutMs?: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

/** Gives a command its input, and answers all it said and how it ended. */
export const ended = async (
  child: ChildProcessWithoutNullStreams,
  stdin: string | Buffer,
): Promise<{ stdout: string; stderr: string; code: number | null; signal: NodeJS.Signals | null }> => {
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  child.stdin.on('error', () => {}); // a command that reads no input may close it; its exit code tells
  child.stdin.end(stdin);
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { ...output, code, signal };
};

/**
 * Runs a command to its end and returns its standard output.
 *
 * @throws Error with the command's standard error when its exit code is not 0.
 */
export const runCommand = async (
  file: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> => {
  const { stdin, timeoutMs = 60_000, env = process.env, cwd } = options;
  const child = spawn(file, args, {
    env: { ...env, LC_ALL: 'C' },
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    ...(cwd === undefined ? {} : { cwd }),
  });
  children.add(child);
  child.once('exit', () => children.delete(child));
  const { stdout, stderr, code, signal } = await ended(child, stdin ?? '');
  if (code !== 0) {
    const line = [path.basename(file), ...args].join(' ');
    throw new Error(`${line}: ${signal ?? `exit code ${code}`}\n${stderr.trim() || stdout.trim()}`);
  }
  return stdout;
};
