import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Volume } from '../../../api/volume.ts';
import { type PlacementWorld, place } from '../../../controller/volume/placement.ts';
import { planVolume } from '../../../controller/volume/plan.ts';
import { aClass, aServer, aVolume, aWorld } from '../../builders/objects.ts';

const test = suite('placement of a Volume that adopts retained data');

const ID = 'vol0123456789abcdef0';
const pool = {
  name: 'main',
  profile: 'file',
  totalBytes: '100000000000',
  freeBytes: '0',
  extentBytes: '1048576',
  can: [],
};
const { can: _, ...old } = pool;
const kept = {
  id: ID,
  kind: 'Volume',
  pool: 'main',
  namespace: 'shop',
  name: 'db',
  sizeBytes: '1073741824',
} as const;
const server = (agent: object = {}, view: Parameters<typeof aServer>[1] = {}) =>
  aServer('s1', { ...view, agent: { pools: [pool], retained: [kept], ...agent } });

/** Asks for no size unless told. */
function adopting(spec: Partial<Volume['spec']> = {}): Volume {
  const volume = aVolume();
  const { size: _, ...rest } = volume.spec;
  return { ...volume, spec: { ...rest, source: { existing: { volumeServer: 's1', id: ID } }, ...spec } };
}

const placing = (change: Partial<PlacementWorld>) =>
  place(aWorld({ volume: adopting(), servers: [server(), aServer('s2')], ...change }));
const where = (change: Partial<PlacementWorld>): string => {
  const placement = placing(change);
  return placement.kind === 'placed' ? `${placement.server}/${placement.pool}` : placement.reason;
};

const cases: [name: string, world: Partial<PlacementWorld>, expected: string][] = [
  ['to where the data is, also in a full pool', {}, 's1/main'],
  ['a larger one grows there later', { volume: adopting({ size: '2Gi' }) }, 's1/main'],
  ['the size may be said', { volume: adopting({ size: '1Gi' }) }, 's1/main'],
  ['and not be less', { volume: adopting({ size: '512Mi' }) }, 'SizeBelowSource'],
  ['the server may be said twice', { volume: adopting({ volumeServer: 's1' }) }, 's1/main'],
  ['and not another one', { volume: adopting({ volumeServer: 's2' }) }, 'VolumeServerMismatch'],
  ['a server that there is not is waited for', { servers: [aServer('s2')] }, 'VolumeServerNotFound'],
  ['a silent one, too', { servers: [server({}, { freshness: 'stale' })] }, 'HostSilent'],
  ['and one not heard yet', { servers: [server({}, { freshness: 'unknown' })] }, 'WaitingForHeartbeat'],
  ['a cordoned one takes nothing', { servers: [server({}, { spec: { cordoned: true } })] }, 'NoPool'],
  ['what is not listed is waited for', { servers: [server({ retained: [] })] }, 'NotRetained'],
  ['also on a server that knows no such list', { servers: [aServer('s1')] }, 'NotRetained'],
  [
    'one whose agent knows nothing of retained data is to be upgraded',
    { servers: [aServer('s1', { agent: { pools: [old] } })] },
    'AgentOutdated',
  ],
  [
    'a pool with a problem is waited for',
    { servers: [server({ pools: [{ ...pool, problem: { reason: 'PoolMissing', message: 'gone' } }] })] },
    'NoPool',
  ],
  [
    'the class must select the pool',
    { classes: [aClass('gold', { poolSelector: { profile: 'lvm-thin' } })] },
    'ClassMismatch',
  ],
  ['a class is needed as for every Volume', { classes: [] }, 'NoDefaultClass'],
];

for (const [name, world, expected] of cases) {
  test(name, () => assert.is(where(world), expected));
}

test('what is adopted is told, with its last owner', () => {
  const placement = placing({});
  assert.equal(placement.kind === 'placed' && placement.source, {
    kind: 'Retained',
    name: 'shop/db',
    id: ID,
    server: 's1',
    pool: 'main',
    sizeBytes: '1073741824',
  });
});

test('orphaned data of a Volume is taken over under its own ID', () => {
  const world = aWorld({ volume: adopting(), servers: [server({ retained: [], orphans: [kept] })] });
  const placement = place(world);
  assert.is(placement.kind === 'placed' && placement.source?.kind, 'Orphaned');
  const volume = { ...adopting(), metadata: { ...adopting().metadata, finalizers: ['vbs.dev/controller'] } };
  const plan = planVolume({ ...world, volume });
  assert.is(plan.kind === 'write' && plan.change.volumeID, ID);
});

test('that of a Snapshot is adopted as retained data is', () => {
  const snap = { ...kept, id: 'snap0123456789abcdef', kind: 'Snapshot' };
  const volume = adopting({ source: { existing: { volumeServer: 's1', id: snap.id } } });
  const placement = placing({ volume, servers: [server({ retained: [], orphans: [snap] })] });
  assert.is(placement.kind === 'placed' && placement.source?.kind, 'Retained');
});

test('what has become another Volume’s meanwhile is waited for, by its name', () => {
  const other = aVolume({ metadata: { name: 'other' } });
  const placement = placing({
    servers: [server({ retained: [], orphans: [kept] })],
    holderOf: (id) => (id === ID ? other : undefined),
  });
  assert.match(
    placement.kind === 'waiting' ? placement.message : '',
    /is the data of Volume \S+\/other, which has it; delete this one/,
  );
});

test('a list that was cut says so', () => {
  const placement = placing({ servers: [server({ retained: [], retainedOmitted: 7 })] });
  assert.match(placement.kind === 'waiting' ? placement.message : '', /7 others/);
});

test.run();
