/** Cells of rows as numbers and flags. A cell that does not read is a failed look, not a default. */

import type { Row } from '../profiles/row.ts';
import { CannotLook } from './errors.ts';

/** Bytes, or any other whole number that is not negative. */
export const wholeOf = (row: Row, column: string): bigint => {
  const text = row[column] ?? '';
  if (!/^\d{1,20}$/.test(text)) {
    throw new CannotLook(column, `${JSON.stringify(text.slice(0, 80))} is no whole number`);
  }
  return BigInt(text);
};

export const flagOf = (row: Row, column: string): boolean => {
  const text = row[column];
  if (text !== 'true' && text !== 'false') {
    throw new CannotLook(column, `${JSON.stringify(text?.slice(0, 80) ?? null)} is neither true nor false`);
  }
  return text === 'true';
};
