import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CONTINUES_CLUSTER } from '../../api/names.ts';
import { liveClusterID } from '../../node-agent/identity.ts';

const test = suite('the cluster that a host belongs to');

const UID = '3f0c6f0e-6f58-4f0a-9a52-0d7a0c2f1b11';
const LOST = '5f643e5b-cd8c-4d8d-9bd5-fd92f1025bb1';
const asked = (annotations?: Record<string, string>) =>
  liveClusterID(
    { get: async () => ({ metadata: { name: 'kube-system', uid: UID, annotations } }) as never },
    new AbortController().signal,
  );

test('is the one that answers', async () => assert.is(await asked(), UID));

test('or the lost one that it continues', async () =>
  assert.is(await asked({ [CONTINUES_CLUSTER]: LOST }), LOST));

test('and never what is no UID', async () => {
  for (const word of ['', 'prod', `${LOST} `, LOST.toUpperCase()]) {
    const error = await asked({ [CONTINUES_CLUSTER]: word }).then(
      () => undefined,
      (thrown: Error) => thrown,
    );
    assert.match(error?.message ?? '', /continues-cluster of namespace kube-system/);
  }
});

test.run();
