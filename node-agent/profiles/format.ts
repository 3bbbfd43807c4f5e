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
