/** Do the rows a verb's steps give have the columns its role reads? Pure. */

import { actionOf, asList, type ProfileFormat, type RowsFormat, type StepFormat } from './format.ts';
import { type Place, type Problem, suggest } from './problems.ts';
import type { RowShape, VerbShape } from './vocabulary.ts';

const SOURCES = ['json', 'xml', 'lines', 'blocks', 'text', 'entries'] as const;

/** Columns that file operations give by themselves. */
const ENTRY_COLUMNS: Readonly<Record<string, readonly string[]>> = {
  list: ['name', 'path'],
  scan: ['name', 'path', 'kind', 'size', 'allocated', 'changed'],
  glob: ['path'],
  readEach: ['path', 'text'],
  linkEach: ['path', 'to'],
  stat: ['path', 'kind', 'size', 'allocated', 'changed'],
  space: ['total', 'free'],
};

const groupsIn = (pattern: string): readonly string[] =>
  [...pattern.matchAll(/\(\?<([A-Za-z_]\w*)>/g)].flatMap(([, name]) => (name === undefined ? [] : [name]));

const groupsOf = (format: RowsFormat): readonly string[] => [
  ...[format.lines ?? '', format.entries ?? '', ...(format.blocks ?? [])].flatMap(groupsIn),
  ...(format.text === undefined ? [] : [format.text]),
];

/** Columns that are only read for what is in them. */
const takenApart = (format: RowsFormat): readonly string[] =>
  [format.match, format.omit, format.find].flatMap((patterns) => Object.keys(patterns ?? {}));

/** Columns a format names itself. */
export const columnsOf = (format: RowsFormat): readonly string[] => {
  const patterns = [...Object.values(format.match ?? {}), ...Object.values(format.find ?? {})];
  const whole = [...Object.keys(format.cols ?? {}), ...(format.text === undefined ? [] : [format.text])];
  return [
    ...[format.lines ?? '', format.entries ?? '', ...(format.blocks ?? []), ...patterns].flatMap(groupsIn),
    ...whole.filter((column) => !takenApart(format).includes(column)),
    ...Object.keys(format.set ?? {}),
  ];
};

/** Does any row of this verb have the column? */
export const gives = ({ verbs }: ProfileFormat, verb: string, column: string): boolean =>
  asList(verbs[verb]).some(({ rows }) => asList(rows).some((format) => columnsOf(format).includes(column)));

const checkJoin = ({ join }: RowsFormat, given: readonly string[]): readonly string[] =>
  join === undefined || given.includes(join) ? [] : [`no such column${suggest(join, given)}`];

const checkNeeded = ({ need = [] }: RowsFormat, given: readonly string[]): readonly string[] =>
  need
    .filter((column) => !given.includes(column))
    .map((column) => `no such column: ${column}${suggest(column, given)}`);

export const checkSource = (format: RowsFormat, action: string, place: Place, problems: Problem[]): void => {
  const sources = SOURCES.filter((source) => format[source] !== undefined);
  const entries = ENTRY_COLUMNS[action] !== undefined;
  const right = entries
    ? sources.length === 0 || sources.join() === 'entries'
    : sources.length === 1 && sources[0] !== 'entries';
  if (!right) {
    const choice = entries ? 'entries, or nothing' : 'one of json, xml, lines, blocks, text';
    problems.push({ place, message: `rows of ${action} take ${choice}` });
  }
  const given = columnsOf(format);
  const sourced = [...Object.keys(format.cols ?? {}), ...(ENTRY_COLUMNS[action] ?? []), ...groupsOf(format)];
  for (const column of takenApart(format).filter((name) => !sourced.includes(name))) {
    problems.push({ place, message: `no such column: ${column}${suggest(column, sourced)}` });
  }
  problems.push(...checkJoin(format, given).map((message) => ({ place: [...place, 'join'], message })));
  problems.push(...checkNeeded(format, given).map((message) => ({ place: [...place, 'need'], message })));
  for (const column of Object.keys(format.map ?? {})) {
    if (![...given, ...(ENTRY_COLUMNS[action] ?? [])].includes(column)) {
      problems.push({ place: [...place, 'map', column], message: `no such column${suggest(column, given)}` });
    }
  }
};

const shapeOf = (shapes: Readonly<Record<string, RowShape>>, format: RowsFormat): RowShape | undefined =>
  shapes[format.set?.kind ?? ''] ?? shapes[''];

const checkColumns = (
  format: RowsFormat,
  action: string,
  shape: VerbShape,
  at: { place: Place; problems: Problem[] },
): void => {
  const shapes = shape.rows ?? {};
  const row = shapeOf(shapes, format);
  if (row === undefined) {
    const kinds = Object.keys(shapes);
    const message =
      kinds.length === 0 ? 'this verb gives no rows' : `set: {kind: …} must be one of ${kinds.join(', ')}`;
    at.problems.push({ place: at.place, message });
    return;
  }
  const given = columnsOf(format);
  const implied = (ENTRY_COLUMNS[action] ?? []).filter((column) => !takenApart(format).includes(column));
  for (const column of row.need.filter((name) => !given.includes(name) && !implied.includes(name))) {
    at.problems.push({ place: at.place, message: `the column ${column} is missing` });
  }
  const known = [
    ...row.need,
    ...(row.may ?? []),
    'kind',
    ...(format.join === undefined ? [] : [format.join]),
  ];
  for (const column of given.filter((name) => !known.includes(name))) {
    at.problems.push({ place: at.place, message: `unknown column ${column}${suggest(column, known)}` });
  }
};

export const checkRowsFormat = (
  verb: string,
  steps: readonly StepFormat[],
  shape: VerbShape,
  problems: Problem[],
): void => {
  const place: Place = ['verbs', verb];
  let formats = 0;
  for (const step of steps.filter(({ rows }) => rows !== undefined)) {
    const action = actionOf(step);
    for (const format of asList(step.rows)) {
      formats += 1;
      checkSource(format, action, place, problems);
      checkColumns(format, action, shape, { place, problems });
    }
  }
  if (formats === 0 && shape.rows !== undefined) {
    problems.push({ place, message: 'gives no rows, and its role reads some' });
  }
};
