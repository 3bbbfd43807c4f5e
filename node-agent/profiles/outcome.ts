/** What an exit code and a few words mean. They choose wording and pace of a retry; what is true is only ever observed. */

import { errorCode } from '../exec/files.ts';
import type { OutcomeRule } from './format.ts';
import type { Outcome } from './vocabulary.ts';

export interface Said {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const fits = (rule: OutcomeRule, { exitCode, stdout, stderr }: Said): boolean =>
  (rule.exit === undefined || rule.exit === exitCode) &&
  (rule.stderr === undefined || new RegExp(rule.stderr, 'u').test(stderr)) &&
  (rule.stdout === undefined || new RegExp(rule.stdout, 'u').test(stdout));

/** The first rule that fits; else ok for exit code 0 and failed for all others. */
export const outcomeOf = (rules: readonly OutcomeRule[], said: Said): Outcome =>
  rules.find((rule) => fits(rule, said))?.is ?? (said.exitCode === 0 ? 'ok' : 'failed');

const ERRNO: Readonly<Record<string, Outcome>> = {
  ENOENT: 'absent',
  // A file of a process in /proc, once it has ended.
  ESRCH: 'absent',
  ENOTDIR: 'absent',
  EEXIST: 'exists',
  ENOTEMPTY: 'busy',
  EBUSY: 'busy',
  ETXTBSY: 'busy',
  ENOSPC: 'full',
  EDQUOT: 'full',
  EFBIG: 'full',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'denied',
  EOPNOTSUPP: 'unsupported',
};

export const fileOutcome = (error: unknown): Outcome => ERRNO[errorCode(error) ?? ''] ?? 'failed';
