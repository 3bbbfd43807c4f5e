// How a failure of the outside world reads in a status.
import { infoOf, type Reason } from '../api/reasons.ts';
import { CommandError } from './exec/command.ts';
import { LockStuck } from './exec/locks.ts';
import { RoleError } from './roles/errors.ts';
import type { Problem } from './volume/plan.ts';

/** With room for words before it, within the 1024 of the schema. */
const LONGEST = 900;

/** A problem for a status: the same failure gives the same words, so that it is written once. Undefined: not the outside world's. */
export function problemOf(error: unknown): Problem | undefined {
  if (error instanceof RoleError) {
    return withRemedy(error.reason, error);
  }
  if (error instanceof CommandError) {
    return withRemedy('CommandFailed', error);
  }
  if (error instanceof LockStuck) {
    return withRemedy('Busy', error);
  }
  if (isTimeout(error)) {
    return withRemedy('CannotLook', error);
  }
  return error instanceof ReportedProblem ? { reason: error.reason, message: error.message } : undefined;
}

/** What went wrong is the tool's to say; what a person does about it stands in the table of reasons. */
function withRemedy(reason: Reason, { message }: Error): Problem {
  const remedy = `; ${infoOf(reason)?.remedy}`;
  return { reason, message: `${message.slice(0, LONGEST - remedy.length)}${remedy}` };
}

/** Ours, or that of AbortSignal.timeout. */
const isTimeout = (error: unknown): error is Error =>
  error instanceof Error && (error.name === 'TimeoutError' || error.name === 'DeadlineError');

/** A problem which is not any role's: a missing CHAP key, a guest which does not let go. Its message says what to do. */
export class ReportedProblem extends Error {
  override readonly name = 'ReportedProblem';
  readonly reason: Reason;
  constructor(reason: Reason, message: string) {
    super(message);
    this.reason = reason;
  }
}
