/** What the schema cannot say of a profile's checks of its host. Pure. */

import { checkSource } from './check-rows.ts';
import { actionOf, asList, type CheckFormat, type ProfileFormat, type StepFormat } from './format.ts';
import type { Place, Problem } from './problems.ts';

export interface CheckScope {
  readonly step: (place: Place, step: StepFormat) => void;
  readonly template: (place: Place, template: string) => void;
  readonly problems: Problem[];
}

const KINDS = ['setting', 'steps', 'same', 'rule'] as const;
const LOOKS: readonly string[] = [
  ...['exec', 'read', 'list', 'scan', 'glob', 'readlink', 'readEach', 'linkEach', 'stat', 'space'],
];

const checkLook = (scope: CheckScope, place: Place, step: StepFormat): void => {
  const before = scope.problems.length;
  scope.step(place, step);
  if (scope.problems.length > before) {
    return;
  }
  const action = actionOf(step);
  if (!LOOKS.includes(action)) {
    scope.problems.push({ place: [...place, action], message: 'a check changes nothing' });
  }
  for (const format of asList(step.rows)) {
    checkSource(format, action, place, scope.problems);
  }
};

const checkKind = (check: CheckFormat, place: Place, { problems }: CheckScope): void => {
  const kinds = KINDS.filter((kind) => check[kind] !== undefined);
  if (kinds.length !== 1) {
    problems.push({ place, message: `needs one of ${KINDS.join(', ')}` });
  }
  const needed = check.steps !== undefined || check.same !== undefined ? (['wrong'] as const) : [];
  for (const key of check.setting === undefined ? needed : (['put'] as const)) {
    if (check[key] === undefined) {
      problems.push({ place, message: `needs ${key}` });
    }
  }
  if (check.file !== undefined && check.put === undefined) {
    problems.push({ place: [...place, 'file'], message: 'needs put, what to write there' });
  }
};

const checkSetting = ({ setting }: CheckFormat, place: Place, { template, problems }: CheckScope): void => {
  if (setting === undefined) {
    return;
  }
  for (const file of [setting.file].flat()) {
    template([...place, 'setting', 'file'], file);
  }
  template([...place, 'setting', 'match'], setting.match ?? '');
  if ((setting.match === undefined) === (setting.min === undefined)) {
    problems.push({ place: [...place, 'setting'], message: 'needs one of match, min' });
  }
};

export const checkHostChecks = ({ checks = [] }: ProfileFormat, scope: CheckScope): void => {
  for (const [index, check] of checks.entries()) {
    const place: Place = ['checks', index];
    checkKind(check, place, scope);
    checkSetting(check, place, scope);
    for (const kind of ['steps', 'same'] as const) {
      const steps = check[kind];
      for (const [number, step] of asList(steps).entries()) {
        checkLook(scope, [...place, kind, ...(Array.isArray(steps) ? [number] : [])], step);
      }
    }
    for (const key of ['wrong', 'put', 'file', 'run'] as const) {
      scope.template([...place, key], check[key] ?? '');
    }
  }
};
