// Every schema is bounded and explained, and every status field has one writer. A new field is covered by itself.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { writerOf } from '../../scripts/generate/field-table.ts';
import { type Crd, readCrds } from '../../scripts/generate.ts';
import { type CrdSchema, fieldsOf, schemaOf } from './fields.ts';

const test = suite('the schemas of crds/');
const crds = await readCrds();

/** `Kind.path` of all fields for which the check answers true. */
const offenders = (isWrong: (schema: CrdSchema, path: string, crd: Crd) => boolean): string[] =>
  crds.flatMap((crd) =>
    fieldsOf(schemaOf(crd))
      .filter(({ path, schema }) => isWrong(schema, path, crd))
      .map(({ path }) => `${crd.spec.names.kind}.${path}`),
  );

const isOneWord = (schema: CrdSchema) => schema.enum !== undefined || schema.format === 'date-time';
const isOneOf = (writer: string | undefined) =>
  writer !== undefined &&
  /^(controller|volume server|hypervisor|VolumeServer agent|Hypervisor agent)$/.test(writer);

test('there are the kinds which the product has', () => {
  assert.equal(crds.map(({ spec }) => spec.names.kind).sort(), [
    'Attachment',
    'Hypervisor',
    'Snapshot',
    'Volume',
    'VolumeClass',
    'VolumeServer',
  ]);
});

test('every field is described', () => {
  assert.equal(
    offenders(
      ({ description = '' }, path) => !path.endsWith('[]') && !/^[\s\S]{4,}\.(\s|$)/.test(description),
    ),
    [],
  );
});

test('every string has a greatest length', () => {
  assert.equal(
    offenders((schema) => schema.type === 'string' && schema.maxLength === undefined && !isOneWord(schema)),
    [],
  );
});

test('every list has a greatest length and says how it is merged', () => {
  assert.equal(
    offenders((schema) => schema.type === 'array' && schema.maxItems === undefined),
    [],
  );
  assert.equal(
    offenders((schema) => schema.type === 'array' && schema['x-kubernetes-list-type'] === undefined),
    [],
  );
});

test('every integer has a width', () => {
  assert.equal(
    offenders(({ type, format = '' }) => type === 'integer' && !/^int(32|64)$/.test(format)),
    [],
  );
});

test('every text of a user has a pattern with a remedy, or is free text by its own words', () => {
  assert.equal(
    offenders((schema, path) => {
      const isFree = /^Free text/.test(schema.description ?? '');
      const isText = path.startsWith('spec.') && schema.type === 'string' && !isOneWord(schema) && !isFree;
      return (
        isText && (schema.pattern === undefined || (schema['x-kubernetes-validations'] ?? []).length === 0)
      );
    }),
    [],
  );
});

test('every object has known fields only', () => {
  assert.equal(
    offenders(
      (schema) =>
        schema.additionalProperties !== undefined ||
        schema['x-kubernetes-preserve-unknown-fields'] !== undefined ||
        (schema.type === 'object' && Object.keys(schema.properties ?? {}).length === 0),
    ),
    [],
  );
});

test('every top-level field of a status has exactly one writer, and no inner one names another', () => {
  assert.equal(
    offenders(({ description = '' }, path) => {
      const marks = description.match(/\(writer: /g)?.length ?? 0;
      return /^status\.[^.[]+$/.test(path) ? marks !== 1 || !isOneOf(writerOf({ description })) : marks !== 0;
    }),
    [],
  );
});

test('conditions are a map by type', () => {
  const found: string[] = [];
  const wrong = offenders((schema, path, crd) => {
    if (path !== 'status.conditions') {
      return false;
    }
    found.push(crd.spec.names.kind);
    const keys = schema['x-kubernetes-list-map-keys'] ?? [];
    return schema['x-kubernetes-list-type'] !== 'map' || keys.join() !== 'type';
  });
  assert.equal(wrong, []);
  assert.equal(found.sort(), ['Attachment', 'Hypervisor', 'Snapshot', 'Volume', 'VolumeServer']);
});

test('a status starts with an observedGeneration which no generation equals', () => {
  assert.equal(
    offenders(
      (schema, path) =>
        path === 'status' && JSON.stringify(schema.default) !== JSON.stringify({ observedGeneration: -1 }),
    ),
    [],
  );
});

test('every rule says what is wrong', () => {
  for (const crd of crds) {
    const everywhere = [{ path: '', schema: schemaOf(crd) }, ...fieldsOf(schemaOf(crd))];
    for (const { path, schema } of everywhere) {
      for (const { rule, message, messageExpression } of schema['x-kubernetes-validations'] ?? []) {
        const text = message ?? messageExpression ?? '';
        assert.ok(text.length > 10 && !text.includes('\n'), `${crd.spec.names.kind} ${path}: ${rule}`);
      }
    }
  }
});

test.run();
