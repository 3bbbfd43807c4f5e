// What a check in code is handed: the profile it stands in, and the files and commands of the host.
import type { BoundProfile } from '../profiles/bind.ts';
import type { RuleName } from '../profiles/format.ts';
import type { Verdict } from './finding.ts';

export interface About {
  /** Prefix of our targets' names. */
  readonly iqnPrefix: string;
}

/** Throws what commands and files throw: then it could not be looked at. */
export type Rule = (bound: BoundProfile, about: About, signal: AbortSignal) => Promise<Verdict>;

export type Rules = Readonly<Record<RuleName, Rule>>;
