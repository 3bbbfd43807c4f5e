// The agent in an emulated machine, as a user has it there: the Debian package of this checkout, started by the machine's systemd.

import { stringify } from 'yaml';
import type { Ssh } from './ssh.ts';

const CONFIG = '/etc/vbs/agent.yaml';
const KUBECONFIG = '/etc/vbs/kubeconfig';
const LOG_FILE = '/var/log/vbs-agent.log';
export const STATE_DIR = '/var/lib/vbs';
const UNIT = 'vbs-node-agent';
const PREPARE_LIMIT_MS = 600_000;
/** An agent that ends waits up to five minutes for its commands. */
const UPGRADE_LIMIT_MS = 900_000;
/** What it says goes to a file, which is read on from where it was read to. */
const DROP_IN = `[Service]
StandardOutput=append:${LOG_FILE}
StandardError=append:${LOG_FILE}
`;

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

  /** Installs the package, over another one if need be, and gives the agent an empty past. It is not started. */
  async install(config: object, file: string): Promise<void> {
    await this.stop();
    await this.#ssh.succeed(`rm -rf ${STATE_DIR} ${LOG_FILE} ${KUBECONFIG}`);
    this.#readBytes = 0;
    await this.upgrade(file);
    await this.#ssh.write(`/etc/systemd/system/${UNIT}.service.d/log.conf`, DROP_IN, '644');
    await this.#ssh.write(CONFIG, stringify({ kubeconfig: KUBECONFIG, stateDir: STATE_DIR, ...config }));
    await this.#ssh.succeed('systemctl daemon-reload');
  }

  /** To this package, while it runs; without a question about the configuration, which is ours. */
  async upgrade(file: string): Promise<void> {
    const there = '/root/vbs-node-agent.deb';
    await this.#ssh.copy(file, there);
    await this.#ssh.succeed(`dpkg --force-confold -i ${there} && rm ${there}`, {
      timeoutMs: UPGRADE_LIMIT_MS,
    });
  }

  /** Looks at the host as an administrator does first; answers the last line. Throws when something would have to be changed. */
  async check(): Promise<string> {
    return (await this.#ssh.succeed(`${UNIT} check --config ${CONFIG}`)).trim().split('\n').at(-1) ?? '';
  }

  /** Gives the host its identity, by a token that an administrator made for it. */
  async enroll(server: string, ca: string, token: string): Promise<void> {
    const caFile = '/root/ca.crt';
    await this.#ssh.write(caFile, ca);
    await this.#ssh.succeed(`${UNIT} enroll --config ${CONFIG} --server ${server} --ca-file ${caFile}`, {
      stdin: token,
    });
  }

  async preparePools(): Promise<void> {
    await this.#ssh.succeed(`${UNIT} prepare-pools --config ${CONFIG}`, { timeoutMs: PREPARE_LIMIT_MS });
  }

  async start(): Promise<void> {
    await this.#ssh.succeed(`systemctl start ${UNIT}`);
  }

  /** Asks the agent to end and waits for it; nothing happens when it does not run. */
  async stop(): Promise<void> {
    await this.#ssh.run(`systemctl stop ${UNIT}`, { timeoutMs: 360_000 });
  }

  /** As after a crash: systemd starts it again. */
  async kill(): Promise<void> {
    await this.#ssh.succeed(`systemctl kill --kill-whom=main --signal=KILL ${UNIT}`);
  }

  /** It does nothing, as one that is cut off from everything; or goes on. */
  async freeze(isFrozen: boolean): Promise<void> {
    await this.#ssh.succeed(`systemctl kill --kill-whom=main --signal=${isFrozen ? 'STOP' : 'CONT'} ${UNIT}`);
  }

  /** The manifests of what the host holds. The agent does not run afterwards. */
  async adopt(): Promise<string> {
    await this.stop();
    return await this.#ssh.succeed(`${UNIT} adopt --config ${CONFIG}`);
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
}

/** What systemd or Node itself says there is no JSON. */
const parsed = (line: string): Record<string, unknown> | undefined => {
  if (!line.startsWith('{')) {
    return undefined;
  }
  return JSON.parse(line) as Record<string, unknown>;
};
