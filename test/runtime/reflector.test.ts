import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { keyOf } from '../../api/object.ts';
import { VOLUMES } from '../../api/resources.ts';
import type { Change } from '../../runtime/cache.ts';
import { ApiError } from '../../runtime/errors.ts';
import { Reflector, type ReflectorOptions } from '../../runtime/reflector.ts';
import { FakeClock, settle } from '../fakes/clock.ts';
import { recordingLog } from '../fakes/log.ts';
import { aThing, ScriptedWatch, type Thing } from '../fakes/scripted-watch.ts';

const test = suite('reflector');
const THINGS = { group: '', version: 'v1', plural: 'things', kind: 'Thing', namespaced: true };

/** `a@5` is now, `-a` is gone. */
const told = ({ object, old }: Change<Thing>): string =>
  object === undefined
    ? `-${old?.metadata.name}`
    : `${object.metadata.name}@${object.metadata.resourceVersion}`;

async function aReflector(options: Partial<ReflectorOptions> = {}) {
  const clock = new FakeClock();
  const server = new ScriptedWatch();
  const { log, lines } = recordingLog();
  const stop = new AbortController();
  const reflector = new Reflector<Thing>({
    api: server.api,
    resource: THINGS,
    clock,
    log,
    random: () => 0,
    ...options,
  });
  const changes: string[] = [];
  reflector.onChange((change) => changes.push(told(change)));
  const start = async () => {
    const ended = reflector.run(stop.signal);
    await settle();
    return ended;
  };
  const since = () => changes.splice(0);
  const stopped = async (ended: Promise<void>) => {
    stop.abort();
    await ended;
    assert.is(clock.pending, 0, 'a timer was left behind');
  };
  return { clock, server, lines, reflector, start, since, stop, stopped };
}

/** A reflector that holds a@5 and b@6, synced at 10, its connection alive. */
async function aSyncedReflector(options: Partial<ReflectorOptions> = {}) {
  const world = await aReflector(options);
  void world.start();
  await settle();
  world.server.last.open().send('ADDED', aThing('a', '5')).send('ADDED', aThing('b', '6')).listed('10');
  await settle();
  world.since();
  return world;
}

const refusal = (status: number, reason: string, retryAfterMs?: number) =>
  new ApiError(`${status}`, { status, reason, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });

test('an object that does not fit its schema is left out until it does, and stops no other', async () => {
  const volume = (name: string, resourceVersion: string, size: unknown) =>
    ({ ...aThing(name, resourceVersion), spec: { size } }) as unknown as Thing;
  const { server, lines, reflector, start, since, stopped } = await aReflector({ resource: VOLUMES });
  const ended = start();
  await settle();
  server.last
    .open()
    .send('ADDED', volume('a', '5', {}))
    .send('ADDED', volume('b', '6', '1Gi'))
    .listed('10');
  await reflector.synced;
  await settle();
  assert.equal(since(), ['b@6']);
  server.last.send('MODIFIED', volume('a', '11', '1Gi')).send('MODIFIED', volume('b', '12', ['1Gi']));
  await settle();
  assert.equal(since(), ['a@11', '-b']);
  reflector.written(volume('a', '13', null));
  assert.equal(since(), []);
  server.last.send('DELETED', volume('b', '14', ['1Gi'])).send('MODIFIED', volume('a', '15', '2Gi'));
  await settle();
  assert.equal(since(), ['a@15']);
  assert.ok(lines.some(({ level, message }) => level === 'error' && /does not fit its schema/.test(message)));
  await stopped(ended);
});

test('it streams the list, then is synced and tells every object', async () => {
  const { server, reflector, start, since, stopped } = await aReflector();
  const ended = start();
  await settle();
  const { onOpen: _, timeoutSeconds, ...query } = server.last.query;
  assert.equal(query, { sendInitialEvents: true });
  assert.ok(timeoutSeconds !== undefined && timeoutSeconds >= 300 && timeoutSeconds <= 600);
  server.last.open().send('ADDED', aThing('a', '5')).send('ADDED', aThing('b', '6'));
  await settle();
  assert.not.ok(reflector.hasSynced);
  assert.equal(since(), []);
  server.last.listed('10');
  await reflector.synced;
  assert.ok(reflector.hasSynced);
  assert.equal(since(), ['a@5', 'b@6']);
  assert.equal(reflector.list().map(keyOf), ['default/a', 'default/b']);
  await stopped(ended);
});

test('it follows changes', async () => {
  const { server, reflector, since } = await aSyncedReflector();
  server.last
    .send('MODIFIED', aThing('a', '11'))
    .send('ADDED', aThing('c', '12'))
    .send('DELETED', aThing('b', '13'));
  await settle();
  assert.equal(since(), ['a@11', 'c@12', '-b']);
  assert.is(reflector.get('default/b'), undefined);
});

test('after a timely end it goes on where it was, at once', async () => {
  const { clock, server, since } = await aSyncedReflector();
  server.last.send('MODIFIED', aThing('a', '11')).bookmark('40');
  await clock.advance(300_000 - 250_000);
  server.last.close();
  await clock.advance(0);
  assert.is(server.connections.length, 2);
  assert.is(server.last.query.resourceVersion, '40');
  assert.is(server.last.query.sendInitialEvents, undefined);
  assert.equal(since(), ['a@11']);
});

test('repeated events are told once', async () => {
  const { server, since } = await aSyncedReflector();
  server.last.send('MODIFIED', aThing('a', '11')).send('MODIFIED', aThing('a', '11'));
  await settle();
  assert.equal(since(), ['a@11']);
});

test('a broken connection is resumed after 0.8 s, then ever more slowly up to 30 s', async () => {
  const { clock, server } = await aSyncedReflector();
  const at: number[] = [];
  for (let failure = 0; failure < 9; failure++) {
    const begun = server.connections.length;
    const brokenMs = clock.monotonicMs();
    server.last.fail(new Error('other side closed'));
    while (server.connections.length === begun) {
      await clock.advance(100);
    }
    at.push(clock.monotonicMs() - brokenMs);
  }
  assert.equal(at, [800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000, 30_000]);
});

test('a 200 makes the next pause short again', async () => {
  const { clock, server } = await aSyncedReflector();
  for (let failure = 0; failure < 5; failure++) {
    server.last.fail(new Error('down'));
    await clock.advance(30_000);
  }
  server.last.open();
  await clock.advance(5_000);
  const begun = server.connections.length;
  server.last.fail(new Error('down again'));
  await clock.advance(800);
  assert.is(server.connections.length, begun + 1);
});

test('Retry-After wins over the backoff and does not lengthen it', async () => {
  const { clock, server } = await aSyncedReflector();
  for (let times = 0; times < 8; times++) {
    server.last.fail(refusal(429, 'TooManyRequests', 1_000));
    const begun = server.connections.length;
    await clock.advance(999);
    assert.is(server.connections.length, begun);
    await clock.advance(1);
    assert.is(server.connections.length, begun + 1);
  }
  const begun = server.connections.length;
  server.last.fail(new Error('down'));
  await clock.advance(800);
  assert.is(server.connections.length, begun + 1);
});

test('a connection that closes at once is not asked for in a tight loop', async () => {
  const { clock, server } = await aSyncedReflector();
  for (let times = 0; times < 5; times++) {
    server.last.open().close();
    await clock.advance(100);
  }
  assert.ok(server.connections.length <= 2);
});

test('410 lists again and tells only what really changed', async () => {
  const { clock, server, reflector, since } = await aSyncedReflector();
  server.last.fail(refusal(410, 'Expired'));
  await clock.advance(1_000);
  assert.is(server.last.query.sendInitialEvents, true);
  assert.is(server.last.query.resourceVersion, undefined);
  assert.is(reflector.get('default/b')?.metadata.resourceVersion, '6');
  server.last.open().send('ADDED', aThing('a', '5')).send('ADDED', aThing('c', '30')).listed('50');
  await settle();
  assert.equal(since(), ['-b', 'c@30']);
  assert.is(server.connections.length, 2);
});

test('a database that counts from an earlier number is listed anew', async () => {
  const { clock, server, since } = await aSyncedReflector();
  const causes = [{ reason: 'ResourceVersionTooLarge' }];
  server.last.fail(new ApiError('too large', { status: 504, reason: 'Timeout', causes }));
  await clock.advance(1_000);
  server.last.open().send('ADDED', aThing('a', '3')).listed('4');
  await settle();
  assert.equal(since(), ['-b', 'a@3']);
});

test('a list cut off in the middle is begun again and loses nothing', async () => {
  const { clock, server, reflector, start, since } = await aReflector();
  void start();
  await settle();
  server.last.open().send('ADDED', aThing('a', '5'));
  await settle();
  server.last.close();
  await clock.advance(1_000);
  assert.is(server.last.query.sendInitialEvents, true);
  assert.not.ok(reflector.hasSynced);
  server.last.open().send('ADDED', aThing('b', '6')).listed('10');
  await settle();
  assert.equal(since(), ['b@6']);
});

test('a server that does not stream lists is listed page by page', async () => {
  for (const status of [400, 422, 500]) {
    const { server, reflector, start, since } = await aReflector();
    server.pages.push({ items: [aThing('a', '5')], resourceVersion: '10', continue: 'more' });
    server.pages.push({ items: [aThing('b', '6')], resourceVersion: '10' });
    void start();
    await settle();
    server.last.fail(refusal(status, 'Invalid'));
    await settle();
    assert.equal(since(), ['a@5', 'b@6']);
    assert.ok(reflector.hasSynced);
    assert.equal(server.lists, [{ limit: 500 }, { limit: 500, continue: 'more' }]);
    assert.is(server.last.query.resourceVersion, '10');
  }
});

test('pages that expire on the way are taken in one go', async () => {
  const { server, start, since } = await aReflector();
  server.pages.push({ items: [aThing('a', '5')], resourceVersion: '10', continue: 'more' });
  server.pages.push(refusal(410, 'Expired'));
  server.pages.push({ items: [aThing('a', '5'), aThing('b', '6')], resourceVersion: '20' });
  void start();
  await settle();
  server.last.fail(refusal(422, 'Invalid'));
  await settle();
  assert.equal(since(), ['a@5', 'b@6']);
  assert.equal(server.lists.at(-1), {});
});

test('a connection that falls silent is left after 90 s, and no event is lost', async () => {
  const { clock, server, since, reflector, lines } = await aSyncedReflector();
  await clock.advance(60_000);
  server.last.bookmark('20');
  await clock.advance(89_999);
  assert.is(server.connections.length, 1);
  assert.is(reflector.lastEventAgeMs(), 89_999);
  await clock.advance(1 + 800);
  assert.is(server.connections.length, 2);
  assert.is(server.last.query.resourceVersion, '20');
  server.last.open().send('MODIFIED', aThing('a', '21'));
  await settle();
  assert.equal(since(), ['a@21']);
  assert.ok(lines.some(({ fields }) => fields.how === 'silent'));
});

test('a watch that never says a word, as one that is ahead of a restored server, begins with a list again', async () => {
  const { clock, server, since } = await aSyncedReflector();
  server.last.fail(new Error('other side closed'));
  await clock.advance(1_000);
  assert.is(server.last.query.resourceVersion, '10');
  server.last.open();
  await clock.advance(91_000);
  assert.is(server.last.query.sendInitialEvents, true);
  server.last.open().send('ADDED', aThing('b', '4')).listed('5');
  await settle();
  assert.equal(since(), ['-a', 'b@4']);
});

test('another object of the same name arrives as gone, then new', async () => {
  const { clock, server, since } = await aSyncedReflector();
  server.last.send('MODIFIED', aThing('a', '11', 'another'));
  await settle();
  assert.equal(since(), ['-a', 'a@11']);
  server.last.fail(refusal(410, 'Expired'));
  await clock.advance(1_000);
  server.last
    .open()
    .send('ADDED', aThing('a', '30', 'a third'))
    .listed('50');
  await settle();
  assert.equal(since(), ['-b', '-a', 'a@30']);
});

test('an own write shows at once, and older events do not undo it', async () => {
  const { server, reflector, since } = await aSyncedReflector();
  reflector.written(aThing('a', '15'));
  assert.equal(since(), ['a@15']);
  server.last.send('MODIFIED', aThing('a', '12')).send('MODIFIED', aThing('a', '15'));
  await settle();
  assert.equal(since(), []);
  server.last.send('MODIFIED', aThing('a', '16'));
  await settle();
  assert.equal(since(), ['a@16']);
});

test('answers to own writes may overtake each other', async () => {
  const { reflector, since } = await aSyncedReflector();
  reflector.written(aThing('a', '15'));
  reflector.written(aThing('a', '12'));
  assert.equal(since(), ['a@15']);
});

test('versions are compared as numbers of any length', async () => {
  const { reflector, since } = await aSyncedReflector();
  reflector.written(aThing('a', '9'));
  assert.equal(since(), [], 'older than the 10 of the last list');
  reflector.written(aThing('a', '99999999999999999999'));
  assert.equal(since(), ['a@99999999999999999999']);
});

test('an own write that the watch has passed already is not news, even when the object has gone since', async () => {
  const { server, reflector, since } = await aSyncedReflector();
  server.last.send('DELETED', aThing('a', '20'));
  await settle();
  reflector.written(aThing('a', '15'));
  assert.equal(since(), ['-a']);
  assert.is(reflector.get('default/a'), undefined);
});

test('an own creation shows at once, unless a selector might leave it out', async () => {
  const open = await aSyncedReflector();
  open.reflector.written(aThing('new', '15'));
  assert.equal(open.since(), ['new@15']);
  const selecting = await aSyncedReflector({ fieldSelector: 'status.server=s1' });
  selecting.reflector.written(aThing('new', '15'));
  assert.equal(selecting.since(), []);
});

test('the deletion of a predecessor does not take an own new object away', async () => {
  const { server, reflector, since } = await aSyncedReflector();
  reflector.written(aThing('a', '15', 'another'));
  server.last.send('DELETED', aThing('a', '12')).send('ADDED', aThing('a', '15', 'another'));
  await settle();
  assert.equal(since(), ['-a', 'a@15']);
});

test('leaving the selection counts even behind an own write', async () => {
  const { server, reflector, since } = await aSyncedReflector({ fieldSelector: 'status.server=s1' });
  reflector.written(aThing('a', '15'));
  server.last.send('DELETED', aThing('a', '12'));
  await settle();
  assert.equal(since(), ['a@15', '-a']);
});

test('a new list does not undo an own write made while it was on its way', async () => {
  const { clock, server, reflector, since } = await aSyncedReflector();
  server.last.fail(refusal(410, 'Expired'));
  await clock.advance(1_000);
  server.last.open().send('ADDED', aThing('a', '5')).send('ADDED', aThing('b', '6'));
  reflector.written(aThing('a', '60'));
  server.last.listed('50');
  await settle();
  assert.equal(since(), ['a@60']);
});

test('an own write from before a new list cannot outlive the object', async () => {
  const { clock, server, reflector, since } = await aSyncedReflector();
  reflector.written(aThing('a', '60'));
  server.last.fail(refusal(410, 'Expired'));
  await clock.advance(1_000);
  server.last.open().send('ADDED', aThing('b', '6')).listed('50');
  await settle();
  assert.equal(since(), ['a@60', '-a']);
});

test('a copy of our own serves until the first sync, which tells everything', async () => {
  const { server, reflector, start, since } = await aReflector();
  reflector.seed([aThing('a', '5'), aThing('old', '4')]);
  assert.equal(since(), ['a@5', 'old@4']);
  assert.not.ok(reflector.hasSynced);
  void start();
  await settle();
  server.last.open().send('ADDED', aThing('a', '5')).listed('10');
  await settle();
  assert.equal(since(), ['-old', 'a@5']);
  reflector.seed([aThing('late', '3')]);
  assert.equal(since(), []);
});

test('an index follows its objects', async () => {
  const { server, reflector } = await aSyncedReflector();
  const names = (value: string) => reflector.byIndex('parity', value).map(({ metadata }) => metadata.name);
  reflector.addIndex('parity', ({ metadata }) => [
    Number(metadata.resourceVersion) % 2 === 0 ? 'even' : 'odd',
  ]);
  assert.equal(names('odd'), ['a']);
  server.last
    .send('MODIFIED', aThing('a', '12'))
    .send('ADDED', aThing('c', '13'))
    .send('DELETED', aThing('b', '14'));
  await settle();
  assert.equal(names('even'), ['a']);
  assert.equal(names('odd'), ['c']);
  assert.throws(() => reflector.byIndex('none', 'x'), /no index named none/);
});

test('a handler that throws is logged and disturbs nobody', async () => {
  const { server, reflector, since, lines } = await aSyncedReflector();
  reflector.onChange(() => {
    throw new Error('my fault');
  });
  const later: string[] = [];
  reflector.onChange((change) => later.push(told(change)));
  server.last.send('MODIFIED', aThing('a', '11'));
  await settle();
  assert.equal(since(), ['a@11']);
  assert.equal(later, ['a@11']);
  assert.ok(lines.some(({ level, message }) => level === 'error' && message === 'Handler failed'));
});

test('objects are frozen and without managedFields', async () => {
  const { server, reflector } = await aSyncedReflector();
  const thing = aThing('a', '11');
  server.last.send('MODIFIED', { ...thing, metadata: { ...thing.metadata, managedFields: [1] } } as Thing);
  await settle();
  const cached = reflector.get('default/a');
  assert.ok(Object.isFrozen(cached) && Object.isFrozen(cached?.metadata));
  assert.not.ok('managedFields' in (cached?.metadata ?? {}));
});

test('an outage keeps the loop alive although nothing is heard', async () => {
  const { clock, server, reflector } = await aSyncedReflector();
  for (let times = 0; times < 40; times++) {
    server.last.fail(new Error('refused'));
    await clock.advance(30_000);
  }
  assert.ok(reflector.lastEventAgeMs() > 1_000_000);
  assert.ok(reflector.lastActivityAgeMs() <= 30_000);
});

test('a stop during a pause ends at once', async () => {
  const { server, start, stopped } = await aReflector();
  const ended = start();
  await settle();
  server.last.fail(new Error('down'));
  await settle();
  await stopped(ended);
});

test.run();
