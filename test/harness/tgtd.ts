// A private tgtd: its own control port (which names its control socket) and its own
// portal on 127.0.0.1. The machine's tgtd, if any, uses control port 0 and portal 3260.

import { rm } from 'node:fs/promises';
import path from 'node:path';
import { exists } from './cache.ts';
import { freePortBetween } from './ports.ts';
import { type Log, type RunningProcess, runCommand, startProcess, waitFor } from './process.ts';
import { noteOutside } from './workdir.ts';

export interface TgtdOptions {
  readonly dir: string;
  readonly log: Log;
}

const socketFolder = '/var/run/tgtd';
const startLimitMs = 15_000;
const portsToTry = 20;
// tgtd takes no control port above 32767; above 20000 little else listens.
const ports = { lowest: 20_000, highest: 32_767 };

/** Starts a tgtd without targets and returns when it answers tgtadm. Needs root. */
export const startTgtd = async (options: TgtdOptions): Promise<Tgtd> => {
  const port = await choosePort();
  const tgtd = new Tgtd(options, port);
  await noteOutside(options.dir, socketFilesOf(port));
  await tgtd.restart();
  options.log(`iSCSI target daemon ready on ${tgtd.portal} (tgtadm -C ${tgtd.controlPort})`);
  return tgtd;
};

/** The socket and lock file of a tgtd with that control port. */
const socketFilesOf = (controlPort: number): string[] => {
  const socket = path.join(socketFolder, `socket.${controlPort}`);
  return [socket, `${socket}.lock`];
};

// One number serves as TCP port and as control port: two daemons cannot have the same
// TCP port at a time, so they cannot meet at one control socket either.
const choosePort = async (): Promise<number> => {
  for (let round = 0; round < portsToTry; round += 1) {
    const port = await freePortBetween(ports.lowest, ports.highest);
    const [socket = ''] = socketFilesOf(port);
    if (!(await exists(socket))) {
      return port;
    }
  }
  throw new Error(`no free control port: ${socketFolder} is full of sockets`);
};

export class Tgtd {
  /** For `tgtadm -C` (long form `--control-port`). */
  readonly controlPort: number;
  /** `127.0.0.1:port`. */
  readonly portal: string;
  readonly #options: TgtdOptions;
  #process: RunningProcess | undefined;

  constructor(options: TgtdOptions, port: number) {
    this.#options = options;
    this.controlPort = port;
    this.portal = `127.0.0.1:${port}`;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Runs tgtadm against this daemon and returns its standard output. */
  async tgtadm(args: readonly string[]): Promise<string> {
    return await runCommand('tgtadm', ['-C', String(this.controlPort), ...args]);
  }

  /** Ends the daemon at once (SIGKILL unless told otherwise); its targets are forgotten, sessions cut. */
  async kill(signal?: NodeJS.Signals): Promise<void> {
    await this.#process?.kill(signal);
  }

  /** Starts the daemon again, empty, on the same portal and control port; kills the running one first. */
  async restart(): Promise<void> {
    await this.kill();
    await this.#removeSocket();
    const command = [
      'tgtd',
      '-f',
      '-C',
      String(this.controlPort),
      '--iscsi',
      `portal=${this.portal}`,
    ] as const;
    const tgtd = await startProcess({ name: 'tgtd', command, dir: this.#options.dir });
    this.#process = tgtd;
    await waitFor({ what: 'tgtd to answer', timeoutMs: startLimitMs, process: tgtd }, async () => {
      await this.tgtadm(['--lld', 'iscsi', '--op', 'show', '--mode', 'target']);
      return true;
    });
  }

  /** Ends the daemon and removes its socket. SIGKILL: with targets in use it ignores SIGTERM. */
  async stop(): Promise<void> {
    await this.kill();
    await this.#removeSocket();
  }

  async #removeSocket(): Promise<void> {
    for (const file of socketFilesOf(this.controlPort)) {
      await rm(file, { force: true });
    }
  }
}
