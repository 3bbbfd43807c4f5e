// docs/reference/values.md: the values of the chart vbs, with what stands above each of them.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml';

const FILE = path.resolve(import.meta.dirname, '../../charts/vbs/values.yaml');

/** `# -- text` tells what the value below it is for; the lines after that one belong to it. */
const MARK = /^ ?-- ?/;

interface Value {
  readonly name: string;
  readonly fallback: string;
  readonly meaning: string;
}

export async function valuesPage(): Promise<string> {
  const { contents } = parseDocument(await readFile(FILE, 'utf8'));
  if (!isMap(contents)) {
    throw new Error(`${FILE}: no map`);
  }
  const rows = valuesIn(contents, '').map(
    ({ name, fallback, meaning }) => `| \`${name}\` | \`${fallback}\` | ${meaning} |`,
  );
  return [
    '<!-- generated from charts/vbs/values.yaml by scripts/generate.ts, do not edit -->',
    '# Values of the chart vbs',
    '',
    'A name or a value that is none is refused (`charts/vbs/values.schema.json`). The chart `vbs-crds` has no values.',
    '',
    '| value | default | meaning |',
    '| --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

/** A map that has something to say for itself is one value, and any other is as many as it holds. */
function valuesIn(map: YAMLMap, prefix: string): readonly Value[] {
  return map.items.flatMap((pair, index) => {
    const name = `${prefix}${nameOf(pair)}`;
    const meaning = meaningOf(map, pair, index);
    return isMap(pair.value) && pair.value.items.length > 0 && meaning === ''
      ? valuesIn(pair.value, `${name}.`)
      : [{ name, fallback: JSON.stringify(plain(pair)), meaning }];
  });
}

const nameOf = ({ key }: Pair): string => (isScalar(key) ? String(key.value) : '');

const plain = ({ value }: Pair): unknown =>
  isScalar(value) ? value.value : (value as { toJSON(): unknown }).toJSON();

/** What stands above the first entry of a map belongs to the map for the parser. */
function meaningOf(map: YAMLMap, { key }: Pair, index: number): string {
  const own = isScalar(key) ? key.commentBefore : undefined;
  const lines = ((index === 0 ? map.commentBefore : undefined) ?? own ?? '').split('\n');
  const from = lines.findIndex((line) => MARK.test(line));
  return from === -1
    ? ''
    : lines
        .slice(from)
        .map((line) => line.replace(MARK, '').trim())
        .join(' ')
        .replaceAll('|', '\\|');
}
