// What an agent does once it has its surroundings: finds out who it is, puts its roles together, and acts while it holds the host's Lease.
import path from 'node:path';
import { HOST_LEASE, HOST_LEASE_LABEL, hostNamespace } from '../api/names.ts';
import { LEASES } from '../api/resources.ts';
import type { Api } from '../runtime/api.ts';
import { ConfigError } from '../runtime/errors.ts';
import { EventRecorder } from '../runtime/events.ts';
import { type Lease, LeaseHolder, type LeaseJournal } from '../runtime/lease.ts';
import { chapSource } from './chap.ts';
import type { Files } from './exec/files.ts';
import { tellProblem } from './host/refusal.ts';
import { hypervisorRole } from './hypervisor-role.ts';
import { belongTo, liveClusterID, readIdentity, WrongCluster } from './identity.ts';
import { keepMetricsFile } from './metrics-file.ts';
import type { Program, Role } from './program.ts';
import { serverRole } from './server-role.ts';
import { RecordStore } from './store.ts';
import { VERSION } from './version.ts';

/** What a Program is made of before the host knows who it is. */
export type Surroundings = Omit<Program, 'chapOf' | 'bootID' | 'clusterID' | 'version'>;

/** The directories of `config.stateDir` are there, and no other agent uses them. Throws WrongCluster, ConfigError. */
export async function runHost(around: Surroundings, signal: AbortSignal): Promise<void> {
  const { config, api, files, log } = around;
  const { stateDir } = config;
  await emptyTemporary(files, stateDir);
  const { bootID, holder } = await readIdentity(files, config);
  const own = await RecordStore.open<string>(files, `${stateDir}/host`);
  const clusterID = await joinCluster(around, own, signal).catch(async (error) => {
    if (error instanceof WrongCluster) {
      await tellProblem({ api, config, bootID, version: VERSION }, error).catch((err) =>
        log.warn({ err }, 'Cannot tell the cluster that this host is not of it'),
      );
    }
    throw error;
  });
  const keys = await RecordStore.open<string>(files, `${stateDir}/keys`);
  const identity = { bootID, clusterID, version: VERSION };
  const program: Program = { ...around, ...identity, chapOf: chapSource(api, config.host, keys) };
  const roles = [
    ...(config.volumeServer === undefined ? [] : [await serverRole(program, config.volumeServer, own)]),
    ...(config.hypervisor === undefined ? [] : [await hypervisorRole(program, config.hypervisor)]),
  ];
  if (roles.length === 0) {
    throw new ConfigError(
      'the configuration names neither volumeServer nor hypervisor: this agent has nothing to do',
    );
  }
  const over = new AbortController();
  const telling = tellMetrics(program, over.signal);
  await runRoles(program, roles, { holder, journal: journalIn(own) }, signal).finally(() => over.abort());
  await telling;
}

async function tellMetrics(
  { config, metrics, files, clock, log }: Program,
  signal: AbortSignal,
): Promise<void> {
  if (config.metricsFile !== undefined) {
    await keepMetricsFile({ path: config.metricsFile, metrics, files, clock, log }, signal);
  }
}

/** What was read of the API server may be of a history that has never been: this process ends, and the next one reads it all anew. */
export class SetBack extends Error {
  override readonly name = 'SetBack';
  constructor() {
    super('the store of the API server was set back, as by a backup that was restored; starting afresh');
  }
}

/** Acts only as the holder of the host's Lease: a clone of this host, with the same credential, must not. Throws SetBack. */
export async function runRoles(
  program: Program,
  roles: readonly Role[],
  { holder, journal }: { readonly holder: string; readonly journal: LeaseJournal },
  stop: AbortSignal,
): Promise<void> {
  const { config, api, clock, log } = program;
  const setBack = new AbortController();
  const signal = AbortSignal.any([stop, setBack.signal]);
  const namespace = hostNamespace(config.host);
  const events = new EventRecorder({
    api,
    component: 'vbs.dev/node-agent',
    instance: config.host,
    clock,
    log,
  });
  const watching = new AbortController();
  const watches = roles.map((role) => role.watch(watching.signal));
  const recording = events.run(watching.signal);
  const lease = new LeaseHolder({
    api,
    namespace,
    name: HOST_LEASE,
    holder,
    journal,
    leaseDurationMs: config.heartbeat.leaseSeconds * 1000,
    renewDeadlineMs: config.heartbeat.renewSeconds * 1000,
    retryMs: config.heartbeat.retrySeconds * 1000,
    labels: { [HOST_LEASE_LABEL]: config.host },
    takeOverStale: true,
    releaseOnStop: false,
    clock,
    log,
  });
  const acting = actWhileOurs(program, roles, signal);
  let quiet = () => {};
  await lease.run(signal, {
    onHeld: async (held) => {
      quiet();
      await acting.held(held);
    },
    onSetBack: () => setBack.abort(),
    onContender: (other) => {
      acting.stop();
      log.warn({ other }, 'Waiting for this host’s Lease');
      // An earlier boot of this host falls silent and its Lease runs out; one that goes on is another machine.
      quiet = clock.after(config.heartbeat.leaseSeconds * 1500, () => {
        log.error({ other }, 'Another machine acts as this host; doing nothing');
        const message = `another machine (${other}) acts as host ${config.host}; two machines must not share one identity: stop one of them, and if it is the other that is gone for good, delete Lease ${HOST_LEASE} in namespace ${namespace}`;
        void announce(api, namespace, (regarding) =>
          events.record({ regarding, reason: 'DuplicateHost', message, type: 'Warning' }),
        );
      });
    },
  });
  quiet();
  await acting.ended();
  watching.abort();
  await Promise.all([...watches, recording]);
  if (setBack.signal.aborted) {
    throw new SetBack();
  }
}

const LEASE_RECORD = 'lease';

/** In the host's own records. A copy of this machine has an older one, as soon as this one has renewed. */
const journalIn = (own: RecordStore<string>): LeaseJournal => ({
  renewTimes: () => own.get(LEASE_RECORD)?.split(' '),
  keep: (renewTimes) => own.put(LEASE_RECORD, renewTimes.join(' ')),
  drop: () => own.remove(LEASE_RECORD),
});

interface Acting {
  readonly held: (held: AbortSignal) => Promise<void>;
  readonly stop: () => void;
  readonly ended: () => Promise<void>;
}

/**
 * Not being able to renew is no reason to stop: with the API server away the agent keeps its host's targets and disks alive
 * from its copies. Only the sight of another holder is.
 */
function actWhileOurs({ log, config, clock }: Program, roles: readonly Role[], signal: AbortSignal): Acting {
  let current: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;
  const start = () => {
    if (current !== undefined || signal.aborted) {
      return;
    }
    log.info({ roles: roles.map(({ name }) => name) }, 'Acting for this host');
    const abort = new AbortController();
    const both = AbortSignal.any([abort.signal, signal]);
    const done = Promise.all(roles.map((role) => role.act(both))).then(() => {});
    current = { abort, done };
  };
  const stop = () => {
    current?.abort.abort();
    current = undefined;
  };
  let sawOther = false;
  const timer = clock.after(config.offlineAfterSeconds * 1000, () => {
    if (!sawOther) {
      start();
    }
  });
  signal.addEventListener('abort', timer, { once: true });
  return {
    held: async (held) => {
      sawOther = false;
      start();
      await new Promise<void>((resolve) => held.addEventListener('abort', () => resolve(), { once: true }));
    },
    stop: () => {
      sawOther = true;
      stop();
    },
    ended: async () => {
      await current?.done;
    },
  };
}

async function announce(api: Api, namespace: string, record: (lease: Lease) => void): Promise<void> {
  const lease = await api.get<Lease>(LEASES, { name: HOST_LEASE, namespace }).catch(() => undefined);
  if (lease !== undefined) {
    record(lease);
  }
}

/** What a killed agent had there: chunks on their way, documents for a tool. Nobody else uses it: the host is locked. */
async function emptyTemporary(files: Files, stateDir: string): Promise<void> {
  const directory = path.join(stateDir, 'tmp');
  for (const name of await files.list(directory)) {
    await files.unlink(path.join(directory, name));
  }
}

/** Throws WrongCluster. With the API server away, a host that has joined before goes on. */
async function joinCluster(
  { api, config, clock, log }: Surroundings,
  own: RecordStore<string>,
  signal: AbortSignal,
): Promise<string> {
  const startMs = clock.monotonicMs();
  for (;;) {
    try {
      await belongTo(own, await liveClusterID(api, signal));
      break;
    } catch (error) {
      const known = own.get('cluster');
      if (error instanceof WrongCluster || signal.aborted) {
        throw error;
      }
      if (known !== undefined && clock.monotonicMs() - startMs >= config.offlineAfterSeconds * 1000) {
        break;
      }
      log.warn({ err: error }, 'Waiting for the API server');
      await clock.sleep(2_000, signal);
    }
  }
  return own.get('cluster') ?? '';
}
