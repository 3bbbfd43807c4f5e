// What operations may cost: test/budget.yaml.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';

/** Absent: not limited. */
export interface Cost {
  readonly writes?: number;
  readonly lists?: number;
  readonly commands?: number;
}

export interface Budget {
  readonly operations: Readonly<Record<string, Cost>>;
  readonly idle: Cost;
  readonly restart: Cost;
  /** For each object, when thousands are made at once. */
  readonly crowd: Readonly<Record<string, Cost>>;
}

export async function loadBudget(): Promise<Budget> {
  return parse(await readFile(path.join(import.meta.dirname, '../budget.yaml'), 'utf8')) as Budget;
}

const KINDS = ['writes', 'lists', 'commands'] as const;

/** `attach: 7 writes, 6 allowed (+1)` for each kind of cost that is above what is allowed; empty when it is kept. */
export function overBudget(name: string, found: Cost, allowed: Cost | undefined): readonly string[] {
  if (allowed === undefined) {
    return [`${name}: test/budget.yaml says nothing about it`];
  }
  return KINDS.flatMap((kind) => {
    const [is, may] = [found[kind] ?? 0, allowed[kind]];
    return may === undefined || is <= may ? [] : [`${name}: ${is} ${kind}, ${may} allowed (+${is - may})`];
  });
}
