/**
 * The only file that starts processes. Argument arrays, never a shell; a fixed search path, LC_ALL=C and nothing else
 * from our own environment; a deadline on every command.
 */

import { randomUUID } from 'node:crypto';
import { open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { execa } from 'execa';
import { quote, redact } from './redact.ts';

/**
 * What happens when the deadline passes or the caller gives up. `never`: the command is left to end by itself (a
 * killed LVM or iscsiadm command leaves locks and half-made work behind) and the caller waits until the deadline;
 * `term`: SIGTERM, then SIGKILL after 5 s.
 */
export type KillPolicy = 'never' | 'term';

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  /** Given to the command as an unlinked 0600 file, so that it may also open it as /dev/stdin. */
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Strings that must not appear in errors, logs or observations. */
  readonly secrets?: readonly string[];
  /** `never` when absent. */
  readonly kill?: KillPolicy;
  /** Directories to search, separated by colons. */
  readonly path?: string;
}

export interface CommandOutput {
  readonly exitCode: number;
  readonly stdout: string;
  /** Secrets redacted. */
  readonly stderr: string;
}

/** Resolves for every command that ended by itself, whatever its exit code; rejects with a CommandError otherwise. */
export type RunCommand = (command: Command, signal: AbortSignal) => Promise<CommandOutput>;

export const DEFAULT_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
export const OUTPUT_LIMIT_BYTES = 1024 * 1024;
const KILL_GRACE_MS = 5_000;

/** The command gave no answer. It may have done all, part or nothing of its work: look again. */
export class CommandError extends Error {
  override readonly name: string = 'CommandError';
  readonly file: string;
  constructor(file: string, message: string, options?: ErrorOptions) {
    super(`${file}: ${message}`, options);
    this.file = file;
  }
}

/** No such command in the search path. */
export class CommandNotFound extends CommandError {
  override readonly name = 'CommandNotFound';
}

/**
 * The deadline passed (or, with `term`, the caller gave up) and the command still runs. Nobody may start a command of the same lock
 * class before `ended`, which resolves when the process is really gone and never rejects.
 */
export class CommandTimeout extends CommandError {
  override readonly name = 'CommandTimeout';
  readonly ended: Promise<void>;
  constructor(file: string, message: string, ended: Promise<void>) {
    super(file, message);
    this.ended = ended;
  }
}

/** Reads a stream to its end, keeping at most the limit. */
const collect = async (stream: Readable): Promise<{ text: string; overflowed: boolean }> => {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    const buffer = Buffer.from(chunk);
    if (bytes < OUTPUT_LIMIT_BYTES) {
      chunks.push(buffer.subarray(0, OUTPUT_LIMIT_BYTES - bytes));
    }
    bytes += buffer.length;
  }
  return { text: Buffer.concat(chunks).toString('utf8'), overflowed: bytes > OUTPUT_LIMIT_BYTES };
};

/**
 * Node's pipes are sockets, and a socket cannot be opened again through /dev/stdin (ENXIO). A nameless file can, and
 * leaves nothing behind when we die.
 */
const openStdin = async (text: string, directory: string) => {
  const path = join(directory, `.vbs-${randomUUID()}`);
  const handle = await open(path, 'wx+', 0o600);
  try {
    await unlink(path);
    await handle.write(text, 0, 'utf8');
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
};

type Child = ReturnType<typeof start>;

/** execa's types name the descriptors 3 to 9 only; it takes any. */
type Descriptor = 3;

const start = (command: Command, stdin: Descriptor | 'ignore') =>
  execa(command.file, command.args, {
    env: { LC_ALL: 'C', PATH: command.path ?? DEFAULT_PATH, ...command.env },
    extendEnv: false,
    stdin,
    buffer: false,
    reject: false,
    cleanup: command.kill === 'term',
    forceKillAfterDelay: KILL_GRACE_MS,
  });

const finish = async (child: Child, command: Command): Promise<CommandOutput> => {
  const [result, stdout, stderr] = await Promise.all([child, collect(child.stdout), collect(child.stderr)]);
  const said = quote(redact(stderr.text, command.secrets));
  if (result.exitCode === undefined) {
    const why = result.signal === undefined ? `did not start (${result.code})` : `ended by ${result.signal}`;
    const message = said === '' ? why : `${why}: ${said}`;
    throw result.code === 'ENOENT'
      ? new CommandNotFound(command.file, message)
      : new CommandError(command.file, message);
  }
  if (stdout.overflowed || stderr.overflowed) {
    throw new CommandError(command.file, `said more than ${OUTPUT_LIMIT_BYTES} bytes`);
  }
  return { exitCode: result.exitCode, stdout: stdout.text, stderr: redact(stderr.text, command.secrets) };
};

/** Resolves with the reason to stop waiting; never when `stop` is aborted first. */
const givenUp = (timeoutMs: number, signal: AbortSignal | undefined, stop: AbortSignal): Promise<string> =>
  new Promise((resolve) => {
    const timer = setTimeout(() => resolve(`no end after ${timeoutMs} ms`), timeoutMs);
    const onAbort = () => resolve('given up');
    signal?.addEventListener('abort', onAbort, { once: true });
    stop.addEventListener('abort', () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    });
  });

const supervise = async (child: Child, command: Command, signal: AbortSignal): Promise<CommandOutput> => {
  const done = finish(child, command);
  const ended = done.then(
    () => undefined,
    () => undefined,
  );
  const over = new AbortController();
  const caller = command.kill === 'term' ? signal : undefined;
  try {
    const first = await Promise.race([done, givenUp(command.timeoutMs, caller, over.signal)]);
    if (typeof first !== 'string') {
      return first;
    }
    if (command.kill === 'term') {
      child.kill('SIGTERM');
    }
    throw new CommandTimeout(command.file, first, ended);
  } finally {
    over.abort();
  }
};

/**
 * A starter of processes.
 * @param directory where the nameless files for stdin are made; a tmpfs only root can read, such as /run/vbs.
 */
export const createRunCommand =
  (directory: string = tmpdir()): RunCommand =>
  async (command, signal) => {
    signal.throwIfAborted();
    if (command.stdin === undefined) {
      return supervise(start(command, 'ignore'), command, signal);
    }
    const stdin = await openStdin(command.stdin, directory);
    try {
      return await supervise(start(command, stdin.fd as Descriptor), command, signal);
    } finally {
      await stdin.close();
    }
  };

/**
 * This process becomes the program, with its number, its streams and nothing else but the environment given; see execve(2). Returns never: it throws, when
 * the program cannot be started.
 */
export const become = (file: string, args: readonly string[], environment: Record<string, string>): void => {
  if (process.execve === undefined) {
    throw new Error(`this Node (${process.version}) cannot become another program`);
  }
  process.execve(file, [file, ...args], environment);
};
