/** Joins a profile to a host: verbs can be called from here on. */

import { tmpdir } from 'node:os';
import type { RunCommand } from '../exec/command.ts';
import { CommandError } from '../exec/command.ts';
import type { Files } from '../exec/files.ts';
import { createLocks, LockStuck, type Locks } from '../exec/locks.ts';
import { quote } from '../exec/redact.ts';
import { Busy, CannotLook } from '../roles/errors.ts';
import { actionOf, asList, type StepFormat } from './format.ts';
import type { Profile } from './load.ts';
import { type Row, RowsError } from './row.ts';
import { readRows } from './rows.ts';
import { type Settings, settle } from './settings.ts';
import { fillTemplate, runStep, type StepScope, shownArgv } from './steps.ts';
import { expandLets, render } from './template.ts';
import { checkValue, ParameterError, type Values } from './values.ts';
import { type Outcome, ROLES, type VerbShape } from './vocabulary.ts';

export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
}

/** One step of a verb, after it. For metrics and transcripts; secrets are redacted. */
export interface CommandEvent {
  readonly role: string;
  readonly profile: string;
  /** The command's name, or `file` for a file operation. */
  readonly tool: string;
  readonly verb: string;
  readonly durationMs: number;
  readonly outcome: Outcome | 'unfinished';
  readonly argv: readonly string[];
}

export interface BindOptions {
  readonly run: RunCommand;
  readonly files: Files;
  /** What the administrator says instead of the profile's defaults. */
  readonly params?: Settings;
  /** One for all roles of an agent. */
  readonly locks?: Locks;
  readonly log?: Log;
  readonly onCommand?: (event: CommandEvent) => void;
  /** Where 0600 files for commands are made; only root may enter it. */
  readonly directory?: string;
}

export interface CallResult {
  readonly outcome: Outcome;
  readonly rows: readonly Row[];
  readonly stdout: string;
  /** The tool's own words, cut short and without secrets. */
  readonly said: string;
}

export interface Version {
  readonly version: string;
  /** Why this version must not be used. */
  readonly bad?: string;
}

/** Parameters beside the settings. */
type Texts = Readonly<Record<string, string>>;

export interface StepAnswer {
  readonly outcome: Outcome;
  readonly rows: readonly Row[];
  readonly said: string;
}

export interface BoundProfile {
  readonly name: string;
  readonly role: string;
  readonly hash: string;
  readonly profile: Profile;
  readonly can: Readonly<Record<string, boolean | number>>;
  /** The text of a setting of the profile. */
  setting(name: string): string | undefined;
  has(verb: string): boolean;
  /**
   * Runs a verb, alone in its lock class. A look throws CannotLook unless it was understood; a change answers with an
   * outcome and never means that it happened. Throws Busy while an earlier command hangs, ParameterError for a value
   * that must not reach a command, and CommandError when a command gave no answer.
   */
  call(verb: string, values: Values, signal: AbortSignal): Promise<CallResult>;
  /**
   * Runs a step of none of its verbs, which changes nothing. With rows that give none it is `absent`. Throws RowsError for what is not
   * understood, and CommandError when a command gave no answer.
   */
  step(step: StepFormat, more: Texts, signal: AbortSignal): Promise<StepAnswer>;
  /** A template with the settings filled in. */
  text(template: string, more: Texts): string;
  /** Where its commands run. */
  readonly host: { readonly run: RunCommand; readonly files: Files };
  /** Undefined for a profile without a version verb. */
  version(signal: AbortSignal): Promise<Version | undefined>;
}

const SILENT: Log = { debug: () => undefined, info: () => undefined };

interface Bound {
  readonly profile: Profile;
  readonly options: BindOptions;
  readonly settings: ReadonlyMap<string, string>;
  readonly locks: Locks;
}

const scopeOf = ({ profile, settings }: Bound, shape: VerbShape, given: Values): StepScope => {
  const types = shape.params ?? {};
  for (const name of Object.keys(given).filter((key) => !Object.hasOwn(types, key))) {
    throw new ParameterError(name, 'is unknown to this verb');
  }
  const values = new Map<string, string | undefined>(settings);
  const secrets: string[] = [];
  for (const [name, type] of Object.entries(types)) {
    if (given[name] === undefined && shape.mayLack?.includes(name)) {
      values.set(name, undefined);
      continue;
    }
    const text = checkValue(name, type, given[name]);
    values.set(name, text);
    if (type === 'secret' && text !== undefined) {
      secrets.push(text);
    }
  }
  return { format: profile.format, values, secrets };
};

/** Every row must be of a known kind and have the columns its role reads. */
const checkRows = (rows: readonly Row[], shape: VerbShape): void => {
  for (const row of rows) {
    const wanted = shape.rows?.[row.kind ?? ''] ?? shape.rows?.[''];
    const missing = wanted?.need.find((column) => row[column] === undefined);
    if (wanted === undefined || missing !== undefined) {
      throw new RowsError(
        `a row has no ${missing ?? 'known kind'}: ${quote(JSON.stringify(row)).slice(0, 200)}`,
      );
    }
  }
};

const observe = (bound: Bound, verb: string, scope: StepScope) => {
  const { profile, options } = bound;
  return async <T extends { readonly outcome: Outcome }>(
    step: StepFormat,
    work: () => Promise<T>,
  ): Promise<T> => {
    const startedAt = performance.now();
    const argv = shownArgv(step, scope);
    let outcome: CommandEvent['outcome'] = 'unfinished';
    try {
      const result = await work();
      outcome = result.outcome;
      return result;
    } finally {
      const tool = actionOf(step) === 'exec' ? (argv[0] ?? '') : 'file';
      const durationMs = performance.now() - startedAt;
      const { role, name } = profile;
      options.onCommand?.({ role, profile: name, tool, verb, durationMs, outcome, argv });
    }
  };
};

const runSteps = async (
  bound: Bound,
  verb: string,
  scope: StepScope,
  signal: AbortSignal,
): Promise<CallResult> => {
  const { options, profile } = bound;
  const world = { run: options.run, files: options.files, directory: options.directory ?? tmpdir() };
  const watch = observe(bound, verb, scope);
  const rows: Row[] = [];
  let last: CallResult = { outcome: 'ok', rows, stdout: '', said: '' };
  for (const step of asList(profile.format.verbs[verb])) {
    signal.throwIfAborted();
    const result = await watch(step, () => runStep(step, scope, world, signal));
    const passed = result.outcome === 'ok' || (step.ok ?? []).includes(result.outcome);
    last = { outcome: passed ? 'ok' : result.outcome, rows, stdout: result.text, said: result.said };
    if (!passed) {
      return last;
    }
    if (result.outcome === 'ok') {
      rows.push(...asList(step.rows).flatMap((format) => readRows(format, result)));
    }
  }
  return last;
};

const look = async (
  subject: string,
  shape: VerbShape,
  work: () => Promise<CallResult>,
): Promise<CallResult> => {
  try {
    const result = await work();
    if (result.outcome !== 'ok' && !(shape.answers ?? []).includes(result.outcome)) {
      throw new CannotLook(subject, result.said === '' ? result.outcome : result.said);
    }
    checkRows(result.rows, shape);
    return result;
  } catch (error) {
    if (error instanceof RowsError || error instanceof CommandError) {
      throw new CannotLook(subject, error.message, { cause: error });
    }
    throw error;
  }
};

/** A parameter that the verb does not have counts as empty here. */
const lockOf = ({ format }: Profile, values: StepScope['values']): string =>
  render(expandLets(format.lock ?? format.name, format.let ?? {}), (name) => values.get(name) ?? '') ??
  format.name;

const callVerb = async (
  bound: Bound,
  verb: string,
  values: Values,
  signal: AbortSignal,
): Promise<CallResult> => {
  const { profile, options, locks } = bound;
  const shape = ROLES[profile.role].verbs[verb];
  if (shape === undefined || profile.format.verbs[verb] === undefined) {
    throw new TypeError(`profile ${profile.name} has no verb ${verb}`);
  }
  const scope = scopeOf(bound, shape, values);
  const fields = { profile: profile.name, verb };
  const log = options.log ?? SILENT;
  const work = () =>
    locks.hold(lockOf(profile, scope.values), signal, () => {
      log[shape.look === true ? 'debug' : 'info'](fields, 'Running verb');
      return runSteps(bound, verb, scope, signal);
    });
  try {
    return await (shape.look === true ? look(`${profile.name} ${verb}`, shape, work) : work());
  } catch (error) {
    if (error instanceof LockStuck) {
      throw new Busy(profile.name, error.message, { cause: error });
    }
    throw error;
  }
};

const looseScope = ({ profile, settings }: Bound, more: Texts): StepScope => ({
  format: profile.format,
  values: new Map([...settings, ...Object.entries(more)]),
  secrets: [],
});

const answerStep = async (
  { options }: Bound,
  step: StepFormat,
  scope: StepScope,
  signal: AbortSignal,
): Promise<StepAnswer> => {
  const world = { run: options.run, files: options.files, directory: options.directory ?? tmpdir() };
  const result = await runStep(step, scope, world, signal);
  const { outcome, said } = result;
  if (outcome !== 'ok' || step.rows === undefined) {
    return { outcome, rows: [], said };
  }
  const rows = asList(step.rows).flatMap((format) => readRows(format, result));
  return { outcome: rows.length === 0 ? 'absent' : 'ok', rows, said };
};

/** Throws a ProfileError for settings that the profile does not have or that do not fit. */
export const bind = (profile: Profile, options: BindOptions): BoundProfile => {
  const settings = settle(profile, options.params);
  const locks = options.locks ?? createLocks();
  const bound: Bound = { profile, options, settings, locks };
  const has = (verb: string) => profile.format.verbs[verb] !== undefined;
  return {
    name: profile.name,
    role: profile.role,
    hash: profile.hash,
    profile,
    can: profile.format.can ?? {},
    setting: (name) => settings.get(name),
    has,
    call: (verb, values, signal) => callVerb(bound, verb, values, signal),
    host: { run: options.run, files: options.files },
    step: (step, more, signal) => answerStep(bound, step, looseScope(bound, more), signal),
    text: (template, more) => fillTemplate(looseScope(bound, more), template),
    version: async (signal) => {
      if (!has('version')) {
        return undefined;
      }
      const { rows } = await callVerb(bound, 'version', {}, signal);
      const version = rows[0]?.version ?? '';
      const bad = profile.format.versions?.bad.find(({ match }) => new RegExp(match, 'u').test(version));
      return bad === undefined ? { version } : { version, bad: bad.why };
    },
  };
};
