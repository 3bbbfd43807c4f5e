/** Figures as tables and as a picture. Pure. */

import { type Bar, barChart } from './chart.ts';
import type { Figure, Figures } from './measures.ts';

export interface Column {
  readonly name: string;
  readonly figures: Figures;
}

const shown = ({ value, unit }: Figure): string =>
  unit === 'MB/s' ? value.toFixed(value < 10 ? 1 : 0) : value.toFixed(0);

const ratio = (figure: Figure | undefined, base: Figure | undefined): number | undefined =>
  figure === undefined || base === undefined || base.value === 0 ? undefined : figure.value / base.value;

/** One line for each operation: what was measured, and in brackets its share of what the base has. */
export const table = (
  operations: readonly string[],
  columns: readonly Column[],
  baseOf: (operation: string) => Figure | undefined,
): string => {
  const unitOf = (operation: string): string =>
    columns.map(({ figures }) => figures.get(operation)?.unit).find((unit) => unit !== undefined) ?? '';
  const cell = (operation: string, { figures }: Column): string => {
    const figure = figures.get(operation);
    const share = ratio(figure, baseOf(operation));
    return figure === undefined ? '–' : shown(figure) + (share === undefined ? '' : ` (${share.toFixed(2)})`);
  };
  return [
    `| | ${columns.map(({ name }) => name).join(' | ')} |`,
    `| --- | ${columns.map(() => '---:').join(' | ')} |`,
    ...operations.map(
      (operation) =>
        `| ${operation}, ${unitOf(operation)} | ${columns.map((column) => cell(operation, column)).join(' | ')} |`,
    ),
  ].join('\n');
};

/** Shares of what the first column has. */
export const chart = (title: string, operations: readonly string[], columns: readonly Column[]): string => {
  const bars: Bar[] = operations.map((operation) => ({
    name: operation,
    values: columns.map(({ figures }) => ratio(figures.get(operation), columns[0]?.figures.get(operation))),
  }));
  return barChart(
    title,
    columns.map(({ name }) => name),
    bars,
  );
};
