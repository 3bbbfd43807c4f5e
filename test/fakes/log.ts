import type { Log } from '../../runtime/log.ts';

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

/** A log that keeps what it is told. */
export function recordingLog(): { readonly log: Log; readonly lines: readonly LogLine[] } {
  const lines: LogLine[] = [];
  const write =
    (level: LogLine['level'], bound: object) =>
    (fields: object, message: string): void => {
      lines.push({ level, fields: { ...bound, ...fields }, message });
    };
  const make = (bound: object): Log => ({
    debug: write('debug', bound),
    info: write('info', bound),
    warn: write('warn', bound),
    error: write('error', bound),
    child: (fields) => make({ ...bound, ...fields }),
  });
  return { log: make({}), lines };
}
