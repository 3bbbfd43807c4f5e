import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type Attachment,
  connectionAt,
  exportAt,
  instanceLabel,
  isReleased,
  isWithdrawn,
} from '../../api/attachment.ts';
import type { AttachmentSpec, AttachmentStatus } from '../../api/generated/v1alpha1.ts';

const test = suite('attachments as both sides read them');

const attachment = (
  status?: AttachmentStatus,
  instance: AttachmentSpec['instance'] = { name: 'vm-a' },
): Attachment => ({
  apiVersion: 'vbs.dev/v1alpha1',
  kind: 'Attachment',
  metadata: { name: 'db-on-vm-a', namespace: 'shop', uid: 'u1', resourceVersion: '1' },
  spec: { volumeRef: { name: 'db' }, instance, detachPolicy: 'Graceful' },
  ...(status === undefined ? {} : { status }),
});

test('facts of another epoch say nothing', () => {
  const seen = attachment({
    epoch: 3,
    export: { epoch: 2, bootID: 'b', state: 'Withdrawn' },
    connection: { epoch: 3, bootID: 'b', state: 'Attached' },
  });
  assert.is(exportAt(seen, 3), undefined);
  assert.is(exportAt(seen, 2)?.state, 'Withdrawn');
  assert.is(connectionAt(seen, 3)?.state, 'Attached');
  assert.is(connectionAt(seen, 2), undefined);
});

test('released and withdrawn are true for the epoch they were said of, and for no other', () => {
  const gone = attachment({
    export: { epoch: 2, bootID: 'b', state: 'Withdrawn' },
    connection: { epoch: 2, bootID: 'b', state: 'Released' },
  });
  assert.ok(isReleased(gone, 2) && isWithdrawn(gone, 2));
  for (const epoch of [1, 3]) {
    assert.not.ok(isReleased(gone, epoch));
    assert.not.ok(isWithdrawn(gone, epoch));
  }
});

test('any other state, and absence, permits nothing', () => {
  const busy = attachment({
    export: { epoch: 2, bootID: 'b', state: 'Exported' },
    connection: { epoch: 2, bootID: 'b', state: 'Connected' },
  });
  const silent = attachment({ export: { epoch: 2, bootID: 'b' }, connection: { epoch: 2, bootID: 'b' } });
  for (const one of [busy, silent, attachment({ epoch: 2 }), attachment()]) {
    assert.not.ok(isReleased(one, 2));
    assert.not.ok(isWithdrawn(one, 2));
  }
});

test('an instance is called by what the user called it', () => {
  const uuid = '2f6a1c0e-5b1d-4a77-9c3e-0d1b2a3c4d5e';
  assert.is(instanceLabel(attachment()), 'vm-a');
  assert.is(instanceLabel(attachment(undefined, { uuid })), uuid);
  assert.is(instanceLabel(attachment(undefined, { vmid: 105 })), '105');
});

test.run();
