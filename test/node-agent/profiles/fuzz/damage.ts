// What can happen to the words of a tool on their way: cut off, lines lost, doubled or in another order, bytes that are no text, other
// line ends, other languages.
import * as fc from 'fast-check';

export type Damage = (text: string) => string;

const lines = (text: string): readonly string[] => text.split(/(?<=\n)/);

const at = (text: string, place: number): number => (text === '' ? 0 : place % (text.length + 1));

/** Whole lines only: each line which is left says what it said. */
export const lineDamage: fc.Arbitrary<Damage> = fc.oneof(
  fc.nat().map(
    (place) => (text: string) =>
      lines(text)
        .toSpliced(place % lines(text).length, 1)
        .join(''),
  ),
  fc.nat().map((place) => (text: string) => {
    const all = lines(text);
    const one = all[place % all.length] ?? '';
    return all.toSpliced(place % all.length, 0, one).join('');
  }),
  fc.tuple(fc.nat(), fc.nat()).map(([one, other]) => (text: string) => {
    const all = [...lines(text)];
    const [from, to] = [one % all.length, other % all.length];
    const [a = '', b = ''] = [all[from], all[to]];
    all[from] = b;
    all[to] = a;
    return all.join('');
  }),
  fc.nat().map(
    (place) => (text: string) =>
      lines(text)
        .slice(place % lines(text).length)
        .join(''),
  ),
);

const FOREIGN = [
  'Fehler: Datei oder Verzeichnis nicht gefunden\n',
  'エラー: ボリュームグループが見つかりません\n',
  'WARNING: Device for PV not found or rejected by a filter.\n',
  '\0',
  '\u{fffd}',
  '\x1b[31m',
  '\r',
  '\ufeff',
  '9'.repeat(30),
  '-1',
  '0x7f',
  '1e30',
  '{}',
  '[',
  '<a>',
  '&x;',
  '"',
  ' ',
  '\n',
  'x'.repeat(100_000),
];

/** Anything, anywhere in a line. */
export const byteDamage: fc.Arbitrary<Damage> = fc.oneof(
  fc.tuple(fc.nat(), fc.constantFrom(...FOREIGN)).map(
    ([place, words]) =>
      (text: string) =>
        `${text.slice(0, at(text, place))}${words}${text.slice(at(text, place))}`,
  ),
  fc.tuple(fc.nat(), fc.integer({ min: 1, max: 12 })).map(
    ([place, length]) =>
      (text: string) =>
        text.slice(0, at(text, place)) + text.slice(at(text, place) + length),
  ),
  fc.tuple(fc.nat(), fc.string({ unit: 'binary', minLength: 1, maxLength: 3 })).map(
    ([place, letters]) =>
      (text: string) =>
        text.slice(0, at(text, place)) + letters + text.slice(at(text, place) + letters.length),
  ),
  // Each number in turn as large, as small, or as empty as it gets.
  fc
    .tuple(fc.nat(), fc.constantFrom('', '-5', '0', '18446744073709551616', '9'.repeat(25), 'NaN', '1,5'))
    .map(([place, number]) => (text: string) => {
      const found = [...text.matchAll(/\d+/g)];
      const one = found[place % Math.max(1, found.length)];
      return one === undefined
        ? text
        : text.slice(0, one.index) + number + text.slice(one.index + one[0].length);
    }),
  fc.constant((text: string) => text.replaceAll('\n', '\r\n')),
  fc.constant((text: string) => text.replaceAll(' ', '\t')),
  // What Node makes of bytes that are no UTF-8.
  fc.nat().map((place) => (text: string) => {
    const bytes = Buffer.from(text);
    bytes[place % Math.max(1, bytes.length)] = 0xff;
    return bytes.toString('utf8');
  }),
);
