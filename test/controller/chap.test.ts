import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { chapSecretName, hostNamespace } from '../../api/names.ts';
import type { KubeObject } from '../../api/object.ts';
import { SECRETS } from '../../api/resources.ts';
import { chapKeys } from '../../controller/chap.ts';
import { MemoryApi } from '../fakes/memory-api.ts';

const test = suite('CHAP keys of a pair of hosts');

const signal = new AbortController().signal;
const name = chapSecretName('s1', 'h1');
const refs = ['s1', 'h1'].map((host) => ({ name, namespace: hostNamespace(host) }));
const keysIn = (memory: MemoryApi) =>
  refs.map(
    (ref) => (memory.find(SECRETS, ref) as unknown as { data?: { key?: string } } | undefined)?.data?.key,
  );

async function setUp() {
  const memory = new MemoryApi();
  const { api } = memory.door();
  const ensure = chapKeys(api);
  await ensure('s1', 'h1', signal);
  return { memory, api, ensure };
}

test('both hosts have the same one, 32 random bytes', async () => {
  const [server, hypervisor] = keysIn((await setUp()).memory);
  assert.is(server, hypervisor);
  assert.is(Buffer.from(server ?? '', 'base64').length, 32);
  assert.is.not(server, keysIn((await setUp()).memory)[0]);
});

test('nothing is written when both are there', async () => {
  const { memory, ensure } = await setUp();
  const before = memory.writes.length;
  await ensure('s1', 'h1', signal);
  assert.is(memory.writes.length, before);
});

test('the server’s copy is the truth for one that differs', async () => {
  const { memory, api, ensure } = await setUp();
  const [truth] = keysIn(memory);
  const [, other] = refs;
  assert.ok(other);
  await api.patch<KubeObject>(SECRETS, other, { data: { key: 'other' } }, { fieldManager: 't' });
  await ensure('s1', 'h1', signal);
  assert.equal(keysIn(memory), [truth, truth]);
});

test('a Secret without a key gets one that is kept', async () => {
  const memory = new MemoryApi();
  const { api } = memory.door();
  for (const metadata of refs) {
    await api.create(SECRETS, { apiVersion: 'v1', kind: 'Secret', metadata } as never);
  }
  await chapKeys(api)('s1', 'h1', signal);
  const [server, hypervisor] = keysIn(memory);
  assert.ok(server);
  assert.is(server, hypervisor);
});

test.run();
