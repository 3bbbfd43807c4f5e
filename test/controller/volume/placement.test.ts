import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Volume } from '../../../api/volume.ts';
import { type PlacementWorld, place } from '../../../controller/volume/placement.ts';
import { aClass, aServer, aVolume, aWorld, provisioned } from '../../builders/objects.ts';

const test = suite('placement');

const pool = (freeBytes: string, name = 'main', profile = 'file') => ({
  pools: [{ name, profile, totalBytes: '100000000000', freeBytes, extentBytes: '1048576' }],
});

const where = (change: Partial<PlacementWorld>): string => {
  const placement = place(aWorld(change));
  return placement.kind === 'placed' ? `${placement.server}/${placement.pool}` : placement.reason;
};

const reads = (freeBytes: string, name = 'main') =>
  pool(freeBytes, name).pools.map((one) => ({
    ...one,
    can: ['SnapshotsOutlive' as const, 'RemoteCopy' as const, 'Readable' as const],
  }));
const s1 = aServer('s1', { agent: { pools: reads('2000000000') } });
const s2 = aServer('s2', { agent: { pools: reads('50000000000') } });
const full = aServer('s1', { agent: { pools: reads('1000') } });
const twoPools = aServer('s1', { agent: { pools: [...reads('1000'), ...reads('3000000000', 'more')] } });
const cordoned = aServer('s1', { agent: { pools: reads('2000000000') }, spec: { cordoned: true } });
const unread = aServer('s1', {
  agent: { pools: reads('2000000000').map((one) => ({ ...one, can: ['SnapshotsOutlive' as const] })) },
  spec: { cordoned: true },
});
const silent = aServer('s1', { agent: { pools: reads('2000000000') }, freshness: 'stale' });
const copy = (spec: Partial<Volume['spec']> = {}) =>
  aVolume({
    metadata: { name: 'copy', uid: 'uid-copy' },
    spec: { source: { volumeRef: { name: 'db' } }, ...spec },
  });
const copying = {
  volume: copy(),
  source: aVolume({ status: { ...provisioned, pins: [{ uid: 'uid-copy', kind: 'Volume', name: 'copy' }] } }),
} as const;

const unpinned = { ...copying, source: aVolume({ status: provisioned }) } as const;

const cases: [name: string, world: Partial<PlacementWorld>, expected: string][] = [
  [
    'to the pool with the most space',
    { servers: [aServer('s1', { agent: pool('5000000000') }), aServer('s2')] },
    's2/main',
  ],
  ['by name where equal', { servers: [aServer('s2'), aServer('s1')] }, 's1/main'],
  [
    'promised space counts as taken',
    {
      servers: [aServer('s1'), aServer('s2')],
      reservedBytes: (server) => (server === 's1' ? 10n ** 10n : 0n),
    },
    's2/main',
  ],
  ['a full pool is no pool', { servers: [aServer('s1', { agent: pool('1000') })] }, 'NoSpace'],
  ['exactly enough is enough', { servers: [aServer('s1', { agent: pool('1073741824') })] }, 's1/main'],
  [
    'sizes are rounded up before they are compared',
    {
      volume: aVolume({ spec: { size: '1073741823' } }),
      servers: [aServer('s1', { agent: pool('1073741823') })],
    },
    'NoSpace',
  ],
  ['not to a cordoned server', { servers: [aServer('s1', { spec: { cordoned: true } })] }, 'NoPool'],
  ['not to a silent one', { servers: [aServer('s1', { freshness: 'stale' })] }, 'NoPool'],
  [
    'not to a pool with a problem',
    {
      servers: [
        aServer('s1', {
          agent: {
            pools: [{ name: 'main', profile: 'file', problem: { reason: 'PoolMissing', message: '' } }],
          },
        }),
      ],
    },
    'NoPool',
  ],
  [
    'a pin is honoured',
    {
      volume: aVolume({ spec: { volumeServer: 's2' } }),
      servers: [aServer('s1'), aServer('s2', { agent: pool('2000000000') })],
    },
    's2/main',
  ],
  ['a pin to nowhere is said', { volume: aVolume({ spec: { volumeServer: 's9' } }) }, 'VolumeServerNotFound'],
  [
    'the class selects the pool',
    {
      classes: [aClass('x', { poolSelector: { name: 'fast' } })],
      servers: [aServer('s1', { agent: pool('2000000000', 'fast') }), aServer('s2')],
    },
    's1/fast',
  ],
  [
    'the class selects the profile',
    { classes: [aClass('x', { poolSelector: { profile: 'lvm-thin' } })] },
    'NoPool',
  ],
  ['an unknown class is waited for', { volume: aVolume({ spec: { className: 'gold' } }) }, 'ClassNotFound'],
  [
    'two default classes are never guessed between',
    { classes: [aClass('a'), aClass('b')] },
    'TwoDefaultClasses',
  ],
  ['a copy goes beside its source', { ...copying, servers: [s1, aServer('s2')] }, 's1/main'],
  [
    'to another pool of its server rather than to another server',
    { ...copying, servers: [twoPools, s2] },
    's1/more',
  ],
  ['to another server where its own has no room', { ...copying, servers: [full, s2] }, 's2/main'],
  ['and where its own takes nothing new', { ...copying, servers: [cordoned, s2] }, 's2/main'],
  [
    'but only to one that can read there',
    { ...copying, servers: [cordoned, aServer('s2')] },
    'SourceElsewhere',
  ],
  ['and only while there is somebody to read from', { ...copying, servers: [silent, s2] }, 'SourceElsewhere'],
  [
    'nor from one that knows nothing of others who read',
    { ...copying, servers: [unread, s2] },
    'SourceElsewhere',
  ],
  ['as pinned', { ...copying, volume: copy({ volumeServer: 's2' }), servers: [s1, s2] }, 's2/main'],
  [
    'a pin to one that cannot read there waits',
    { ...copying, volume: copy({ volumeServer: 's2' }), servers: [s1, aServer('s2')] },
    'SourceElsewhere',
  ],
  [
    'a source that does not hold its data for it yet is waited for',
    { ...unpinned, servers: [s1] },
    'WaitingForSource',
  ],
  [
    'one whose data is lost is not',
    {
      ...copying,
      source: aVolume({
        status: {
          ...provisioned,
          backend: { ...provisioned.backend, problem: { reason: 'DataLost', message: 'overflowed' } },
        } as typeof provisioned,
      }),
      servers: [s1],
    },
    'SourceNotReady',
  ],
  ['but what else stands in the way is said first', { ...unpinned, servers: [full] }, 'NoSpace'],
  ['no default class is said', { classes: [aClass('a', { default: false })] }, 'NoDefaultClass'],
  [
    'a named class needs no default',
    { volume: aVolume({ spec: { className: 'b' } }), classes: [aClass('a'), aClass('b')] },
    's1/main',
  ],
];

for (const [name, world, expected] of cases) {
  test(name, () => assert.is(where(world), expected));
}

test.run();
