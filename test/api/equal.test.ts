import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { assert as holds, property } from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { sameJson } from '../../api/equal.ts';

const test = suite('sameJson');

/** -0 is 0 in JSON, and keys which mean something to JavaScript are only keys. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
const json = () => fc.jsonValue({ depthSize: 'medium' }).map(plain);

test('agrees with isDeepStrictEqual on any two values', async () => {
  await holds(property(json(), json(), (a, b) => sameJson(a, b) === isDeepStrictEqual(a, b)));
});

test('agrees with isDeepStrictEqual on a value and the same with one leaf changed', async () => {
  await holds(
    property(json(), json(), fc.infiniteStream(fc.nat()), (value, leaf, choices) => {
      const changed = withLeaf(value, leaf, choices);
      return sameJson(value, changed) === isDeepStrictEqual(value, changed);
    }),
    { numRuns: 500 },
  );
});

test('a copy is the same, whatever the order of its keys', async () => {
  await holds(property(json(), (value) => sameJson(value, reversed(value))));
});

test('an absent key and an undefined one are the same', () => {
  assert.ok(sameJson({ a: 1, b: undefined }, { a: 1 }));
  assert.ok(sameJson({ a: { b: undefined } }, { a: {} }));
  assert.ok(sameJson({}, { b: undefined }));
});

test('null is not absence, and a list is not an object', () => {
  assert.not.ok(sameJson({ a: null }, {}));
  assert.not.ok(sameJson(null, undefined));
  assert.not.ok(sameJson([], {}));
  assert.not.ok(sameJson([1, 2], { 0: 1, 1: 2, length: 2 }));
  assert.not.ok(sameJson([1], [1, undefined]));
  assert.not.ok(sameJson('1', 1));
});

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(reversed);
  }
  return isObject(value)
    ? Object.fromEntries(
        Object.entries(value)
          .reverse()
          .map(([key, inner]) => [key, reversed(inner)]),
      )
    : value;
}

function withLeaf(value: unknown, leaf: unknown, choices: Iterator<number>): unknown {
  const pick = (length: number) => (choices.next().value as number) % length;
  if (Array.isArray(value) && value.length > 0) {
    const at = pick(value.length);
    return value.map((item, index) => (index === at ? withLeaf(item, leaf, choices) : item));
  }
  if (isObject(value) && Object.keys(value).length > 0) {
    const keys = Object.keys(value);
    const key = keys[pick(keys.length)] ?? '';
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [
        name,
        name === key ? withLeaf(inner, leaf, choices) : inner,
      ]),
    );
  }
  return leaf;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

test.run();
