import { Counter, collectDefaultMetrics, Gauge, Histogram, type LabelValues, Registry } from 'prom-client';
import type { RequestSeen } from './door.ts';
import type { LoopMetrics, VisitOutcome } from './loop.ts';
import type { ReflectorMetrics } from './reflector.ts';

/** What a caller sees of a metric it asked for. Label values come from closed sets, or are names of hosts and of their pools: never those of users' objects, never UIDs. */
export interface MetricSpec<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly Label[];
}

/** One value of a metric that is looked at when scraped. */
export interface Sample<Label extends string> {
  readonly labels: Readonly<Record<Label, string>>;
  readonly value: number;
}

/** One metric as the reference page shows it. */
export interface MetricFact {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  readonly help: string;
}

/** Bytes, and how many pieces of retained data there are. */
export interface PoolNumbers {
  readonly total: bigint;
  readonly free: bigint;
  readonly retained: bigint;
  readonly dying: bigint;
  readonly retainedCount: number;
}

const FAST = [0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const SLOW = [0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900];

/** The only maker of a prom-client Registry; one per program, handed in. */
export class Metrics implements LoopMetrics, ReflectorMetrics {
  readonly #registry = new Registry();
  readonly #reconciles;
  readonly #reconcileSeconds;
  readonly #queueWait;
  readonly #requests;
  readonly #requestSeconds;
  readonly #watchEvents;
  readonly #watchEnds;
  readonly #syncs;
  readonly #synced;
  readonly #leader;
  readonly #commands;
  readonly #poolBytes = this.gauge({
    name: 'vbs_pool_bytes',
    help: 'Bytes of a pool of this volume server: total, free, which is what new volumes may still take, retained, which is the size of the data that outlived its objects, and dying, which is that of removed volumes until their space is free (agents).',
    labels: ['pool', 'kind'],
  });
  readonly #poolRetained = this.gauge({
    name: 'vbs_pool_retained',
    help: 'Data in a pool of this volume server that outlived its Volumes and Snapshots, to be adopted; which it is, is in the VolumeServer (agents).',
    labels: ['pool'],
  });
  readonly #operations = this.histogram(
    {
      name: 'vbs_operation_duration_seconds',
      help: 'What became of an object, and how long it took, in whole seconds: ready (since it was made, or has begun to change), recovered (since a fault took its readiness), stalled (since it was made, until a person was needed), removed (since it was deleted) (controller).',
      labels: ['kind', 'result'],
    },
    SLOW,
  );
  readonly #leftovers = this.gauge({
    name: 'vbs_leftovers',
    help: 'Things on this host that no object accounts for, by the kind of the host object which lists them, and by what they are; 256 of a host object at most (agents).',
    labels: ['role', 'kind'],
  });
  readonly #poolFaulty = this.gauge({
    name: 'vbs_pool_faulty',
    help: '1 while a pool cannot be seen or is out of order, else 0; why is in the VolumeServer (agents).',
    labels: ['pool'],
  });
  readonly #queueDepths = new Map<string, () => number>();
  readonly #watchAges = new Map<string, () => number>();

  constructor({ ofProcess = false }: { readonly ofProcess?: boolean } = {}) {
    if (ofProcess) {
      collectDefaultMetrics({ register: this.#registry });
    }
    this.#reconciles = this.counter({
      name: 'vbs_reconcile_total',
      help: 'Visits by loop and result: success, conflict (decided on an old copy), error (both are tried again), terminal (not before something changes), stopped, or hung (beyond its deadline).',
      labels: ['controller', 'result'],
    });
    this.#reconcileSeconds = this.histogram(
      { name: 'vbs_reconcile_duration_seconds', help: 'How long a visit took.', labels: ['controller'] },
      SLOW,
    );
    this.#queueWait = this.histogram(
      {
        name: 'vbs_queue_wait_seconds',
        help: 'How long a key was ready before its visit.',
        labels: ['controller'],
      },
      FAST,
    );
    this.#requests = this.counter({
      name: 'vbs_api_requests_total',
      help: 'Requests to the API server; code 0 is no answer.',
      labels: ['verb', 'resource', 'code'],
    });
    this.#requestSeconds = this.histogram(
      {
        name: 'vbs_api_request_duration_seconds',
        help: 'How long the API server took to answer; for a watch, to begin.',
        labels: ['verb', 'resource'],
      },
      FAST,
    );
    this.#watchEvents = this.counter({
      name: 'vbs_reflector_events_total',
      help: 'Watch events received.',
      labels: ['resource', 'type'],
    });
    this.#watchEnds = this.counter({
      name: 'vbs_reflector_watch_ends_total',
      help: 'Watch connections that ended: closed by the server, failed, gone (its place was forgotten, a list follows) or silent.',
      labels: ['resource', 'how'],
    });
    this.#syncs = this.counter({
      name: 'vbs_reflector_syncs_total',
      help: 'Complete lists received; one of each kind at the start, and one after each end by gone.',
      labels: ['resource'],
    });
    this.#synced = this.gauge({
      name: 'vbs_reflector_synced_objects',
      help: 'Objects in the last complete list.',
      labels: ['resource'],
    });
    this.#leader = this.gauge({
      name: 'vbs_leader',
      help: '1 while this controller leads, else 0.',
      labels: ['name'],
    });
    this.#commands = this.histogram(
      {
        name: 'vbs_command_duration_seconds',
        help: 'How long a command on the host took (agents).',
        labels: ['tool', 'verb', 'outcome'],
      },
      SLOW,
    );
    this.#scraped('vbs_queue_depth', 'Keys ready for a visit.', ['controller', this.#queueDepths]);
    this.#scraped(
      'vbs_reflector_last_event_age_seconds',
      'How long the server has said nothing about this kind; it says something once a minute.',
      ['resource', this.#watchAges],
    );
  }

  counter<Label extends string>({ name, help, labels = [] }: MetricSpec<Label>): Counter<Label> {
    return new Counter({ name, help, labelNames: labels, registers: [this.#registry] });
  }

  gauge<Label extends string>({ name, help, labels = [] }: MetricSpec<Label>): Gauge<Label> {
    return new Gauge({ name, help, labelNames: labels, registers: [this.#registry] });
  }

  /** A gauge that is looked at when scraped: it has the values that `look` answers then, and no other. */
  observed<Label extends string>(
    { name, help, labels = [] }: MetricSpec<Label>,
    look: () => readonly Sample<Label>[],
  ): void {
    new Gauge({
      name,
      help,
      labelNames: labels,
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const sample of look()) {
          this.set(sample.labels as LabelValues<Label>, sample.value);
        }
      },
    });
  }

  histogram<Label extends string>(
    { name, help, labels = [] }: MetricSpec<Label>,
    buckets: readonly number[] = SLOW,
  ): Histogram<Label> {
    return new Histogram({
      name,
      help,
      labelNames: labels,
      buckets: [...buckets],
      registers: [this.#registry],
    });
  }

  visited(controller: string, result: VisitOutcome, durationMs: number): void {
    this.#reconciles.inc({ controller, result });
    this.#reconcileSeconds.observe({ controller }, durationMs / 1000);
  }

  /** For `WorkQueue`'s `onTake`. */
  queueWait(controller: string): (waitedMs: number) => void {
    return (waitedMs) => this.#queueWait.observe({ controller }, waitedMs / 1000);
  }

  /** Looked at when scraped. */
  queueDepth(controller: string, depth: () => number): void {
    this.#queueDepths.set(controller, depth);
  }

  /** For `createApi`'s `onRequest`. */
  requested({ verb, resource, subresource, code, durationMs }: RequestSeen): void {
    const target = subresource === '' ? resource : `${resource}/${subresource}`;
    this.#requests.inc({ verb, resource: target, code: String(code) });
    this.#requestSeconds.observe({ verb, resource: target }, durationMs / 1000);
  }

  watchEvent(resource: string, type: string): void {
    this.#watchEvents.inc({ resource, type });
  }

  watchEnded(resource: string, how: string): void {
    this.#watchEnds.inc({ resource, how });
  }

  synced(resource: string, objects: number): void {
    this.#syncs.inc({ resource });
    this.#synced.set({ resource }, objects);
  }

  /** Looked at when scraped; infinite ages are left out. */
  watchAge(resource: string, ageMs: () => number): void {
    this.#watchAges.set(resource, () => ageMs() / 1000);
  }

  leading(name: string, leading: boolean): void {
    this.#leader.set({ name }, leading ? 1 : 0);
  }

  operated(kind: string, result: 'ready' | 'recovered' | 'stalled' | 'removed', durationMs: number): void {
    this.#operations.observe({ kind, result }, Math.max(0, durationMs) / 1000);
  }

  commanded(labels: LabelValues<'tool' | 'verb' | 'outcome'>, durationMs: number): void {
    this.#commands.observe(labels, durationMs / 1000);
  }

  /** Of a pool of the agent's configuration; without numbers while it cannot be seen. */
  pooled(pool: string, seen: PoolNumbers | undefined, faulty: boolean): void {
    this.#poolFaulty.set({ pool }, faulty ? 1 : 0);
    for (const kind of ['total', 'free', 'retained', 'dying'] as const) {
      if (seen === undefined) {
        this.#poolBytes.remove({ pool, kind });
      } else {
        this.#poolBytes.set({ pool, kind }, Number(seen[kind]));
      }
    }
    if (seen === undefined) {
      this.#poolRetained.remove({ pool });
    } else {
      this.#poolRetained.set({ pool }, seen.retainedCount);
    }
  }

  /** How many there are of each kind; kinds of which there are none are told as well. */
  leftOver(role: string, counts: Readonly<Record<string, number>>): void {
    for (const [kind, count] of Object.entries(counts)) {
      this.#leftovers.set({ role, kind }, count);
    }
  }

  /** All metrics by name, those of the process apart. */
  async facts(): Promise<readonly MetricFact[]> {
    const metrics = await this.#registry.getMetricsAsJSON();
    return metrics
      .map(({ name, type, help }) => ({ name, type: String(type), labels: this.#labelsOf(name), help }))
      .toSorted((a, b) => a.name.localeCompare(b.name));
  }

  /** prom-client keeps the names to itself in its types. */
  #labelsOf(name: string): readonly string[] {
    const metric = this.#registry.getSingleMetric(name) as
      | { readonly labelNames?: readonly string[] }
      | undefined;
    return metric?.labelNames ?? [];
  }

  /** The Prometheus text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Of each key of the sources; infinite values are left out. */
  #scraped(name: string, help: string, [label, sources]: [string, ReadonlyMap<string, () => number>]): void {
    this.observed({ name, help, labels: [label] }, () =>
      [...sources]
        .map(([of, read]) => ({ labels: { [label]: of }, value: read() }))
        .filter(({ value }) => Number.isFinite(value)),
    );
  }
}
