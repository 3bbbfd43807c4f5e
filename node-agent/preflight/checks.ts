// All that is to be checked of a host, from the profiles which its configuration names.
import { CommandNotFound } from '../exec/command.ts';
import type { BoundProfile } from '../profiles/bind.ts';
import type { CheckFormat } from '../profiles/format.ts';
import { runDataCheck } from './data-check.ts';
import type { Finding, Verdict } from './finding.ts';
import { lvmLeavesIscsi, lvmLeavesVolumes } from './lvm.ts';
import type { About, Rules } from './rule.ts';

/** A profile in use. */
export interface Subject {
  /** What people know it by. */
  readonly name: string;
  readonly bound: BoundProfile;
}

export interface Check extends Omit<Finding, 'verdict'> {
  /** The running agent sees it anyway. */
  readonly live: boolean;
  run(signal: AbortSignal): Promise<Verdict>;
}

const RULES: Rules = { lvmLeavesVolumes, lvmLeavesIscsi };

/** For every profile that puts a secret on a command line. */
export const ARGV_CHECK: CheckFormat = {
  check: 'command lines are hidden from other users',
  why: 'the tool takes CHAP passwords as arguments only, and each user who logs in there could read them in that moment',
  severity: 'warn',
  wrong: '/proc is mounted without hidepid',
  file: '/etc/fstab',
  put: 'proc /proc proc defaults,hidepid=invisible 0 0',
  steps: {
    read: '/proc/mounts',
    rows: {
      lines: '^\\S+ (?<proc>/proc) proc \\S*\\bhidepid=(?:[124]|noaccess|invisible|ptraceable)',
      skip: '.',
    },
  },
};

export const TOOL_CHECK = {
  check: 'the tool answers',
  why: 'without it nothing of this role can be done',
} as const;

export const VERSION_CHECK = {
  check: 'its version has no known fault',
  why: 'the profile names versions with which data or guests are in danger',
} as const;

const putsSecretsInArgv = ({ profile }: BoundProfile): boolean =>
  JSON.stringify(profile.format.verbs).includes('"secretInArgv":true');

function formatsOf({ bound }: Subject): readonly CheckFormat[] {
  return [...(bound.profile.format.checks ?? []), ...(putsSecretsInArgv(bound) ? [ARGV_CHECK] : [])];
}

const checkOf = ({ name, bound }: Subject, format: CheckFormat, about: About): Check => ({
  subject: name,
  check: format.check,
  why: format.why,
  severity: format.severity ?? 'fail',
  reason: format.reason ?? 'HostUnsafe',
  live: format.live === true,
  run: (signal) =>
    format.rule === undefined
      ? runDataCheck(format, { bound, about, signal })
      : RULES[format.rule](bound, about, signal),
});

function missing(error: unknown): string {
  const { cause } = error instanceof Error ? error : {};
  if (cause instanceof CommandNotFound) {
    return `${cause.file} is not installed`;
  }
  return error instanceof Error ? error.message : String(error);
}

function toolChecks({ name: subject, bound }: Subject): readonly Check[] {
  if (!bound.has('version')) {
    return [];
  }
  const answers: Check = {
    ...TOOL_CHECK,
    subject,
    severity: 'fail',
    reason: 'HostUnsafe',
    live: true,
    run: async (signal) => {
      try {
        return { kind: 'ok', note: (await bound.version(signal))?.version ?? '' };
      } catch (error) {
        return { kind: 'wrong', wrong: missing(error) };
      }
    },
  };
  const fault: Check = {
    ...VERSION_CHECK,
    subject,
    severity: 'fail',
    reason: 'FaultyTool',
    live: false,
    run: async (signal) => {
      const found = await bound.version(signal);
      return found?.bad === undefined
        ? { kind: 'ok' }
        : { kind: 'wrong', wrong: `version ${found.version} cannot be used: ${found.bad}` };
    },
  };
  return bound.profile.format.versions === undefined ? [answers] : [answers, fault];
}

export const checksOf = (subjects: readonly Subject[], about: About): readonly Check[] =>
  subjects.flatMap((subject) => [
    ...toolChecks(subject),
    ...formatsOf(subject).map((format) => checkOf(subject, format, about)),
  ]);

/** Never rejects: what a check throws says that it could not look. */
export async function runChecks(checks: readonly Check[], signal: AbortSignal): Promise<readonly Finding[]> {
  return await Promise.all(
    checks.map(async ({ run, live: _live, ...told }): Promise<Finding> => {
      try {
        return { ...told, verdict: await run(signal) };
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        return { ...told, verdict: { kind: 'unclear', why } };
      }
    }),
  );
}
