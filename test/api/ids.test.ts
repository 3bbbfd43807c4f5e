import * as fc from 'fast-check';
import { assert as holds, property, uuid } from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { chapFor, isVolumeID, uuidFrom, volumeIDFor } from '../../api/ids.ts';

const test = suite('identities');
const UID = '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a1111';
const KEY = Buffer.alloc(32, 7);

// These values are on disks: a change of the derivation would lose every volume there is.
test('the volumeID of a UID is fixed for ever', () => {
  assert.is(volumeIDFor(UID), 'vol962c05c29cbf33445');
  assert.is(volumeIDFor(UID, 1), 'vol7980d21e33709b851');
});

test('the CHAP user and password of a grant are fixed for ever', () => {
  assert.equal(chapFor(KEY, volumeIDFor(UID), 3), {
    user: 'vbs71a9a5c42b1dda6ab1ef85502d138c92',
    password: 'cd306cd9cf103190d8cc9704fed54bb9',
  });
});

test('a UUID derived from a text is fixed for ever', () => {
  assert.is(uuidFrom('vbs'), '09cf595e-48ec-828e-bf15-ebd2bb165ea6');
});

test('a volumeID has the 20 characters which virtio and Proxmox show, and is known as one', async () => {
  await holds(
    property(uuid(), fc.nat(20), (uid, attempt) => {
      const id = volumeIDFor(uid, attempt);
      return id.length === 20 && isVolumeID(id);
    }),
  );
});

test('every attempt after a collision gives another volumeID, the same one each time', () => {
  const ids = Array.from({ length: 50 }, (_, attempt) => volumeIDFor(UID, attempt));
  assert.is(new Set(ids).size, 50);
  assert.equal(
    ids,
    Array.from({ length: 50 }, (_, attempt) => volumeIDFor(UID, attempt)),
  );
});

test('nothing else is a volumeID', () => {
  const id = volumeIDFor(UID);
  for (const text of [
    '',
    'vol',
    id.slice(0, -1),
    `${id}0`,
    id.toUpperCase(),
    `${id}\n`,
    ` ${id}`,
    `-${id}`,
  ]) {
    assert.not.ok(isVolumeID(text), JSON.stringify(text));
  }
});

test('another epoch, volume or key gives another user and another password', () => {
  const [volumeID, other] = [volumeIDFor(UID), volumeIDFor(UID, 1)];
  const all = [
    chapFor(KEY, volumeID, 1),
    chapFor(KEY, volumeID, 2),
    chapFor(KEY, volumeID, 12),
    chapFor(KEY, other, 1),
    chapFor(Buffer.alloc(32, 8), volumeID, 1),
  ].flatMap(({ user, password }) => [user, password]);
  assert.is(new Set(all).size, all.length);
});

test('CHAP user and password are of a length and alphabet which every initiator and target takes', () => {
  const { user, password } = chapFor(KEY, volumeIDFor(UID), Number.MAX_SAFE_INTEGER);
  assert.match(user, /^[0-9a-z]{12,35}$/);
  assert.match(password, /^[0-9a-f]{32}$/);
});

test('a derived UUID is of version 8 and the variant of RFC 9562, and other texts give other ones', async () => {
  const form = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  await holds(property(fc.string(), (text) => form.test(uuidFrom(text))));
  await holds(property(fc.string(), fc.string(), (a, b) => (a === b) === (uuidFrom(a) === uuidFrom(b))));
});

test.run();
