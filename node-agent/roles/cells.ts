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

/** The kernel counts block devices in these, and blkback its disks, whatever the device does. */
const SECTOR_BYTES = 512n;

/** Bytes, from the column `sectors`. */
export const sectorsOf = (row: Row): bigint => wholeOf(row, 'sectors') * SECTOR_BYTES;

export const flagOf = (row: Row, column: string): boolean => {
  const text = row[column];
  if (text !== 'true' && text !== 'false') {
    throw new CannotLook(column, `${JSON.stringify(text?.slice(0, 80) ?? null)} is neither true nor false`);
  }
  return text === 'true';
};

const HUNDREDTHS = 10_000n;

/**
 * That part of a whole, from a percentage with at most two decimals. Tools round to the nearest: `lower` and `upper` bound what
 * it may have been; 0.00 and 100.00 are exact (LVM never rounds to them). Throws CannotLook.
 */
export const percentOf = (
  row: Row,
  column: string,
  whole: bigint,
): { readonly lower: bigint; readonly upper: bigint } => {
  const text = row[column] ?? '';
  const [, digits, decimals = ''] = /^(\d{1,3})(?:\.(\d{1,2}))?$/.exec(text) ?? [];
  const parts = digits === undefined ? -1n : BigInt(digits) * 100n + BigInt(decimals.padEnd(2, '0'));
  if (parts < 0n || parts > HUNDREDTHS) {
    throw new CannotLook(column, `${JSON.stringify(text.slice(0, 80))} is no percentage`);
  }
  const isExact = parts === 0n || parts === HUNDREDTHS;
  const at = (hundredths: bigint) => (whole * hundredths) / HUNDREDTHS;
  return isExact ? { lower: at(parts), upper: at(parts) } : { lower: at(parts - 1n), upper: at(parts + 1n) };
};
