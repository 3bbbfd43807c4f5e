import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/** Undefined: fine. A sentence: what is wrong. */
export type Probe = () => string | undefined;

export interface HttpOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Answering at all proves that the event loop turns; these say more. A failure asks for a restart. */
  readonly healthy: Readonly<Record<string, Probe>>;
  /** A failure keeps work away. */
  readonly ready: Readonly<Record<string, Probe>>;
  readonly metrics: Pick<Metrics, 'text' | 'contentType'>;
  readonly log: Log;
}

export interface HttpServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Serves /healthz, /readyz and /metrics. Rejects when the address cannot be bound. */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const server = createServer((request, response) => {
    answer(request.url ?? '/', response, options).catch((error) => {
      options.log.error({ err: error }, 'Cannot answer');
      response.destroy();
    });
  });
  server.requestTimeout = 10_000;
  await listening(server, options);
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** For `healthy`: the watch loops still try. An unreachable server is no reason to restart; a stuck loop is. */
export function loopsAlive(
  reflectors: readonly { readonly resource: { readonly plural: string }; lastActivityAgeMs(): number }[],
  longestMs = 180_000,
): Probe {
  return () => {
    const stuck = reflectors.find(
      (reflector) =>
        Number.isFinite(reflector.lastActivityAgeMs()) && reflector.lastActivityAgeMs() > longestMs,
    );
    return stuck === undefined
      ? undefined
      : `no sign of life from the watch of ${stuck.resource.plural} for ${Math.round(stuck.lastActivityAgeMs() / 1000)} s`;
  };
}

async function answer(url: string, response: ServerResponse, options: HttpOptions): Promise<void> {
  const path = url.split('?')[0];
  if (path === '/metrics') {
    response.setHeader('content-type', options.metrics.contentType);
    response.end(await options.metrics.text());
    return;
  }
  const probes = path === '/healthz' ? options.healthy : path === '/readyz' ? options.ready : undefined;
  if (probes === undefined) {
    response.writeHead(404).end('not found\n');
    return;
  }
  const troubles = Object.entries(probes).flatMap(([name, probe]) => {
    const trouble = probe();
    return trouble === undefined ? [] : [`${name}: ${trouble}`];
  });
  response.writeHead(troubles.length === 0 ? 200 : 503, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(troubles.length === 0 ? 'ok\n' : `${troubles.join('\n')}\n`);
}

function listening(server: Server, { host, port }: HttpOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
