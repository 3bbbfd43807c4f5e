// Copying what another server holds, over real files; the other server's export is played.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { copyInitiatorName } from '../../../api/names.ts';
import type { Snapshot, Stored, Volume } from '../../../api/volume.ts';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { Denied } from '../../../node-agent/roles/errors.ts';
import type { Connection, Identity } from '../../../node-agent/roles/initiator.ts';
import { type CopyWork, copyVisitor } from '../../../node-agent/volume/copy.ts';
import { emptyServerMemory, type ServerMemory } from '../../../node-agent/volume/memory.ts';
import type { ServerDeps } from '../../../node-agent/volume/visit.ts';
import { silentLog } from '../../../runtime/log.ts';
import { aSnapshot, aVolume, placed } from '../../builders/objects.ts';

interface World {
  dir: string;
}

const test = suite<World>('copying from another server');
const { signal } = new AbortController();

test.before.each(async (world) => {
  world.dir = await mkdtemp(path.join(os.tmpdir(), 'vbs-copy-test-'));
});
test.after.each(async ({ dir }) => await rm(dir, { recursive: true, force: true }));

const ID = 'vol00000000000000002';
const SOURCE_ID = 'snap0000000000000001';
const CHUNK = 16 * 1024 * 1024;
/** One chunk and a bit. */
const DATA = Buffer.alloc(CHUNK + 8_192, 'x');
DATA.fill(0, 4_096, CHUNK - 4_096);

const COPY: Volume = aVolume({
  metadata: { name: 'copy', uid: 'uid-copy' },
  spec: { source: { snapshotRef: { name: 'snap' } } },
  status: {
    ...placed,
    volumeID: ID,
    server: 's2',
    source: {
      kind: 'Snapshot',
      uid: 'uid-snap',
      name: 'snap',
      id: SOURCE_ID,
      server: 's1',
      pool: 'main',
      sizeBytes: String(DATA.length),
    },
  },
});
const initiator = copyInitiatorName(ID, 1);
const reader = { server: 's2', initiator, epoch: 1 };
const shared = {
  iqn: `iqn.2026-11.dev.vbs:${SOURCE_ID}`,
  lun: 1,
  portals: ['192.0.2.1:3260'],
  initiators: [initiator],
};
type Shared = typeof shared;

const source = (pinned: object | undefined, exported: Shared | undefined): Snapshot =>
  aSnapshot({
    status: {
      snapshotID: SOURCE_ID,
      placement: { epoch: 1 },
      order: 'Keep',
      pins: [{ uid: 'uid-copy', kind: 'Volume', name: 'copy', ...pinned }],
      backend: {
        placementEpoch: 1,
        bootID: 'b',
        everProvisioned: true,
        ...(exported === undefined ? {} : { export: exported }),
      },
    },
  });

interface Scene {
  readonly live?: Stored;
  readonly identity?: Identity;
  readonly read?: () => void;
}

/** A visit of the copy; answers what became of it, and what was asked of the other server. */
async function aCopier({ dir }: World, scene: () => Scene) {
  const to = path.join(dir, 'copy.new');
  await writeFile(to, Buffer.alloc(DATA.length));
  let memory: ServerMemory = {
    ...emptyServerMemory(ID, 'uid-copy'),
    copy: { sourceID: SOURCE_ID, how: 'Copy', copiedBytes: '0' },
  };
  const asked: string[] = [];
  const clock = { ms: 0 };
  const deps = {
    host: 's2',
    pools: new Map(),
    api: { get: async () => scene().live ?? source({ reader }, shared) },
    volumes: { byIndex: () => [COPY] },
    memories: {
      get: () => memory,
      put: async (_id: string, next: ServerMemory) => {
        memory = next;
      },
    },
    lookAtPool: async () => ({ backings: [{ id: ID, state: 'provisional', sizeBytes: 1n, path: to }] }),
    now: () => new Date(clock.ms),
    ready: new Set(),
    chapOf: async (grant: object) => ({ user: JSON.stringify(grant), password: 'p' }),
  } as unknown as ServerDeps;
  const work: CopyWork = {
    deps,
    files: hostFiles,
    directory: dir,
    origins: new Map(),
    waitingSinceMs: new Map(),
    failures: new Map(),
    wake: () => undefined,
    reader: {
      verify: async (connection: Connection) => {
        asked.push(`verify ${connection.iqn} as ${connection.initiator}`);
        return scene().identity ?? { serial: SOURCE_ID, sizeBytes: BigInt(DATA.length) };
      },
      read: async (_connection, { offset, length }, chunk) => {
        asked.push(`read ${offset}+${length}`);
        scene().read?.();
        await writeFile(chunk, DATA.subarray(Number(offset), Number(offset + length)));
      },
    },
  };
  const visit = copyVisitor(work);
  const context = { log: silentLog, signal } as unknown as Parameters<typeof visit>[1];
  return { asked, work, to, clock, copied: () => memory.copy?.copiedBytes, visit: () => visit(ID, context) };
}

test('it waits until its target is open to this copy, and reads nothing before', async (world) => {
  let live = source(undefined, undefined);
  const { visit, asked, work, clock } = await aCopier(world, () => ({ live }));
  const elses = { ...reader, initiator: copyInitiatorName(ID, 2), epoch: 2 };
  for (const next of [
    source(undefined, undefined),
    source({ reader }, undefined),
    source({ reader }, { ...shared, initiators: ['iqn.2026-11.dev.vbs:copy.another'] }),
    source({ reader: elses }, { ...shared, initiators: [elses.initiator] }),
    source({ reader: { ...reader, server: 's3' } }, shared),
  ]) {
    live = next;
    assert.equal(await visit(), { requeueAfterMs: 500 });
  }
  assert.equal([asked, work.failures.size], [[], 0]);
  clock.ms = 10_000;
  assert.ok(((await visit()).requeueAfterMs ?? 0) > 500, 'not so often any more');
  assert.is(work.failures.get(ID)?.reason, 'WaitingForSource');
  assert.match(work.failures.get(ID)?.message ?? '', /s1 has not opened Snapshot snap/);
  live = source({ reader }, shared);
  assert.equal(await visit(), { requeueAfterMs: 0 });
  assert.is(work.failures.size, 0);
});

test('a server that is no longer told how to read says so', async (world) => {
  const { visit, work } = await aCopier(world, () => ({}));
  const without = copyVisitor({ ...work, reader: undefined });
  await without(ID, { log: silentLog, signal } as unknown as Parameters<typeof without>[1]);
  assert.is(work.failures.get(ID)?.reason, 'Unsupported');
  assert.match(work.failures.get(ID)?.message ?? '', /^copying from s1: .*volumeServer\.initiator/);
  assert.equal(await visit(), { requeueAfterMs: 0 });
});

test('chunk after chunk, under its own name, and nothing is left on the way', async (world) => {
  const { visit, asked, copied, to } = await aCopier(world, () => ({}));
  assert.equal(await visit(), { requeueAfterMs: 0 });
  assert.is(copied(), String(CHUNK));
  assert.equal(await visit(), {});
  assert.is(copied(), String(DATA.length));
  assert.equal(asked, [
    `verify ${shared.iqn} as ${initiator}`,
    `read 0+${CHUNK}`,
    `read ${CHUNK}+${DATA.length - CHUNK}`,
  ]);
  assert.ok((await readFile(to)).equals(DATA));
  assert.equal(await readdir(world.dir), ['copy.new']);
});

test('another device than the source is never read', async (world) => {
  let identity: Identity = { serial: 'snap0000000000000009', sizeBytes: 1n << 40n };
  const { visit, asked, work } = await aCopier(world, () => ({ identity }));
  for (const next of [identity, { serial: SOURCE_ID, sizeBytes: BigInt(DATA.length) - 1n }]) {
    identity = next;
    await visit();
    assert.is(work.failures.get(ID)?.reason, 'Mismatch');
  }
  assert.not(asked.some((line) => line.startsWith('read')));
});

test('after a failure the way to the source is looked up anew, and the copy goes on', async (world) => {
  let refused = true;
  const read = () => {
    if (refused) {
      throw new Denied(SOURCE_ID, 'Target not found');
    }
  };
  const { visit, work, copied, asked } = await aCopier(world, () => ({ read }));
  assert.ok(((await visit()).requeueAfterMs ?? 0) > 0);
  assert.is(work.failures.get(ID)?.reason, 'Denied');
  assert.is(copied(), '0');
  refused = false;
  assert.equal(await visit(), { requeueAfterMs: 0 });
  assert.is(work.failures.size, 0);
  assert.is(asked.filter((line) => line.startsWith('verify')).length, 2);
});

test('a source that lets its data go is not read any more', async (world) => {
  const { visit, work, asked } = await aCopier(world, () => ({
    live: { ...source({ reader }, shared), status: { ...source({ reader }, shared).status, pins: [] } },
  }));
  await visit();
  assert.is(work.failures.get(ID)?.reason, 'SourceNotPinned');
  assert.equal(asked, []);
});

test.run();
