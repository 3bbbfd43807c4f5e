// The controller as a program: reads the configuration, serves health and metrics, stops in order.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { createApi } from '../runtime/api.ts';
import { systemClock } from '../runtime/clock.ts';
import type { RequestSeen } from '../runtime/door.ts';
import { ConfigError } from '../runtime/errors.ts';
import { type HttpServer, loopsAlive, startHttp } from '../runtime/http.ts';
import { createLog, type Log } from '../runtime/log.ts';
import { Metrics } from '../runtime/metrics.ts';
import { installShutdown } from '../runtime/shutdown.ts';
import { type Caches, reflectorsOf } from './caches.ts';
import { checkInstallation } from './check.ts';
import { type ControllerConfig, loadControllerConfig } from './config.ts';
import { createController } from './controller.ts';

const accessOf = ({ kubeconfig }: ControllerConfig, log: Log) => ({
  log,
  clock: systemClock,
  ...(kubeconfig === undefined ? {} : { kubeconfigPath: kubeconfig }),
});

/** Runs until the signal fires or leadership is lost. Rejects when the health port cannot be bound. */
export async function runController(
  config: ControllerConfig,
  log: Log,
  signal: AbortSignal,
): Promise<'lost' | 'stopped'> {
  const clock = systemClock;
  const metrics = new Metrics({ ofProcess: true });
  const onRequest = (request: RequestSeen) => metrics.requested(request);
  const api = createApi({ ...accessOf(config, log), userAgent: 'vbs-controller', onRequest });
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

const USAGE = `usage: vbs-controller --config FILE          runs until it is stopped
       vbs-controller check --config FILE    tells whether the installation works; changes nothing
`;

/** Answers the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parsed(args);
  if (values.config === undefined || positionals.some((word) => word !== 'check') || positionals.length > 1) {
    process.stderr.write(USAGE);
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
  if (positionals.length > 0) {
    return await check(config);
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

function parsed(args: readonly string[]): {
  readonly values: { readonly config?: string | undefined };
  readonly positionals: readonly string[];
} {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { config: { type: 'string' } },
    });
  } catch (error) {
    process.stderr.write(`vbs-controller: ${error instanceof Error ? error.message : String(error)}\n`);
    return { values: {}, positionals: [] };
  }
}

async function check(config: ControllerConfig): Promise<number> {
  const log = createLog({ level: 'error', name: 'check' });
  const api = createApi({ ...accessOf(config, log), userAgent: 'vbs-controller-check' });
  try {
    const write = (line: string) => process.stdout.write(`${line}\n`);
    return await checkInstallation({
      api,
      clock: systemClock,
      namespace: config.namespace,
      write,
      signal: AbortSignal.timeout(60_000),
    });
  } finally {
    await api.close();
  }
}

if (import.meta.main) {
  process.exitCode = await main(process.argv.slice(2));
}
