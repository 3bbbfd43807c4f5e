import type { Condition } from '../api/conditions.ts';

export type { Condition } from '../api/conditions.ts';

export type ConditionUpdate = Omit<Condition, 'lastTransitionTime'>;

/**
 * Answers the same array when nothing changed, so that callers can skip the write. `lastTransitionTime` is in whole
 * seconds and moves only when `status` flips.
 */
export function setCondition(
  conditions: readonly Condition[],
  update: ConditionUpdate,
  now: Date,
): readonly Condition[] {
  const old = conditions.find(({ type }) => type === update.type);
  if (old !== undefined && saysTheSame(old, update)) {
    return conditions;
  }
  const lastTransitionTime = old?.status === update.status ? old.lastTransitionTime : wholeSeconds(now);
  const { type, status, reason, message, observedGeneration } = update;
  const condition: Condition = {
    type,
    status,
    reason,
    message,
    ...(observedGeneration === undefined ? {} : { observedGeneration }),
    lastTransitionTime,
  };
  return old === undefined
    ? [...conditions, condition]
    : conditions.map((other) => (other === old ? condition : other));
}

function saysTheSame(old: Condition, update: ConditionUpdate): boolean {
  return (
    old.status === update.status &&
    old.reason === update.reason &&
    old.message === update.message &&
    old.observedGeneration === update.observedGeneration
  );
}

const wholeSeconds = (now: Date): string => now.toISOString().replace(/\.\d{3}Z$/, 'Z');
