/** Bars as an SVG picture: a few rectangles and texts, for which a library of charts would bring a browser's worth of code. Pure. */

export interface Bar {
  readonly name: string;
  /** In the order of the series. */
  readonly values: readonly (number | undefined)[];
}

const COLOURS = ['#4c78a8', '#f58518', '#54a24b', '#b279a2', '#e45756', '#72b7b2'];
const WIDTH = 900;
const LEFT = 210;
const LINE = 14;
const GAP = 12;
const RIGHT = 60;

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

/** Groups of bars, one group for each operation, whose values are shares of 1. */
export const barChart = (title: string, series: readonly string[], groups: readonly Bar[]): string => {
  const most = Math.max(1, ...groups.flatMap(({ values }) => values.map((value) => value ?? 0)));
  const scale = (WIDTH - LEFT - RIGHT) / most;
  const top = 44 + series.length * 16;
  const groupHeight = series.length * LINE + GAP;
  const height = top + groups.length * groupHeight + 10;
  const parts: string[] = [];
  for (const [index, name] of series.entries()) {
    const y = 40 + index * 16;
    parts.push(
      `<rect x="${LEFT}" y="${y}" width="10" height="10" fill="${COLOURS[index % COLOURS.length]}"/>`,
      `<text x="${LEFT + 16}" y="${y + 9}">${escaped(name)}</text>`,
    );
  }
  for (const [index, { name, values }] of groups.entries()) {
    const y = top + index * groupHeight;
    parts.push(
      `<text x="${LEFT - 8}" y="${y + (series.length * LINE) / 2 + 4}" text-anchor="end">${escaped(name)}</text>`,
    );
    for (const [at, value] of values.entries()) {
      if (value !== undefined) {
        const width = Math.max(1, value * scale);
        const yBar = y + at * LINE;
        parts.push(
          `<rect x="${LEFT}" y="${yBar}" width="${width.toFixed(1)}" height="${LINE - 2}" fill="${COLOURS[at % COLOURS.length]}"/>`,
          `<text x="${(LEFT + width + 5).toFixed(1)}" y="${yBar + 10}">${value.toFixed(2)}</text>`,
        );
      }
    }
  }
  const one = LEFT + scale;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="11">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="24" font-size="15">${escaped(title)}</text>`,
    `<line x1="${one}" y1="${top - 4}" x2="${one}" y2="${height - 8}" stroke="#888888" stroke-dasharray="3 3"/>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
};
