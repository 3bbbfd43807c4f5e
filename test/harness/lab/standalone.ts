// A control plane in an emulated machine, as a shop without Kubernetes has it: its Debian package, and nothing else of ours.

import type { Ssh } from './ssh.ts';

const PROGRAM = 'vbs-control-plane';
/** Emulated, the API server takes a minute to start. */
const LIMIT_MS = 1_800_000;
const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

export class LabControlPlane {
  readonly #ssh: Ssh;

  constructor(ssh: Ssh) {
    this.#ssh = ssh;
  }

  /** As new, whatever an earlier run left. */
  async install(deb: string): Promise<void> {
    await this.#ssh.run(`dpkg --purge ${PROGRAM}`);
    await this.#ssh.succeed(
      'rm -rf /var/lib/vbs-control-plane /var/backups/vbs /etc/vbs/pki /etc/vbs/control-plane.yaml /etc/vbs/admin.kubeconfig',
    );
    await this.upgrade(deb);
  }

  /** To this package, over another one. Answers what dpkg and the package said. */
  async upgrade(deb: string): Promise<string> {
    const there = `/root/${PROGRAM}.deb`;
    await this.#ssh.copy(deb, there);
    return await this.#ssh.succeed(`dpkg -i ${there} 2>&1 && rm ${there}`, { timeoutMs: LIMIT_MS });
  }

  /** As typed by an administrator. */
  async run(...args: readonly string[]): Promise<string> {
    return await this.#ssh.succeed([PROGRAM, ...args.map(quoted)].join(' '), { timeoutMs: LIMIT_MS });
  }

  /** What it says when something is not well. */
  async refusal(...args: readonly string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.#ssh.run([PROGRAM, ...args.map(quoted)].join(' '), {
      timeoutMs: LIMIT_MS,
    });
    if (exitCode === 0) {
      throw new Error(`${PROGRAM} ${args.join(' ')} succeeded: ${stdout}`);
    }
    return stdout + stderr;
  }

  /** Ends the command with SIGKILL after so many seconds, unless it has ended before. */
  async killedAfter(seconds: number, ...args: readonly string[]): Promise<void> {
    await this.#ssh.run(`timeout --signal=KILL ${seconds} ${[PROGRAM, ...args.map(quoted)].join(' ')}`, {
      timeoutMs: LIMIT_MS,
    });
  }

  async kubectl(args: readonly string[], stdin?: string): Promise<string> {
    const line = [PROGRAM, 'kubectl', ...args.map(quoted)].join(' ');
    return await this.#ssh.succeed(line, { timeoutMs: LIMIT_MS, ...(stdin === undefined ? {} : { stdin }) });
  }

  async apply(...objects: readonly object[]): Promise<void> {
    await this.kubectl(['apply', '-f', '-'], objects.map((one) => JSON.stringify(one)).join('\n'));
  }

  async volumeID(name: string): Promise<string> {
    return await this.kubectl(['get', `vbsvol/${name}`, '-o', 'jsonpath={.status.volumeID}']);
  }

  async ready(...refs: readonly string[]): Promise<void> {
    await this.kubectl(['wait', '--for=condition=Ready', '--timeout=900s', ...refs]);
  }
}
