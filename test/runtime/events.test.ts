import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { EventRecorder, type KubeEvent, type Occurrence } from '../../runtime/events.ts';
import { silentLog } from '../../runtime/log.ts';
import { FakeClock, settle } from '../fakes/clock.ts';
import { MemoryApi } from '../fakes/memory-api.ts';
import { aThing } from '../fakes/scripted-watch.ts';

const test = suite('events');

function aRecorder(server = new MemoryApi(), capacity = 1_000) {
  const clock = new FakeClock();
  const door = server.door();
  const recorder = new EventRecorder({
    api: door.api,
    component: 'vbs.dev/test',
    instance: 'pod-1',
    clock,
    log: silentLog,
    capacity,
  });
  const stop = new AbortController();
  const start = () => recorder.run(stop.signal);
  const events = () => [...server.objects.values()] as unknown as KubeEvent[];
  return { clock, server, door, recorder, start, stop, events };
}

const placed = (more: Partial<Occurrence> = {}): Occurrence => ({
  regarding: aThing('db', '5'),
  reason: 'Placed',
  message: 'on s1',
  ...more,
});

test('an event says what happened to whom', async () => {
  const { recorder, start, events } = aRecorder();
  void start();
  recorder.record(placed({ type: 'Warning', action: 'Place' }));
  await settle();
  const [event] = events();
  assert.is(events().length, 1);
  assert.match(event?.metadata.name ?? '', /^db\.[0-9a-f]{16}$/);
  assert.is(event?.metadata.namespace, 'default');
  assert.is(event?.eventTime, '2026-11-23T12:00:00.000000Z');
  assert.equal(
    [
      event?.type,
      event?.reason,
      event?.action,
      event?.note,
      event?.reportingController,
      event?.reportingInstance,
    ],
    ['Warning', 'Placed', 'Place', 'on s1', 'vbs.dev/test', 'pod-1'],
  );
  assert.is(event?.regarding?.uid, 'uid-db');
});

test('the same words are one event that counts, also after a restart', async () => {
  const { server, recorder, start, stop, events } = aRecorder();
  const ended = start();
  recorder.record(placed());
  await settle();
  recorder.record(placed());
  await settle();
  stop.abort();
  await ended;
  const restarted = aRecorder(server);
  void restarted.start();
  restarted.recorder.record(placed());
  await settle();
  assert.equal(
    events().map(({ series }) => series?.count),
    [3],
  );
});

test('other words, another reason or another object are other events', async () => {
  const { recorder, start, events } = aRecorder();
  void start();
  recorder.record(placed());
  recorder.record(placed({ message: 'on s2' }));
  recorder.record(placed({ reason: 'Moved' }));
  recorder.record(placed({ regarding: aThing('db', '6', 'reborn') }));
  await settle();
  assert.is(events().length, 4);
});

test('one object cannot flood the server, others are not affected, and time gives it more', async () => {
  const { clock, recorder, start, events } = aRecorder();
  void start();
  for (let number = 0; number < 100; number++) {
    recorder.record(placed({ message: `${number}` }));
  }
  recorder.record(placed({ regarding: aThing('other', '1') }));
  await settle();
  assert.is(events().length, 26);
  await clock.advance(300_000);
  recorder.record(placed({ message: 'late' }));
  await settle();
  assert.is(events().length, 27);
});

test('a server that is away fails nobody, and the memory stays bounded', async () => {
  const { clock, door, recorder, start, stop } = aRecorder(new MemoryApi(), 10);
  door.cut = true;
  const ended = start();
  for (let number = 0; number < 1_000; number++) {
    recorder.record(placed({ regarding: aThing(`db-${number}`, '1') }));
  }
  await settle();
  stop.abort();
  await clock.advance(3_000);
  await ended;
  assert.is(clock.pending, 0);
});

test('what is left at a stop is still sent', async () => {
  const { recorder, start, stop, events } = aRecorder();
  recorder.record(placed());
  stop.abort();
  await start();
  assert.is(events().length, 1);
});

test('a failed event does not hold up the next', async () => {
  const { door, recorder, start, events } = aRecorder();
  void start();
  door.failure = new Error('no');
  recorder.record(placed());
  await settle();
  door.failure = undefined;
  recorder.record(placed({ message: 'on s2' }));
  await settle();
  assert.equal(
    events().map(({ note }) => note),
    ['on s2'],
  );
});

test('a long message is cut between characters', async () => {
  const { recorder, start, events } = aRecorder();
  void start();
  recorder.record(placed({ message: '€'.repeat(1_000) }));
  await settle();
  const note = events()[0]?.note ?? '';
  assert.ok(Buffer.byteLength(note) <= 1_024);
  assert.match(note, /^€+…$/);
});

test.run();
