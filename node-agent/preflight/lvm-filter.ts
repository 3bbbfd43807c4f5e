// LVM's settings as lvmconfig(8) tells them, and what its filters make of a device. Pure.

export type LvmSettings = ReadonlyMap<string, readonly string[]>;

const unquoted = (text: string): string =>
  text.startsWith('"') ? text.slice(1, -1).replaceAll(/\\(.)/g, '$1') : text;

/** Lines `key=value` and `key=["a","b"]`. */
export function readLvmSettings(text: string): LvmSettings {
  const settings = new Map<string, readonly string[]>();
  for (const line of text.split('\n')) {
    const [, key, value = ''] = /^\s*(\w+)=(.*?)\s*$/.exec(line) ?? [];
    if (key !== undefined) {
      const items = value.match(/"(?:[^"\\]|\\.)*"|[^\s,[\]"]+/g) ?? [];
      settings.set(key, items.map(unquoted));
    }
  }
  return settings;
}

const CLOSING: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

/** `a|regex|` or `r|regex|`, with any delimiter. Throws SyntaxError for what is no pattern, or a regex of another dialect. */
function patternOf(item: string): { readonly accepts: boolean; readonly regex: RegExp } {
  const [kind, delimiter = ''] = item;
  const end = item.lastIndexOf(CLOSING[delimiter] ?? delimiter);
  if ((kind !== 'a' && kind !== 'r') || end < 2) {
    throw new SyntaxError(`${item} is no pattern of an LVM filter`);
  }
  return { accepts: kind === 'a', regex: new RegExp(item.slice(2, end)) };
}

/**
 * Does the filter let the device in? For each of its names the first pattern that fits counts, and others of its names do not
 * matter once one is accepted; a device of which no name fits any pattern is let in (lvm.conf(5), devices/filter).
 */
export function isAccepted(filter: readonly string[], names: readonly string[]): boolean {
  const patterns = filter.map(patternOf);
  const verdicts = names.flatMap((name) => patterns.find(({ regex }) => regex.test(name))?.accepts ?? []);
  return verdicts.length === 0 || verdicts.includes(true);
}
