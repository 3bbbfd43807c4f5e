import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LEASES } from '../../api/resources.ts';
import type { Clock } from '../../runtime/clock.ts';
import { runLeader } from '../../runtime/leader.ts';
import { type Lease, LeaseHolder, type LeaseOptions } from '../../runtime/lease.ts';
import { silentLog } from '../../runtime/log.ts';
import { FakeClock, settle } from '../fakes/clock.ts';
import { MemoryApi } from '../fakes/memory-api.ts';

const test = suite('lease');
const REF = { name: 'leader', namespace: 'vbs' };

/** A world with one lease and a record of who held it when. */
function aWorld() {
  const clock = new FakeClock();
  const server = new MemoryApi();
  const holding = new Set<string>();
  let most = 0;
  const story: string[] = [];
  const join = (holder: string, options: Partial<LeaseOptions> & { clock?: Clock; workMs?: number } = {}) => {
    const door = server.door();
    const stop = new AbortController();
    const lease = new LeaseHolder({
      api: door.api,
      ...REF,
      holder,
      leaseDurationMs: 15_000,
      renewDeadlineMs: 10_000,
      retryMs: 2_000,
      takeOverStale: true,
      clock,
      log: silentLog,
      random: () => 0.5,
      ...options,
    });
    const ended = lease.run(stop.signal, {
      onHeld: async (held) => {
        holding.add(holder);
        most = Math.max(most, holding.size);
        story.push(`${clock.monotonicMs()} ${holder} holds`);
        await new Promise((resolve) => held.addEventListener('abort', resolve, { once: true }));
        await clock.sleep(options.workMs ?? 0);
        holding.delete(holder);
      },
      onLost: () => story.push(`${clock.monotonicMs()} ${holder} lost`),
      onContender: (other) => story.push(`${clock.monotonicMs()} ${holder} sees ${other}`),
      onSetBack: () => story.push(`${holder} sees the past`),
    });
    return { door, stop, ended };
  };
  const record = () => server.find(LEASES, REF) as unknown as Lease | undefined;
  return { clock, server, join, story, holding, record, most: () => most };
}

test('the first comer holds it and renews it', async () => {
  const { clock, join, record, story } = aWorld();
  const { ended, stop } = join('a');
  await clock.advance(60_000);
  assert.equal(story, ['0 a holds']);
  const { spec } = record() ?? {};
  assert.is(spec?.holderIdentity, 'a');
  assert.is(spec?.leaseDurationSeconds, 15);
  assert.is(spec?.renewTime, '2026-11-23T12:01:00.000000Z');
  assert.is(spec?.acquireTime, '2026-11-23T12:00:00.000000Z');
  stop.abort();
  await clock.advance(0);
  await ended;
});

test('a stop releases it, and the other takes it at its next attempt', async () => {
  const { clock, join, story, record } = aWorld();
  const a = join('a');
  await clock.advance(1);
  join('b');
  await clock.advance(30_000);
  a.stop.abort();
  await clock.advance(0);
  await a.ended;
  assert.is(record()?.spec?.holderIdentity, '');
  await clock.advance(2_000);
  assert.is(story.length, 3);
  assert.match(story[2] ?? '', 'b holds');
  assert.is(record()?.spec?.leaseTransitions, 1);
});

test('a stop keeps the lease renewed until the work has ended', async () => {
  const { clock, join, story, holding } = aWorld();
  const a = join('a', { workMs: 40_000 });
  await clock.advance(1);
  join('b');
  await clock.advance(10_000);
  a.stop.abort();
  await clock.advance(39_000);
  assert.equal([...holding], ['a']);
  await clock.advance(3_500);
  assert.equal([...holding], ['b']);
  assert.not.ok(story.some((line) => line.includes('lost')));
});

test('a partitioned holder stops by itself before another begins', async () => {
  const { clock, join, story, most } = aWorld();
  const a = join('a');
  await clock.advance(1);
  join('b');
  await clock.advance(20_000);
  a.door.cut = true;
  await clock.advance(20_000);
  assert.is(most(), 1);
  const [, , lost, taken] = story;
  assert.match(lost ?? '', 'a lost');
  assert.match(taken ?? '', 'b holds');
  const lostMs = Number(lost?.split(' ')[0]);
  const takenMs = Number(taken?.split(' ')[0]);
  assert.ok(lostMs <= 30_001 && takenMs > lostMs && takenMs <= 20_001 + 15_000 + 2_200, story.join('; '));
});

test('a holder notices a store that was set back, once, and nobody sees the past in other changes', async () => {
  const { clock, join, story, server } = aWorld();
  join('a');
  await clock.advance(1);
  join('b');
  await clock.advance(10_000);
  const before = new Map(server.objects);
  await clock.advance(30_000);
  assert.not.ok(story.some((line) => line.includes('past')));
  for (const [address, object] of before) {
    server.objects.set(address, object);
  }
  await clock.advance(30_000);
  assert.is(story.filter((line) => line === 'a sees the past').length, 1);
});

test('a leader whose store was set back is lost, and starts afresh', async () => {
  const { clock, server } = aWorld();
  const times = { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000 };
  const options = { api: server.door().api, ...REF, ...times, holder: 'a', clock, log: silentLog };
  const stop = new AbortController();
  const outcome = runLeader(options, stop.signal, (leading) => clock.sleep(1e9, leading).catch(() => {}));
  await clock.advance(10_000);
  const before = new Map(server.objects);
  await clock.advance(10_000);
  for (const [address, object] of before) {
    server.objects.set(address, object);
  }
  await clock.advance(30_000);
  assert.is(await outcome, 'lost');
});

test('a returning holder finds the other one and waits', async () => {
  const { clock, join, story, holding } = aWorld();
  const a = join('a');
  await clock.advance(1);
  join('b');
  await clock.advance(20_000);
  a.door.cut = true;
  await clock.advance(30_000);
  a.door.cut = false;
  await clock.advance(60_000);
  assert.equal([...holding], ['b']);
  assert.match(story.at(-1) ?? '', 'a sees b');
});

test('a short trouble of the server does not cost the lease', async () => {
  const { clock, join, story } = aWorld();
  const a = join('a');
  await clock.advance(10_000);
  a.door.failure = new Error('refused');
  await clock.advance(6_000);
  a.door.failure = undefined;
  await clock.advance(60_000);
  assert.equal(story, ['0 a holds']);
});

test('one hanging request leaves time for another', async () => {
  const { clock, join, story } = aWorld();
  const a = join('a');
  await clock.advance(10_000);
  a.door.cut = true;
  await clock.advance(2_000 + 4_000);
  a.door.cut = false;
  await clock.advance(60_000);
  assert.equal(story, ['0 a holds']);
});

test('clocks that disagree by hours change nothing', async () => {
  for (const skewMs of [-7_200_000, 7_200_000]) {
    const { clock, join, story, most } = aWorld();
    const a = join('a');
    await clock.advance(1);
    join('b', { clock: clock.elsewhere(skewMs) });
    await clock.advance(120_000);
    assert.equal(story, ['0 a holds', '1 b sees a']);
    a.door.cut = true;
    await clock.advance(30_000);
    assert.is(most(), 1);
    assert.match(story.at(-1) ?? '', 'b holds');
  }
});

test('many candidates through many partitions: never two at once', async () => {
  const { clock, join, most, story } = aWorld();
  let seed = 7;
  const random = () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  const doors = ['a', 'b', 'c'].map((holder) => join(holder, { random }).door);
  for (let step = 0; step < 300; step++) {
    for (const door of doors) {
      door.cut = random() < 0.3;
    }
    await clock.advance(1_000 + 9_000 * random());
  }
  assert.is(most(), 1);
  assert.ok(story.filter((line) => line.includes('holds')).length > 5, 'the lease never moved');
});

test('a restart under the same name takes it up at once', async () => {
  const { clock, server, join, story } = aWorld();
  const first = join('a', { releaseOnStop: false });
  await clock.advance(1);
  first.stop.abort();
  await clock.advance(0);
  await first.ended;
  assert.is(server.find(LEASES, REF)?.metadata.name, 'leader');
  join('a');
  await clock.advance(0);
  assert.equal(story, ['0 a holds', '1 a holds']);
});

test('a stranger touching the object does not cost the lease', async () => {
  const { clock, server, join, story } = aWorld();
  join('a');
  await clock.advance(5_000);
  const { api } = server.door();
  for (let times = 0; times < 10; times++) {
    await api.patch(LEASES, REF, { metadata: { labels: { seen: String(times) } } }, { fieldManager: 'x' });
    await clock.advance(3_000);
  }
  assert.equal(story, ['0 a holds']);
});

test('a lease that was deleted is lost, and taken again', async () => {
  const { clock, server, join, story } = aWorld();
  join('a');
  await clock.advance(5_000);
  server.remove(LEASES, REF);
  await clock.advance(10_000);
  assert.equal(
    story.map((line) => line.split(' ').slice(1).join(' ')),
    ['a holds', 'a lost', 'a holds'],
  );
});

test('without permission to take over, a stale lease stays with its holder', async () => {
  const { clock, join, story } = aWorld();
  const a = join('a');
  await clock.advance(1);
  join('b', { takeOverStale: false });
  a.door.cut = true;
  await clock.advance(600_000);
  assert.not.ok(story.some((line) => line.includes('b holds')));
});

test('senseless times are refused', () => {
  const { join } = aWorld();
  assert.throws(() => join('a', { renewDeadlineMs: 20_000 }), /retryMs < renewDeadlineMs < leaseDurationMs/);
});

test('a leader leads once; losing the lease ends it', async () => {
  const { clock, server } = aWorld();
  const door = server.door();
  const stop = new AbortController();
  const gauge: boolean[] = [];
  let aborted = false;
  const outcome = runLeader(
    { api: door.api, ...REF, holder: 'a', clock, log: silentLog, onLeading: (now) => gauge.push(now) },
    stop.signal,
    (signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          aborted = true;
          resolve();
        });
      }),
  );
  await clock.advance(5_000);
  door.cut = true;
  await clock.advance(20_000);
  assert.is(await outcome, 'lost');
  assert.ok(aborted);
  assert.equal(gauge, [true, false]);
});

test('losing the lease is told before another may lead, even when the work does not end', async () => {
  const { clock, server } = aWorld();
  const door = server.door();
  let outcome = '';
  void runLeader(
    { api: door.api, ...REF, holder: 'a', clock, log: silentLog },
    new AbortController().signal,
    () => new Promise(() => {}),
  ).then((how) => {
    outcome = how;
  });
  await clock.advance(5_000);
  door.cut = true;
  await clock.advance(15_000);
  assert.is(outcome, 'lost');
});

test('a leader that is stopped releases the lease after its work; one that fails says so', async () => {
  const { clock, server, record } = aWorld();
  const lead = (work: (signal: AbortSignal) => Promise<void>, stop: AbortSignal) =>
    runLeader({ api: server.door().api, ...REF, holder: 'a', clock, log: silentLog }, stop, work);
  const stop = new AbortController();
  const stopped = lead(
    (signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
    stop.signal,
  );
  await clock.advance(5_000);
  stop.abort();
  await settle();
  assert.is(await stopped, 'stopped');
  assert.is(record()?.spec?.holderIdentity, '');
  let message = '';
  lead(async () => {
    throw new Error('cannot lead');
  }, new AbortController().signal).catch((error) => {
    message = error.message;
  });
  await clock.advance(5_000);
  assert.is(message, 'cannot lead');
});

test.run();
