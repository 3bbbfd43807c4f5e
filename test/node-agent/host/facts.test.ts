import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hypervisorFacts, type ServerScene, serverFacts } from '../../../node-agent/host/facts.ts';
import type { Backing, PoolView } from '../../../node-agent/roles/pool.ts';

const test = suite('what a host says of itself');

const host = { bootID: 'b', version: '1', clusterID: 'c', profiles: [], problems: [] };
const backing = (id: string, change: Partial<Backing> = {}): Backing => ({
  id,
  state: 'complete',
  sizeBytes: 1n,
  path: '/p',
  ...change,
});
const view = (freeBytes: bigint, backings: readonly Backing[] = []): PoolView => ({
  name: 'main',
  identity: 'i',
  totalBytes: 100_000n,
  freeBytes,
  extentBytes: 1n,
  backings,
});
const can = {
  growOnline: true,
  copyOnWrite: true,
  snapshotAttached: false,
  snapshotsOutlive: true,
  snapshotsHoldSize: false,
  zeroes: false,
  wipes: false,
  trash: true,
};
const scene = (change: Partial<ServerScene> & { readonly view?: PoolView }): ServerScene => ({
  ...host,
  portals: [],
  remoteCopy: false,
  targetGrows: false,
  pools: [{ name: 'main', profile: 'file', view: change.view ?? view(50_000n), can, problem: undefined }],
  exports: [],
  accounted: new Set(),
  now: new Date('2026-01-02T00:00:00Z'),
  before: undefined,
  ...change,
});

test('small movements of free space are not told', () => {
  const told = serverFacts(scene({ view: view(50_000n) }));
  const free = (now: bigint) => serverFacts(scene({ view: view(now), before: told })).pools?.[0]?.freeBytes;
  assert.is(free(50_999n), '50000');
  assert.is(free(49_001n), '50000');
  assert.is(free(51_000n), '51000');
  assert.is(free(49_000n), '49000');
});

test('what nothing accounts for is left over; what is foreign or dying is not', () => {
  const { leftovers, wiping } = serverFacts(
    scene({
      view: view(1n, [
        backing('vol1'),
        backing('vol2'),
        backing('vol3', { foreign: true }),
        backing('vol4', { state: 'dying' }),
      ]),
      accounted: new Set(['vol1']),
    }),
  );
  assert.equal(
    leftovers?.map(({ name }) => name),
    ['vol2'],
  );
  assert.equal(wiping, ['vol4']);
});

test('what is being freed tells how much is still to be wiped, where that is known, and what stands in the way', () => {
  const { freeing, leftovers } = serverFacts(
    scene({
      view: view(1n, [
        backing('vol4', { state: 'dying', sizeBytes: 100n }),
        backing('snap1', { state: 'dying' }),
        backing('vol5', { state: 'dying', foreign: true }),
      ]),
      freeing: new Map([
        ['vol4', { leftBytes: 40n }],
        ['snap1', { stuck: 'open' }],
      ]),
    }),
  );
  assert.equal(freeing, [
    { id: 'snap1', pool: 'main', sizeBytes: '1' },
    { id: 'vol4', pool: 'main', sizeBytes: '100', leftBytes: '40' },
  ]);
  assert.equal(
    leftovers?.map(({ name, message }) => [name, message]),
    [['snap1', 'dying, in pool main; its space cannot be freed: open']],
  );
  assert.is(serverFacts(scene({})).freeing, undefined);
});

test('what is retained is listed by ID with its last owner, is no leftover, and is not being freed', () => {
  const facts = serverFacts(
    scene({
      view: view(1n, [
        backing('vol2', { state: 'retained', owner: { namespace: 'shop', name: 'db' } }),
        backing('snap1', { state: 'retained' }),
        backing('vol3', { state: 'retained', foreign: true }),
      ]),
    }),
  );
  assert.equal(facts.retained, [
    { id: 'snap1', kind: 'Snapshot', pool: 'main', sizeBytes: '1' },
    { id: 'vol2', kind: 'Volume', pool: 'main', namespace: 'shop', name: 'db', sizeBytes: '1' },
  ]);
  assert.equal([facts.leftovers, facts.wiping, facts.retainedOmitted], [[], [], undefined]);
  const many = Array.from({ length: 515 }, (_, index) => backing(`vol${index}`, { state: 'retained' }));
  const cut = serverFacts(scene({ view: view(1n, many) }));
  assert.equal([cut.retained?.length, cut.retainedOmitted], [512, 3]);
  assert.is(serverFacts(scene({})).retained, undefined);
});

test('a pool tells which hops grow while they are in use', () => {
  const canOf = (growOnline: boolean, targetGrows: boolean) => {
    const pool = {
      name: 'main',
      profile: 'file',
      view: view(1n),
      can: { ...can, growOnline },
      problem: undefined,
    };
    return serverFacts(scene({ targetGrows, pools: [pool] })).pools?.[0]?.can?.filter((word) =>
      word.startsWith('Grow'),
    );
  };
  assert.equal(canOf(true, true), ['GrowInUse', 'GrowOnline']);
  assert.equal(canOf(true, false), ['GrowInUse']);
  assert.equal(canOf(false, true), []);
});

test('a pool that cannot be seen says why and claims no numbers', () => {
  const problem = { reason: 'PoolMissing', message: 'not mounted' } as const;
  const facts = serverFacts(
    scene({ pools: [{ name: 'main', profile: 'file', view: undefined, can, problem }] }),
  );
  assert.equal(facts.pools, [{ name: 'main', profile: 'file', problem }]);
});

test('a pool that is out of order says why beside its numbers', () => {
  const problem = { reason: 'PoolFaulty', message: 'out of data space' } as const;
  const pool = { name: 'main', profile: 'lvm-thin', view: view(0n), can, problem };
  const [told] = serverFacts(scene({ pools: [pool] })).pools ?? [];
  assert.equal([told?.freeBytes, told?.problem], ['0', problem]);
});

test('instances come in one order, disks are counted for one who waits for it, strays named', () => {
  const seen = {
    ...host,
    initiator: 'iqn',
    instances: [
      { name: 'b', uuid: '2', state: 'Running', vmid: 105 },
      { name: 'a', uuid: '1', state: 'Stopped' },
    ],
    unidentified: [],
    disks: [
      { volumeID: 'vol1', instance: 'b' },
      { volumeID: 'vol2', instance: 'b' },
    ],
    accounted: new Set(['vol1']),
    fenced: true,
    isSeen: true,
  } as const;
  const facts = hypervisorFacts(seen);
  assert.equal(
    facts.instances?.map(({ name }) => name),
    ['a', 'b'],
  );
  assert.equal(
    facts.instances?.map(({ vmid }) => vmid),
    [undefined, 105],
  );
  assert.is(facts.unidentified, undefined);
  assert.equal(hypervisorFacts({ ...seen, unidentified: ['web (106)'] }).unidentified, ['web (106)']);
  assert.is(facts.disks, 2);
  assert.is(hypervisorFacts({ ...seen, fenced: false }).disks, undefined, 'nobody waits for it');
  assert.is(hypervisorFacts({ ...seen, disks: [], isSeen: false }).disks, undefined, 'not seen is not none');
  assert.equal(
    facts.leftovers?.map(({ name }) => name),
    ['vol2'],
  );
});

const inTrash = (id: string) => backing(id, { state: 'retained', owner: { namespace: 'shop', name: id } });
const DAY = 86_400;
const NOW = Date.parse('2026-01-02T00:00:00Z');
const endsOf = (
  { ttlSeconds = DAY, leftMs }: { readonly ttlSeconds?: number; readonly leftMs: number },
  { now = NOW, before }: { readonly now?: number; readonly before?: ServerScene['before'] } = {},
) => {
  const trash = new Map([['vol1', { ttlSeconds, leftMs }]]);
  return serverFacts(scene({ view: view(1n, [inTrash('vol1')]), trash, now: new Date(now), before }));
};

test('what is in the trash tells when it will go, and other data does not', () => {
  const trash = new Map([['vol1', { ttlSeconds: 60, leftMs: 30_500 }]]);
  const { retained } = serverFacts(scene({ view: view(1n, [inTrash('vol1'), inTrash('vol2')]), trash }));
  assert.equal(
    retained?.map((one) => one.trash),
    [{ ttlSeconds: 60, removedAfter: '2026-01-02T00:00:30Z' }, undefined],
  );
});

test('that time is told anew only when it is another one', () => {
  const before = endsOf({ leftMs: DAY * 1_000 });
  const end = before.retained?.[0]?.trash?.removedAfter;
  assert.is(end, '2026-01-03T00:00:00Z');
  const later = (passedMs: number, standstillMs: number) =>
    endsOf({ leftMs: DAY * 1_000 - passedMs }, { now: NOW + passedMs + standstillMs, before }).retained?.[0]
      ?.trash?.removedAfter;
  assert.is(later(3_600_000, 0), end);
  assert.is(later(3_600_500, 1_700_000), end, 'a fiftieth of a day is 1728 s');
  assert.is(later(3_600_000, 1_800_000), '2026-01-03T00:30:00Z');
  const over = endsOf({ leftMs: 0 }, { now: NOW + 30 * DAY * 1_000, before });
  assert.is(
    over.retained?.[0]?.trash?.removedAfter,
    end,
    'what is over and stays is not over anew each time',
  );
  assert.is(
    endsOf({ leftMs: 60_000 }, { now: NOW + 30 * DAY * 1_000, before }).retained?.[0]?.trash?.removedAfter,
    '2026-02-01T00:01:00Z',
  );
});

test('the trash crowds out nothing that is retained without end, and what goes last is listed first', () => {
  const ids = Array.from({ length: 520 }, (_, index) => `vol${String(index).padStart(4, '0')}`);
  const trash = new Map(
    ids.slice(0, 515).map((id, index) => [id, { ttlSeconds: DAY, leftMs: index * 60_000 }]),
  );
  const { retained = [], retainedOmitted } = serverFacts(scene({ view: view(1n, ids.map(inTrash)), trash }));
  assert.is(retainedOmitted, 8);
  assert.equal(
    retained.map(({ id }) => id),
    ids.slice(8),
  );
});

test.run();
