/**
 * Turns what a tool said into rows. Whatever is not understood is a RowsError: half an answer, another language or a
 * new format must never read as "there is nothing".
 */

import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { blockRows } from './blocks.ts';
import type { RowsFormat } from './format.ts';
import { type Row, RowsError, withoutAbsent } from './row.ts';

/** What a step gave: text of a command or file, or entries of a file operation. */
export interface Output {
  readonly text: string;
  readonly entries: readonly Row[];
}

type Node = { readonly [key: string]: unknown };

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const parseJson = (text: string): unknown => {
  // Numbers keep their digits: sizes beyond 2^53 are whole, and so is their text.
  const keepDigits = (_key: string, value: unknown, context?: { readonly source?: string }): unknown =>
    typeof value === 'number' ? (context?.source ?? String(value)) : value;
  try {
    return JSON.parse(text, keepDigits);
  } catch (error) {
    throw new RowsError(`no JSON: ${text.slice(0, 80)}`, { cause: error });
  }
};

const down = (from: unknown, path: string): unknown =>
  path
    .split('/')
    .filter((key) => key !== '')
    .reduce<unknown>((at, key) => {
      if (isNode(at)) {
        return at[key];
      }
      return Array.isArray(at) ? at[Number(key)] : undefined;
    }, from);

const leaf = (value: unknown): string | undefined =>
  value === undefined || value === null || typeof value === 'object' ? undefined : String(value);

const jsonRows = (format: RowsFormat, path: string, text: string): Row[] => {
  const found = down(parseJson(text), path);
  const items = Array.isArray(found) ? found : [found];
  if (!items.every(isNode)) {
    throw new RowsError(`no objects at ${path === '' ? '/' : path} of the JSON`);
  }
  return items.map((item) =>
    withoutAbsent(Object.entries(format.cols ?? {}).map(([name, at]) => [name, leaf(down(item, at))])),
  );
};

const XML = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  textNodeName: '#',
  alwaysCreateTextNode: true,
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: true,
  isArray: (_name, _path, _leaf, isAttribute) => !isAttribute,
});

const parseXml = (text: string): Node => {
  const valid = XMLValidator.validate(text);
  if (valid !== true) {
    throw new RowsError(`no XML: ${valid.err.msg} in line ${valid.err.line}`);
  }
  const tree: unknown = XML.parse(text);
  if (!isNode(tree)) {
    throw new RowsError('no XML');
  }
  return tree;
};

const children = (node: Node, name: string): readonly Node[] => {
  const found = node[name];
  return Array.isArray(found) ? found.filter(isNode) : [];
};

/** `a/b/@c` or `a/b` below a node: the first such attribute, or text. `/x/…` starts at the document. */
const xmlValue = (document: Node, node: Node, path: string): string | undefined => {
  const steps = path.split('/').filter((name) => name !== '');
  const last = steps.at(-1) ?? '';
  const elements = last.startsWith('@') ? steps.slice(0, -1) : steps;
  let at: Node | undefined = path.startsWith('/') ? document : node;
  for (const name of elements) {
    at = at === undefined ? undefined : children(at, name)[0];
  }
  return leaf(at?.[last.startsWith('@') ? last : '#']);
};

const xmlRows = (format: RowsFormat, path: string, text: string): Row[] => {
  const document = parseXml(text);
  const names = path.split('/').filter((name) => name !== '');
  let nodes: readonly Node[] = [document];
  for (const [index, name] of names.entries()) {
    nodes = nodes.flatMap((node) => children(node, name));
    if (nodes.length === 0 && index < names.length - 1) {
      throw new RowsError(`the XML has no /${names.slice(0, index + 1).join('/')}`);
    }
  }
  if (names.length === 1 && nodes.length === 0) {
    throw new RowsError(`the XML has no ${path}`);
  }
  return nodes.map((node) =>
    withoutAbsent(
      Object.entries(format.cols ?? {}).map(([name, at]) => [name, xmlValue(document, node, at)]),
    ),
  );
};

/** Every line that is not blank must match one of the two. */
const lineRows = (format: RowsFormat, pattern: string, lines: readonly string[]): Row[] => {
  const expression = new RegExp(pattern, 'u');
  const skip = format.skip === undefined ? undefined : new RegExp(format.skip, 'u');
  return lines.flatMap((line) => {
    const match = expression.exec(line);
    if (match !== null) {
      return [withoutAbsent(Object.entries(match.groups ?? {}))];
    }
    if (line.trim() === '' || skip?.test(line)) {
      return [];
    }
    throw new RowsError(`line not understood: ${line.slice(0, 120)}`);
  });
};

const entryRows = (format: RowsFormat, pattern: string, entries: readonly Row[]): Row[] =>
  entries.flatMap((entry) =>
    lineRows(format, pattern, [entry.name ?? entry.path ?? '']).map((row) => ({ ...entry, ...row })),
  );

/** Tools also print notes for people in the midst of their JSON. */
const withoutSkipped = ({ skip }: RowsFormat, text: string): string => {
  if (skip === undefined) {
    return text;
  }
  const note = new RegExp(skip, 'u');
  return text
    .split('\n')
    .filter((line) => !note.test(line))
    .join('\n');
};

/** Tools end each line; where the last one has no end, the rest of the answer is missing, and the line may say something else than it would. */
const expectLineEnd = (text: string): void => {
  if (text !== '' && !text.endsWith('\n')) {
    throw new RowsError(
      `cut off in the midst of a line: ${text.slice(text.lastIndexOf('\n') + 1).slice(0, 80)}`,
    );
  }
};

/** NUL, and what stands for a byte that is no UTF-8. Names of others in a list may hold the latter, and must not hide the rest of it. */
const expectText = ({ json, xml }: RowsFormat, text: string): void => {
  const isMachineMade = json !== undefined || xml !== undefined;
  if (text.includes('\0') || (isMachineMade && text.includes('\u{fffd}'))) {
    throw new RowsError('damaged: the answer holds bytes that are no text');
  }
};

const expectWhole = (format: RowsFormat, text: string): void => {
  const { whole, lines, blocks } = format;
  if (format.text === undefined) {
    expectText(format, text);
  }
  if (lines !== undefined || blocks !== undefined) {
    expectLineEnd(text);
  }
  if (whole !== undefined && !new RegExp(whole, 'u').test(text)) {
    throw new RowsError(`cut short: the answer as a whole does not match ${whole}`);
  }
};

const rawRows = (format: RowsFormat, output: Output): readonly Row[] => {
  expectWhole(format, output.text);
  if (format.json !== undefined) {
    return jsonRows(format, format.json, withoutSkipped(format, output.text));
  }
  if (format.xml !== undefined) {
    return xmlRows(format, format.xml, output.text);
  }
  if (format.lines !== undefined) {
    return lineRows(format, format.lines, output.text.split('\n'));
  }
  if (format.blocks !== undefined) {
    return blockRows(format, format.blocks, output.text);
  }
  if (format.text !== undefined) {
    return [{ [format.text]: output.text.trim() }];
  }
  return format.entries === undefined ? output.entries : entryRows(format, format.entries, output.entries);
};

const mapped = (row: Row, column: string, words: Readonly<Record<string, string>>): Row => {
  const value = row[column];
  if (value === undefined) {
    return row;
  }
  const word = Object.hasOwn(words, value) ? words[value] : words['*'];
  if (word === undefined) {
    throw new RowsError(`${column} has the unknown value ${JSON.stringify(value.slice(0, 80))}`);
  }
  return { ...row, [column]: word };
};

type Patterns = Readonly<Record<string, string>>;

const groupsFrom = (row: Row, patterns: Patterns): readonly (Row | undefined)[] =>
  Object.entries(patterns).map(([column, pattern]) => {
    const match = new RegExp(pattern, 'u').exec(row[column] ?? '');
    return match === null ? undefined : withoutAbsent(Object.entries(match.groups ?? {}));
  });

/**
 * Columns of the row from parts of its cells. A cell that does not match refuses the row, unless another rule says that the
 * row is none of ours; the cells that were taken apart are left out.
 */
const dissected = (format: RowsFormat, row: Row): readonly Row[] => {
  const { match = {}, omit = {}, find = {} } = format;
  const matched = groupsFrom(row, match);
  if (matched.includes(undefined) || Object.keys(match).length === 0) {
    if (groupsFrom(row, omit).some((groups) => groups !== undefined)) {
      return [];
    }
  }
  if (matched.includes(undefined)) {
    throw new RowsError(`row not understood: ${JSON.stringify(row).slice(0, 200)}`);
  }
  const taken = [match, omit, find].flatMap((patterns) => Object.keys(patterns));
  const rest = Object.entries(row).filter(([column]) => !taken.includes(column));
  return [Object.assign({}, Object.fromEntries(rest), ...matched, ...groupsFrom(row, find))];
};

/** One row for each value of the column, in the order in which it first appeared. */
const joinedRows = (rows: readonly Row[], column: string): readonly Row[] => {
  const joined = new Map<string, Row>();
  for (const { [column]: key, ...cells } of rows) {
    if (key === undefined) {
      throw new RowsError(`a row has no ${column} to be joined by`);
    }
    joined.set(key, { ...joined.get(key), ...withoutAbsent(Object.entries(cells)) });
  }
  return [...joined.values()];
};

/** Half of what is told of one thing must not read as a thing of another kind. */
const expectNeeded = ({ need = [] }: RowsFormat, row: Row): Row => {
  const missing = need.find((column) => row[column] === undefined);
  if (missing !== undefined) {
    throw new RowsError(`cut short: a row has no ${missing}: ${JSON.stringify(row).slice(0, 200)}`);
  }
  return row;
};

const plainRows = (format: RowsFormat, output: Output): readonly Row[] => {
  const rows = rawRows(format, output);
  const joined = format.join === undefined ? rows : joinedRows(rows, format.join);
  return joined.map((row) => expectNeeded(format, row));
};

/** Columns a value was not found for are left out. */
export const readRows = (format: RowsFormat, output: Output): readonly Row[] =>
  plainRows(format, output)
    .flatMap((raw) => dissected(format, raw))
    .map((raw) =>
      Object.entries(format.map ?? {}).reduce<Row>((row, [column, words]) => mapped(row, column, words), {
        ...raw,
        ...format.set,
      }),
    );
