/** A profile as it is written: the types beside profile.schema.json. See docs/profiles.md. */

import type { KillPolicy } from '../exec/command.ts';
import type { SettingType } from './values.ts';
import type { Outcome, RoleName } from './vocabulary.ts';

/** XML: keys are element names, `@name` attributes, `#` text; a list repeats its element. JSON: as it stands. Strings are templates. */
export type Tree = string | number | boolean | null | readonly Tree[] | { readonly [key: string]: Tree };

/** Exactly one key. */
export interface Content {
  readonly text?: string;
  readonly xml?: Tree;
  readonly json?: Tree;
  /** The name of a secret parameter. */
  readonly secret?: string;
}

/** Exactly one of json, xml, lines, blocks, text, entries. */
export interface RowsFormat {
  readonly json?: string;
  readonly xml?: string;
  readonly lines?: string;
  readonly blocks?: readonly string[];
  readonly text?: string;
  readonly entries?: string;
  readonly skip?: string;
  readonly require?: readonly string[];
  /** What the whole answer matches: its header, or what comes last. */
  readonly whole?: string;
  /** Columns without which a row is only a part of one. */
  readonly need?: readonly string[];
  /** Rows with the same value in this column become one; the column itself is left out. */
  readonly join?: string;
  readonly cols?: Readonly<Record<string, string>>;
  readonly match?: Readonly<Record<string, string>>;
  readonly omit?: Readonly<Record<string, string>>;
  readonly find?: Readonly<Record<string, string>>;
  readonly set?: Readonly<Record<string, string>>;
  readonly map?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export interface OutcomeRule {
  readonly exit?: number;
  readonly stderr?: string;
  readonly stdout?: string;
  readonly is: Outcome;
}

export interface RunFormat {
  readonly timeout?: string;
  readonly kill?: KillPolicy;
  readonly path?: string;
}

export const ACTIONS = [
  'exec',
  'mkdir',
  'rmdir',
  'unlink',
  'rename',
  'write',
  'replace',
  'read',
  'list',
  'scan',
  'glob',
  'readlink',
  'readEach',
  'linkEach',
  'symlink',
  'extend',
  'sync',
  'stat',
  'space',
] as const;
export type Action = (typeof ACTIONS)[number];
export type FileAction = Exclude<Action, 'exec'>;

export interface StepFormat extends RunFormat, Content, Partial<Record<FileAction, string>> {
  readonly exec?: readonly string[];
  readonly stdin?: Content;
  readonly env?: Readonly<Record<string, string | { readonly secret: string }>>;
  readonly files?: Readonly<Record<string, Content>>;
  readonly secretInArgv?: true;
  readonly to?: string;
  readonly size?: string;
  readonly mode?: string;
  readonly ok?: readonly Outcome[];
  readonly rows?: RowsFormat | readonly RowsFormat[];
  readonly outcomes?: readonly OutcomeRule[];
}

export interface SettingFormat {
  readonly type: SettingType;
  readonly default?: string | number | boolean;
  readonly description: string;
}

/** Checks which need more than data: see node-agent/preflight. */
export const RULES = ['lvmLeavesVolumes', 'lvmLeavesIscsi'] as const;
export type RuleName = (typeof RULES)[number];

/** A `key = value` of a configuration file, or of each file that a pattern finds. */
export interface KeptSetting {
  readonly file: string | readonly string[];
  readonly key: string;
  /** What holds where the file does not name the key. Without it a file that does not is passed over. */
  readonly default?: string;
  /** One of both: what a good value looks like (a template of a regular expression), or the least that it may be. */
  readonly match?: string;
  readonly min?: number;
}

/** What the tool needs of its host. Exactly one of setting, steps, same, rule. */
export interface CheckFormat {
  /** What should be so, as a sentence. */
  readonly check: string;
  readonly why: string;
  /** `fail` when absent: data would be in danger. */
  readonly severity?: 'fail' | 'warn';
  /** The reason of HostSafe. */
  readonly reason?: 'HostUnsafe' | 'LvmSeesGuests' | 'AutomaticLogin' | 'FaultyTool';
  /** The running agent sees it anyway, and at once: told by the command only. */
  readonly live?: true;
  readonly setting?: KeptSetting;
  /** It passes with the first step that ends with one of `passes`; a step with rows that gives none is `absent`. */
  readonly steps?: StepFormat | readonly StepFormat[];
  readonly passes?: readonly Outcome[];
  /** Two steps which must give the same rows. */
  readonly same?: readonly StepFormat[];
  readonly rule?: RuleName;
  /** What is so instead, for steps and same. */
  readonly wrong?: string;
  /** Text for the file (that of the setting, or `file`), or a command for a person. */
  readonly put?: string;
  readonly file?: string;
  readonly run?: string;
}

export interface ProfileFormat {
  readonly profile: 1;
  readonly role: RoleName;
  readonly name: string;
  readonly description?: string;
  readonly lock?: string;
  readonly accepts?: readonly ('block' | 'iscsi')[];
  readonly provides?: 'block' | 'iscsi';
  readonly devices?: readonly string[];
  readonly can?: Readonly<Record<string, boolean | number>>;
  readonly params?: Readonly<Record<string, SettingFormat>>;
  readonly let?: Readonly<Record<string, string>>;
  readonly run?: RunFormat;
  readonly outcomes?: readonly OutcomeRule[];
  readonly versions?: { readonly bad: readonly { readonly match: string; readonly why: string }[] };
  readonly checks?: readonly CheckFormat[];
  readonly verbs: Readonly<Record<string, StepFormat | readonly StepFormat[]>>;
}

export const asList = <T extends object>(one: T | readonly T[] | undefined): readonly T[] => {
  if (one === undefined) {
    return [];
  }
  return Array.isArray(one) ? one : [one as T];
};

export const actionOf = (step: StepFormat): Action => {
  const found = ACTIONS.find((action) => step[action] !== undefined);
  if (found === undefined) {
    throw new TypeError('a step without an action was not refused at load');
  }
  return found;
};

/** Does any verb of the profile use this parameter, itself or through a `let`? */
export const usesParameter = ({ verbs, let: lets = {} }: ProfileFormat, name: string): boolean =>
  JSON.stringify([verbs, lets]).includes(`{${name}}`);
