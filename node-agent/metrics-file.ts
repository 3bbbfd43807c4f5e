// Agents listen on no port: their metrics go to a file, for the textfile collector of Prometheus' node exporter, which reads
// `*.prom` and tells itself how old each file is.
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { errorCode, type Files } from './exec/files.ts';

/** As often as Prometheus usually asks. */
const EVERY_MS = 15_000;

export interface MetricsFile {
  readonly path: string;
  readonly metrics: Pick<Metrics, 'text'>;
  readonly files: Pick<Files, 'writeAtomic' | 'unlink'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Writes until the signal fires, and takes the file away at the end. Never rejects: a full disk stops no agent. */
export async function keepMetricsFile(file: MetricsFile, signal: AbortSignal): Promise<void> {
  const { path, metrics, files, clock, log } = file;
  let isFailing = false;
  while (!signal.aborted) {
    try {
      await files.writeAtomic(path, await metrics.text(), 0o644);
      isFailing = false;
    } catch (error) {
      if (!isFailing) {
        log.warn({ err: error, path }, 'Cannot write the metrics file');
      }
      isFailing = true;
    }
    await clock.sleep(EVERY_MS, signal).catch(() => {});
  }
  await files.unlink(path).catch((error) => {
    if (errorCode(error) !== 'ENOENT') {
      log.warn({ err: error, path }, 'Cannot remove the metrics file');
    }
  });
}
