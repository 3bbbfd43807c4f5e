// What both roles of an agent share once they run.

import type { Api } from '../runtime/api.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { type Reconcile, runLoop } from '../runtime/loop.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { WorkQueue } from '../runtime/workqueue.ts';
import type { BindRole } from './bindings.ts';
import type { ChapOf } from './chap.ts';
import type { AgentConfig } from './config.ts';
import type { Files } from './exec/files.ts';
import type { Reach } from './roles/session-care.ts';

export interface Program {
  readonly config: AgentConfig;
  readonly api: Api;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly files: Files;
  readonly reach: Reach;
  readonly bindRole: BindRole;
  readonly chapOf: ChapOf;
  readonly bootID: string;
  readonly clusterID: string;
  readonly version: string;
}

/** A role that runs: its caches follow the API from the start; its loops act only while the host holds its Lease. */
export interface Role {
  readonly name: string;
  /** Follows the API server until the signal fires; afterwards the role is over for good. */
  watch(signal: AbortSignal): Promise<void>;
  /** Acts and reports, until the signal fires. */
  act(signal: AbortSignal): Promise<void>;
}

/** The longest wait before a failed key is tried again: devices have no watch that would call sooner. */
const LONGEST_RETRY_MS = 15_000;

export function agentQueue({ clock, metrics }: Program, name: string): WorkQueue {
  const queue = new WorkQueue({ clock, longestRetryMs: LONGEST_RETRY_MS, onTake: metrics.queueWait(name) });
  metrics.queueDepth(name, () => queue.length);
  return queue;
}

export interface LoopSetup {
  readonly name: string;
  readonly queue: WorkQueue;
  readonly reconcile: Reconcile;
  readonly concurrency: number;
}

export interface RoleParts {
  readonly name: string;
  readonly caches: readonly { readonly synced: Promise<void>; run(signal: AbortSignal): Promise<void> }[];
  /** Called when the role begins to act: asks for a visit of everything. */
  readonly start: () => void;
  readonly loops: readonly LoopSetup[];
}

export function roleOf(program: Program, { name, caches, start, loops }: RoleParts): Role {
  const { clock, log, metrics } = program;
  const common = { deadlineMs: 120_000, graceMs: 30_000, log, clock, metrics };
  return {
    name,
    watch: async (signal) => {
      await Promise.all(caches.map((cache) => cache.run(signal)));
      for (const { queue } of loops) {
        queue.shutdown();
      }
    },
    act: async (signal) => {
      await syncedOrAway(program, caches, signal);
      start();
      await Promise.all(loops.map((loop) => runLoop({ ...common, ...loop, signal })));
    },
  };
}

/** Until the caches are up to date, or it is clear that the API server is away. */
async function syncedOrAway(
  { clock, log, config }: Program,
  caches: RoleParts['caches'],
  signal: AbortSignal,
): Promise<void> {
  const away = clock.sleep(config.offlineAfterSeconds * 1000, signal).then(
    () => 'away' as const,
    () => 'stopped' as const,
  );
  const synced = Promise.all(caches.map((cache) => cache.synced)).then(() => 'synced' as const);
  if ((await Promise.race([synced, away])) === 'away') {
    log.warn({}, 'The API server is away, or does not serve every kind; working from the copies on disk');
  }
}
