import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Attachment } from '../../../api/attachment.ts';
import { initiatorName } from '../../../api/names.ts';
import type { KubeObject } from '../../../api/object.ts';
import type { Volume } from '../../../api/volume.ts';
import { visitTarget } from '../../../node-agent/export/reconcile.ts';
import { CannotLook } from '../../../node-agent/roles/errors.ts';
import type { Backing, PoolView } from '../../../node-agent/roles/pool.ts';
import type { Export } from '../../../node-agent/roles/target.ts';
import { emptyServerMemory, type ServerMemory } from '../../../node-agent/volume/memory.ts';
import { serverReconciler } from '../../../node-agent/volume/reconcile.ts';
import { type ServerDeps, volumeOf } from '../../../node-agent/volume/visit.ts';
import { silentLog } from '../../../runtime/log.ts';
import { admitted, aGrant, anAttachment, aVolume, granted, VOLUME_ID } from '../../builders/objects.ts';

const test = suite('visiting a target');

const signal = new AbortController().signal;
const fencing = aGrant({ state: 'Fencing' });
const open: Export = {
  volumeID: VOLUME_ID,
  iqn: `iqn.2026-11.dev.vbs:${VOLUME_ID}`,
  lun: 1,
  ready: true,
  readOnly: false,
  allowed: [initiatorName('h1')],
  chapUsers: [],
  sessions: [],
};

interface Scene {
  readonly volumes?: readonly Volume[];
  readonly attachments?: readonly Attachment[];
  readonly memory?: ServerMemory;
  readonly exports?: readonly Export[];
  /** What the look at the pool gives; an error is thrown. */
  readonly pool?: readonly Backing[] | Error;
}

/** A server whose world stands still; what is done to it is written down. */
function aServerWith({ volumes = [], attachments = [], memory, exports = [], pool = [] }: Scene) {
  const done: string[] = [];
  let looks = 0;
  const note =
    (verb: string) =>
    async (...args: readonly unknown[]) => {
      done.push(
        [verb, ...args.filter((arg) => typeof arg === 'string' && arg !== VOLUME_ID && arg !== '')].join(' '),
      );
    };
  const deps = {
    host: 's1',
    bootID: 'boot-s1',
    resyncMs: 60_000,
    api: {
      patch: async (
        _resource: unknown,
        _ref: unknown,
        body: { status: { export: { problem?: { reason: string } } } },
      ) => {
        done.push(`told ${body.status.export.problem?.reason}`);
        return undefined as unknown as KubeObject;
      },
    },
    volumes: { byIndex: () => volumes },
    attachments: { byIndex: () => attachments },
    memories: { get: () => memory, put: note('remember') },
    lookAtTarget: async () => {
      looks += 1;
      return exports;
    },
    trash: { has: () => false },
    lookAtPool: async () => {
      if (pool instanceof Error) {
        throw pool;
      }
      return { backings: pool } as unknown as PoolView;
    },
    chapOf: async () => ({ user: 'u', password: 'p' }),
    target: {
      can: { readOnlyPerInitiator: false },
      portals: () => [],
      open: note('open'),
      deny: note('deny'),
      cut: note('cut'),
      close: note('close'),
    },
  } as unknown as ServerDeps;
  return { done, deps, looks: () => looks };
}

const visit = async (scene: Scene) => {
  const { done, deps } = aServerWith(scene);
  const { kind } = await visitTarget({ deps, volumeID: VOLUME_ID, log: silentLog, signal });
  return { kind, done };
};

const memoryOf = (...items: ServerMemory['items']): ServerMemory => ({
  ...emptyServerMemory(VOLUME_ID, 'uid-db'),
  revision: 1,
  items,
});
const unreadable = new CannotLook('pool main', 'the disk does not answer');

test('what grows is exported to nobody, and that is told', async () => {
  const { kind, done } = await visit({
    volumes: [aVolume({ status: granted(aGrant()) })],
    attachments: [anAttachment({ status: admitted })],
    memory: memoryOf(aGrant()),
    exports: [],
    pool: [{ id: VOLUME_ID, state: 'growing', sizeBytes: 2n, cleanBytes: 1n, path: '/p' }],
  });
  assert.equal([kind, done], ['waiting', ['told Busy']]);
});

test('a pool that cannot be seen holds no cut up', async () => {
  const { kind, done } = await visit({
    volumes: [aVolume({ status: granted(fencing) })],
    attachments: [anAttachment({ status: admitted })],
    memory: memoryOf(fencing),
    exports: [open],
    pool: unreadable,
  });
  assert.is(kind, 'acted');
  assert.equal(done, [`deny ${initiatorName('h1')} u`]);
});

test('a grant that needs it is told why it waits', async () => {
  const { kind, done } = await visit({
    volumes: [aVolume({ status: granted(aGrant()) })],
    attachments: [anAttachment({ status: admitted })],
    memory: memoryOf(aGrant()),
    pool: unreadable,
  });
  assert.is(kind, 'waiting');
  assert.equal(done, ['told CannotLook']);
});

test('another cluster’s data is never exported', async () => {
  const foreign: Backing = {
    id: VOLUME_ID,
    state: 'complete',
    sizeBytes: 1n,
    path: '/p',
    foreign: true,
  };
  const { kind, done } = await visit({
    volumes: [aVolume({ status: granted(aGrant()) })],
    attachments: [anAttachment({ status: admitted })],
    memory: memoryOf(aGrant()),
    pool: [foreign],
  });
  assert.is(kind, 'waiting');
  assert.equal(done, ['told DataMissing']);
});

test('of two Volumes that say they are of one ID, the one that is remembered is believed, else the one that the ID was made of', async () => {
  const mine = aVolume({ status: granted(aGrant()) });
  const theirs = aVolume({ metadata: { name: 'evil', uid: 'uid-evil' }, status: granted() });
  const scene = {
    attachments: [anAttachment({ status: admitted })],
    exports: [open],
    pool: [{ id: VOLUME_ID, state: 'complete', sizeBytes: 2n, path: '/p' }],
  } as const;
  for (const volumes of [
    [theirs, mine],
    [mine, theirs],
  ]) {
    const known = aServerWith({ ...scene, volumes, memory: memoryOf(aGrant()) });
    assert.is(volumeOf({ deps: known.deps, volumeID: VOLUME_ID, log: silentLog, signal }), mine);
    assert.equal((await visit({ ...scene, volumes, memory: memoryOf(aGrant()) })).done, ['told undefined']);
    const unknown = aServerWith({ ...scene, volumes });
    assert.is(volumeOf({ deps: unknown.deps, volumeID: VOLUME_ID, log: silentLog, signal }), mine);
  }
  const neither = aServerWith({
    volumes: [theirs, { ...theirs, metadata: { ...theirs.metadata, uid: 'uid-other' } }],
  });
  assert.is(volumeOf({ deps: neither.deps, volumeID: VOLUME_ID, log: silentLog, signal }), undefined);
  const only = aServerWith({ volumes: [theirs] });
  assert.is(volumeOf({ deps: only.deps, volumeID: VOLUME_ID, log: silentLog, signal }), theirs);
});

test('a volume that nobody speaks of any more is not looked at again', async () => {
  const { deps, looks } = aServerWith({});
  assert.equal(await serverReconciler(deps)(VOLUME_ID, { log: silentLog, signal }), {});
  assert.is(looks(), 0);
});

test.run();
