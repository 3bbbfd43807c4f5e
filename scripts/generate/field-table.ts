// The table of every field and its writer, from the CRDs' own descriptions.
import type { Crd, Schema } from '../generate.ts';

interface Row {
  readonly field: string;
  readonly type: string;
  readonly writer: string;
  readonly description: string;
}

const WRITER = /\s*\(writer: ([^)]+)\)\s*$/;

/** Who writes a status field, by the mark at the end of its description; undefined where there is no mark. */
export const writerOf = (schema: Schema): string | undefined => schema.description?.match(WRITER)?.[1];

const typeOf = (schema: Schema): string => {
  if (schema.enum !== undefined) {
    return schema.enum.join(' \\| ');
  }
  if (schema.type === 'array') {
    return `list of ${typeOf(schema.items ?? {})}`;
  }
  return schema.type ?? 'quantity';
};

function rows(prefix: string, schema: Schema, writer: string): Row[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const own = writerOf(field) ?? writer;
    const row = {
      field: `${prefix}.${name}`,
      type: typeOf(field),
      writer: own,
      description: (field.description ?? '').replace(WRITER, '').replaceAll('|', '\\|'),
    };
    const inner = field.items ?? field;
    const skip = name === 'conditions' ? [] : rows(`${row.field}${field.items ? '[]' : ''}`, inner, own);
    return [row, ...skip];
  });
}

export function fieldTable(crds: readonly Crd[]): string {
  const parts = [
    '<!-- generated from crds/ by scripts/generate.ts, do not edit -->',
    '# Every field and its writer',
    '',
    'Each field has exactly one writer. An admission policy refuses a host or a controller which writes a field that is',
    'not its own; see [the contract](../contract.md) for what may be concluded from a field.',
    '',
  ];
  for (const crd of crds) {
    const schema = crd.spec.versions[0].schema.openAPIV3Schema;
    parts.push(`## ${crd.spec.names.kind}`, '', schema.description ?? '', '');
    parts.push('| field | type | writer | meaning |', '| --- | --- | --- | --- |');
    const { spec, status } = schema.properties ?? {};
    const all = [
      ...(spec === undefined ? [] : rows('spec', spec, 'user')),
      ...(status === undefined ? [] : rows('status', status, '?')),
    ];
    for (const { field, type, writer, description } of all) {
      parts.push(`| \`${field}\` | ${type} | ${writer} | ${description} |`);
    }
    parts.push('');
  }
  return parts.join('\n');
}
