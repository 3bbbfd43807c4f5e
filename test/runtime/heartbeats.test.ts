import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LEASES } from '../../api/resources.ts';
import type { ChangeHandler } from '../../runtime/cache.ts';
import { LeaseWatcher } from '../../runtime/heartbeats.ts';
import type { Lease } from '../../runtime/lease.ts';
import { silentLog } from '../../runtime/log.ts';
import { FakeClock } from '../fakes/clock.ts';
import { MemoryApi } from '../fakes/memory-api.ts';

const test = suite('heartbeats');
const REF = { name: 'xen07', namespace: 'vbs' };
const KEY = 'vbs/xen07';

/** A host that beats, a server that stores it, a watch that may be cut, and the watcher. */
async function aWorld() {
  const clock = new FakeClock();
  const server = new MemoryApi();
  const host = server.door();
  const ours = server.door();
  const handlers: ChangeHandler<Lease>[] = [];
  const story: string[] = [];
  const watch = { cut: false };
  const watcher = new LeaseWatcher({
    leases: { onChange: (handler) => handlers.push(handler) },
    api: ours.api,
    clock,
    log: silentLog,
    onFreshness: (_, freshness) => story.push(`${clock.monotonicMs() / 1_000} ${freshness}`),
  });
  const tell = (object: Lease | undefined) => {
    for (const handler of watch.cut ? [] : handlers) {
      handler(object === undefined ? { key: KEY } : { key: KEY, object });
    }
  };
  const spec = (holderIdentity: string) => ({
    holderIdentity,
    leaseDurationSeconds: 40,
    renewTime: clock.now().toISOString(),
  });
  const draft = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: REF, spec: spec('m1:b1') };
  tell(await host.api.create<Lease>(LEASES, draft));
  const beat = async (holder = 'm1:b1') =>
    tell(await host.api.patch<Lease>(LEASES, REF, { spec: spec(holder) }, { fieldManager: 'x' }));
  const label = async () =>
    tell(
      await host.api.patch<Lease>(
        LEASES,
        REF,
        { metadata: { labels: { t: String(clock.monotonicMs()) } } },
        { fieldManager: 'x' },
      ),
    );
  return { clock, server, ours, watcher, story, watch, beat, label, tell };
}

test('at first sight nothing is known; a change proves life', async () => {
  const { clock, watcher, beat } = await aWorld();
  assert.is(watcher.freshness(KEY), 'unknown');
  await clock.advance(10_000);
  await beat();
  assert.is(watcher.freshness(KEY), 'fresh');
  assert.is(watcher.holder(KEY), 'm1:b1');
  assert.is(watcher.freshness('vbs/nobody'), 'unknown');
});

test('a host that stops beating is stale after its duration, a host that returns is fresh', async () => {
  const { clock, watcher, beat, story } = await aWorld();
  await clock.advance(10_000);
  await beat();
  await clock.advance(39_999);
  assert.is(watcher.freshness(KEY), 'fresh');
  await clock.advance(1);
  assert.is(watcher.freshness(KEY), 'stale');
  await clock.advance(600_000);
  await beat();
  assert.equal(story, ['10 fresh', '50 unknown', '50 stale', '650 fresh']);
});

test('a host that was never heard is stale after one duration', async () => {
  const { clock, watcher } = await aWorld();
  await clock.advance(40_000);
  assert.is(watcher.freshness(KEY), 'stale');
});

test('when only our watch is dead, the host is not called stale', async () => {
  const { clock, watcher, beat, watch, story } = await aWorld();
  await clock.advance(10_000);
  await beat();
  watch.cut = true;
  for (let times = 0; times < 20; times++) {
    await clock.advance(10_000);
    await beat();
  }
  assert.not.ok(story.some((line) => line.includes('stale')));
  assert.is(watcher.freshness(KEY), 'fresh');
});

test('when the server cannot be asked, nothing is known until it can', async () => {
  const { clock, watcher, beat, ours } = await aWorld();
  await clock.advance(10_000);
  await beat();
  ours.cut = true;
  await clock.advance(300_000);
  assert.is(watcher.freshness(KEY), 'unknown');
  ours.cut = false;
  await clock.advance(10_000);
  assert.is(watcher.freshness(KEY), 'stale');
});

test('a change that is no heartbeat proves nothing', async () => {
  const { clock, watcher, label } = await aWorld();
  for (let times = 0; times < 6; times++) {
    await clock.advance(10_000);
    await label();
  }
  assert.is(watcher.freshness(KEY), 'stale');
});

test('a released or removed lease is unknown', async () => {
  const { clock, watcher, beat, tell } = await aWorld();
  await clock.advance(10_000);
  await beat();
  await beat('');
  assert.is(watcher.freshness(KEY), 'unknown');
  assert.is(watcher.holder(KEY), undefined);
  await clock.advance(300_000);
  assert.is(watcher.freshness(KEY), 'unknown');
  tell(undefined);
  assert.is(watcher.freshness(KEY), 'unknown');
  watcher.stop();
  assert.is(clock.pending, 0);
});

test('another boot of the host is seen as another holder', async () => {
  const { clock, watcher, beat } = await aWorld();
  await clock.advance(10_000);
  await beat('m1:b2');
  assert.is(watcher.holder(KEY), 'm1:b2');
});

test.run();
