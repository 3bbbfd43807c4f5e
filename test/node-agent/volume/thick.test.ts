// A volume of a pool whose space holds what others left, from the order to the last byte: the server's visits and the background work,
// over ordinary logical volumes in memory. Whatever dies, and whenever: no final name ever shows an old byte.
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SNAPSHOTS, VOLUMES } from '../../../api/resources.ts';
import type { Snapshot, Volume } from '../../../api/volume.ts';
import { CommandError } from '../../../node-agent/exec/command.ts';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import { profiledPool } from '../../../node-agent/roles/profiled-pool.ts';
import { copyVisitor } from '../../../node-agent/volume/copy.ts';
import type { ServerMemory } from '../../../node-agent/volume/memory.ts';
import type { Problem } from '../../../node-agent/volume/plan.ts';
import { serverReconciler } from '../../../node-agent/volume/reconcile.ts';
import type { ServerDeps } from '../../../node-agent/volume/visit.ts';
import { silentLog } from '../../../runtime/log.ts';
import { aSnapshot, aVolume, placed, VOLUME_ID } from '../../builders/objects.ts';
import { FakeLvm, VG } from '../../fakes/lvm.ts';
import { MemoryApi } from '../../fakes/memory-api.ts';

const MI = 1n << 20n;
const CLUSTER = '0b1c9f5e-4a55-4c6b-9a0e-3b2f1f6f7a01';
const SNAP_ID = 'snap0000000000000001';
const { signal } = new AbortController();
const context = { log: silentLog, signal } as never;
const shipped = join(import.meta.dirname, '../../../node-agent/profiles/shipped/lvm-thick.yaml');
const profile = await loadProfile(shipped, 'pool');

const EIO = (name: string) => Object.assign(new Error(`EIO: ${name}`), { code: 'EIO' });

class Server {
  readonly api = new MemoryApi();
  readonly lvm = new FakeLvm();
  /** What is on its own disk. */
  readonly memories = new Map<string, ServerMemory>();
  /** What anybody could have read under a final name, at any time. */
  readonly seen = new Set<string>();
  readonly #queued = new Set<string>();
  #agent = this.#start();

  constructor(size: string) {
    this.lvm.thin = false;
    this.lvm.vgExtents = 256;
    this.lvm.vgTags = ['vbs.pool=11111111-2222-4333-8444-555555555555'];
    this.lvm.before = () => this.look();
    this.put({ spec: { size }, status: placed });
  }

  put(change: Parameters<typeof aVolume>[0]): void {
    this.api.objects.set('volumes ns/db', aVolume(change) as never);
  }
  get volume(): Volume {
    return this.api.find(VOLUMES, { namespace: 'ns', name: 'db' }) as unknown as Volume;
  }
  get snapshot(): Snapshot | undefined {
    return this.api.objects.has('snapshots ns/snap')
      ? (this.api.find(SNAPSHOTS, { namespace: 'ns', name: 'snap' }) as unknown as Snapshot)
      : undefined;
  }
  look(): void {
    for (const { name } of this.lvm.lvs.filter(({ name: one }) => /^(vol|snap)[0-9a-f]+$/.test(one))) {
      for (const word of this.lvm.read(name)) {
        this.seen.add(word);
      }
    }
  }

  /** A process: what it knows without its disk goes with it. */
  #start() {
    const { lvm } = this;
    const written = () => undefined;
    const pool = profiledPool(bind(profile, { run: lvm.run, files: hostFiles, params: { vg: VG } }), {
      name: 'main',
      clusterID: CLUSTER,
    });
    const failures = new Map<string, Problem>();
    const deps = {
      api: this.api.door().api,
      host: 's1',
      clusterID: CLUSTER,
      bootID: 'boot-s1',
      volumes: { byIndex: (_: string, id: string) => (id === VOLUME_ID ? [this.volume] : []), written },
      snapshots: { byIndex: () => (this.snapshot === undefined ? [] : [this.snapshot]), written },
      attachments: { byIndex: () => [], written },
      memories: {
        get: (id: string) => this.memories.get(id),
        put: async (id: string, memory: ServerMemory) => this.memories.set(id, memory),
      },
      pools: new Map([['main', pool]]),
      trash: { has: () => false },
      lookAtPool: () => pool.observe(signal),
      target: { can: { resizeOnline: false }, portals: () => [] },
      lookAtTarget: async () => [],
      now: () => new Date(0),
      resyncMs: 60_000,
      onRetired: () => undefined,
      tellHost: async () => undefined,
      copyLater: (id: string) => this.#queued.add(id),
      copyFailures: failures,
      ready: new Set(),
    } as unknown as ServerDeps;
    const bytes = (path: string, { offset, length }: { offset: bigint; length: bigint }) => {
      const [name = ''] = path.split('/').slice(-1);
      const lv = lvm.lv(name);
      if (lv === undefined || !lv.active) {
        throw EIO(name);
      }
      return lvm.read(name).slice(Number(offset / MI), Number((offset + length) / MI));
    };
    const copy = copyVisitor({
      deps,
      files: {
        ...hostFiles,
        isZero: async (path, range) => bytes(path, range).every((word) => word === ''),
      },
      reader: undefined,
      directory: '/nowhere',
      origins: new Map(),
      waitingSinceMs: new Map(),
      failures,
      wake: () => undefined,
    });
    return { reconcile: serverReconciler(deps), copy, pool };
  }

  async #work(id: string): Promise<void> {
    const { reconcile, copy } = this.#agent;
    for (let turn = 0; turn < 8; turn += 1) {
      await reconcile(id, context);
      if (!this.#queued.delete(id)) {
        break;
      }
      await copy(id, context);
    }
  }

  /** The agent at work until nothing is left to do; after a crash, as another process. */
  async settle(id = VOLUME_ID): Promise<void> {
    await this.#work(id);
    this.look();
  }
  crash(): void {
    this.#queued.clear();
    this.#agent = this.#start();
  }
  get fact() {
    const { sizeBytes, problem, growth, everProvisioned } = this.volume.status?.backend ?? {};
    return { sizeBytes, problem, growth, everProvisioned };
  }
}

const test = suite('a volume on ordinary logical volumes');

const complete = (sizeBytes: bigint) => ({
  sizeBytes: String(sizeBytes),
  problem: undefined,
  growth: undefined,
  everProvisioned: true,
});

test('it is zeroed piece by piece, and is complete after that', async () => {
  const server = new Server('172Mi');
  await server.settle();
  assert.equal(server.fact, complete(172n * MI));
  assert.equal([...server.seen], ['']);
  assert.equal(
    server.lvm.argvs.filter((args) => args[0] === '--zeroout').map((args) => args.slice(1, 5)),
    [
      ['--offset', '0', '--length', String(128n * MI)],
      ['--offset', String(128n * MI), '--length', String(44n * MI)],
    ],
  );
});

test('it grows when it is nobody’s, and its size is that of its data until the rest is zero', async () => {
  const server = new Server('8Mi');
  await server.settle();
  server.lvm.write(VOLUME_ID, 7, 'mine');
  const { status } = server.volume;
  server.put({ spec: { size: '16Mi' }, status: status ?? {} });
  server.lvm.isKilled = (command) => command === 'blkdiscard';
  await server.settle();
  assert.equal(
    [server.fact.sizeBytes, server.fact.growth?.reason, server.fact.problem],
    [String(8n * MI), 'CommandFailed', undefined],
  );
  assert.equal(
    server.lvm.lvs.map(({ name }) => name),
    [`${VOLUME_ID}.grow${8n * MI}`],
  );
  server.lvm.isKilled = () => false;
  server.crash();
  await server.settle();
  assert.equal(server.fact, complete(16n * MI));
  assert.equal([...server.seen].toSorted(), ['', 'mine']);
});

test('whatever dies, it comes to be whole, and no old byte is ever seen', async () => {
  const life = async (server: Server) => {
    await server.settle();
    const { status } = server.volume;
    if (server.fact.everProvisioned === true) {
      server.put({ spec: { size: '16Mi' }, status: status ?? {} });
      await server.settle();
    }
  };
  const counter = new Server('8Mi');
  await life(counter);
  const { length } = counter.lvm.commands;
  assert.ok(length > 15);
  for (const dies of ['before', 'midway'] as const) {
    for (let at = 0; at < length; at += 1) {
      const server = new Server('8Mi');
      let left = at;
      const isTurn = () => {
        left -= 1;
        return left === -1;
      };
      server.lvm.isKilled = () => dies === 'midway' && isTurn();
      server.lvm.before = () => {
        server.look();
        if (dies === 'before' && isTurn()) {
          throw new CommandError('lvm', 'ended by SIGKILL');
        }
      };
      await life(server);
      server.crash();
      await life(server);
      assert.equal(server.fact, complete(16n * MI), `command ${at} dies ${dies}`);
      assert.equal([...server.seen], [''], `command ${at} dies ${dies}`);
    }
  }
});

test('what was zeroed in a volume that is gone says nothing of the next one', async () => {
  const server = new Server('172Mi');
  server.lvm.before = (_, args) => {
    if (args[2] === String(128n * MI)) {
      throw new CommandError('blkdiscard', 'ended by SIGKILL');
    }
  };
  await server.settle();
  assert.is(server.memories.get(VOLUME_ID)?.copy?.copiedBytes, String(128n * MI));
  server.lvm.lvs = [];
  server.lvm.disk.clear();
  server.lvm.before = () => server.look();
  server.crash();
  await server.settle();
  assert.equal([...server.seen], ['']);
});

test('a snapshot that overflowed is lost for ever, also when nothing tells of it any more', async () => {
  const server = new Server('8Mi');
  await server.settle();
  const { volumeID, backend } = server.volume.status ?? {};
  const uid = 'uid-snap';
  const pins = [{ uid, kind: 'Snapshot' as const, name: 'snap' }];
  server.put({ status: { ...server.volume.status, pins } });
  const source = {
    kind: 'Volume',
    uid: server.volume.metadata.uid,
    name: 'db',
    id: volumeID ?? '',
    server: 's1',
    pool: 'main',
    sizeBytes: backend?.sizeBytes ?? '',
  } as const;
  const snapshot = aSnapshot({
    metadata: { uid, name: 'snap', namespace: 'ns' },
    status: {
      snapshotID: SNAP_ID,
      server: 's1',
      pool: 'main',
      placement: { epoch: 1 },
      order: 'Keep',
      source,
    },
  });
  server.api.objects.set('snapshots ns/snap', snapshot as never);
  await server.settle(SNAP_ID);
  assert.equal(server.snapshot?.status?.backend?.everProvisioned, true);
  assert.is(server.snapshot?.status?.backend?.problem, undefined);
  const lv = server.lvm.lv(SNAP_ID);
  Object.assign(lv ?? {}, { overflowed: true });
  server.lvm.before = () => undefined;
  const problem = async () => {
    for (let turn = 0; turn < 2; turn += 1) {
      await server.settle(SNAP_ID).catch(() => undefined);
    }
    return server.snapshot?.status?.backend?.problem;
  };
  assert.is((await problem())?.reason, 'DataLost');
  assert.match((await problem())?.message ?? '', /overflowed/);
  Object.assign(lv ?? {}, { overflowed: false, active: false });
  server.crash();
  assert.is((await problem())?.reason, 'DataLost');
});

test.run();
