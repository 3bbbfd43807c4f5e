// Files of `key = value` lines with `#` comments, such as iscsid.conf: what they say, and where. Pure.

export interface KeyPlace {
  /** Absent: the file does not set it. */
  readonly value?: string;
  /** From 1: where it is set, or the line after which to set it. 0: the file is empty. */
  readonly line: number;
}

const SET = /^\s*([^\s#=]+)\s*=\s*(.*?)\s*$/;
const COMMENTED = /^\s*#\s*([^\s#=]+)\s*=/;

const lastLineWith = (lines: readonly string[], pattern: RegExp, key: string): number =>
  lines.findLastIndex((line) => pattern.exec(line)?.[1] === key) + 1;

/** The last line that sets the key decides. Where none does: the commented example of it, else the end of the file. */
export function findKey(text: string, key: string): KeyPlace {
  const lines = text.split('\n');
  const line = lastLineWith(lines, SET, key);
  if (line > 0) {
    return { line, value: SET.exec(lines[line - 1] ?? '')?.[2] ?? '' };
  }
  const example = lastLineWith(lines, COMMENTED, key);
  return { line: example > 0 ? example : lines.length - (lines.at(-1) === '' ? 1 : 0) };
}
