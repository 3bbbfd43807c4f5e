import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { KubeConfig } from '@kubernetes/client-node';
import { Agent, type Dispatcher, ProxyAgent } from 'undici';
import type { Clock } from './clock.ts';
import { startDeadline } from './deadline.ts';
import { ConfigError } from './errors.ts';
import { tokenFileOf } from './kubeconfig.ts';
import type { Log } from './log.ts';

/** What a request needs to be let in. */
export interface Access {
  readonly server: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly dispatcher: Dispatcher;
}

export interface CredentialsOptions {
  readonly kubeconfigPath?: string;
  /** A kubeconfig which is in no file. */
  readonly kubeconfigText?: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Files are read again after this long, not per request. */
const FRESH_MS = 30_000;
/** Token plugins are processes and may hang. */
const OBTAIN_MS = 15_000;

/**
 * Who we are and how to reach the server. Tokens and certificates may be rotated on disk at any time; one
 * connection pool is kept until the TLS material really changes.
 */
export class Credentials {
  readonly #options: CredentialsOptions;
  #config: KubeConfig | undefined;
  #access: Access | undefined;
  #tls: unknown;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<Access> | undefined;

  constructor(options: CredentialsOptions) {
    this.#options = options;
  }

  /** Keeps answering with the last good access when the files cannot be read just now. */
  async current(): Promise<Access> {
    const { clock, log } = this.#options;
    if (this.#access !== undefined && clock.monotonicMs() - this.#readAtMs < FRESH_MS) {
      return this.#access;
    }
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    try {
      return await this.#reading;
    } catch (error) {
      if (this.#access === undefined) {
        throw error;
      }
      log.warn({ err: error }, 'Cannot read the credentials again, keeping the old ones');
      this.#readAtMs = clock.monotonicMs();
      return this.#access;
    }
  }

  /** The server refused them: look at the files again. */
  invalidate(): void {
    this.#readAtMs = Number.NEGATIVE_INFINITY;
  }

  async close(): Promise<void> {
    await this.#access?.dispatcher.destroy();
  }

  async #read(): Promise<Access> {
    const config = this.#load();
    const cluster = config.getCurrentCluster();
    if (cluster === null || !URL.canParse(cluster.server)) {
      throw new ConfigError(`${this.#source()} names no usable cluster; set its current-context and server`);
    }
    const { headers, tls } = await this.#obtain(config);
    const token = await this.#tokenFromFile();
    if (token !== undefined) {
      headers.authorization = `Bearer ${token}`;
    }
    const server = cluster.server.replace(/\/+$/, '');
    const identity = { tls, server, proxy: cluster.proxyUrl };
    const kept = isDeepStrictEqual(identity, this.#tls) ? this.#access?.dispatcher : undefined;
    const dispatcher = kept ?? connectionPool(tls, cluster.proxyUrl);
    if (kept === undefined) {
      // Requests under way finish on the old pool; a watch lives for minutes.
      this.#access?.dispatcher.close().catch(() => {});
    }
    this.#tls = identity;
    this.#access = { server, headers, dispatcher };
    this.#readAtMs = this.#options.clock.monotonicMs();
    return this.#access;
  }

  /** Token plugins keep their token inside the KubeConfig, everything else is read from disk each time. */
  #load(): KubeConfig {
    const user = this.#config?.getCurrentUser();
    if (this.#config !== undefined && (user?.exec !== undefined || user?.authProvider !== undefined)) {
      return this.#config;
    }
    const config = new KubeConfig();
    const { kubeconfigPath, kubeconfigText } = this.#options;
    try {
      if (kubeconfigText !== undefined) {
        config.loadFromString(kubeconfigText);
      } else if (kubeconfigPath !== undefined) {
        config.loadFromFile(kubeconfigPath);
      } else {
        config.loadFromCluster();
      }
    } catch (error) {
      throw new ConfigError(`${this.#source()} cannot be read: ${String(error)}`, { cause: error });
    }
    this.#config = config;
    return config;
  }

  /** What the library leaves out. It wins over everything else, as with kubectl. */
  async #tokenFromFile(): Promise<string | undefined> {
    const { kubeconfigPath } = this.#options;
    if (kubeconfigPath === undefined) {
      return undefined;
    }
    const file = tokenFileOf(await readFile(kubeconfigPath, 'utf8'), kubeconfigPath);
    if (file === undefined) {
      return undefined;
    }
    const token = await readFile(file, 'utf8').catch((error) => {
      throw new ConfigError(`${file}, named in ${kubeconfigPath}, cannot be read: ${String(error)}`, {
        cause: error,
      });
    });
    if (token.trim() === '') {
      throw new ConfigError(`${file}, named in ${kubeconfigPath}, is empty`);
    }
    return token.trim();
  }

  async #obtain(config: KubeConfig): Promise<Material> {
    const deadline = startDeadline(this.#options.clock, OBTAIN_MS, 'obtaining credentials');
    try {
      return await Promise.race([
        materialOf(config),
        new Promise<never>((_, reject) => {
          deadline.signal.addEventListener('abort', () => reject(deadline.signal.reason), { once: true });
        }),
      ]);
    } finally {
      deadline.release();
    }
  }

  #source(): string {
    const { kubeconfigPath, kubeconfigText } = this.#options;
    const other = kubeconfigText === undefined ? 'the service account of this pod' : 'the given kubeconfig';
    return kubeconfigPath ?? other;
  }
}

interface Material {
  readonly headers: Record<string, string>;
  readonly tls: Record<string, unknown>;
}

const TLS_FIELDS = ['ca', 'cert', 'key', 'pfx', 'passphrase', 'rejectUnauthorized', 'servername'] as const;

async function materialOf(config: KubeConfig): Promise<Material> {
  const options: Record<string, unknown> = {};
  await config.applyToHTTPSOptions(options);
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    headers[name.toLowerCase()] = String(value).trim();
  }
  if (typeof options.auth === 'string') {
    headers.authorization = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  }
  const tls = Object.fromEntries(
    TLS_FIELDS.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])),
  );
  return { headers, tls };
}

/**
 * HTTP/1.1 on purpose: undici never leaves a silently dead HTTP/2 connection. Idle connections are dropped after
 * 10 s, because a kept-alive one may be dead too.
 */
function connectionPool(tls: Record<string, unknown>, proxyUrl: string | undefined): Dispatcher {
  const common = { allowH2: false, keepAliveTimeout: 9_000, keepAliveMaxTimeout: 10_000, connections: 64 };
  const connect = { ...tls, timeout: 10_000, keepAlive: true, keepAliveInitialDelay: 30_000 };
  if (proxyUrl !== undefined && proxyUrl !== '') {
    return new ProxyAgent({ ...common, uri: proxyUrl, requestTls: connect });
  }
  return new Agent({ ...common, connect });
}
