import { loadConfig } from '../runtime/config.ts';
import type { LogLevel } from '../runtime/log.ts';

export interface ControllerConfig {
  /** Absent: the service account of the pod. */
  readonly kubeconfig?: string;
  /** Where the leader's Lease lives. */
  readonly namespace: string;
  readonly logLevel: LogLevel;
  readonly http: { readonly host: string; readonly port: number };
  readonly leaderElection: {
    readonly leaseSeconds: number;
    readonly renewSeconds: number;
    readonly retrySeconds: number;
  };
  readonly workers: number;
  readonly resyncSeconds: number;
  /** A watch that says nothing for so long is made anew. The API server sends a bookmark once a minute. */
  readonly watchSilenceSeconds: number;
}

const seconds = (fallback: number) => ({ type: 'number', exclusiveMinimum: 0, default: fallback });

const schema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    kubeconfig: { type: 'string', minLength: 1 },
    namespace: { type: 'string', default: 'vbs-system' },
    logLevel: { enum: ['debug', 'info', 'warn', 'error'], default: 'info' },
    http: {
      type: 'object',
      additionalProperties: false,
      default: {},
      properties: {
        host: { type: 'string', default: '127.0.0.1' },
        port: { type: 'integer', minimum: 0, maximum: 65535, default: 8080 },
      },
    },
    leaderElection: {
      type: 'object',
      additionalProperties: false,
      default: {},
      properties: { leaseSeconds: seconds(15), renewSeconds: seconds(10), retrySeconds: seconds(2) },
    },
    workers: { type: 'integer', minimum: 1, maximum: 64, default: 8 },
    resyncSeconds: seconds(300),
    watchSilenceSeconds: seconds(90),
  },
};

/** Throws ConfigError naming file, line and key. */
export const loadControllerConfig = (path: string): Promise<ControllerConfig> => loadConfig(path, schema);
