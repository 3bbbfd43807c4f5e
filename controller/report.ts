// The one place where the controller writes a status: its own fields and its conditions in one patch, and none when
// nothing changed. What only tells of a step under way is held back a moment, since it is usually over by then.
import type { Claim } from '../api/conditions.ts';
import { findCondition, isTrue } from '../api/conditions.ts';
import { sameJson } from '../api/equal.ts';
import { MANAGERS } from '../api/names.ts';
import { type KubeObject, keyOf, type Resource } from '../api/object.ts';
import { infoOf } from '../api/reasons.ts';
import type { Api } from '../runtime/api.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Condition } from '../runtime/conditions.ts';
import type { EventRecorder } from '../runtime/events.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { patchStatusBlock } from '../runtime/patch.ts';
import { conditionsOf, patienceMs } from './claims.ts';

export interface WithStatus extends KubeObject {
  readonly status?: { readonly conditions?: readonly Condition[]; readonly observedGeneration?: number };
}

export interface ReportDeps {
  readonly api: Pick<Api, 'patch'>;
  readonly clock: Clock;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly metrics: Pick<Metrics, 'operated'>;
}

export interface Report<T extends WithStatus> {
  readonly resource: Resource;
  readonly object: T;
  /** The controller's own fields as they shall be; undefined removes one. A change of these is written at once. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly claims: readonly Claim[];
}

export type Reported<T> =
  | { readonly kind: 'written'; readonly object: T }
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'gone' }
  /** Look again then: by that time the step is over, or worth telling. */
  | { readonly kind: 'held-back'; readonly forMs: number };

export class Reporter {
  readonly #deps: ReportDeps;
  /** Since when each object has had something to tell that can wait. */
  readonly #waitingSince = new Map<string, number>();

  constructor(deps: ReportDeps) {
    this.#deps = deps;
  }

  /** Throws an ApiError with isConflict when the object was read too early. */
  async report<T extends WithStatus>(report: Report<T>): Promise<Reported<T>> {
    const { api, clock } = this.#deps;
    const { resource, object, fields, claims } = report;
    const old = object.status?.conditions ?? [];
    const generation = object.metadata.generation ?? 0;
    const conditions = conditionsOf(old, claims, { generation, now: clock.now() });
    const owned = { ...fields, conditions, observedGeneration: generation };
    if (isSame(object, owned)) {
      this.#waitingSince.delete(keyFor(report));
      return { kind: 'unchanged' };
    }
    const waitMs = isSame(object, fields) ? this.#leftMs(keyFor(report), patienceMs(claims)) : 0;
    if (waitMs > 0) {
      return { kind: 'held-back', forMs: waitMs };
    }
    const written = await patchStatusBlock<T>(api, {
      resource,
      object,
      owned,
      fieldManager: MANAGERS.controller,
    });
    this.#waitingSince.delete(keyFor(report));
    if (written === undefined) {
      return { kind: 'gone' };
    }
    this.#announce(object, old, claims);
    this.#measure(object, old, claims);
    return { kind: 'written', object: written };
  }

  /** The object is gone as far as we are concerned. */
  letGo(resource: Resource, object: KubeObject): void {
    this.#waitingSince.delete(`${resource.kind} ${keyOf(object)}`);
    this.#deps.metrics.operated(resource.kind, 'removed', this.#sinceMs(object.metadata.deletionTimestamp));
  }

  #leftMs(key: string, patience: number): number {
    if (patience === 0) {
      return 0;
    }
    const now = this.#deps.clock.monotonicMs();
    const since = this.#waitingSince.get(key) ?? now;
    this.#waitingSince.set(key, since);
    return Math.max(0, since + patience - now);
  }

  /** How long it took until the object was ready, or until a person is needed. */
  #measure(object: KubeObject, old: readonly Condition[], claims: readonly Claim[]): void {
    const { metrics } = this.#deps;
    const becomes = (type: 'Ready' | 'Stalled'): boolean =>
      claims.some((claim) => claim.type === type && claim.status === 'True') && !isTrue(old, type);
    if (becomes('Stalled')) {
      metrics.operated(object.kind, 'stalled', this.#sinceMs(object.metadata.creationTimestamp));
    }
    if (becomes('Ready')) {
      const before = findCondition(old, 'Ready');
      const info = before === undefined ? undefined : infoOf(before.reason);
      const isFault = info !== undefined && info.passesMs === undefined && info.waits !== true;
      const since = before?.lastTransitionTime ?? object.metadata.creationTimestamp;
      metrics.operated(object.kind, isFault ? 'recovered' : 'ready', this.#sinceMs(since));
    }
  }

  #sinceMs(time: string | undefined): number {
    return time === undefined ? 0 : this.#deps.clock.now().getTime() - Date.parse(time);
  }

  /** An event for every change of Ready's reason that is more than a step under way. */
  #announce(object: KubeObject, old: readonly Condition[], claims: readonly Claim[]): void {
    const ready = claims.find(({ type }) => type === 'Ready');
    const before = findCondition(old, 'Ready');
    if (ready === undefined || (before?.reason === ready.reason && before.status === ready.status)) {
      return;
    }
    if (patienceMs(claims) === 0) {
      const type = ready.status === 'True' || isOrdinaryWait(ready) ? 'Normal' : 'Warning';
      this.#deps.events.record({ regarding: object, reason: ready.reason, message: ready.message, type });
    }
  }
}

/**
 * What waits for its turn, as when a Volume and its Attachment are made together. Nothing is wrong there; with a full
 * pool, a host that is silent or a VM that nobody runs something is, though it may pass by itself, too.
 */
const isOrdinaryWait = ({ status, reason }: Claim): boolean =>
  status === 'False' && infoOf(reason)?.waits === true;

const keyFor = ({ resource, object }: Report<WithStatus>): string => `${resource.kind} ${keyOf(object)}`;

function isSame(object: WithStatus, owned: Readonly<Record<string, unknown>>): boolean {
  const status = (object.status ?? {}) as Readonly<Record<string, unknown>>;
  return Object.keys(owned).every((key) => sameJson(status[key], owned[key]));
}
