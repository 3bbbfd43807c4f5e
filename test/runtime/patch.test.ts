import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { KubeObject } from '../../api/object.ts';
import { VOLUMES } from '../../api/resources.ts';
import type { Api, PatchOptions, Ref } from '../../runtime/api.ts';
import { ApiError } from '../../runtime/errors.ts';
import { diffMerge, type JsonObject, patchFinalizers, patchStatusBlock } from '../../runtime/patch.ts';
import { mergePatched } from '../fakes/memory-api.ts';

const test = suite('patch');

/** JSON as the server stores it: no null members in objects. */
const json: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  scalar: fc.oneof(fc.string(), fc.integer(), fc.boolean()),
  value: fc.oneof(
    { depthSize: 'small' },
    tie('scalar'),
    tie('object'),
    fc.array(tie('value'), { maxLength: 3 }),
  ),
  object: fc.dictionary(fc.oneof(fc.constantFrom('a', 'b', 'c', '__proto__'), fc.string()), tie('value'), {
    maxKeys: 4,
  }),
})).object;

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test('applying the difference to before gives after', () => {
  fc.assert(
    fc.property(json, json, (before, after) => {
      const patch = diffMerge(before as JsonObject, after as JsonObject);
      const sent = patch === undefined ? {} : plain(patch);
      assert.equal(plain(mergePatched(plain(before), sent)), plain(after));
    }),
    { numRuns: 500 },
  );
});

test('what does not differ is no patch, also after a journey through JSON', () => {
  fc.assert(
    fc.property(json, (object) => {
      assert.is(diffMerge(plain(object) as JsonObject, object as JsonObject), undefined);
    }),
  );
});

const differences: [name: string, before: JsonObject, after: JsonObject, patch: JsonObject | undefined][] = [
  ['a new key', {}, { a: 1 }, { a: 1 }],
  ['a key that went', { a: 1, b: 2 }, { b: 2 }, { a: null }],
  ['undefined counts as gone', { a: 1 }, { a: undefined }, { a: null }],
  ['undefined of nothing is nothing', {}, { a: undefined }, undefined],
  ['only what changed deep inside', { a: { b: 1, c: 2 } }, { a: { b: 1, c: 3 } }, { a: { c: 3 } }],
  ['lists are replaced whole', { a: [1, 2] }, { a: [1, 3] }, { a: [1, 3] }],
  ['undefined inside lists is not sent', { a: [{ b: 1 }] }, { a: [{ b: 1, c: undefined }] }, undefined],
  ['a list becomes an object', { a: [1] }, { a: { b: 1 } }, { a: { b: 1 } }],
  ['an empty object is something', {}, { a: {} }, { a: {} }],
  ['an object becomes empty', { a: { b: 1 } }, { a: {} }, { a: { b: null } }],
];
for (const [name, before, after, patch] of differences) {
  test(name, () => assert.equal(diffMerge(before, after), patch));
}

interface Thing extends KubeObject {
  readonly status?: Readonly<Record<string, unknown>>;
}

const aThing = (status?: Record<string, unknown>, finalizers: string[] = []): Thing => ({
  apiVersion: 'vbs.dev/v1alpha1',
  kind: 'Volume',
  metadata: { name: 'db', namespace: 'shop', uid: 'u1', resourceVersion: '7', finalizers },
  ...(status === undefined ? {} : { status }),
});

function aDoor(answer: () => Promise<Thing> = async () => aThing()) {
  const sent: { ref: Ref; body: object; options: PatchOptions }[] = [];
  const patch = (_: unknown, ref: Ref, body: object, options: PatchOptions) => {
    sent.push({ ref: { name: ref.name }, body, options });
    return answer();
  };
  return { api: { patch } as unknown as Pick<Api, 'patch'>, sent };
}

test('a status block is written with the identity of the object, and only what is ours and differs', async () => {
  const { api, sent } = aDoor();
  const object = aThing({ backend: { sizeBytes: 1, progress: 2 }, order: 'Keep' });
  const owned = { backend: { sizeBytes: 1, progress: 3 }, gone: undefined };
  await patchStatusBlock(api, { resource: VOLUMES, object, owned, fieldManager: 'agent' });
  const body = { metadata: { uid: 'u1', resourceVersion: '7' }, status: { backend: { progress: 3 } } };
  assert.equal(sent, [
    { ref: { name: 'db' }, body, options: { subresource: 'status', fieldManager: 'agent' } },
  ]);
});

test('a status block that says the same is not written', async () => {
  const { api, sent } = aDoor();
  const object = aThing({ backend: { sizeBytes: 1 }, order: 'Keep' });
  const owned = { backend: { sizeBytes: 1, progress: undefined } };
  const answer = await patchStatusBlock(api, { resource: VOLUMES, object, owned, fieldManager: 'agent' });
  assert.is(answer, object);
  assert.equal(sent, []);
});

test('a status block of an object that went is no error; a conflict is', async () => {
  const failing = (status: number, reason: string) =>
    aDoor(async () => {
      throw new ApiError('no', { status, reason });
    }).api;
  const patch = { resource: VOLUMES, object: aThing(), owned: { a: 1 }, fieldManager: 'agent' };
  assert.is(await patchStatusBlock(failing(404, 'NotFound'), patch), undefined);
  try {
    await patchStatusBlock(failing(409, 'Conflict'), patch);
    assert.unreachable();
  } catch (error) {
    assert.ok(error instanceof ApiError && error.isConflict);
  }
});

test('finalizers are written whole, the last one by removing the list', async () => {
  const { api, sent } = aDoor();
  const of = (finalizers: string[]) => ({
    resource: VOLUMES,
    object: aThing({}, ['x']),
    finalizers,
    fieldManager: 'c',
  });
  await patchFinalizers(api, of(['x']));
  assert.is(sent.length, 0);
  await patchFinalizers(api, of(['x', 'y']));
  await patchFinalizers(api, of([]));
  const identity = { uid: 'u1', resourceVersion: '7' };
  assert.equal(
    sent.map(({ body }) => body),
    [{ metadata: { ...identity, finalizers: ['x', 'y'] } }, { metadata: { ...identity, finalizers: null } }],
  );
});

test.run();
