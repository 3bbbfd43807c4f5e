// The agent in an emulated machine: its sources as they are in this checkout, run by the machine's systemd.

import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { waitFor } from '../process.ts';
import { RUNTIME } from './runtime-disk.ts';
import type { Ssh } from './ssh.ts';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const PLACE = '/opt/vbs';
const CONFIG = '/etc/vbs/agent.yaml';
const LOG_FILE = '/var/log/vbs-agent.log';
export const STATE_DIR = '/var/lib/vbs';
const UNIT = 'vbs-node-agent';
const PREPARE_LIMIT_MS = 600_000;
/** A shell's exit code when a signal ended its command. In emulation Node itself crashes now and then as it starts; systemd starts the agent again. */
const SIGNALLED = 128;

/** One step of a profile's verb, as the agent ran it. */
export interface RanStep {
  readonly profile: string;
  readonly verb: string;
  readonly tool: string;
  readonly outcome: string;
  readonly durationMs: number;
  readonly argv: readonly string[];
}

export class LabAgent {
  readonly #ssh: Ssh;
  #readBytes = 0;

  constructor(ssh: Ssh) {
    this.#ssh = ssh;
  }

  /** Copies this checkout's agent into the machine and gives it an empty past. */
  async install(config: object, kubeconfig: string): Promise<void> {
    await this.stop();
    await this.#ssh.succeed(`rm -rf ${PLACE} ${STATE_DIR} ${LOG_FILE} && mkdir -p ${PLACE}`);
    this.#readBytes = 0;
    const options = { cwd: ROOT, encoding: 'buffer' as const, maxBuffer: 64 * 1024 ** 2 };
    const owner = ['--owner=0', '--group=0', '--mode=go-w'];
    const archive = ['-cz', ...owner, 'node-agent', 'api', 'runtime', 'package.json'];
    const { stdout } = await promisify(execFile)('tar', archive, options);
    await this.#ssh.succeed(`tar -xz -C ${PLACE} && ln -s ${RUNTIME.modules} ${PLACE}/node_modules`, {
      stdin: stdout,
    });
    await this.#ssh.write('/etc/vbs/kubeconfig', kubeconfig);
    await this.#ssh.write(
      CONFIG,
      stringify({ kubeconfig: '/etc/vbs/kubeconfig', stateDir: STATE_DIR, ...config }),
    );
  }

  async preparePools(): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      const { exitCode, stderr } = await this.#ssh.run(this.#command('prepare-pools'), {
        timeoutMs: PREPARE_LIMIT_MS,
      });
      if (exitCode === 0) {
        return;
      }
      if (exitCode < SIGNALLED || tries === 3) {
        throw new Error(`prepare-pools: exit code ${exitCode}\n${stderr}`);
      }
    }
  }

  async start(): Promise<void> {
    const service = [
      'KillMode=mixed',
      'TimeoutStopSec=60',
      'Restart=on-failure',
      'RestartPreventExitStatus=2',
    ];
    const output = [`StandardOutput=append:${LOG_FILE}`, `StandardError=append:${LOG_FILE}`];
    const properties = [...service, ...output].map((one) => `--property=${one}`).join(' ');
    await this.#ssh.succeed(`systemd-run --quiet --unit=${UNIT} ${properties} ${this.#command('run')}`);
  }

  /** Asks the agent to end and waits for it; nothing happens when it does not run. */
  async stop(): Promise<void> {
    await this.#ssh.run(`systemctl stop ${UNIT}`, { timeoutMs: 300_000 });
    await waitFor({ what: `${UNIT} to end`, timeoutMs: 300_000, intervalMs: 500 }, async () => {
      const { stdout } = await this.#ssh.run(`systemctl is-active ${UNIT}`);
      return ['inactive', 'failed'].includes(stdout.trim());
    });
    await this.#ssh.run(`systemctl reset-failed ${UNIT}`);
  }

  /** What it ran since this was last asked. */
  async steps(): Promise<readonly RanStep[]> {
    const text = await this.#ssh.succeed(`tail -c +${this.#readBytes + 1} ${LOG_FILE}`);
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    this.#readBytes += Buffer.byteLength(whole);
    return whole.split('\n').flatMap((line) => {
      const entry = parsed(line);
      return entry?.msg === 'Ran step' ? [entry as unknown as RanStep] : [];
    });
  }

  async log(): Promise<string> {
    return (await this.#ssh.run(`cat ${LOG_FILE}`)).stdout;
  }

  #command(command: 'run' | 'prepare-pools'): string {
    return `${RUNTIME.node} --no-warnings ${PLACE}/node-agent/main.ts ${command} --config ${CONFIG}`;
  }
}

/** What systemd or Node itself says there is no JSON. */
const parsed = (line: string): Record<string, unknown> | undefined => {
  if (!line.startsWith('{')) {
    return undefined;
  }
  return JSON.parse(line) as Record<string, unknown>;
};
