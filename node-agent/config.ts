import { loadConfig } from '../runtime/config.ts';
import type { LogLevel } from '../runtime/log.ts';
import type { Settings } from './profiles/settings.ts';

export interface RoleConfig {
  readonly profile: string;
  readonly params: Settings;
}

export interface PoolConfig extends RoleConfig {
  readonly name: string;
}

export interface AgentConfig {
  /** The name of the host's VolumeServer and Hypervisor objects. */
  readonly host: string;
  readonly kubeconfig: string;
  /** Directory for what must survive; only root may enter it. */
  readonly stateDir: string;
  /** Where profiles are looked for, first match wins. Absent: the shipped ones. */
  readonly profileDirectories: readonly string[];
  readonly machineIDFile: string;
  readonly bootIDFile: string;
  readonly logLevel: LogLevel;
  /** Where metrics are written, for node exporter's textfile collector; `*.prom`. Absent: nowhere. */
  readonly metricsFile?: string;
  readonly iqnPrefix: string;
  readonly heartbeat: {
    readonly leaseSeconds: number;
    readonly renewSeconds: number;
    readonly retrySeconds: number;
  };
  /** How often the host itself is looked at. */
  readonly observeSeconds: number;
  /** How often every object is looked at though nothing called for it. */
  readonly resyncSeconds: number;
  /** How long to wait for the API server at start before working from the copies on disk. */
  readonly offlineAfterSeconds: number;
  readonly volumeServer?: {
    readonly pools: readonly PoolConfig[];
    readonly target: RoleConfig & { readonly portals: readonly string[] };
    /** Reads what is copied from other servers. Absent: copies are made of this server's own data only. */
    readonly initiator?: RoleConfig;
  };
  readonly hypervisor?: { readonly initiator: RoleConfig; readonly vmm: RoleConfig };
}

const name = { type: 'string', pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$', maxLength: 52 };
const seconds = (fallback: number) => ({ type: 'number', exclusiveMinimum: 0, default: fallback });
const params = {
  type: 'object',
  default: {},
  additionalProperties: { type: ['string', 'number', 'boolean'] },
};
const closed = (properties: object, required: readonly string[] = []) => ({
  type: 'object',
  additionalProperties: false,
  properties,
  required,
});
const role = closed({ profile: name, params }, ['profile']);

export const agentSchema = closed(
  {
    host: name,
    kubeconfig: { type: 'string', minLength: 1 },
    stateDir: { type: 'string', pattern: '^/', default: '/var/lib/vbs' },
    profileDirectories: { type: 'array', items: { type: 'string', pattern: '^/' }, default: [] },
    machineIDFile: { type: 'string', default: '/etc/machine-id' },
    bootIDFile: { type: 'string', default: '/proc/sys/kernel/random/boot_id' },
    logLevel: { enum: ['debug', 'info', 'warn', 'error'], default: 'info' },
    metricsFile: { type: 'string', pattern: '^/.+\\.prom$' },
    iqnPrefix: {
      type: 'string',
      pattern: '^iqn\\.[0-9]{4}-[0-9]{2}\\.[a-z0-9.-]+$',
      default: 'iqn.2026-11.dev.vbs',
    },
    heartbeat: {
      ...closed({ leaseSeconds: seconds(20), renewSeconds: seconds(14), retrySeconds: seconds(4) }),
      default: {},
    },
    observeSeconds: seconds(5),
    resyncSeconds: seconds(60),
    offlineAfterSeconds: seconds(10),
    volumeServer: closed(
      {
        pools: {
          type: 'array',
          minItems: 1,
          items: closed({ name, profile: name, params }, ['name', 'profile']),
        },
        target: closed(
          {
            profile: name,
            params,
            portals: { type: 'array', minItems: 1, items: { type: 'string', pattern: ':[0-9]+$' } },
          },
          ['profile', 'portals'],
        ),
        initiator: role,
      },
      ['pools', 'target'],
    ),
    hypervisor: closed({ initiator: role, vmm: role }, ['initiator', 'vmm']),
  },
  ['host', 'kubeconfig'],
);

/** Throws ConfigError naming file, line and key. */
export const loadAgentConfig = (path: string): Promise<AgentConfig> => loadConfig(path, agentSchema);
