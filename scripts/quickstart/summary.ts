// What became of the steps, as the quickstart's last lines.

export interface Outcome {
  readonly title: string;
  readonly state: 'passed' | 'failed' | 'not run';
  readonly seconds: number;
}

const words = { passed: 'ok', failed: 'FAILED', 'not run': 'not run' } as const;

/** One line for each step, then the whole time. */
export function tableOf(outcomes: readonly Outcome[]): readonly string[] {
  const width = Math.max(...outcomes.map(({ title }) => title.length));
  const time = (seconds: number) => `${seconds.toFixed(1).padStart(7)} s`;
  const lines = outcomes.map(({ title, state, seconds }, index) => {
    const start = `${String(index + 1).padStart(2)}  ${title.padEnd(width)}  ${words[state].padEnd(7)}`;
    return state === 'not run' ? start.trimEnd() : `${start}${time(seconds)}`;
  });
  const total = outcomes.reduce((sum, { seconds }) => sum + seconds, 0);
  return [...lines, `${' '.repeat(width + 13)}${time(total)}`];
}

/** The last line of a run. */
export function totalsOf(outcomes: readonly Outcome[]): string {
  const count = (state: Outcome['state']) => outcomes.filter((outcome) => outcome.state === state).length;
  return `${count('passed')} passed, ${count('failed')} failed`;
}

export const hasPassed = (outcomes: readonly Outcome[]): boolean =>
  outcomes.length > 0 && outcomes.every(({ state }) => state === 'passed');
