import {
  type DestinationStream,
  destination,
  type Logger,
  pino,
  stdSerializers,
  stdTimeFunctions,
} from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Constant message, variable parts as fields; an error goes under `err`. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Log;
}

export interface LogOptions {
  readonly level: LogLevel;
  /** The program: `controller`, `node-agent`. */
  readonly name: string;
  /** Standard output, written at once, when absent. */
  readonly stream?: DestinationStream;
}

const SECRET = /pass(word|wd|phrase)?$|token$|authorization$|cookie$|secret$|key$|keyData$|chap$/i;
const DEEPEST = 6;

/** The only maker of loggers. One JSON object a line, ISO time, level as a word, secret-looking fields masked. */
export function createLog({ level, name, stream }: LogOptions): Log {
  const logger = pino(
    {
      level,
      base: { name },
      timestamp: stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => masked(fields, 0),
      },
      serializers: { err: (error) => masked(stdSerializers.err(error), 0) },
    },
    stream ?? destination({ dest: 1, sync: true }),
  );
  return masking(logger);
}

/** A log that says nothing. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
};

/** pino does not run the bindings of a child through the formatters. */
function masking(logger: Logger): Log {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    child: (fields) => masking(logger.child(masked({ ...fields }, 0))),
  };
}

function masked(fields: Record<string, unknown>, depth: number): Record<string, unknown> {
  const entries = Object.entries(fields).map(([key, value]) => [
    key,
    SECRET.test(key) && value !== undefined ? '***' : maskedValue(value, depth),
  ]);
  return Object.fromEntries(entries);
}

function maskedValue(value: unknown, depth: number): unknown {
  if (typeof value === 'bigint') {
    return value.toString();
  }
  if (typeof value !== 'object' || value === null || value instanceof Error || value instanceof Date) {
    return value;
  }
  if (depth >= DEEPEST) {
    return '…';
  }
  return Array.isArray(value)
    ? value.map((item) => maskedValue(item, depth + 1))
    : masked({ ...value }, depth + 1);
}
