// The trash over real files: its records on disk, a pool of files, and a clock that the test turns.
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Volume } from '../../../api/volume.ts';
import type { RunCommand } from '../../../node-agent/exec/command.ts';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import type { Pool, PoolView } from '../../../node-agent/roles/pool.ts';
import { profiledPool } from '../../../node-agent/roles/profiled-pool.ts';
import { RecordStore } from '../../../node-agent/store.ts';
import { TrashKeeper } from '../../../node-agent/trash/keeper.ts';
import type { TrashMemory } from '../../../node-agent/trash/memory.ts';
import { aVolume, placed, provisioned, VOLUME_ID } from '../../builders/objects.ts';
import { FakeClock } from '../../fakes/clock.ts';

const MIB = 1024n * 1024n;
const HEIR = 'vol0123456789abcdef0';
const CLUSTER = '0b1c9f5e-4a55-4c6b-9a0e-3b2f1f6f7a01';
const owner = { clusterID: CLUSTER, namespace: 'ns', name: 'db' };
const heir = { clusterID: CLUSTER, namespace: 'ns', name: 'heir' };
const TAGS = { namespace: 'ns', name: 'db' };
const HOUR = 3_600;
const { signal } = new AbortController();
const profile = await loadProfile(
  join(import.meta.dirname, '../../../node-agent/profiles/shipped/file.yaml'),
  'pool',
);
const fallocate: RunCommand = async () => ({ exitCode: 0, stdout: '', stderr: '' });

const ordered = (ttlSeconds: number | undefined): Volume =>
  aVolume({
    status: {
      ...provisioned,
      order: 'Retain',
      ...(ttlSeconds === undefined ? {} : { trash: { ttlSeconds } }),
    },
  });
const adopter: Volume = aVolume({
  metadata: { name: 'heir', uid: 'uid-heir' },
  status: {
    ...placed,
    volumeID: HEIR,
    source: { kind: 'Retained', name: 'ns/db', id: VOLUME_ID, server: 's1', pool: 'main', sizeBytes: '1' },
  },
});

/** A volume server whose agent may be restarted; `cached` is what its watch shows, `live` what the API server has. */
class Server {
  clock = new FakeClock();
  cached: readonly Volume[] = [];
  live: readonly Volume[] = [];
  isSynced = true;
  isApiUp = true;
  lists = 0;
  /** What happens while the API server is asked. */
  meanwhile = async (): Promise<void> => {};
  readonly pool: Pool;
  readonly dir: string;
  #keeper: TrashKeeper | undefined;

  constructor(dir: string) {
    this.dir = dir;
    this.pool = profiledPool(
      bind(profile, { run: fallocate, files: hostFiles, params: { dir: join(dir, 'pool') } }),
      { name: 'main', clusterID: CLUSTER },
    );
  }

  /** The agent starts, with a clock that begins anew. */
  async start(): Promise<void> {
    this.clock = new FakeClock();
    const server = this;
    this.#keeper = new TrashKeeper({
      api: {
        list: async () => {
          this.lists += 1;
          await this.meanwhile();
          if (!this.isApiUp) {
            throw new Error('away');
          }
          return { items: this.live as never, resourceVersion: '1' };
        },
      },
      host: 's1',
      clock: { monotonicMs: () => this.clock.monotonicMs() },
      log: { info: () => {}, warn: () => {} },
      records: await RecordStore.open<TrashMemory>(hostFiles, join(this.dir, 'trash')),
      volumes: {
        get hasSynced() {
          return server.isSynced;
        },
        list: () => this.cached,
      },
      pools: new Map([['main', this.pool]]),
    });
  }

  get keeper(): TrashKeeper {
    return this.#keeper as TrashKeeper;
  }

  async make(): Promise<void> {
    await this.pool.create(VOLUME_ID, MIB, owner, signal);
    await this.pool.complete(VOLUME_ID, MIB, signal);
  }

  async putAside(ttlSeconds: number | undefined): Promise<void> {
    await this.keeper.begin(VOLUME_ID, ordered(ttlSeconds), TAGS);
    await this.pool.retain(VOLUME_ID, signal);
  }

  seen(view: PoolView | undefined) {
    return [{ name: 'main', view, can: this.pool.can }];
  }

  /** As the visit of the host does it. */
  async look(): Promise<void> {
    const accounted = this.keeper.accounted();
    const seen = this.seen(await this.pool.observe(signal));
    await this.keeper.tend(accounted, seen, signal);
  }

  /** A look now, one each five minutes, and one at the end. */
  async watch(seconds: number): Promise<void> {
    await this.look();
    for (let left = seconds; left > 0; left -= 300) {
      await this.clock.advance(Math.min(300, left) * 1_000);
      await this.look();
    }
  }

  async state(id = VOLUME_ID): Promise<string | undefined> {
    return (await this.pool.observe(signal)).backings.find((one) => one.id === id)?.state;
  }

  async records(): Promise<readonly string[]> {
    return await readdir(join(this.dir, 'trash'));
  }

  async left(): Promise<number | undefined> {
    return this.keeper.facts(this.seen(await this.pool.observe(signal))).get(VOLUME_ID)?.leftMs;
  }
}

const test = suite<{ dir: string; server: Server }>('the trash of a volume server');

test.before.each(async (context) => {
  context.dir = await mkdtemp(join(tmpdir(), 'vbs-test-'));
  await mkdir(join(context.dir, 'pool'));
  context.server = new Server(context.dir);
  await context.server.pool.prepare(signal);
  await context.server.start();
  await context.server.make();
});
test.after.each(({ dir }) => rm(dir, { recursive: true, force: true }));

test('data stays for its time, goes when that is over, and is forgotten', async ({ server }) => {
  await server.putAside(HOUR);
  await server.watch(HOUR - 5);
  assert.is(await server.state(), 'retained');
  assert.is(await server.left(), 5_000);
  assert.is(server.lists, 0);
  await server.watch(5);
  assert.is(await server.state(), 'dying');
  assert.is(server.lists, 1);
  await server.look();
  assert.equal(await server.records(), []);
  await server.pool.free(VOLUME_ID, signal);
  assert.equal(await readdir(join(server.dir, 'pool')), ['.vbs-pool']);
});

test('data that is retained without end stays', async ({ server }) => {
  await server.putAside(undefined);
  assert.equal(await server.records(), []);
  await server.watch(HOUR);
  assert.is(await server.state(), 'retained');
});

test('a host that is off for longer than the time does not shorten it', async ({ server }) => {
  await server.putAside(HOUR);
  await server.watch(1_800);
  // Off for a week; its clocks begin somewhere else.
  await server.start();
  await server.clock.advance(7 * 86_400_000);
  assert.is(await server.left(), 1_800_000);
  await server.watch(1_795);
  assert.is(await server.state(), 'retained');
  await server.watch(5);
  assert.is(await server.state(), 'dying');
});

test('a crash loses what was not written down yet, and the data stays longer by it', async ({ server }) => {
  await server.putAside(HOUR);
  for (let crash = 0; crash < 20; crash += 1) {
    await server.watch(60);
    await server.watch(40);
    await server.start();
  }
  // Of each 100 s one minute was written down.
  assert.is(await server.left(), (HOUR - 20 * 60) * 1_000);
});

test('an agent that was never up for a minute removes nothing', async ({ server }) => {
  await server.putAside(HOUR);
  for (let crash = 0; crash < 100; crash += 1) {
    await server.watch(55);
    await server.start();
  }
  assert.is(await server.left(), HOUR * 1_000);
});

test('a standstill of the agent, a pool that is away and an API server that is away are no time', async ({
  server,
}) => {
  await server.putAside(HOUR);
  await server.look();
  await server.clock.advance(86_400_000);
  await server.look();
  assert.is(await server.left(), (HOUR - 300) * 1_000, 'five minutes of the standstill');
  const accounted = server.keeper.accounted();
  await server.keeper.tend(accounted, server.seen(undefined), signal);
  await server.clock.advance(200_000);
  await server.look();
  assert.is(await server.left(), (HOUR - 300) * 1_000);
  server.keeper.pause();
  await server.clock.advance(200_000);
  await server.look();
  assert.is(await server.left(), (HOUR - 300) * 1_000);
});

test('a lost record means that the data is retained without end', async ({ server }) => {
  await server.putAside(HOUR);
  await server.watch(1_800);
  await rm(join(server.dir, 'trash'), { recursive: true });
  await server.start();
  await server.watch(2 * HOUR);
  assert.is(await server.state(), 'retained');
  assert.is(await server.left(), undefined);
});

test('a crash between the record and the name: the record waits for the data while its object is there', async ({
  server,
}) => {
  server.cached = [ordered(HOUR)];
  await server.keeper.begin(VOLUME_ID, ordered(HOUR), TAGS);
  await server.start();
  await server.watch(2 * HOUR);
  assert.is(await server.state(), 'complete');
  assert.is((await server.records()).length, 1);
  await server.putAside(HOUR);
  server.cached = [];
  await server.watch(HOUR - 5);
  assert.is(await server.state(), 'retained', 'none of the time before counts');
  await server.watch(5);
  assert.is(await server.state(), 'dying');
});

test('while it is not known which objects there are, nothing goes and nothing is forgotten', async ({
  server,
}) => {
  server.isSynced = false;
  await server.putAside(10);
  await server.watch(HOUR);
  assert.is(await server.state(), 'retained');
  await server.pool.adopt(HEIR, VOLUME_ID, heir, signal);
  await server.watch(HOUR);
  assert.is((await server.records()).length, 1);
});

test('an object that came back, in the cache or live, keeps its data', async ({ server }) => {
  await server.putAside(10);
  server.live = [aVolume({ status: provisioned })];
  await server.watch(HOUR);
  assert.is(await server.state(), 'retained');
  server.cached = server.live;
  server.live = [];
  const left = await server.left();
  await server.watch(HOUR);
  assert.is(await server.state(), 'retained');
  assert.is(await server.left(), left);
});

test('an API server that is away keeps everything', async ({ server }) => {
  await server.putAside(10);
  server.isApiUp = false;
  await server.watch(10).then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.message, 'away'),
  );
  assert.is(await server.state(), 'retained');
  server.isApiUp = true;
  await server.look();
  assert.is(await server.state(), 'dying');
});

test('a Volume that is about to adopt it keeps it, by the cache or live; one that is going does not', async ({
  server,
}) => {
  await server.putAside(10);
  server.live = [adopter];
  await server.watch(60);
  assert.is(await server.state(), 'retained');
  server.cached = [adopter];
  server.live = [];
  await server.watch(60);
  assert.is(await server.state(), 'retained');
  server.cached = [{ ...adopter, status: { ...adopter.status, order: 'Remove' } }];
  await server.look();
  assert.is(await server.state(), 'dying');
});

test('of an adoption and the end of its time the first one wins: nothing of the new one goes', async ({
  server,
}) => {
  await server.putAside(10);
  server.meanwhile = async () => await server.pool.adopt(HEIR, VOLUME_ID, heir, signal);
  await server.watch(10);
  assert.is(server.lists, 1);
  assert.is(await server.state(HEIR), 'provisional');
  await server.watch(HOUR);
  assert.is(await server.state(HEIR), 'provisional');
  assert.equal(await server.records(), []);
});

test('data that was adopted, and retained again under its old ID and name, is not what had its time', async ({
  server,
}) => {
  await server.putAside(10);
  server.meanwhile = async () => {
    const { pool } = server;
    await pool.adopt(HEIR, VOLUME_ID, owner, signal);
    await pool.complete(HEIR, MIB, signal);
    await pool.retain(HEIR, signal);
    await pool.free(VOLUME_ID, signal);
    await pool.adopt(VOLUME_ID, HEIR, owner, signal);
    await pool.complete(VOLUME_ID, MIB, signal);
    await server.putAside(undefined);
  };
  await server.watch(10);
  assert.is(server.lists, 1);
  assert.is(await server.state(), 'retained');
  await server.watch(HOUR);
  assert.is(await server.state(), 'retained');
});

test('what an order has put aside without end is in the trash no more', async ({ server }) => {
  await server.putAside(10);
  await server.keeper.forget(VOLUME_ID);
  await server.watch(HOUR);
  assert.is(await server.state(), 'retained');
});

test.run();
