// Objects as nobody would write them: every field of the schemas, filled with what no schema would let pass, or with what is only wrong in
// its place. What hostile texts hold is looked for in everything that an agent does.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import * as fc from 'fast-check';
import { parse } from 'yaml';
import { type KubeObject, keyOf, type Resource } from '../../api/object.ts';
import { API_VERSION } from '../../api/resources.ts';

/** In every hostile text. */
export const MARK = 'h0stile';

interface Schema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

const CRDS = path.join(import.meta.dirname, '../../crds');

const schemaOf = ({ kind }: Resource): Schema => {
  const crd = parse(readFileSync(path.join(CRDS, `${kind.toLowerCase()}.yaml`), 'utf8')) as {
    readonly spec: {
      readonly versions: readonly [{ readonly schema: { readonly openAPIV3Schema: Schema } }];
    };
  };
  return crd.spec.versions[0].schema.openAPIV3Schema;
};

const TEXTS = [
  `-${MARK}`,
  `--config=${MARK}`,
  `;touch /tmp/${MARK};`,
  `$(touch /tmp/${MARK})`,
  `../../../../tmp/${MARK}`,
  `/etc/${MARK}`,
  `{${MARK}}`,
  `{chap.password}${MARK}`,
  `a\n${MARK}\nb`,
  `a\0${MARK}`,
  ` ${MARK} `,
  `ｖｏｌ${MARK}\u202e\u{1f4a3}`,
  `vol0123456789abcdef0/${MARK}`,
  `iqn.2026-11.dev.vbs:${MARK}`,
  `iqn.2026-11.dev.vbs:vol0123456789abcdef0,lun=${MARK}`,
  `10.0.0.1:3260,${MARK}`,
  `__proto__${MARK}`,
] as const;

const SCALARS: readonly unknown[] = [
  ...TEXTS,
  ...TEXTS,
  '',
  '__proto__',
  'constructor',
  'NaN',
  '-1',
  '1e308',
  '0x10',
  null,
  true,
  0,
  -1,
  1.5,
  -(2 ** 63),
  2 ** 63,
  2 ** 53,
  1e308,
  -1e-308,
];

/** Once in a while a megabyte. */
const scalar = (): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 60, arbitrary: fc.constantFrom(...SCALARS) },
    { weight: 1, arbitrary: fc.constant(MARK.repeat(150_000)) },
  );

const hostile = (): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 6, arbitrary: scalar() },
    { weight: 1, arbitrary: fc.array(scalar(), { maxLength: 3 }) },
    { weight: 1, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.constant({}) },
    { weight: 1, arbitrary: scalar().map((value) => ({ name: value, uid: value, [MARK]: value })) },
  );

/** Right values by the name of their field, so that an object gets far. */
export type Lures = Readonly<Record<string, readonly unknown[]>>;

/** `any`: of any type. `typed`: what the programs can read, and no schema would let pass all the same. */
const MANNERS = ['any', 'typed'] as const;
type Manner = (typeof MANNERS)[number];

interface Field {
  readonly name: string;
  readonly schema: Schema;
  readonly lures: Lures;
  readonly manner: Manner;
}

/** Of 100 values, how many are hostile where they stand; the deeper, the more chances one has. */
const HOSTILE_PERCENT = 7;
const PRESENT_PERCENT = 85;

const percent = (share: number): fc.Arbitrary<boolean> => fc.nat(99).map((drawn) => drawn < share);

/** Hostile, and of the type. */
const typed = ({ type, pattern }: Schema): fc.Arbitrary<unknown> | undefined => {
  switch (type) {
    case 'string':
      return pattern === '^[0-9]+$'
        ? fc.constantFrom('0', '1', '9223372036854775808', '9'.repeat(40), '00016777216')
        : fc.oneof(
            { weight: 60, arbitrary: fc.constantFrom(...TEXTS, '', '__proto__', 'constructor') },
            { weight: 1, arbitrary: fc.constant(MARK.repeat(150_000)) },
          );
    case 'integer':
      return fc.constantFrom(0, -1, -(2 ** 53) + 1, 2 ** 53 - 1, 2 ** 31);
    case 'array':
      return fc.constant([]);
    default:
      return undefined;
  }
};

const tame = (field: Field): fc.Arbitrary<unknown> => {
  const { name, schema, lures } = field;
  const lure = lures[name];
  if (lure !== undefined) {
    return fc.constantFrom(...lure);
  }
  if (schema.enum !== undefined) {
    return fc.constantFrom(...schema.enum);
  }
  switch (schema.type) {
    case 'object':
      return membersOf(field);
    case 'array':
      return fc.array(fieldValue({ ...field, schema: schema.items ?? {} }), { maxLength: 2 });
    case 'integer':
      return fc.constantFrom(1, 2, 3);
    case 'boolean':
      return fc.boolean();
    default:
      return schema.pattern === '^[0-9]+$'
        ? fc.constantFrom('1', '4194304')
        : fc.constantFrom('a', 'evil-1', '1');
  }
};

const fieldValue = (field: Field): fc.Arbitrary<unknown> => {
  const bad = field.manner === 'any' ? hostile() : typed(field.schema);
  return bad === undefined
    ? tame(field)
    : percent(HOSTILE_PERCENT).chain((isHostile) => (isHostile ? bad : tame(field)));
};

const membersOf = (field: Field): fc.Arbitrary<object> =>
  fc
    .tuple(
      ...Object.entries(field.schema.properties ?? {}).map(([name, schema]) =>
        memberOf({ ...field, name, schema }, field.schema.required?.includes(name) === true),
      ),
    )
    .map((members) => Object.fromEntries(members.flat()));

const memberOf = (field: Field, isNeeded: boolean): fc.Arbitrary<(readonly [string, unknown])[]> =>
  percent(isNeeded && field.manner === 'typed' ? 100 : PRESENT_PERCENT).chain((isThere) =>
    isThere ? fieldValue(field).map((value) => [[field.name, value] as const]) : fc.constant([]),
  );

/** With whole metadata, which no schema of ours guards: the API server itself does. */
export interface HostileObject {
  readonly resource: Resource;
  readonly object: KubeObject & { readonly spec?: unknown; readonly status?: unknown };
}

const NAMESPACE = 'team';

/** Objects of one kind, of any name below `evil-`; with our finalizer, as one that the agents act on, and some deleted. */
export const hostileObject = (
  resource: Resource,
  lures: Lures,
  finalizers: readonly string[],
): fc.Arbitrary<HostileObject> => {
  const { properties: { spec = {}, status = {} } = {} } = schemaOf(resource);
  return fc
    .constantFrom(...MANNERS)
    .chain((manner) =>
      fc.record({
        number: fc.nat(999),
        spec: fieldValue({ name: 'spec', schema: spec, lures, manner }),
        status: fieldValue({ name: 'status', schema: status, lures, manner }),
        isDeleted: percent(20),
      }),
    )
    .map(({ number, isDeleted, ...rest }) => ({
      resource,
      object: {
        apiVersion: API_VERSION,
        kind: resource.kind,
        metadata: {
          name: `evil-${number}`,
          ...(resource.namespaced ? { namespace: NAMESPACE } : {}),
          uid: '',
          resourceVersion: '',
          finalizers: [...finalizers],
          ...(isDeleted ? { deletionTimestamp: '2026-01-02T00:00:00Z' } : {}),
        },
        ...rest,
      },
    }));
};

/** For a person: short, and with what makes it what it is. */
export const shownObject = ({ object: { kind, metadata, spec, status } }: HostileObject): string =>
  `${kind} ${keyOf({ metadata })} ${JSON.stringify({ spec, status }).slice(0, 4_000)}`;
