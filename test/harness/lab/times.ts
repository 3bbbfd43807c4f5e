// How long the steps of a story took, and beside each the commands which the agents ran meanwhile.

import type { RanStep } from './agent.ts';

/** What an argument names is of no interest here: options and verbs are. */
const shown = ({ tool, argv, verb }: RanStep): string =>
  tool === 'file' ? `${argv[0] ?? 'file'} ${verb}` : `${tool} (${verb})`;

/** One line a command, the longest in sum first: how often, median, longest, sum, in seconds. */
export const table = (steps: readonly RanStep[]): readonly string[] => {
  const groups = new Map<string, number[]>();
  for (const step of steps) {
    const key = `${step.profile} ${shown(step)}${step.outcome === 'ok' ? '' : ` → ${step.outcome}`}`;
    groups.set(key, [...(groups.get(key) ?? []), step.durationMs]);
  }
  return [...groups]
    .map(([name, times]) => ({ name, times: times.toSorted((a, b) => a - b) }))
    .map(({ name, times }) => ({ name, times, sum: times.reduce((total, one) => total + one, 0) }))
    .toSorted((a, b) => b.sum - a.sum)
    .map(({ name, times, sum }) => {
      const median = times[Math.floor(times.length / 2)] ?? 0;
      const figures = [median, times.at(-1) ?? 0, sum].map((ms) => (ms / 1000).toFixed(2).padStart(7));
      return `${String(times.length).padStart(4)} × ${figures.join(' ')}  ${name}`;
    });
};
