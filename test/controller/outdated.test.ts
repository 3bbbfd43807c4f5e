import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { HostView, PoolFact, VolumeServer } from '../../api/hosts.ts';
import { outdated } from '../../controller/outdated.ts';
import { place } from '../../controller/volume/placement.ts';
import { volumeClaims } from '../../controller/volume/status.ts';
import { aServer, aVolume, aWorld, deleted, provisioned } from '../builders/objects.ts';

const test = suite('agents of earlier versions');

const pool: PoolFact = { name: 'main', profile: 'file', freeBytes: '50000000000', extentBytes: '1048576' };
const server = (facts: Partial<PoolFact>, view: Partial<HostView<VolumeServer>> = {}) =>
  aServer('s1', { agent: { pools: [{ ...pool, ...facts }] }, ...view });
const old = server({});

const cases: [name: string, server: HostView<VolumeServer>, isOutdated: boolean][] = [
  ['one that does not say what its pool can', old, true],
  ['one that says that it can nothing', server({ can: [] }), false],
  ['one that is silent may have been upgraded', server({}, { freshness: 'stale' }), false],
  ['a pool with a problem is not told of in full', server({ problem: { reason: 'X', message: '' } }), false],
  ['one without that pool', aServer('s1', { agent: { pools: [] } }), false],
];
for (const [name, view, expected] of cases) {
  test(name, () => {
    const found = outdated([view], { server: 's1', pool: 'main', lacks: 'makes no copies' });
    assert.is(found !== undefined, expected);
  });
}

test('nothing is copied by one', () => {
  const source = aVolume({ metadata: { name: 'from', uid: 'uid-from' }, status: provisioned });
  const volume = aVolume({ spec: { source: { volumeRef: { name: 'from' } } } });
  const placement = place(aWorld({ volume, source, servers: [old] }));
  assert.is(placement.kind === 'waiting' && placement.reason, 'AgentOutdated');
});

test('nor retained', () => {
  const volume = aVolume({ metadata: deleted, status: { ...provisioned, order: 'Retain' } });
  const readyWith = (view: HostView<VolumeServer>) =>
    volumeClaims(aWorld({ volume, servers: [view] })).find(({ type }) => type === 'Ready')?.reason;
  assert.is(readyWith(old), 'AgentOutdated');
  assert.is(readyWith(server({ can: [] })), 'Retaining');
});

test.run();
