import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LEASES } from '../../api/resources.ts';
import type { Clock } from '../../runtime/clock.ts';
import { runLeader } from '../../runtime/leader.ts';
import { type Lease, LeaseHolder, type LeaseJournal, type LeaseOptions } from '../../runtime/lease.ts';
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

/** What a disk holds, which may be copied. */
const aJournal = (times?: readonly string[]) => {
  const disk: { times: readonly string[] | undefined; broken: boolean } = { times, broken: false };
  const journal: LeaseJournal = {
    renewTimes: () => disk.times,
    keep: async (renewTimes) => {
      if (disk.broken) {
        throw new Error('ENOSPC');
      }
      disk.times = renewTimes;
    },
    drop: async () => {
      disk.times = undefined;
    },
  };
  return { disk, journal };
};

test('a copy of a machine, of the same name, waits; after a restart too, the first one takes it up at once', async () => {
  const { clock, join, story, most } = aWorld();
  const one = aJournal();
  const a = join('a', { journal: one.journal });
  await clock.advance(5_000);
  const copy = aJournal(one.disk.times);
  await clock.advance(5_000);
  join('a', { journal: copy.journal, random: () => 0.25 });
  await clock.advance(60_000);
  assert.equal(story, ['0 a holds', '10000 a sees a']);
  a.door.cut = true;
  a.stop.abort();
  await clock.advance(12_000);
  join('a', { journal: one.journal });
  await clock.advance(60_000);
  assert.equal(story, ['0 a holds', '10000 a sees a', '82000 a holds']);
  assert.is(most(), 1);
});

test('a copy never takes over from a silent one by itself; the machine itself does after a reboot, and when the store was set back', async () => {
  const { clock, join, server, story } = aWorld();
  const one = aJournal();
  const a = join('m/1', { journal: one.journal });
  await clock.advance(5_000);
  const copy = aJournal(one.disk.times);
  await clock.advance(5_000);
  a.door.cut = true;
  a.stop.abort();
  const b = join('m/2', { journal: copy.journal });
  await clock.advance(120_000);
  assert.equal(story, ['0 m/1 holds', '10000 m/2 sees m/1']);
  b.stop.abort();
  const c = join('m/3', { journal: one.journal });
  await clock.advance(17_000);
  assert.equal(story.slice(2), ['130000 m/3 sees m/1', '146000 m/3 holds']);
  c.door.cut = true;
  c.stop.abort();
  const { api } = server.door();
  const past = { holderIdentity: 'm/1', renewTime: '2026-11-22T12:00:00.000000Z' };
  await api.patch(LEASES, REF, { spec: past }, { fieldManager: 'x' });
  join('m/3', { journal: one.journal });
  await clock.advance(17_000);
  assert.match(story.at(-1) ?? '', /m\/3 holds/);
  assert.is(story.length, 6);
});

test('of two that go on from one moment, as a machine that was resumed twice, the first to renew keeps it', async () => {
  const { clock, join, server, story } = aWorld();
  const one = join('a', { journal: aJournal().journal });
  await clock.advance(4_500);
  const { api } = server.door();
  const spec = { renewTime: '2026-11-23T12:00:04.500123Z' };
  await api.patch(LEASES, REF, { spec }, { fieldManager: 'x' });
  await clock.advance(2_000);
  assert.equal(story, ['0 a holds', '6000 a lost', '6000 a sees a']);
  one.stop.abort();
});

test('a renewal whose answer was lost is our own, before and after a restart', async () => {
  const { clock, join, story } = aWorld();
  const { journal, disk } = aJournal();
  const a = join('a', { journal });
  await clock.advance(3_000);
  a.door.losesAnswers = true;
  await clock.advance(1_500);
  a.door.losesAnswers = false;
  await clock.advance(4_000);
  assert.equal(story, ['0 a holds']);
  a.door.losesAnswers = true;
  await clock.advance(2_000);
  a.door.cut = true;
  a.stop.abort();
  await clock.advance(11_000);
  assert.ok((disk.times?.length ?? 0) > 1);
  join('a', { journal });
  await clock.advance(1);
  assert.equal(story, ['0 a holds', '21500 a holds']);
});

test('where nothing can be kept it is renewed all the same', async () => {
  const { clock, join, story, record } = aWorld();
  const { journal, disk } = aJournal();
  join('a', { journal });
  await clock.advance(5_000);
  disk.broken = true;
  await clock.advance(60_000);
  assert.equal(story, ['0 a holds']);
  assert.is(record()?.spec?.renewTime, '2026-11-23T12:01:04.000500Z');
  assert.is(disk.times, undefined, 'what is not up to date is not kept');
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
