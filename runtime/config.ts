import { readFile } from 'node:fs/promises';
import { Ajv, type ErrorObject, type SchemaObject } from 'ajv';
import { type Document, isMap, isNode, isPair, LineCounter, parseDocument } from 'yaml';
import { ConfigError } from './errors.ts';

/**
 * Reads a YAML file, fills in the schema's defaults and freezes the result all the way down. Throws a ConfigError
 * that names the file, the line, the key and the remedy for everything that is wrong.
 */
export async function loadConfig<T>(path: string, schema: SchemaObject): Promise<T> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new ConfigError(`${path}: cannot be read: ${messageOf(error)}`, { cause: error });
  }
  return parseConfig<T>(path, text, schema);
}

/** `loadConfig` for text that is already here; `path` is only for messages. */
export function parseConfig<T>(path: string, text: string, schema: SchemaObject): T {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [broken] = document.errors;
  if (broken !== undefined) {
    const { line, col } = lines.linePos(broken.pos[0]);
    throw new ConfigError(`${path}:${line}:${col}: not valid YAML: ${broken.message}`, { cause: broken });
  }
  const value: unknown = document.toJS() ?? {};
  const ajv = new Ajv({
    allErrors: true,
    useDefaults: true,
    strict: true,
    allowUnionTypes: true,
    verbose: true,
  });
  const validate = ajv.compile<T>(schema);
  if (!validate(value)) {
    const faults = (validate.errors ?? []).map((error) => explained(error, { path, document, lines }));
    throw new ConfigError([...new Set(faults)].join('\n'));
  }
  return deepFrozen(value);
}

interface Source {
  readonly path: string;
  readonly document: Document;
  readonly lines: LineCounter;
}

function explained(error: ErrorObject, source: Source): string {
  const keys = keysOf(error.instancePath);
  const extra = extraKeyOf(error);
  const place = extra === undefined ? keys : [...keys, extra];
  const line = lineOf(place, source) ?? lineOf(keys, source) ?? 1;
  const shown = place.length === 0 ? 'the file' : place.join('.');
  return `${source.path}:${line}: ${shown}: ${complaintOf(error)}`;
}

function extraKeyOf({ keyword, params }: ErrorObject): string | undefined {
  return keyword === 'additionalProperties' ? String(params.additionalProperty) : undefined;
}

function complaintOf({ keyword, params, message, parentSchema }: ErrorObject): string {
  switch (keyword) {
    case 'additionalProperties':
      return `there is no such key; remove it${suggestionFor(String(params.additionalProperty), parentSchema)}`;
    case 'required':
      return `the key ${params.missingProperty} is missing; add it`;
    case 'enum':
      return `must be one of ${params.allowedValues.join(', ')}`;
    case 'type':
      return `must be ${Array.isArray(params.type) ? params.type.join(' or ') : params.type}; change the value`;
    default:
      return `${message ?? 'is not valid'}; change the value`;
  }
}

/** The schema comes with the error because ajv is asked to be verbose. */
function suggestionFor(wrong: string, parentSchema: unknown): string {
  const known = Object.keys((parentSchema as { properties?: object } | undefined)?.properties ?? {});
  const near = known.find((name) => name.toLowerCase() === wrong.toLowerCase() || distance(name, wrong) <= 2);
  return near === undefined ? '' : ` or write ${near}`;
}

/** Levenshtein. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

const keysOf = (instancePath: string): string[] =>
  instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));

/** Of the key itself in a map, of the value elsewhere. */
function lineOf(keys: readonly string[], { document, lines }: Source): number | undefined {
  const last = keys.at(-1);
  const parent: unknown =
    last === undefined ? document.contents : document.getIn(keys.slice(0, -1).map(index), true);
  const holder = keys.length === 1 ? document.contents : parent;
  if (isMap(holder) && last !== undefined) {
    const pair = holder.items.find((item) => isPair(item) && isNode(item.key) && String(item.key) === last);
    return isNode(pair?.key) && pair.key.range ? lines.linePos(pair.key.range[0]).line : undefined;
  }
  const node: unknown = last === undefined ? document.contents : document.getIn(keys.map(index), true);
  return isNode(node) && node.range ? lines.linePos(node.range[0]).line : undefined;
}

const index = (key: string): string | number => (/^\d+$/.test(key) ? Number(key) : key);

function deepFrozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.values(value).forEach(deepFrozen);
    Object.freeze(value);
  }
  return value;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
