// Commands for the guest over its serial line; the other end is guest/init.sh.

import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface GuestAnswer {
  readonly exitCode: number;
  /** Standard output and standard error together. */
  readonly stdout: string;
}

const pauseBetweenPingsMs = 250;

/** One connection to one boot of a guest; not to be used after `close`. */
export class SerialLine {
  readonly #socketPath: string;
  readonly #waiting = new Map<string, (answer: GuestAnswer) => void>();
  #socket: Socket | undefined;
  #received = '';
  #count = 0;
  #hasAnswered = false;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** Connects and returns when the guest answers; what it got before it was ready is lost. */
  async open(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (Date.now() < deadline) {
      if (!this.#socket) {
        this.#connect();
      }
      // On a busy machine an answer may always come later than the pause: one to an earlier ping is as good.
      await this.run('true', pauseBetweenPingsMs).catch(() => undefined);
      if (this.#hasAnswered) {
        return;
      }
      await sleep(20);
    }
    this.close();
    throw new Error(`the guest did not answer on ${this.#socketPath} within ${timeoutMs / 1000} s`);
  }

  /** Runs a shell command; commands may overlap. Throws when no answer comes in time (it may still run). */
  async run(command: string, timeoutMs: number): Promise<GuestAnswer> {
    this.#count += 1;
    const id = `${process.pid}-${Date.now().toString(36)}-${this.#count}`;
    const answered = new Promise<GuestAnswer>((resolve) => this.#waiting.set(id, resolve));
    const text = Buffer.from(command).toString('base64');
    this.#socket?.write(`\nRUN ${id} ${text.length}\n${text}\n`);
    const timer = new AbortController();
    const late = sleep(timeoutMs, undefined, { signal: timer.signal });
    try {
      const answer = await Promise.race([answered, late]);
      if (!answer) {
        throw new Error(`the guest did not answer within ${timeoutMs / 1000} s: ${command.slice(0, 200)}`);
      }
      return answer;
    } finally {
      timer.abort();
      late.catch(() => {}); // the abort above
      this.#waiting.delete(id);
    }
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  #connect(): void {
    const socket = connect(this.#socketPath).setEncoding('utf8').unref();
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => {
      if (this.#socket === socket) {
        this.#socket = undefined;
      }
    });
    socket.on('data', (text: string) => this.#receive(text));
    this.#socket = socket;
    this.#received = '';
    this.#hasAnswered = false;
  }

  #receive(text: string): void {
    const lines = (this.#received + text).split('\n');
    this.#received = lines.pop() ?? '';
    for (const line of lines) {
      const found = /^@(\S+) (\d+) (\S*)\r?$/.exec(line);
      if (found) {
        this.#hasAnswered = true;
        const [, id = '', exitCode, output = ''] = found;
        const stdout = Buffer.from(output, 'base64').toString();
        this.#waiting.get(id)?.({ exitCode: Number(exitCode), stdout });
      }
    }
  }
}
