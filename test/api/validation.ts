// The CRDs' schemas for ajv: what can be judged of an object without an API server (everything but CEL rules).
import { Ajv, type ValidateFunction } from 'ajv';
import { readCrds, schemaOf } from '../../scripts/generate.ts';

const VOCABULARY = [
  'x-kubernetes-validations',
  'x-kubernetes-int-or-string',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
];

/** Kind to a validator which fills in defaults and refuses unknown fields. */
export async function validators(): Promise<ReadonlyMap<string, ValidateFunction>> {
  const ajv = new Ajv({ strict: true, strictTypes: false, allErrors: true, useDefaults: true });
  ajv.addVocabulary(VOCABULARY);
  for (const format of ['int32', 'int64', 'date-time']) {
    ajv.addFormat(format, true);
  }
  const crds = await readCrds();
  return new Map(crds.map((crd) => [crd.spec.names.kind, ajv.compile(closed(schemaOf(crd)) as object)]));
}

/** An object takes the fields which are named, as the API server's strict validation has it; metadata is its own. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) {
    return schema.map(closed);
  }
  if (typeof schema !== 'object' || schema === null) {
    return schema;
  }
  const inner = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]));
  const isObject = inner.type === 'object' && inner.properties !== undefined;
  return isObject ? { ...inner, additionalProperties: false } : inner;
}
