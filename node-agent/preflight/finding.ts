// What a look at the host's settings came to, and how it reads.
import type { Reason } from '../../api/reasons.ts';
import type { Problem } from '../volume/plan.ts';

/** Exact text for a file, or a command for a person. `place` is `file:line`. */
export interface Remedy {
  /** Put it there instead; add it after that line; make the file. `run`: no file at all. */
  readonly how: 'change' | 'add' | 'make' | 'run';
  readonly place?: string;
  readonly text: string;
}

export type Verdict =
  | { readonly kind: 'ok'; readonly note?: string }
  | { readonly kind: 'wrong'; readonly wrong: string; readonly remedy?: Remedy }
  /** It could not be looked at. */
  | { readonly kind: 'unclear'; readonly why: string };

export interface Finding {
  /** The profile, or pool, that it is about. */
  readonly subject: string;
  /** What should be so. */
  readonly check: string;
  readonly why: string;
  readonly severity: 'fail' | 'warn';
  readonly reason: Reason;
  readonly verdict: Verdict;
}

export type State = 'ok' | 'warn' | 'FAIL';

/** What could not be looked at is no failure: a host without systemd is none. */
export function stateOf({ severity, verdict }: Finding): State {
  if (verdict.kind === 'ok') {
    return 'ok';
  }
  return verdict.kind === 'wrong' && severity === 'fail' ? 'FAIL' : 'warn';
}

const HOW = { change: 'change', add: 'add after', make: 'make' } as const;

function remedyLines({ how, place, text }: Remedy): readonly string[] {
  const told = text.trimEnd().split('\n');
  if (how !== 'run' && place !== undefined) {
    return [`     ${HOW[how]} ${place}`, ...told.map((line) => `         ${line}`)];
  }
  return ['     run', ...told.map((line) => `         ${line}`)];
}

/** As `vbs-node-agent check` prints it. */
export function findingLines(finding: Finding): readonly string[] {
  const { subject, check, why, verdict } = finding;
  const first = `${stateOf(finding).padEnd(4)} ${subject}: ${check}`;
  switch (verdict.kind) {
    case 'ok':
      return [verdict.note === undefined ? first : `${first} (${verdict.note})`];
    case 'unclear':
      return [first, `     cannot be told: ${verdict.why}`, `     why: ${why}`];
    case 'wrong':
      return [
        first,
        `     ${verdict.wrong}`,
        `     why: ${why}`,
        ...(verdict.remedy === undefined ? [] : remedyLines(verdict.remedy)),
      ];
  }
}

export function summaryLine(findings: readonly Finding[]): string {
  const count = (state: State): number => findings.filter((one) => stateOf(one) === state).length;
  const warnings = count('warn');
  return `${count('ok')} passed, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}, ${count('FAIL')} failed`;
}

/** With room for words around it, within the 1024 of the schema. */
const LONGEST = 900;

/** As the host's status tells it. Undefined for what does not stand against using the host. */
export function problemOfFinding(finding: Finding): Problem | undefined {
  const { subject, why, reason, verdict } = finding;
  if (stateOf(finding) !== 'FAIL' || verdict.kind !== 'wrong') {
    return undefined;
  }
  const { wrong, remedy } = verdict;
  const text = remedy?.text.trim().replaceAll(/\s*\n\s*/g, ' ');
  const act =
    remedy === undefined
      ? ''
      : `; ${remedy.how === 'run' ? 'run' : `${HOW[remedy.how]} ${remedy.place}`}: ${text}`;
  return { reason, message: `${subject}: ${wrong} (${why})${act}`.slice(0, LONGEST) };
}
