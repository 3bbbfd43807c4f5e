// What readers rely on, of each kind: from the CRDs, as data that needs no YAML at run time.
import { GROUP } from '../../api/resources.ts';
import type { Shape } from '../../api/shape.ts';
import type { Crd, Schema } from '../generate.ts';

function shapeOf(schema: Schema): Shape {
  if (schema['x-kubernetes-int-or-string'] === true) {
    return 'quantity';
  }
  switch (schema.type) {
    case 'object':
      return {
        need: schema.required ?? [],
        members: Object.fromEntries(
          Object.entries(schema.properties ?? {}).map(([name, inner]) => [name, shapeOf(inner)]),
        ),
      };
    case 'array':
      return { each: shapeOf(schema.items ?? {}) };
    case 'string':
      return schema.pattern === '^[0-9]+$' ? 'digits' : 'text';
    case 'integer':
    case 'boolean':
      return schema.type;
    default:
      return 'anything';
  }
}

/** Metadata is the API server's own. */
function shapeOfKind(crd: Crd): Shape {
  const { properties = {}, ...schema } = crd.spec.versions[0].schema.openAPIV3Schema;
  const { metadata: _, ...parts } = properties;
  return shapeOf({ ...schema, properties: parts });
}

export function shapes(crds: readonly Crd[]): string {
  const kinds = crds.map((crd) => `  ${crd.spec.names.plural}: ${JSON.stringify(shapeOfKind(crd))},`);
  return [
    '// generated from crds/ by scripts/generate.ts, do not edit',
    `import type { Shape } from '../shape.ts';`,
    '',
    `/** By the plural of each kind of ${GROUP}. */`,
    'export const SHAPES: Readonly<Record<string, Shape>> = {',
    ...kinds,
    '};',
    '',
  ].join('\n');
}
