// The checks in the running agent: at its start, and then now and then. Between two rounds they cost nothing.
import type { Clock } from '../../runtime/clock.ts';
import { startDeadline } from '../../runtime/deadline.ts';
import type { Log } from '../../runtime/log.ts';
import type { Problem } from '../volume/plan.ts';
import { type Check, runChecks } from './checks.ts';
import { problemOfFinding } from './finding.ts';

export interface Checkup {
  /** What stands against using the host, as of the last round. Waits for the first one, within reason. */
  problems(signal: AbortSignal): Promise<readonly Problem[]>;
}

const EVERY_MS = 5 * 60_000;
/** While something is wrong, somebody may be about to cure it. */
const WHILE_WRONG_MS = 20_000;
const FIRST_WAIT_MS = 15_000;
const ROUND_LIMIT_MS = 60_000;
/** As many as leave room for others in the status. */
const MOST = 16;

interface CheckupDeps {
  readonly checks: readonly Check[];
  readonly clock: Clock;
  readonly log: Log;
}

export function hostCheckup({ checks, clock, log }: CheckupDeps): Checkup {
  // Warnings stand against nothing, and what is live the agent tells anyway.
  const wanted = checks.filter(({ severity, live }) => severity === 'fail' && !live);
  let known: readonly Problem[] | undefined;
  let round: Promise<void> | undefined;
  let dueAtMs = Number.NEGATIVE_INFINITY;
  const look = async (): Promise<void> => {
    const limit = startDeadline(clock, ROUND_LIMIT_MS, 'a round of checks');
    const findings = await runChecks(wanted, limit.signal).finally(() => limit.release());
    const problems = distinct(findings.flatMap((finding) => problemOfFinding(finding) ?? []));
    if (JSON.stringify(problems) !== JSON.stringify(known ?? [])) {
      log[problems.length === 0 ? 'info' : 'warn']({ problems }, 'Checked the settings of this host');
    }
    known = problems;
    dueAtMs = clock.monotonicMs() + (problems.length === 0 ? EVERY_MS : WHILE_WRONG_MS);
    round = undefined;
  };
  return {
    problems: async (signal) => {
      if (round === undefined && clock.monotonicMs() >= dueAtMs && wanted.length > 0) {
        round = look();
      }
      if (known === undefined && round !== undefined) {
        const waited = new AbortController();
        const limit = clock.sleep(FIRST_WAIT_MS, AbortSignal.any([signal, waited.signal])).catch(() => {});
        await Promise.race([round, limit]);
        waited.abort();
      }
      return known ?? [];
    },
  };
}

/** Several pools of one tool have its problems in common. */
function distinct(problems: readonly Problem[]): readonly Problem[] {
  const byText = new Map(problems.map((problem) => [`${problem.reason} ${problem.message}`, problem]));
  return [...byText.values()].slice(0, MOST);
}
