// Single requests to a real API server under a given identity, with the whole answer: for tests of what it refuses and why.
import { readFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Answer {
  readonly status: number;
  /** What a refusal says; empty when the request was granted. */
  readonly message: string;
  readonly warnings: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path and query. */
  readonly path: string;
  readonly body?: unknown;
  /** The media type of the body: a JSON merge patch for PATCH, JSON otherwise. */
  readonly type?: string;
  /** For impersonation. */
  readonly headers?: Readonly<Record<string, string>>;
}

interface Kubeconfig {
  readonly clusters: readonly [{ cluster: { server: string; 'certificate-authority-data': string } }];
  readonly users: readonly [
    { user: { token?: string; 'client-certificate-data'?: string; 'client-key-data'?: string } },
  ];
}

export class Caller {
  readonly #server: string;
  readonly #token: string | undefined;
  readonly #agent: Agent;

  constructor(kubeconfig: Kubeconfig) {
    const { cluster } = kubeconfig.clusters[0];
    const { user } = kubeconfig.users[0];
    const decode = (data: string | undefined) =>
      data === undefined ? undefined : Buffer.from(data, 'base64').toString();
    this.#server = cluster.server;
    this.#token = user.token;
    this.#agent = new Agent({
      keepAlive: true,
      maxSockets: 8,
      ca: decode(cluster['certificate-authority-data']),
      cert: decode(user['client-certificate-data']),
      key: decode(user['client-key-data']),
    });
  }

  /** From a kubeconfig as the test harness writes it. */
  static async from(file: string): Promise<Caller> {
    return new Caller(JSON.parse(await readFile(file, 'utf8')) as Kubeconfig);
  }

  /** Asks again while the API server is too busy to answer, as it is about a kind which was just defined. */
  async call(call: Call): Promise<Answer> {
    for (let tries = 1; ; tries += 1) {
      const answer = await this.#once(call);
      if (answer.status !== 429 || tries === 100) {
        return answer;
      }
      await sleep(50);
    }
  }

  async #once({ method, path, body, type, headers = {} }: Call): Promise<Answer> {
    const media = type ?? (method === 'PATCH' ? 'application/merge-patch+json' : 'application/json');
    const options = {
      method,
      agent: this.#agent,
      timeout: 30_000,
      headers: {
        ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
        ...(body === undefined ? {} : { 'content-type': media }),
        ...headers,
      },
    };
    return await new Promise((resolve, reject) => {
      const sent = request(`${this.#server}${path}`, options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const warnings = String(response.headers.warning ?? '');
          resolve({ status: response.statusCode ?? 0, warnings, ...read(text, response.statusCode ?? 0) });
        });
      });
      sent.on('timeout', () => sent.destroy(new Error(`${method} ${path}: no answer within 30 s`)));
      sent.on('error', reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

function read(text: string, status: number): Pick<Answer, 'body' | 'message'> {
  let body: Record<string, unknown> = {};
  try {
    body = JSON.parse(text);
  } catch {
    // A refusal before the API's own handlers is plain text.
  }
  return { body, message: status < 400 ? '' : String(body.message ?? text) };
}
