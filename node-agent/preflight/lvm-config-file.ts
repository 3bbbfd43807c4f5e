// lvm.conf(5): in which line a setting stands, or would have its place. Pure.

export interface LvmFile {
  readonly path: string;
  readonly text: string;
}

interface Placed {
  /** With its sections: `devices/global_filter`. */
  readonly path: string;
  /** From 1. */
  readonly line: number;
}

interface Parsed {
  readonly settings: readonly Placed[];
  readonly sections: readonly Placed[];
  /** Settings that are commented out, as LVM ships its examples. */
  readonly examples: readonly Placed[];
}

const TOKEN = /"(?:[^"\\]|\\.)*"|'[^']*'|#.*$|[{}[\]=,]|[^\s{}[\]=,"'#]+/g;
const EXAMPLE = /^\s*#\s*([A-Za-z_/]+)\s*=/;

/** Where a parse stands: the open sections, the last word, and how deep within the value of a setting. */
class Reader {
  readonly settings: Placed[] = [];
  readonly sections: Placed[] = [];
  readonly examples: Placed[] = [];
  readonly #open: string[] = [];
  #word: Placed | undefined;
  #awaitsValue = false;
  #depth = 0;

  pathOf(name: string): string {
    return [...this.#open, name].join('/');
  }

  take(token: string, line: number): void {
    if (token === '[' || token === ']') {
      this.#depth += token === '[' ? 1 : -1;
      this.#awaitsValue = false;
    } else if (this.#depth > 0 || this.#awaitsValue) {
      this.#awaitsValue = false;
    } else {
      this.#structure(token, line);
    }
  }

  #structure(token: string, line: number): void {
    if (token === '}') {
      this.#open.pop();
    } else if (token === '{' && this.#word !== undefined) {
      this.sections.push(this.#word);
      this.#open.push(this.#word.path.split('/').at(-1) ?? '');
    } else if (token === '=' && this.#word !== undefined) {
      this.settings.push(this.#word);
      this.#awaitsValue = true;
    } else {
      this.#word = { path: this.pathOf(token), line };
    }
  }
}

function parse(text: string): Parsed {
  const reader = new Reader();
  for (const [index, line] of text.split('\n').entries()) {
    const example = EXAMPLE.exec(line)?.[1];
    if (example !== undefined) {
      reader.examples.push({ path: reader.pathOf(example), line: index + 1 });
    }
    for (const [token] of line.matchAll(TOKEN)) {
      if (!token.startsWith('#')) {
        reader.take(token, index + 1);
      }
    }
  }
  return reader;
}

export interface LvmPlace {
  readonly how: 'change' | 'add' | 'make';
  /** `file:line`. */
  readonly place: string;
  /** The text needs its section around it. */
  readonly bare: boolean;
}

/**
 * Where to write a setting. `files` in the order in which LVM lets them override one another, the strongest first; the last one is
 * where a new setting belongs. Where there is none at all: `instead`, to be made.
 */
export function placeOf(files: readonly LvmFile[], setting: string, instead: string): LvmPlace {
  const parsed = files.map((file) => ({ path: file.path, text: file.text, ...parse(file.text) }));
  const at = (placed: Placed | undefined, file: string, how: 'change' | 'add'): LvmPlace | undefined =>
    placed && { how, place: `${file}:${placed.line}`, bare: false };
  for (const { path, settings } of parsed) {
    const found = at(
      settings.findLast((one) => one.path === setting),
      path,
      'change',
    );
    if (found !== undefined) {
      return found;
    }
  }
  const last = parsed.at(-1);
  if (last === undefined) {
    return { how: 'make', place: `${instead}:1`, bare: true };
  }
  const section = setting.split('/').slice(0, -1).join('/');
  const isHere = ({ path }: Placed): boolean => path === setting;
  const lines = last.text.split('\n').length - (last.text.endsWith('\n') ? 1 : 0);
  return (
    at(last.examples.findLast(isHere), last.path, 'add') ??
    at(
      last.sections.find(({ path }) => path === section),
      last.path,
      'add',
    ) ?? { how: 'add', place: `${last.path}:${lines}`, bare: true }
  );
}
