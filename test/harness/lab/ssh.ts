// Commands in an emulated machine, all over one SSH connection: a handshake of its own for each would cost a second.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { appendFile, readFile, stat } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ended, type RunningProcess, runCommand, startProcess, waitFor } from '../process.ts';

export interface SshOptions {
  /** Names the machine in errors and files. */
  readonly name: string;
  /** On 127.0.0.1. */
  readonly port: number;
  readonly keyFile: string;
  /** The work directory: control socket, log, and the transcript `<name>.commands.log`. */
  readonly dir: string;
}

export interface SshAnswer {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

export interface SshCommandOptions {
  readonly stdin?: string | Buffer;
  readonly timeoutMs?: number;
}

/** As which the machines reach this machine's 127.0.0.1: QEMU's user-mode network. */
export const OUTSIDE = '10.0.2.2';
const COMMAND_LIMIT_MS = 300_000;
const TRY_SECONDS = 3;
/** The machine is made anew for each run and is reached through a port of our own. */
const TRUSTING = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR'];

/** Makes a key pair for this run and answers the file of the private half. */
export const makeKey = async (dir: string): Promise<string> => {
  const file = path.join(dir, 'ssh-key');
  await runCommand('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'vbs', '-f', file]);
  return file;
};

/** The base64 text of the public half. */
export const publicKeyOf = async (keyFile: string): Promise<string> =>
  (await readFile(`${keyFile}.pub`, 'utf8')).split(' ')[1] ?? '';

export class Ssh {
  readonly #options: SshOptions;
  readonly #common: readonly string[];
  #master: RunningProcess | undefined;

  constructor(options: SshOptions) {
    this.#options = options;
    const socket = path.join(options.dir, `${options.name}.ssh`);
    const settings = [
      ...TRUSTING,
      'BatchMode=yes',
      `IdentityFile=${options.keyFile}`,
      `ControlPath=${socket}`,
    ];
    this.#common = ['-F', 'none', '-p', String(options.port), ...settings.flatMap((one) => ['-o', one])];
  }

  get name(): string {
    return this.#options.name;
  }

  /** Connects, again and again until the machine answers. `machine` ends the wait when it dies. */
  async open(timeoutMs: number, machine?: RunningProcess): Promise<void> {
    const { name, dir } = this.#options;
    const what = `${name} to answer by SSH`;
    const limits = {
      what,
      timeoutMs,
      intervalMs: 200,
      ...(machine === undefined ? {} : { process: machine }),
    };
    await waitFor(limits, async () => {
      if (this.#master?.isRunning() !== true) {
        const once = ['-o', `ConnectTimeout=${TRY_SECONDS}`, '-o', 'ServerAliveInterval=30', '-N', '-M'];
        const command = ['ssh', ...this.#common, ...once, 'root@127.0.0.1'] as const;
        this.#master = await startProcess({ name: `${name}.ssh`, command, dir });
      }
      await runCommand('ssh', [...this.#common, '-O', 'check', 'root@127.0.0.1'], { timeoutMs: 5_000 });
      return true;
    });
  }

  async close(): Promise<void> {
    await this.#master?.stop(2_000);
  }

  /** Runs a shell command and answers whatever became of it; throws only when it did not end in time. */
  async run(command: string, options: SshCommandOptions = {}): Promise<SshAnswer> {
    const { stdin = '', timeoutMs = COMMAND_LIMIT_MS } = options;
    const startedAt = performance.now();
    const child = spawn('ssh', [...this.#common, 'root@127.0.0.1', command], {
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    const { stdout, stderr, code, signal } = await ended(child, stdin);
    const answer = { exitCode: code ?? -1, stdout, stderr, ms: performance.now() - startedAt };
    await this.#note(command, signal ?? `exit code ${code}`, answer);
    if (code === null) {
      throw new Error(`${this.#options.name}: no end after ${timeoutMs / 1000} s: ${command}`);
    }
    return answer;
  }

  /** Starts a shell command that is spoken to for as long as it is needed. */
  start(command: string): ChildProcessWithoutNullStreams {
    return spawn('ssh', [...this.#common, 'root@127.0.0.1', command]);
  }

  /** Runs a shell command and answers its standard output; throws with its standard error unless its exit code is 0. */
  async succeed(command: string, options: SshCommandOptions = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(command, options);
    if (exitCode !== 0) {
      const said = stderr.trim() || stdout.trim();
      throw new Error(`${this.#options.name}: exit code ${exitCode} of ${command.slice(0, 300)}\n${said}`);
    }
    return stdout;
  }

  async write(file: string, text: string | Buffer, mode = '600'): Promise<void> {
    await this.succeed(
      `umask 077; mkdir -p '${path.dirname(file)}' && cat >'${file}' && chmod ${mode} '${file}'`,
      {
        stdin: text,
      },
    );
  }

  /** Copies a large file into the machine, past the cipher: emulated, it takes a minute for what takes seconds without. */
  async copy(from: string, to: string): Promise<void> {
    const server = createServer((socket) => {
      pipeline(createReadStream(from), socket).catch(() => {}); // the copy falls short, and its size tells
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      const { port } = server.address() as AddressInfo;
      await this.succeed(`bash -c 'cat </dev/tcp/${OUTSIDE}/${port} >"${to}"'`);
    } finally {
      server.close();
    }
    const { size } = await stat(from);
    await this.succeed(`[ $(stat -c %s '${to}') -eq ${size} ]`);
  }

  async #note(command: string, end: string, { stdout, stderr, ms }: SshAnswer): Promise<void> {
    const { dir, name } = this.#options;
    const lines = [`$ ${command}`, stdout, stderr, `# ${end}, ${(ms / 1000).toFixed(2)} s`].filter(Boolean);
    await appendFile(
      path.join(dir, `${name}.commands.log`),
      `${lines.map((one) => one.trimEnd()).join('\n')}\n`,
    );
  }
}
