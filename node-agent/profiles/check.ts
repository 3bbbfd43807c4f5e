/** What the schema cannot say: verbs, parameters, columns and secrets of the role. Pure. */

import { checkHostChecks } from './check-host.ts';
import { checkRowsFormat, gives } from './check-rows.ts';
import {
  ACTIONS,
  type Action,
  actionOf,
  asList,
  type Content,
  type ProfileFormat,
  type StepFormat,
  usesParameter,
} from './format.ts';
import { type Place, type Problem, suggest } from './problems.ts';
import { expandLets, namesIn } from './template.ts';
import { ROLES, type RoleShape, type VerbShape } from './vocabulary.ts';

const COMPANIONS: Readonly<Record<Action, readonly string[]>> = {
  exec: ['stdin', 'env', 'files', 'secretInArgv', 'timeout', 'kill', 'path', 'rows', 'outcomes'],
  mkdir: ['mode'],
  rmdir: [],
  unlink: [],
  rename: ['to'],
  write: ['text', 'xml', 'json', 'secret', 'mode'],
  replace: ['text', 'xml', 'json', 'secret', 'mode'],
  read: ['rows'],
  list: ['rows'],
  scan: ['rows'],
  glob: ['rows'],
  readlink: ['rows'],
  readEach: ['rows'],
  linkEach: ['rows'],
  symlink: ['to'],
  extend: ['size'],
  sync: [],
  stat: ['rows'],
  space: ['rows'],
};
const NEEDS: Partial<Record<Action, readonly string[]>> = {
  rename: ['to'],
  symlink: ['to'],
  extend: ['size'],
};
const CONTENT_KEYS = ['text', 'xml', 'json', 'secret'];

interface Scope {
  readonly profile: ProfileFormat;
  /** Parameter types by name, settings included. */
  readonly types: ReadonlyMap<string, string>;
  readonly problems: Problem[];
}

/** A template that stands where a secret may, or may not, be. */
const checkTemplate = (scope: Scope, place: Place, template: string, secretsAllowed: boolean): void => {
  const known = [...scope.types.keys()];
  try {
    for (const name of namesIn(expandLets(template, scope.profile.let ?? {}))) {
      const type = scope.types.get(name);
      if (type === undefined) {
        const all = [...known, ...Object.keys(scope.profile.let ?? {})];
        scope.problems.push({ place, message: `unknown parameter {${name}}${suggest(name, all)}` });
      } else if (type === 'secret' && !secretsAllowed) {
        const message = `the secret {${name}} would be visible here; give it by stdin, env or files, or say secretInArgv: true`;
        scope.problems.push({ place, message });
      }
    }
  } catch (error) {
    scope.problems.push({ place, message: error instanceof Error ? error.message : String(error) });
  }
};

const checkSecretName = (scope: Scope, place: Place, name: string): void => {
  if (scope.types.get(name) !== 'secret') {
    const secrets = [...scope.types].filter(([, type]) => type === 'secret').map(([known]) => known);
    scope.problems.push({ place, message: `${name} is no secret of this verb${suggest(name, secrets)}` });
  }
};

const checkTree = (scope: Scope, place: Place, tree: unknown): void => {
  if (typeof tree === 'string') {
    checkTemplate(scope, place, tree, true);
  } else if (typeof tree === 'object' && tree !== null) {
    for (const [key, value] of Object.entries(tree)) {
      checkTree(scope, [...place, Array.isArray(tree) ? Number(key) : key], value);
    }
  }
};

const XML_NAME = /^(#|@?[A-Za-z_][\w.-]*)$/;

const checkXmlNames = (scope: Scope, place: Place, tree: unknown): void => {
  if (typeof tree !== 'object' || tree === null) {
    return;
  }
  for (const [key, value] of Object.entries(tree)) {
    if (!Array.isArray(tree) && !XML_NAME.test(key)) {
      scope.problems.push({ place: [...place, key], message: 'is no name of an element or @attribute' });
    }
    checkXmlNames(scope, [...place, Array.isArray(tree) ? Number(key) : key], value);
  }
};

const checkContent = (scope: Scope, place: Place, content: Content): void => {
  const given = CONTENT_KEYS.filter((key) => content[key as keyof Content] !== undefined);
  if (given.length !== 1) {
    scope.problems.push({ place, message: `needs one of ${CONTENT_KEYS.join(', ')}` });
  }
  checkTree(scope, [...place, 'text'], content.text);
  checkTree(scope, [...place, 'json'], content.json);
  if (content.xml !== undefined) {
    checkTree(scope, [...place, 'xml'], content.xml);
    checkXmlNames(scope, [...place, 'xml'], content.xml);
    if (typeof content.xml !== 'object' || content.xml === null || Object.keys(content.xml).length !== 1) {
      scope.problems.push({ place: [...place, 'xml'], message: 'needs one root element' });
    }
  }
  if (content.secret !== undefined) {
    checkSecretName(scope, [...place, 'secret'], content.secret);
  }
};

const checkKeys = (scope: Scope, place: Place, step: StepFormat): boolean => {
  const actions = ACTIONS.filter((action) => step[action] !== undefined);
  if (actions.length !== 1) {
    const found = actions.length === 0 ? 'none' : actions.join(' and ');
    scope.problems.push({ place, message: `a step has one action, this has ${found}` });
    return false;
  }
  const action = actionOf(step);
  const allowed = [action, 'ok', ...COMPANIONS[action]];
  for (const key of Object.keys(step).filter((name) => !allowed.includes(name))) {
    scope.problems.push({
      place: [...place, key],
      message: `does not go with ${action}${suggest(key, allowed)}`,
    });
  }
  for (const key of NEEDS[action] ?? []) {
    if (step[key as keyof StepFormat] === undefined) {
      scope.problems.push({ place, message: `${action} needs ${key}` });
    }
  }
  return true;
};

const checkExec = (scope: Scope, place: Place, step: StepFormat): void => {
  const [file = '', ...args] = step.exec ?? [];
  if (/[{}\s]/.test(file)) {
    scope.problems.push({ place: [...place, 'exec', 0], message: 'the command is a plain name or path' });
  }
  for (const [index, arg] of args.entries()) {
    checkTemplate(scope, [...place, 'exec', index + 1], arg, step.secretInArgv === true);
  }
  for (const [name, value] of Object.entries(step.env ?? {})) {
    if (typeof value === 'string') {
      checkTemplate(scope, [...place, 'env', name], value, false);
    } else {
      checkSecretName(scope, [...place, 'env', name], value.secret);
    }
  }
  if (step.stdin !== undefined) {
    checkContent(scope, [...place, 'stdin'], step.stdin);
  }
  for (const [name, content] of Object.entries(step.files ?? {})) {
    checkContent(scope, [...place, 'files', name], content);
  }
};

const checkStep = (outer: Scope, place: Place, step: StepFormat): void => {
  const types = new Map(outer.types);
  for (const name of Object.keys(step.files ?? {})) {
    types.set(`file.${name}`, 'path');
  }
  const scope = { ...outer, types };
  if (!checkKeys(scope, place, step)) {
    return;
  }
  const action = actionOf(step);
  if (action === 'exec') {
    checkExec(scope, place, step);
    return;
  }
  checkTemplate(scope, [...place, action], step[action] ?? '', false);
  for (const key of ['to', 'size'] as const) {
    checkTemplate(scope, [...place, key], step[key] ?? '', false);
  }
  if (action === 'write' || action === 'replace') {
    checkContent(scope, place, step);
  }
};

const typesOf = (profile: ProfileFormat, shape: VerbShape): ReadonlyMap<string, string> =>
  new Map([
    ...Object.entries(profile.params ?? {}).map(([name, { type }]): [string, string] => [name, type]),
    ...Object.entries(shape.params ?? {}),
  ]);

const checkVerbs = (profile: ProfileFormat, role: RoleShape, problems: Problem[]): void => {
  for (const [verb, steps] of Object.entries(profile.verbs)) {
    const shape = Object.hasOwn(role.verbs, verb) ? role.verbs[verb] : undefined;
    if (shape === undefined) {
      const message = `the role ${profile.role} has no such verb${suggest(verb, Object.keys(role.verbs))}`;
      problems.push({ place: ['verbs', verb], message });
      continue;
    }
    const scope = { profile, types: typesOf(profile, shape), problems };
    for (const [index, step] of asList(steps).entries()) {
      checkStep(scope, ['verbs', verb, ...(Array.isArray(steps) ? [index] : [])], step);
    }
    checkRowsFormat(verb, asList(steps), shape, problems);
  }
  for (const [verb, shape] of Object.entries(role.verbs)) {
    if (shape.optional !== true && profile.verbs[verb] === undefined) {
      problems.push({ place: ['verbs'], message: `the role ${profile.role} needs the verb ${verb}` });
    }
  }
};

const checkNeeded = (profile: ProfileFormat, role: RoleShape, problems: Problem[]): void => {
  const { provides } = profile;
  const needed = provides === undefined ? [] : (role.needs?.[provides] ?? []);
  for (const verb of needed.filter((name) => profile.verbs[name] === undefined)) {
    problems.push({
      place: ['verbs'],
      message: `to provide ${provides}, the role ${profile.role} needs the verb ${verb}`,
    });
  }
};

const checkTogether = (profile: ProfileFormat, role: RoleShape, problems: Problem[]): void => {
  for (const group of role.together ?? []) {
    const missing = group.filter((verb) => profile.verbs[verb] === undefined);
    const has = group.find((verb) => profile.verbs[verb] !== undefined);
    for (const verb of has === undefined ? [] : missing) {
      problems.push({ place: ['verbs'], message: `${has} needs the verb ${verb} beside it` });
    }
  }
};

const checkInstead = (profile: ProfileFormat, role: RoleShape, problems: Problem[]): void => {
  for (const [verb, replaced] of Object.entries(role.instead ?? {})) {
    const has = profile.verbs[verb] !== undefined;
    for (const one of replaced.filter((name) => has === (profile.verbs[name] !== undefined))) {
      problems.push(
        has
          ? { place: ['verbs', one], message: `${verb} stands in its place` }
          : {
              place: ['verbs'],
              message: `the role ${profile.role} needs the verb ${one}, or ${verb} in its place`,
            },
      );
    }
  }
};

const checkCan = (profile: ProfileFormat, role: RoleShape, problems: Problem[]): void => {
  for (const [key, value] of Object.entries(profile.can ?? {})) {
    const type = Object.hasOwn(role.can, key) ? role.can[key] : undefined;
    if (type === undefined) {
      problems.push({ place: ['can', key], message: `unknown${suggest(key, Object.keys(role.can))}` });
    } else if ((type === 'boolean') !== (typeof value === 'boolean')) {
      problems.push({ place: ['can', key], message: `is not of type ${type}` });
    }
  }
};

const checkTop = (profile: ProfileFormat, role: RoleShape, problems: Problem[]): void => {
  for (const key of ['accepts', 'provides', 'devices'] as const) {
    const wanted = role.keys.includes(key);
    if (wanted !== (profile[key] !== undefined)) {
      const message = `the role ${profile.role} ${wanted ? 'needs' : 'has no'} ${key}`;
      problems.push({ place: wanted ? [] : [key], message });
    }
  }
  checkCan(profile, role, problems);
  for (const kind of profile.accepts ?? []) {
    if (profile.verbs[`attach.${kind}`] === undefined) {
      problems.push({ place: ['accepts'], message: `${kind} needs the verb attach.${kind}` });
    }
  }
};

/** A VMM shows that a disk has grown only when its size can be looked at. */
const checkGrowth = (profile: ProfileFormat, problems: Problem[]): void => {
  const { can = {}, verbs, role } = profile;
  if (
    role === 'vmm' &&
    can.growOnline === true &&
    verbs.size === undefined &&
    !gives(profile, 'disks', 'sectors')
  ) {
    const message = 'needs the verb size, or a column sectors of disks';
    problems.push({ place: ['can', 'growOnline'], message });
  }
};

/** Commands that name a machine by its id need the id from somewhere. */
const checkIDs = (profile: ProfileFormat, problems: Problem[]): void => {
  if (usesParameter(profile, 'instance.id') && !gives(profile, 'instances', 'id')) {
    const message = 'gives no column id, and a step uses {instance.id}';
    problems.push({ place: ['verbs', 'instances'], message });
  }
};

/** All that is wrong with a profile that fits the schema. */
export const checkProfile = (profile: ProfileFormat): readonly Problem[] => {
  const problems: Problem[] = [];
  const role = ROLES[profile.role];
  checkTop(profile, role, problems);
  const anyVerb = Object.assign(
    {},
    ...Object.values(role.verbs).map(({ params }) => params),
  ) as VerbShape['params'];
  const types = typesOf(profile, anyVerb === undefined ? {} : { params: anyVerb });
  checkTemplate({ profile, types, problems }, ['lock'], profile.lock ?? '', false);
  checkVerbs(profile, role, problems);
  const checkTypes = new Map([...typesOf(profile, {}), ['iqnPrefix', 'word']]);
  const scope = { profile, types: checkTypes, problems };
  checkHostChecks(profile, {
    step: (place, step) => checkStep(scope, place, step),
    template: (place, template) => checkTemplate(scope, place, template, false),
    problems,
  });
  checkIDs(profile, problems);
  checkGrowth(profile, problems);
  checkNeeded(profile, role, problems);
  checkTogether(profile, role, problems);
  checkInstead(profile, role, problems);
  return problems;
};
