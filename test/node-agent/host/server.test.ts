import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ServerAgent } from '../../../api/hosts.ts';
import type { FreeingFact } from '../../../node-agent/freeing/freeing.ts';
import { type ServerWork, volumeServerVisitor } from '../../../node-agent/host/server.ts';
import { Busy } from '../../../node-agent/roles/errors.ts';
import type { Backing } from '../../../node-agent/roles/pool.ts';
import { emptyServerMemory, type ServerMemory } from '../../../node-agent/volume/memory.ts';
import { Metrics } from '../../../runtime/metrics.ts';
import { FakeClock } from '../../fakes/clock.ts';

const test = suite('a visit of a volume server');

const context = { signal: new AbortController().signal } as never;
const backing = (id: string, state: Backing['state']): Backing => ({
  id,
  state,
  sizeBytes: 1n,
  path: '/p',
});

interface Scene {
  readonly backings?: readonly Backing[];
  readonly memories?: readonly ServerMemory[];
  /** What there is to tell of what is dying. */
  readonly freeing?: FreeingFact;
  readonly within?: (ms: number, pools: readonly string[]) => boolean;
  readonly lookAtOther?: () => never;
  /** Whether something got its time in the trash over. */
  readonly retired?: () => boolean;
  /** Called before the API server is asked anything. */
  readonly tell?: () => void;
  readonly pause?: () => unknown;
}

function setUp({ backings = [], memories = [], lookAtOther, ...scene }: Scene) {
  let object = { metadata: { name: 's', uid: 'u' }, status: {} as { agent?: ServerAgent } };
  const forgotten: string[] = [];
  const metrics = new Metrics();
  const view = { name: 'main', identity: 'i', totalBytes: 9n, freeBytes: 9n, extentBytes: 1n, backings };
  const openPool = (name: string, look: () => unknown) => ({
    config: { name, profile: 'file' },
    bound: { name: 'file', hash: 'x', version: async () => undefined },
    look: async () => look(),
    pool: {
      can: { growOnline: true, copyOnWrite: false, snapshotAttached: false, snapshotsOutlive: true },
    },
  });
  const api = {
    get: async () => {
      scene.tell?.();
      return object;
    },
    patch: async (_resource: unknown, _ref: unknown, { status }: { status: object }) => {
      object = { ...object, status: { ...object.status, ...status } };
      return object;
    },
  };
  const log = { info: () => {}, warn: () => {} };
  const visit = volumeServerVisitor({
    program: {
      api,
      clock: new FakeClock(),
      config: { host: 's', observeSeconds: 5 },
      bootID: 'b',
      log,
      metrics,
    },
    deps: {
      volumes: { list: () => [], byIndex: () => [] },
      snapshots: { list: () => [], byIndex: () => [] },
      memories: { list: () => memories, remove: async (volumeID: string) => forgotten.push(volumeID) },
      target: { can: { resizeOnline: false }, portals: () => [] },
      lookAtTarget: async () => [],
    },
    pools: [openPool('main', () => view), ...(lookAtOther ? [openPool('other', lookAtOther)] : [])],
    boundTarget: { name: 'tgtd', hash: 'x', version: async () => undefined },
    checkup: { problems: async () => [] },
    freeing: {
      within: async (ms: number, pools: readonly string[]) => scene.within?.(ms, pools) === true,
      facts: () => new Map(scene.freeing === undefined ? [] : [['vol1', scene.freeing]]),
    },
    trash: {
      accounted: () => new Set(),
      facts: () => new Map(),
      pause: () => scene.pause?.(),
      tend: async () => scene.retired?.() === true,
    },
    isSynced: () => true,
    wake: () => {},
  } as unknown as ServerWork);
  return {
    forgotten,
    visit: async () => {
      const again = await visit('s', context);
      return { again, agent: object.status.agent, metrics: await metrics.text() };
    },
  };
}

test('what is free again within a moment is not told of; what takes longer is, with how far it is', async () => {
  const asked: unknown[] = [];
  const scene = { backings: [backing('vol1', 'dying')] };
  const quick = setUp({ ...scene, within: (ms, pools) => asked.push([ms, pools]) > 0 });
  assert.equal((await quick.visit()).again, { requeueAfterMs: 0 });
  assert.equal(asked, [[1_500, ['main']]]);
  const slow = setUp({ ...scene, freeing: { leftBytes: 1n } });
  const { again, agent, metrics } = await slow.visit();
  assert.equal(agent?.freeing, [{ id: 'vol1', pool: 'main', sizeBytes: '1', leftBytes: '1' }]);
  assert.equal(again, { requeueAfterMs: 5_000 });
  assert.ok(metrics.includes('vbs_pool_bytes{pool="main",kind="dying"} 1\n'));
  const idle = setUp({ within: () => asked.push('idle') > 0 });
  await idle.visit();
  assert.is(asked.length, 1);
});

test('what cannot be freed is a leftover, and makes the host no worse', async () => {
  const { visit, forgotten } = setUp({
    backings: [backing('vol1', 'dying')],
    memories: [emptyServerMemory('vol3', 'u3')],
    freeing: { stuck: 'vol1 is busy: open' },
  });
  const { agent, again } = await visit();
  assert.equal(agent?.leftovers, [
    {
      kind: 'Backing',
      name: 'vol1',
      message: 'dying, in pool main; its space cannot be freed: vol1 is busy: open',
    },
  ]);
  assert.equal(agent?.problems, []);
  assert.equal(forgotten, ['vol3']);
  assert.is((again as { requeueAfterMs: number }).requeueAfterMs, 5_000);
});

const granted = (volumeID: string, change: Partial<ServerMemory>): ServerMemory => ({
  ...emptyServerMemory(volumeID, 'u'),
  items: [{ epoch: 3, state: 'Granted' }] as unknown as ServerMemory['items'],
  ...change,
});

test('a grant accounts for nothing that no object does; one that stands keeps what is remembered', async () => {
  const { visit, forgotten } = setUp({
    backings: [backing('vol1', 'complete'), backing('vol2', 'complete')],
    memories: [
      granted('vol1', {}),
      granted('vol2', { withdrawn: [3] }),
      granted('vol3', {}),
      granted('vol4', { withdrawn: [3] }),
      granted('vol5', { withdrawnBelow: 4 }),
    ],
  });
  const { agent } = await visit();
  assert.equal(
    agent?.leftovers?.map(({ kind, name }) => `${kind} ${name}`),
    ['Backing vol1', 'Backing vol2', 'Record vol3'],
  );
  assert.equal(forgotten, ['vol4', 'vol5']);
});

test('what had its time in the trash is freed at once, and its time does not pass while nothing can be told', async () => {
  const told: string[] = [];
  const { visit } = setUp({
    retired: () => told.push('tended') === 2,
    tell: () => {
      if (told.length === 0) {
        throw new Error('away');
      }
    },
    pause: () => told.push('paused'),
  });
  await visit().then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.message, 'away'),
  );
  assert.equal((await visit()).again, { requeueAfterMs: 0 });
  assert.equal((await visit()).again, { requeueAfterMs: 5_000 });
  assert.equal(told, ['paused', 'tended', 'tended']);
});

test('whatever goes wrong with one pool is its own problem', async () => {
  const { visit } = setUp({
    lookAtOther: () => {
      throw new TypeError('what nobody thought of');
    },
  });
  const { agent } = await visit();
  assert.equal(
    agent?.pools?.map(({ name, problem }) => [name, problem?.reason]),
    [
      ['main', undefined],
      ['other', 'CannotLook'],
    ],
  );
});

test('a record of grants of which nothing else is left is told; with data of its own it is the data that is told', async () => {
  const grant = {
    hypervisor: 'h',
    initiator: 'i',
    mode: 'ReadWrite',
    epoch: 1,
    attachments: [],
    state: 'Granted',
  };
  const memoryOf = (volumeID: string): ServerMemory => ({
    ...emptyServerMemory(volumeID, 'u'),
    revision: 1,
    items: [grant as never],
  });
  const { visit, forgotten } = setUp({
    backings: [backing('vol1', 'complete'), { ...backing('vol3', 'retained'), sizeBytes: 5n }],
    memories: [memoryOf('vol1'), memoryOf('vol2'), emptyServerMemory('vol4', 'u')],
  });
  const { agent, metrics } = await visit();
  assert.equal(
    agent?.leftovers?.map(({ kind, name }) => `${kind} ${name}`),
    ['Backing vol1', 'Record vol2'],
  );
  assert.equal(forgotten, ['vol4'], 'what let nobody in is forgotten');
  for (const [kind, count] of Object.entries({ Backing: 1, Export: 0, Record: 1 })) {
    assert.ok(metrics.includes(`vbs_leftovers{role="VolumeServer",kind="${kind}"} ${count}\n`), kind);
  }
  assert.ok(metrics.includes('vbs_pool_bytes{pool="main",kind="retained"} 5\n'));
  assert.ok(metrics.includes('vbs_pool_retained{pool="main"} 1\n'));
});

test('a pool that cannot be looked at leaves nothing lost', async () => {
  const grant = { epoch: 1, state: 'Granted' };
  const { visit } = setUp({
    memories: [{ ...emptyServerMemory('vol2', 'u'), items: [grant as never] }],
    lookAtOther: () => {
      throw new Busy('other', 'locked');
    },
  });
  assert.equal((await visit()).agent?.leftovers, []);
});

test.run();
