export type Row = Readonly<Record<string, string>>;

/** The output was not what the profile describes. */
export class RowsError extends Error {
  override readonly name = 'RowsError';
}

export const withoutAbsent = (cells: readonly (readonly [string, string | undefined])[]): Row =>
  Object.fromEntries(cells.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
