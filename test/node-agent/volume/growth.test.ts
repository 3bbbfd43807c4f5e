// A volume that grows while it is in a VM, as its server sees it: its pool, its target, and what its hypervisor tells.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Attachment } from '../../../api/attachment.ts';
import { initiatorName } from '../../../api/names.ts';
import { ATTACHMENTS, VOLUMES } from '../../../api/resources.ts';
import type { Volume } from '../../../api/volume.ts';
import { NotDone } from '../../../node-agent/roles/errors.ts';
import type { Backing, PoolView } from '../../../node-agent/roles/pool.ts';
import type { Export } from '../../../node-agent/roles/target.ts';
import { emptyServerMemory } from '../../../node-agent/volume/memory.ts';
import { serverReconciler } from '../../../node-agent/volume/reconcile.ts';
import type { ServerDeps } from '../../../node-agent/volume/visit.ts';
import { silentLog } from '../../../runtime/log.ts';
import {
  admitted,
  aGrant,
  anAttachment,
  aVolume,
  exportedAt,
  granted,
  VOLUME_ID,
} from '../../builders/objects.ts';
import { MemoryApi } from '../../fakes/memory-api.ts';

const GI = 1n << 30n;
const { signal } = new AbortController();
const VOLUME = { namespace: 'ns', name: 'db' };
const ATTACHMENT = { namespace: 'ns', name: 'att' };

interface Scene {
  readonly targetGrows: boolean;
  /** What the hypervisor tells beside that the disk is in the VM. */
  readonly connection?: object;
}

/** A server with one volume of 1 GiB in a VM, whose owner wants 2 GiB. */
class Server {
  readonly memory = new MemoryApi();
  /** Of the data, and of the LUN, which follows it where the target can. */
  dataBytes = GI;
  freeBytes = 10n * GI;
  failure: Error | undefined;
  grows = 0;
  readonly #visit: () => Promise<unknown>;

  constructor({ targetGrows, connection = {} }: Scene) {
    const { memory } = this;
    const attached = {
      epoch: 1,
      bootID: 'boot-h1',
      state: 'Attached',
      device: 'xvdb',
      sizeBytes: String(GI),
    };
    const status = {
      ...granted(aGrant()),
      backend: { placementEpoch: 1, bootID: 'boot-s1', everProvisioned: true, sizeBytes: String(GI) },
    };
    memory.objects.set('volumes ns/db', aVolume({ spec: { size: '2Gi' }, status }) as never);
    const told = { ...admitted, export: exportedAt(1), connection: { ...attached, ...connection } };
    memory.objects.set('attachments ns/att', anAttachment({ status: told } as never) as never);
    const grow = async (_id: string, sizeBytes: bigint) => {
      this.grows += 1;
      if (this.failure !== undefined) {
        throw this.failure;
      }
      this.dataBytes = sizeBytes;
    };
    const written = () => undefined;
    const deps = {
      api: memory.door().api,
      host: 's1',
      bootID: 'boot-s1',
      volumes: { byIndex: () => [this.volume], written },
      snapshots: { byIndex: () => [], written },
      attachments: { byIndex: () => [this.attachment], written },
      memories: {
        get: () => ({
          ...emptyServerMemory(VOLUME_ID, 'uid-db'),
          everProvisioned: true,
          revision: 1,
          items: [aGrant()],
        }),
      },
      pools: new Map([['main', { can: { growOnline: true }, grow }]]),
      trash: { has: () => false },
      lookAtPool: async () =>
        ({ freeBytes: this.freeBytes, extentBytes: 1n, backings: [this.#backing()] }) as unknown as PoolView,
      target: {
        can: { resizeOnline: targetGrows, readOnlyPerInitiator: true },
        portals: () => ['192.0.2.1:3260'],
      },
      lookAtTarget: async () => [this.#export(targetGrows)],
      now: () => new Date(0),
      resyncMs: 60_000,
    } as unknown as ServerDeps;
    const reconcile = serverReconciler(deps);
    this.#visit = () => reconcile(VOLUME_ID, { log: silentLog, signal });
  }

  #backing = (): Backing => ({ id: VOLUME_ID, state: 'complete', sizeBytes: this.dataBytes, path: '/p' });

  #export = (grows: boolean): Export => ({
    volumeID: VOLUME_ID,
    iqn: `iqn.2026-11.dev.vbs:${VOLUME_ID}`,
    lun: 1,
    ready: true,
    readOnly: false,
    serial: VOLUME_ID,
    allowed: [initiatorName('h1')],
    chapUsers: ['u'],
    sessions: [initiatorName('h1')],
    ...(grows ? { sizeBytes: this.dataBytes } : {}),
  });

  get volume(): Volume {
    return this.memory.find(VOLUMES, VOLUME) as unknown as Volume;
  }
  get attachment(): Attachment {
    return this.memory.find(ATTACHMENTS, ATTACHMENT) as unknown as Attachment;
  }
  /** One visit; answers what the API server was told in it. */
  async visit(): Promise<readonly string[]> {
    const before = this.memory.writes.length;
    await this.#visit();
    return this.memory.writes.slice(before);
  }
  sizes(): readonly (string | undefined)[] {
    return [this.volume.status?.backend?.sizeBytes, this.attachment.status?.export?.sizeBytes];
  }
}

const test = suite('growing in use, on the server');

test('where every hop follows, the data grows, and then its target tells so: two writes', async () => {
  const server = new Server({ targetGrows: true, connection: { growsOnline: true } });
  assert.is((await server.visit()).length, 2);
  assert.equal(server.sizes(), [String(2n * GI), String(2n * GI)]);
  assert.equal(await server.visit(), [], 'and no more');
  assert.is(server.grows, 1);
});

test('where one does not, nothing is changed or written', async () => {
  for (const scene of [
    { targetGrows: false, connection: { growsOnline: true } },
    { targetGrows: true },
    { targetGrows: true, connection: { growsOnline: true, state: 'Connected' } },
    { targetGrows: true, connection: { growsOnline: true, epoch: 9 } },
  ]) {
    const server = new Server(scene);
    await server.visit();
    assert.is(server.grows, 0, JSON.stringify(scene));
    assert.is(server.volume.status?.backend?.sizeBytes, String(GI));
  }
});

test('data that cannot grow is told apart, once, stays exported, and grows when it can', async () => {
  const server = new Server({ targetGrows: true, connection: { growsOnline: true } });
  server.failure = new NotDone(VOLUME_ID, 'growing', 'the thin pool is at its threshold');
  assert.is((await server.visit()).length, 1);
  const { backend } = server.volume.status ?? {};
  assert.is(backend?.problem, undefined, 'the data is in order');
  assert.match(backend?.growth?.message ?? '', 'at its threshold');
  assert.equal(await server.visit(), []);
  server.freeBytes = 0n;
  await server.visit();
  assert.is(server.volume.status?.backend?.growth?.reason, 'NoSpace');
  server.freeBytes = 10n * GI;
  server.failure = undefined;
  await server.visit();
  assert.equal(
    [server.volume.status?.backend?.growth, ...server.sizes()],
    [undefined, String(2n * GI), String(2n * GI)],
  );
});

test('after a crash between the two, the target’s new size is told', async () => {
  const server = new Server({ targetGrows: true, connection: { growsOnline: true } });
  server.dataBytes = 2n * GI;
  await server.visit();
  assert.is(server.grows, 0);
  assert.equal(server.sizes(), [String(2n * GI), String(2n * GI)]);
});

test.run();
