import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { VolumeStatus } from '../../api/generated/v1alpha1.ts';
import { FINALIZER } from '../../api/names.ts';
import { keyOf, type ObjectMeta } from '../../api/object.ts';
import { backendOf, grantFor, grantsOf, hasFinalizer, isDeleting, type Volume } from '../../api/volume.ts';

const test = suite('volumes as both sides read them');

const volume = (status?: VolumeStatus, metadata: Partial<ObjectMeta> = {}): Volume => ({
  apiVersion: 'vbs.dev/v1alpha1',
  kind: 'Volume',
  metadata: { name: 'db', namespace: 'shop', uid: 'u1', resourceVersion: '1', ...metadata },
  spec: { size: '1Gi', sharing: 'Exclusive' },
  ...(status === undefined ? {} : { status }),
});
const grant = (epoch: number, ...attachments: string[]) => ({
  epoch,
  hypervisor: 'xen07',
  initiator: 'iqn.2026-11.dev.vbs:host.xen07',
  mode: 'ReadWrite' as const,
  attachments,
  state: 'Granted' as const,
});

test('only our own finalizer is ours', () => {
  assert.ok(hasFinalizer(volume(undefined, { finalizers: ['other.dev/x', FINALIZER] })));
  assert.not.ok(hasFinalizer(volume(undefined, { finalizers: ['other.dev/x', `${FINALIZER}2`] })));
  assert.not.ok(hasFinalizer(volume()));
});

test('a Volume is being deleted from its deletionTimestamp on', () => {
  assert.ok(isDeleting(volume(undefined, { deletionTimestamp: '2026-11-23T08:00:00Z' })));
  assert.not.ok(isDeleting(volume()));
});

test('a Volume without status, or which is not there, grants nothing', () => {
  assert.equal(grantsOf(volume()), []);
  assert.equal(grantsOf(undefined), []);
  assert.equal(grantsOf(volume({ grants: { revision: 4 } })), []);
});

test('the grant of an Attachment is the one which lists its UID', () => {
  const held = volume({ grants: { revision: 2, items: [grant(1, 'a', 'b'), grant(2, 'c')] } });
  assert.is(grantFor(held, 'b')?.epoch, 1);
  assert.is(grantFor(held, 'c')?.epoch, 2);
  assert.is(grantFor(held, 'd'), undefined);
  assert.is(grantFor(undefined, 'a'), undefined);
});

test('facts about the data count for the present placement only', () => {
  const backend = (placementEpoch: number) => ({ placementEpoch, bootID: 'b', everProvisioned: true });
  assert.is(backendOf(volume({ placement: { epoch: 2 }, backend: backend(2) }))?.everProvisioned, true);
  assert.is(backendOf(volume({ placement: { epoch: 2 }, backend: backend(1) })), undefined);
  assert.is(backendOf(volume({ backend: backend(1) })), undefined);
  assert.is(backendOf(volume({ placement: { epoch: 1 } })), undefined);
  assert.is(backendOf(volume()), undefined);
});

test('keys are namespace and name, or the name alone', () => {
  assert.is(keyOf(volume()), 'shop/db');
  assert.is(keyOf({ metadata: { name: 'xen07' } }), 'xen07');
});

test.run();
