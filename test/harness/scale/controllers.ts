// Controller processes, each with what it says of itself and what it takes of the machine.
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import type { ControlPlane } from '../control-plane.ts';
import { freePort } from '../ports.ts';
import { type RunningProcess, startProcess, waitFor } from '../process.ts';

const MAIN = path.resolve(import.meta.dirname, '../../../controller/main.ts');

export interface ControllerOptions {
  readonly dir: string;
  readonly name: string;
  readonly kubeconfig: string;
  /** What differs from the defaults of the configuration. */
  readonly config?: object;
}

/** The kubeconfig of the controller's own account. */
export const controllerKubeconfig = (controlPlane: ControlPlane): Promise<string> =>
  controlPlane.kubeconfigFor({
    namespace: 'vbs-system',
    serviceAccount: 'vbs-controller',
    name: 'vbs-controller',
  });

export class ControllerProcess {
  readonly port: number;
  readonly #options: ControllerOptions;
  #process: RunningProcess | undefined;

  private constructor(options: ControllerOptions, port: number) {
    this.#options = options;
    this.port = port;
  }

  static async make(options: ControllerOptions): Promise<ControllerProcess> {
    return new ControllerProcess(options, await freePort());
  }

  get process(): RunningProcess {
    if (this.#process === undefined) {
      throw new Error(`${this.#options.name} was not started`);
    }
    return this.#process;
  }

  async start(): Promise<void> {
    const { dir, name, kubeconfig, config = {} } = this.#options;
    const file = path.join(dir, `${name}.yaml`);
    await writeFile(file, stringify({ kubeconfig, http: { port: this.port }, ...config }), { mode: 0o600 });
    const command = [process.execPath, MAIN, '--config', file] as const;
    this.#process = await startProcess({ name, command, dir });
  }

  async kill(): Promise<void> {
    await this.process.kill('SIGKILL');
  }

  async stop(): Promise<void> {
    await this.#process?.stop(30_000);
  }

  /** Milliseconds from now until `/readyz` says that all caches are filled. */
  async untilReady(timeoutMs = 120_000): Promise<number> {
    const startedMs = performance.now();
    const what = `${this.#options.name} to fill its caches`;
    await waitFor({ what, timeoutMs, intervalMs: 10, process: this.process }, async () => {
      const answer = await fetch(`http://127.0.0.1:${this.port}/readyz`, {
        signal: AbortSignal.timeout(5_000),
      });
      return answer.status === 200;
    });
    return performance.now() - startedMs;
  }

  /** The sum of a metric's samples whose labels contain these words; 0 when there is none. */
  async metric(name: string, ...words: readonly string[]): Promise<number> {
    const answer = await fetch(`http://127.0.0.1:${this.port}/metrics`, {
      signal: AbortSignal.timeout(10_000),
    });
    return (await answer.text())
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      .filter((line) => words.every((word) => line.includes(word)))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  /** Resident memory in MiB (proc(5), VmRSS and VmHWM): now, and at its highest. */
  async memoryMiB(): Promise<{ readonly now: number; readonly peak: number }> {
    const status = await readFile(`/proc/${this.process.pid}/status`, 'utf8');
    const kiB = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
    return { now: Math.round(kiB('VmRSS') / 1024), peak: Math.round(kiB('VmHWM') / 1024) };
  }
}
