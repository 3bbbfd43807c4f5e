// A private Prometheus, and promtool: those of Debian.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { freePort } from './ports.ts';
import { type RunningProcess, runCommand, startProcess, waitFor } from './process.ts';

/** What the tests of alerts need besides. */
export const monitoringPackages: readonly string[] = ['prometheus'];

/** Answers what promtool prints; throws with what it complains of. */
export const promtool = (...args: readonly string[]): Promise<string> => runCommand('promtool', [...args]);

export interface PrometheusOptions {
  readonly dir: string;
  /** host:port of whoever serves /metrics. */
  readonly targets: readonly string[];
  readonly ruleFiles: readonly string[];
}

/** One sample of an instant query. */
export interface Answer {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

/** Starts it, and returns when every target was read once. */
export const startPrometheus = async ({
  dir,
  targets,
  ruleFiles,
}: PrometheusOptions): Promise<Prometheus> => {
  const port = await freePort();
  const config = path.join(dir, 'prometheus.yaml');
  await writeFile(
    config,
    stringify({
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: ruleFiles,
      scrape_configs: [{ job_name: 'vbs', static_configs: [{ targets }] }],
    }),
  );
  const command = [
    'prometheus',
    `--config.file=${config}`,
    `--storage.tsdb.path=${path.join(dir, 'prometheus')}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ] as const;
  const process = await startProcess({ name: 'prometheus', command, dir });
  const prometheus = new Prometheus(process, port);
  await waitFor({ what: 'Prometheus to read its targets', timeoutMs: 60_000, process }, async () => {
    const up = await prometheus.query('up == 1');
    return up.length === targets.length;
  });
  return prometheus;
};

export class Prometheus {
  readonly #process: RunningProcess;
  readonly #port: number;

  constructor(process: RunningProcess, port: number) {
    this.#process = process;
    this.#port = port;
  }

  /** @throws Error with the words of Prometheus, as for an expression that it does not understand. */
  async query(expr: string): Promise<readonly Answer[]> {
    const answer = (await this.#get(`query?query=${encodeURIComponent(expr)}`)) as { result: Answer[] };
    return answer.result;
  }

  /** The health of each rule: ok, err or unknown (not looked at yet), by its name. */
  async rules(): Promise<readonly { readonly name: string; readonly health: string }[]> {
    const { groups } = (await this.#get('rules')) as {
      groups: { rules: { name: string; health: string }[] }[];
    };
    return groups.flatMap(({ rules }) => rules);
  }

  async stop(): Promise<void> {
    await this.#process.kill('SIGTERM');
  }

  async #get(what: string): Promise<unknown> {
    const response = await fetch(`http://127.0.0.1:${this.#port}/api/v1/${what}`);
    const { status, data, error } = (await response.json()) as {
      readonly status: string;
      readonly data?: unknown;
      readonly error?: string;
    };
    if (status !== 'success') {
      throw new Error(`${what}: ${error}`);
    }
    return data;
  }
}
