// By which settings the targets on this host were made. With others the agent would not know its own targets again: they
// would go on serving their initiators beside the new ones.
import { sameJson } from '../../api/equal.ts';
import { ConfigError } from '../../runtime/errors.ts';
import type { Settings } from '../profiles/settings.ts';
import { isWithdrawnEpoch, type ServerMemory } from '../volume/memory.ts';

export interface TargetSetting {
  readonly iqnPrefix: string;
  readonly profile: string;
  readonly params: Settings;
}

/** Why the agent must not start with these settings; undefined when it may, and shall remember them. */
export function refuseSetting(
  before: TargetSetting | undefined,
  now: TargetSetting,
  memories: readonly ServerMemory[],
): ConfigError | undefined {
  const changes = before === undefined ? [] : changesOf(before, now);
  const open = memories.filter((memory) =>
    memory.items.some(({ epoch }) => !isWithdrawnEpoch(memory, epoch)),
  );
  if (changes.length === 0 || open.length === 0) {
    return undefined;
  }
  const volumes = open.map(({ volumeID }) => volumeID).sort();
  const shown = `${volumes.slice(0, 3).join(', ')}${volumes.length > 3 ? ', …' : ''}`;
  return new ConfigError(
    `the targets of this host were made with other settings (${changes.join('; ')}), and ${volumes.length} of its volumes are still granted to hypervisors (${shown}); restore the settings, or detach those volumes first`,
  );
}

function changesOf(before: TargetSetting, now: TargetSetting): readonly string[] {
  const names = [...new Set([...Object.keys(before.params), ...Object.keys(now.params)])].sort();
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['iqnPrefix', before.iqnPrefix, now.iqnPrefix],
    ['target.profile', before.profile, now.profile],
    ...names.map((name) => [`target.params.${name}`, before.params[name], now.params[name]] as const),
  ];
  const show = (value: unknown) => (value === undefined ? 'not set' : JSON.stringify(value));
  return pairs
    .filter(([, old, value]) => !sameJson(old, value))
    .map(([name, old, value]) => `${name} was ${show(old)} and is ${show(value)}`);
}
