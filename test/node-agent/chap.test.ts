import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { chapFor } from '../../api/ids.ts';
import { chapSecretName, hostNamespace } from '../../api/names.ts';
import { SECRETS } from '../../api/resources.ts';
import { chapSource } from '../../node-agent/chap.ts';
import { hostFiles } from '../../node-agent/exec/files.ts';
import { RecordStore } from '../../node-agent/store.ts';
import { ApiError } from '../../runtime/errors.ts';
import { MemoryApi } from '../fakes/memory-api.ts';

const test = suite('CHAP keys on a host');

const signal = new AbortController().signal;
const grant = { server: 's1', hypervisor: 'h1', volumeID: 'vol00000000000000000', epoch: 3 };
const metadata = { name: chapSecretName('s1', 'h1'), namespace: hostNamespace('h1') };
const keyed = (text: string) => Buffer.from(text).toString('base64');

async function withHost(use: (memory: MemoryApi, directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(path.join(tmpdir(), 'vbs-chap-'));
  try {
    await use(new MemoryApi(), path.join(directory, 'keys'));
  } finally {
    await rm(directory, { recursive: true });
  }
}

const secret = (key: string) => ({ apiVersion: 'v1', kind: 'Secret', metadata, data: { key: keyed(key) } });

test('credentials follow from key, volume and epoch', () =>
  withHost(async (memory, directory) => {
    const { api } = memory.door();
    await api.create(SECRETS, secret('one') as never);
    const chapOf = chapSource(api, 'h1', await RecordStore.open<string>(hostFiles, directory));
    assert.equal(await chapOf(grant, signal), chapFor(Buffer.from('one'), grant.volumeID, 3));
  }));

test('a key made anew is used for the next grant', () =>
  withHost(async (memory, directory) => {
    const { api } = memory.door();
    await api.create(SECRETS, secret('one') as never);
    const chapOf = chapSource(api, 'h1', await RecordStore.open<string>(hostFiles, directory));
    await chapOf(grant, signal);
    await api.patch(SECRETS, metadata, { data: { key: keyed('two') } }, { fieldManager: 't' });
    assert.equal(await chapOf(grant, signal), chapFor(Buffer.from('two'), grant.volumeID, 3));
  }));

test('the copy serves while the API server does not answer, also after a restart', () =>
  withHost(async (memory, directory) => {
    const door = memory.door();
    await door.api.create(SECRETS, secret('one') as never);
    await chapSource(door.api, 'h1', await RecordStore.open<string>(hostFiles, directory))(grant, signal);
    door.failure = new ApiError('no answer', { status: 0, reason: 'Unreachable' });
    const again = chapSource(door.api, 'h1', await RecordStore.open<string>(hostFiles, directory));
    assert.equal(await again(grant, signal), chapFor(Buffer.from('one'), grant.volumeID, 3));
  }));

test('a key whose Secret was deleted is taken from the copy', () =>
  withHost(async (memory, directory) => {
    const { api } = memory.door();
    await api.create(SECRETS, secret('one') as never);
    const chapOf = chapSource(api, 'h1', await RecordStore.open<string>(hostFiles, directory));
    await chapOf(grant, signal);
    memory.remove(SECRETS, metadata);
    assert.equal(
      await chapOf({ ...grant, epoch: 4 }, signal),
      chapFor(Buffer.from('one'), grant.volumeID, 4),
    );
  }));

test('a grant keeps the key that it was opened with; the next one has the new key', () =>
  withHost(async (memory, directory) => {
    const { api } = memory.door();
    await api.create(SECRETS, secret('one') as never);
    const chapOf = chapSource(api, 'h1', await RecordStore.open<string>(hostFiles, directory));
    const kept: { key: string | undefined } = { key: undefined };
    const keep = async (key: string) => void Object.assign(kept, { key });
    const first = await chapOf(grant, signal, { ...kept, keep });
    assert.is(kept.key, keyed('one'));
    await api.patch(SECRETS, metadata, { data: { key: keyed('two') } }, { fieldManager: 't' });
    assert.equal(await chapOf(grant, signal, { ...kept, keep }), first);
    const next = await chapOf({ ...grant, epoch: 4 }, signal, { key: undefined, keep });
    assert.equal(next, chapFor(Buffer.from('two'), grant.volumeID, 4));
    assert.is(kept.key, keyed('two'));
  }));

test('a key that is gone, or refused, is said and never guessed', () =>
  withHost(async (memory, directory) => {
    const door = memory.door();
    const chapOf = chapSource(door.api, 'h1', await RecordStore.open<string>(hostFiles, directory));
    const said = async () => chapOf(grant, signal).then(() => 'given', String);
    assert.match(await said(), /Secret chap\.s1\.h1 is not in namespace vbs-host-h1/);
    await door.api.create(SECRETS, secret('one') as never);
    await chapOf(grant, signal);
    door.failure = new ApiError('forbidden', { status: 403, reason: 'Forbidden' });
    assert.match(await said(), /forbidden/);
  }));

test.run();
