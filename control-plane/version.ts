import packageJson from '../package.json' with { type: 'json' };

/** Of the control plane; the executable carries it inside. */
export const VERSION: string = packageJson.version;

/** By the three numbers of a version. */
export function isNewer(version: string, than: string): boolean {
  const numbers = (text: string) => text.split(/[.+-]/, 3).map(Number);
  const other = numbers(than);
  const differing = numbers(version).findIndex((number, index) => number !== other[index]);
  return differing >= 0 && (numbers(version)[differing] ?? 0) > (other[differing] ?? 0);
}
