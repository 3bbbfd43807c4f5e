/** The profile's own parameters, with what the administrator's configuration says instead of the defaults. */

import type { Profile } from './load.ts';
import { ProfileError, suggest } from './problems.ts';
import { checkSetting, ParameterError } from './values.ts';

export type Settings = Readonly<Record<string, string | number | boolean>>;

/** Throws a ProfileError for unknown names, wrong types, and parameters without a value. */
export const settle = (profile: Profile, given: Settings = {}): ReadonlyMap<string, string> => {
  const declared = profile.format.params ?? {};
  const problems: string[] = [];
  for (const name of Object.keys(given).filter((key) => !Object.hasOwn(declared, key))) {
    problems.push(`${profile.file}: there is no parameter ${name}${suggest(name, Object.keys(declared))}`);
  }
  const values = new Map<string, string>();
  for (const [name, { type, default: fallback }] of Object.entries(declared)) {
    const value = given[name] ?? fallback;
    if (value === undefined) {
      problems.push(
        `${profile.file}: the parameter ${name} has no default: give it in the agent's configuration`,
      );
      continue;
    }
    try {
      values.set(name, checkSetting(name, type, value));
    } catch (error) {
      problems.push(`${profile.file}: ${error instanceof ParameterError ? error.message : String(error)}`);
    }
  }
  if (problems.length > 0) {
    throw new ProfileError(profile.file, problems);
  }
  return values;
};
