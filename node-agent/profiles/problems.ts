/** Where a profile is wrong, and what to write instead. */

import type { Document, LineCounter } from 'yaml';
import { isMap, isNode, isPair, isScalar } from 'yaml';

export type Place = readonly (string | number)[];

export interface Problem {
  readonly place: Place;
  readonly message: string;
}

export class ProfileError extends Error {
  override readonly name = 'ProfileError';
  readonly file: string;
  readonly problems: readonly string[];
  constructor(file: string, problems: readonly string[], options?: ErrorOptions) {
    super(problems.join('\n'), options);
    this.file = file;
    this.problems = problems;
  }
}

const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...b].entries()) {
      const replaced = (row[j] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
};

/** ` (did you mean "x"?)`, or the words there are when none is near. */
export const suggest = (word: string, known: readonly string[]): string => {
  const [best] = known
    .map((candidate) => ({ candidate, far: distance(word.toLowerCase(), candidate.toLowerCase()) }))
    .toSorted((a, b) => a.far - b.far);
  if (best !== undefined && best.far <= Math.max(2, Math.floor(word.length / 3))) {
    return ` (did you mean "${best.candidate}"?)`;
  }
  return known.length === 0 ? '' : ` (there are: ${known.join(', ')})`;
};

/** Offset of the key (or item) at a place, or of the nearest thing above it that is there. */
const offsetOf = (document: Document, place: Place): number => {
  const parent = place.length === 0 ? undefined : document.getIn(place.slice(0, -1), true);
  const key = place.at(-1);
  if (isMap(parent)) {
    const pair = parent.items.find((item) => isPair(item) && isScalar(item.key) && item.key.value === key);
    if (pair !== undefined && isNode(pair.key) && pair.key.range) {
      return pair.key.range[0];
    }
  }
  const node = document.getIn(place, true);
  if (isNode(node) && node.range) {
    return node.range[0];
  }
  return place.length === 0 ? 0 : offsetOf(document, place.slice(0, -1));
};

/** `file:line: where: what`. */
export const locate = (file: string, document: Document, lines: LineCounter, problem: Problem): string => {
  const { line } = lines.linePos(offsetOf(document, problem.place));
  const where = problem.place.length === 0 ? '' : `${problem.place.join('.')}: `;
  return `${file}:${line}: ${where}${problem.message}`;
};
