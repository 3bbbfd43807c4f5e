// What a status says, told apart from how it is stored. Claims are computed from one look at the world.
import type { Claim, Condition } from '../api/conditions.ts';
import type { Freshness, HostView, Hypervisor, VolumeServer } from '../api/hosts.ts';
import { type ConditionType, infoOf, type Reason } from '../api/reasons.ts';
import { setCondition } from '../runtime/conditions.ts';

export const yes = (type: ConditionType, reason: Reason, message: string): Claim => ({
  type,
  status: 'True',
  reason,
  message,
});
export const no = (type: ConditionType, reason: Reason, message: string): Claim => ({
  type,
  status: 'False',
  reason,
  message,
});
export const unsure = (type: ConditionType, reason: Reason, message: string): Claim => ({
  type,
  status: 'Unknown',
  reason,
  message,
});

/** The schema takes no longer message, and would refuse the whole status with it. */
const LONGEST = 2048;

/**
 * What a host reports stands in a condition in its own words, behind its name; one of a newer version may know reasons which we do not.
 * Without a name on the object of that host itself.
 */
export const told = (
  { reason, message }: Pick<Condition, 'reason' | 'message'>,
  host?: string,
): Pick<Claim, 'reason' | 'message'> => ({
  reason: reason as Reason,
  message: host === undefined ? message : `${host}: ${message}`,
});

/** Adds kstatus' Reconciling and Stalled to the stages and their summary. */
export function summarized(stages: readonly Claim[], ready: Omit<Claim, 'type'>): readonly Claim[] {
  const { status, reason, message } = ready;
  const stalled = status !== 'True' && infoOf(reason)?.stalls === true;
  // What is Ready may still be on its way to what is wanted, as a Volume that grows.
  const moving = status === 'True' ? stages.find((stage) => stage.status !== 'True') : ready;
  return [
    { type: 'Ready', status, reason, message },
    moving === undefined || stalled
      ? no('Reconciling', stalled ? reason : 'Settled', '')
      : yes('Reconciling', moving.reason, moving.message),
    stalled ? yes('Stalled', reason, message) : no('Stalled', 'NotStalled', ''),
    ...stages,
  ];
}

/** How long what Ready says may go untold; zero for all that does not pass by itself. */
export function patienceMs(claims: readonly Claim[]): number {
  const ready = claims.find(({ type }) => type === 'Ready');
  return infoOf(ready?.reason ?? '')?.passesMs ?? 0;
}

/** The claims as conditions. Answers the same array when nothing changed; types no longer claimed are dropped. */
export function conditionsOf(
  old: readonly Condition[],
  claims: readonly Claim[],
  seen: { readonly generation: number; readonly now: Date },
): readonly Condition[] {
  const types = new Set<string>(claims.map(({ type }) => type));
  const kept = old.every(({ type }) => types.has(type)) ? old : old.filter(({ type }) => types.has(type));
  return claims.reduce<readonly Condition[]>(
    (conditions, claim) =>
      setCondition(
        conditions,
        { ...claim, message: claim.message.slice(0, LONGEST), observedGeneration: seen.generation },
        seen.now,
      ),
    kept,
  );
}

export interface FactSource {
  /** The host which reported, for people. */
  readonly host: string;
  readonly freshness: Freshness;
  /** The boot which the host is in now. */
  readonly bootID: string | undefined;
}

/** The host of this name; undefined when there is none. */
export function factSource(
  name: string | undefined,
  hosts: readonly HostView<VolumeServer | Hypervisor>[],
): FactSource | undefined {
  const view = hosts.find(({ host }) => host.metadata.name === name);
  return (
    view && {
      host: view.host.metadata.name,
      freshness: view.freshness,
      bootID: view.host.status?.agent?.bootID,
    }
  );
}

/** A host that is not heard; undefined when it is. */
export function silence(type: ConditionType, source: FactSource | undefined): Claim | undefined {
  const host = source?.host ?? 'the host';
  switch (source?.freshness) {
    case 'fresh':
      return undefined;
    case 'unknown':
      return unsure(type, 'WaitingForHeartbeat', `waiting for the next heartbeat of ${host}`);
    default:
      return unsure(
        type,
        'HostSilent',
        `${host} does not answer, and this was last seen before it fell silent; start its agent, or see whether the host is up`,
      );
  }
}

/** For people, behind the name of a host that is waited for. */
export const unheard = (
  name: string | undefined,
  hosts: readonly HostView<VolumeServer | Hypervisor>[],
): string =>
  factSource(name, hosts)?.freshness === 'stale'
    ? ', which does not answer; start its agent, or the host'
    : '';

/** The same of the server that holds the data, which may be gone with it. */
export const unheardServer = (
  name: string | undefined,
  servers: readonly HostView<VolumeServer>[],
): string => {
  const silent = unheard(name, servers);
  return silent === '' ? '' : `${silent}; if that is gone for good, set spec.lost: true on its VolumeServer`;
};

/** Why facts of that boot prove nothing now; undefined when they do. */
export function doubt(
  type: ConditionType,
  source: FactSource | undefined,
  factBootID: string,
): Claim | undefined {
  return (
    silence(type, source) ??
    (source?.bootID === factBootID
      ? undefined
      : unsure(type, 'HostRebooted', `${source?.host} has rebooted; waiting for what it sees now`))
  );
}
