import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SHAPES } from '../../api/generated/shapes.ts';
import { misfitOf, type Shape } from '../../api/shape.ts';
import {
  aClass,
  admitted,
  aGrant,
  aHypervisor,
  anAttachment,
  aServer,
  aSnapshot,
  aVolume,
  exportedAt,
  granted,
} from '../builders/objects.ts';

const test = suite('shapes of objects');

const misfit = (plural: string, object: unknown): string | undefined =>
  misfitOf(SHAPES[plural] ?? 'anything', object, 'it');

test('healthy objects of all kinds fit', () => {
  assert.is(misfit('volumes', aVolume()), undefined);
  assert.is(misfit('volumes', aVolume({ status: granted(aGrant()) })), undefined);
  assert.is(misfit('snapshots', aSnapshot()), undefined);
  assert.is(misfit('attachments', anAttachment()), undefined);
  assert.is(
    misfit('attachments', anAttachment({ status: { ...admitted, export: exportedAt(1) } })),
    undefined,
  );
  assert.is(misfit('volumeclasses', aClass()), undefined);
  assert.is(misfit('volumeservers', aServer().host), undefined);
  assert.is(misfit('hypervisors', aHypervisor().host), undefined);
});

test('what a later version says is not refused', () => {
  const later = {
    ...aVolume(),
    spec: { size: '1Gi', sharing: 'ManyWriters', encryption: { key: 'a' } },
    status: { order: 'Freeze', phases: [1], conditions: [] },
  };
  assert.is(misfit('volumes', later), undefined);
});

test('the first place that is of another shape is told', () => {
  const volume = (change: object) => ({ ...aVolume(), ...change });
  const cases: readonly (readonly [unknown, string])[] = [
    [null, 'it is no object'],
    [[], 'it is no object'],
    [volume({ spec: null }), 'it.spec is no object'],
    [volume({ spec: undefined, status: {} }), 'it has no spec'],
    [volume({ spec: { size: '1Gi;rm' } }), 'it.spec.size is no quantity'],
    [volume({ spec: { size: { a: 1 } } }), 'it.spec.size is no quantity'],
    [volume({ status: 'fine' }), 'it.status is no object'],
    [volume({ status: { pins: {} } }), 'it.status.pins is no list'],
    [volume({ status: { pins: [{ uid: 'a' }] } }), 'it.status.pins[0] has no '],
    [volume({ status: { placement: { epoch: 1e308 } } }), 'it.status.placement.epoch is no integer'],
    [volume({ status: { placement: { epoch: '1' } } }), 'it.status.placement.epoch is no integer'],
    [volume({ status: { grants: { revision: 1, items: 'none' } } }), 'it.status.grants.items is no list'],
    [
      volume({ status: { backend: { placementEpoch: 1, bootID: 'b', sizeBytes: '-1' } } }),
      'it.status.backend.sizeBytes is no digits',
    ],
    [
      volume({ status: { backend: { placementEpoch: 1, bootID: 'b', sizeBytes: '9223372036854775808' } } }),
      'it.status.backend.sizeBytes is no digits',
    ],
    [volume({ status: { server: ['s1'] } }), 'it.status.server is no text'],
    [volume({ status: { volumeID: null } }), 'it.status.volumeID is no text'],
  ];
  for (const [object, expected] of cases) {
    assert.ok(misfit('volumes', object)?.startsWith(expected), `${misfit('volumes', object)}: ${expected}`);
  }
});

test('only own members count', () => {
  const shape: Shape = { need: ['constructor'], members: { __proto__: 'text' } };
  assert.is(misfitOf(shape, {}, 'it'), 'it has no constructor');
});

test.run();
