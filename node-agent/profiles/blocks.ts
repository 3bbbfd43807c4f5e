/**
 * Outputs that nest by indentation, such as `tgtadm --op show --mode target`: a block is a line and what is indented
 * below it.
 */

import type { RowsFormat } from './format.ts';
import { type Row, RowsError, withoutAbsent } from './row.ts';

interface Block {
  readonly line: string;
  readonly depth: number;
  readonly inner: Block[];
}

const parseBlocks = (text: string): readonly Block[] => {
  const root: Block = { line: '', depth: -1, inner: [] };
  const open: Block[] = [root];
  for (const raw of text.split('\n')) {
    if (raw.trim() === '') {
      continue;
    }
    const block: Block = { line: raw.trim(), depth: raw.search(/\S/), inner: [] };
    while ((open.at(-1)?.depth ?? -1) >= block.depth) {
      open.pop();
    }
    (open.at(-1) ?? root).inner.push(block);
    open.push(block);
  }
  return root.inner;
};

/** Values that stand in lines of the block itself, not deeper. */
const columns = (block: Block, cols: Readonly<Record<string, string>>): Row =>
  withoutAbsent(
    Object.entries(cols).map(([name, pattern]) => {
      const expression = new RegExp(pattern, 'u');
      const found = block.inner.map(({ line }) => expression.exec(line)).find((match) => match !== null);
      return [name, found?.[1]];
    }),
  );

const checkOutermost = (format: RowsFormat, pattern: RegExp, blocks: readonly Block[]): void => {
  for (const block of blocks) {
    if (!pattern.test(block.line)) {
      throw new RowsError(`line not understood: ${block.line.slice(0, 120)}`);
    }
    for (const wanted of format.require ?? []) {
      const expression = new RegExp(wanted, 'u');
      if (!block.inner.some(({ line }) => expression.test(line))) {
        throw new RowsError(`"${block.line.slice(0, 120)}" is cut short: nothing matches ${wanted}`);
      }
    }
  }
};

/**
 * One row for each block that the patterns lead to, outermost first, with the named groups of the whole way. Every
 * outermost block must match the first pattern and hold all of `require`: a shortened answer is refused.
 */
export const blockRows = (format: RowsFormat, patterns: readonly string[], text: string): Row[] => {
  const [outermost, ...rest] = patterns.map((pattern) => new RegExp(pattern, 'u'));
  if (outermost === undefined) {
    throw new RowsError('no pattern for the outermost block');
  }
  const blocks = parseBlocks(text);
  checkOutermost(format, outermost, blocks);
  let found = blocks.map((block) => ({ block, row: groups(outermost, block) ?? {} }));
  for (const pattern of rest) {
    found = found.flatMap(({ block, row }) =>
      block.inner.flatMap((inner) => {
        const more = groups(pattern, inner);
        return more === undefined ? [] : [{ block: inner, row: { ...row, ...more } }];
      }),
    );
  }
  return found.map(({ block, row }) => ({ ...row, ...columns(block, format.cols ?? {}) }));
};

const groups = (pattern: RegExp, block: Block): Row | undefined => {
  const match = pattern.exec(block.line);
  return match === null ? undefined : withoutAbsent(Object.entries(match.groups ?? {}));
};
