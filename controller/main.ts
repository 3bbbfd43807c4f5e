// The controller as a program: reads the configuration, serves health and metrics, stops in order.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { createApi } from '../runtime/api.ts';
import { systemClock } from '../runtime/clock.ts';
import { ConfigError } from '../runtime/errors.ts';
import { type HttpServer, loopsAlive, startHttp } from '../runtime/http.ts';
import { createLog, type Log } from '../runtime/log.ts';
import { Metrics } from '../runtime/metrics.ts';
import { installShutdown } from '../runtime/shutdown.ts';
import { type Caches, reflectorsOf } from './caches.ts';
import { type ControllerConfig, loadControllerConfig } from './config.ts';
import { createController } from './controller.ts';

/** Runs until the signal fires or leadership is lost. Rejects when the health port cannot be bound. */
export async function runController(
  config: ControllerConfig,
  log: Log,
  signal: AbortSignal,
): Promise<'lost' | 'stopped'> {
  const clock = systemClock;
  const metrics = new Metrics({ ofProcess: true });
  const api = createApi({
    log,
    clock,
    userAgent: 'vbs-controller',
    onRequest: (request) => metrics.requested(request),
    ...(config.kubeconfig === undefined ? {} : { kubeconfigPath: config.kubeconfig }),
  });
  const instance = `${hostname()}-${randomUUID().slice(0, 8)}`;
  const { caches, run } = createController({ config, api, clock, log, metrics, instance });
  const http = await serve({ config, caches, metrics, log, signal });
  const outcome = await run(signal);
  await http.close();
  await api.close();
  return outcome;
}

interface Serving {
  readonly config: ControllerConfig;
  readonly caches: Caches;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly signal: AbortSignal;
}

async function serve({ config, caches, metrics, log, signal }: Serving): Promise<HttpServer> {
  // One that is never filled is of a kind which the CRDs, or our rights, do not have yet.
  const unfilled = () =>
    reflectorsOf(caches)
      .filter(({ hasSynced }) => !hasSynced)
      .map(({ resource }) => resource.plural);
  const http = await startHttp({
    ...config.http,
    healthy: { watches: loopsAlive(reflectorsOf(caches)) },
    ready: {
      caches: () =>
        unfilled().length === 0 ? undefined : `not all caches are filled yet: ${unfilled().join(', ')}`,
      running: () => (signal.aborted ? 'stopping' : undefined),
    },
    metrics,
    log,
  });
  log.info({ port: http.port }, 'Serving health and metrics');
  return http;
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { config: { type: 'string' } } });
  if (values.config === undefined) {
    process.stderr.write('vbs-controller: give a configuration file: --config FILE\n');
    return 2;
  }
  let config: ControllerConfig;
  try {
    config = await loadControllerConfig(values.config);
  } catch (error) {
    if (error instanceof ConfigError) {
      process.stderr.write(`vbs-controller: ${error.message}\n`);
      return 2;
    }
    throw error;
  }
  const log = createLog({ level: config.logLevel, name: 'controller' });
  const { signal } = installShutdown({ log });
  const outcome = await runController(config, log, signal);
  if (outcome === 'lost') {
    log.error({}, 'Leadership lost; leaving, to start afresh');
    return 1;
  }
  return 0;
}

if (import.meta.main) {
  process.exitCode = await main();
}
