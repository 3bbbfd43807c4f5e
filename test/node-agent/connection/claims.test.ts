import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Attachment } from '../../../api/attachment.ts';
import { expectUnclaimed } from '../../../node-agent/connection/claims.ts';
import type { ConnectionMemory } from '../../../node-agent/connection/memory.ts';
import { ReportedProblem } from '../../../node-agent/problems.ts';
import { admitted, anAttachment, deleted, VOLUME_ID } from '../../builders/objects.ts';

const test = suite('which Attachment a disk belongs to');

const mine = anAttachment({ status: admitted });
const theirs = anAttachment({
  metadata: { name: 'evil', uid: 'uid-evil' },
  status: { ...admitted, epoch: 2 },
});
const served = (change: Partial<ConnectionMemory> = {}): ConnectionMemory => ({
  attachmentUID: mine.metadata.uid,
  namespace: 'ns',
  name: 'att',
  volumeName: 'db',
  volumeID: VOLUME_ID,
  epoch: 1,
  instanceUUID: 'vm-uuid',
  released: 0,
  ...change,
});
const isRefused = (
  attachment: Attachment,
  others: readonly Attachment[],
  memories: Readonly<Record<string, ConnectionMemory>>,
): boolean => {
  try {
    expectUnclaimed(
      { attachments: { list: () => [...others, attachment] }, memories: { get: (uid) => memories[uid] } },
      attachment,
    );
    return false;
  } catch (error) {
    assert.instance(error, ReportedProblem);
    return true;
  }
};

test('one that claims what another is served with is refused, whatever its epoch, and the other is not', () => {
  const memories = { [mine.metadata.uid]: served() };
  for (const epoch of [1, 2]) {
    const claimant = { ...theirs, status: { ...theirs.status, epoch } };
    assert.ok(isRefused(claimant, [mine], memories), String(epoch));
    assert.not.ok(isRefused(mine, [claimant], memories));
  }
});

test('the next one comes when the last lets go, has let go, is of another volume or is not served', () => {
  const memories = { [mine.metadata.uid]: served() };
  assert.not.ok(isRefused(theirs, [{ ...mine, metadata: { ...mine.metadata, ...deleted } }], memories));
  assert.not.ok(isRefused(theirs, [{ ...mine, status: { ...admitted, release: true } }], memories));
  assert.not.ok(isRefused(theirs, [mine], { [mine.metadata.uid]: served({ released: 1 }) }));
  assert.not.ok(isRefused(theirs, [mine], {}));
  assert.not.ok(
    isRefused(theirs, [], memories),
    'its Attachment is gone: what is left of it is another matter',
  );
  const another = { ...theirs, status: { ...theirs.status, volumeID: 'vol0123456789abcdef0' } };
  assert.not.ok(isRefused(another, [mine], memories));
});

test.run();
