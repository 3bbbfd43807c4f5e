// The fields of a CRD's schema as a flat list, for tests which must cover every field there is.
import { type Crd, schemaOf as plainSchemaOf, type Schema } from '../../scripts/generate.ts';

export interface CrdSchema extends Schema {
  readonly properties?: Readonly<Record<string, CrdSchema>>;
  readonly items?: CrdSchema;
  readonly format?: string;
  readonly minLength?: number;
  readonly maxItems?: number;
  readonly additionalProperties?: unknown;
  readonly 'x-kubernetes-list-type'?: string;
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-validations'?: readonly {
    readonly rule: string;
    readonly message?: string;
    readonly messageExpression?: string;
  }[];
}

export interface Field {
  /** `spec.instance.name`, `status.grants.items[].epoch`. */
  readonly path: string;
  readonly schema: CrdSchema;
}

const OF_KUBERNETES = ['apiVersion', 'kind', 'metadata'];

export const schemaOf = (crd: Crd): CrdSchema => plainSchemaOf(crd) as CrdSchema;

/** All fields below the root but those which Kubernetes itself defines. */
export const fieldsOf = (root: CrdSchema): readonly Field[] =>
  Object.entries(root.properties ?? {})
    .filter(([name]) => !OF_KUBERNETES.includes(name))
    .flatMap(([name, schema]) => walk(name, schema));

function walk(path: string, schema: CrdSchema): readonly Field[] {
  const inner = Object.entries(schema.properties ?? {}).flatMap(([name, field]) =>
    walk(`${path}.${name}`, field),
  );
  const items = schema.items === undefined ? [] : walk(`${path}[]`, schema.items);
  return [{ path, schema }, ...inner, ...items];
}
