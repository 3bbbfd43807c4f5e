// Any interleaving of server, connection and own writes ends with the truth, and no own write is ever undone.

import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ApiError } from '../../runtime/errors.ts';
import { silentLog } from '../../runtime/log.ts';
import { Reflector } from '../../runtime/reflector.ts';
import { FakeClock, settle } from '../fakes/clock.ts';
import { aThing, ScriptedWatch, type Thing } from '../fakes/scripted-watch.ts';

const test = suite('reflector, modelled');
const THINGS = { group: '', version: 'v1', plural: 'things', kind: 'Thing', namespaced: true };
const NAMES = ['a', 'b', 'c'] as const;

interface Entry {
  readonly revision: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: Thing;
}

/** A server with a history, one client that watches it, and the client's own writes. */
class World {
  readonly clock = new FakeClock();
  readonly watch = new ScriptedWatch();
  readonly reflector = new Reflector<Thing>({
    api: this.watch.api,
    resource: THINGS,
    log: silentLog,
    clock: this.clock,
    random: () => 0,
  });
  readonly truth = new Map<string, Thing>();
  readonly believed = new Map<string, Thing>();
  readonly faults: string[] = [];
  readonly #history: Entry[] = [];
  /** Answers to our writes that are still on their way to us. */
  readonly #answers: Thing[] = [];
  /** Per UID, the newest own write that was answered. */
  readonly #floors = new Map<string, number>();
  #revision = 10;
  #sentUpTo = 0;
  #served = 0;
  #compactedUpTo = 0;

  constructor() {
    this.reflector.onChange(({ key, object, old }) => {
      const before = this.believed.get(key)?.metadata.uid;
      if (object === undefined) {
        this.#expect(before === old?.metadata.uid, 'gone without having been there');
        this.believed.delete(key);
        return;
      }
      this.#expect(before === undefined || before === object.metadata.uid, 'replaced without a farewell');
      this.#expect(rv(object) >= (this.#floors.get(object.metadata.uid) ?? 0), 'an own write was undone');
      this.believed.set(key, object);
    });
  }

  /** What a handler throws is only logged, so it is kept for the end. */
  #expect(holds: boolean, complaint: string): void {
    if (!holds) {
      this.faults.push(complaint);
    }
  }

  write(name: string, ours: boolean): void {
    this.#revision += 1;
    const known = this.truth.get(name);
    const uid = known?.metadata.uid ?? `uid-${name}-${this.#revision}`;
    const object = aThing(name, String(this.#revision), uid);
    this.truth.set(name, object);
    this.#history.push({
      revision: this.#revision,
      type: known === undefined ? 'ADDED' : 'MODIFIED',
      object,
    });
    if (ours) {
      this.#answers.push(object);
    }
  }

  remove(name: string): void {
    const known = this.truth.get(name);
    if (known !== undefined) {
      this.#revision += 1;
      this.truth.delete(name);
      const object = aThing(name, String(this.#revision), known.metadata.uid);
      this.#history.push({ revision: this.#revision, type: 'DELETED', object });
    }
  }

  /** An answer to an own write arrives: from now on nothing older of that object may show. */
  answer(): void {
    const object = this.#answers.shift();
    if (object !== undefined) {
      this.reflector.written(object);
      const shown = this.reflector.get(`default/${object.metadata.name}`);
      const isOlder = shown?.metadata.uid === object.metadata.uid && rv(shown) < rv(object);
      this.#expect(!isOlder, 'our own write does not show');
      this.#floors.set(object.metadata.uid, rv(object));
    }
  }

  async deliver(count: number): Promise<void> {
    await this.#serveNewConnection();
    for (let sent = 0; sent < count; sent++) {
      const next = this.#history.find(({ revision }) => revision > this.#sentUpTo);
      if (next === undefined) {
        break;
      }
      this.#sentUpTo = next.revision;
      this.watch.last.send(next.type, next.object);
    }
    await settle();
  }

  async break(gone: boolean): Promise<void> {
    await this.#serveNewConnection();
    if (gone) {
      this.#compactedUpTo = this.#revision;
      this.watch.last.fail(new ApiError('410', { status: 410, reason: 'Expired' }));
    } else {
      this.watch.last.fail(new Error('other side closed'));
    }
    await settle();
  }

  /** Lets a connection begin, if the client wants one; a streamed list may be served while writes go on. */
  async #serveNewConnection(): Promise<void> {
    if (this.#served === this.watch.connections.length) {
      await this.clock.advance(60_000);
    }
    while (this.#served < this.watch.connections.length) {
      this.#served = this.watch.connections.length;
      const { last } = this.watch;
      last.open();
      if (last.query.sendInitialEvents) {
        for (const object of this.truth.values()) {
          last.send('ADDED', object);
        }
        last.listed(String(this.#revision));
        this.#sentUpTo = this.#revision;
      } else if (Number(last.query.resourceVersion) < this.#compactedUpTo) {
        last.fail(new ApiError('410', { status: 410, reason: 'Expired' }));
        await this.clock.advance(60_000);
      } else {
        this.#sentUpTo = Number(last.query.resourceVersion);
      }
      await settle();
    }
  }
}

const rv = (object: Thing | undefined): number => Number(object?.metadata.resourceVersion ?? 0);

const name = fc.constantFrom(...NAMES);
const action = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('write' as const), name, ours: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), name }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('deliver' as const), count: fc.integer({ min: 1, max: 3 }) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('answer' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('break' as const), gone: fc.boolean() }) },
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

async function perform(world: World, step: Action): Promise<void> {
  switch (step.kind) {
    case 'write':
      return world.write(step.name, step.ours);
    case 'remove':
      return world.remove(step.name);
    case 'answer':
      return world.answer();
    case 'deliver':
      return world.deliver(step.count);
    case 'break':
      return world.break(step.gone);
  }
}

const shown = (objects: Iterable<Thing>): string[] =>
  [...objects].map(({ metadata }) => `${metadata.name} ${metadata.uid} ${metadata.resourceVersion}`).sort();

test('in the end the copy is the truth, and so is what the handlers were told', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 10, maxLength: 60, size: 'max' }), async (actions) => {
      const world = new World();
      const stop = new AbortController();
      const ended = world.reflector.run(stop.signal);
      await settle();
      for (const step of actions) {
        await perform(world, step);
      }
      for (let left = 0; left < 60; left++) {
        world.answer();
      }
      await world.deliver(100);
      await world.deliver(100);
      assert.equal(shown(world.reflector.list()), shown(world.truth.values()));
      assert.equal(shown(world.believed.values()), shown(world.truth.values()));
      assert.equal(world.faults, []);
      stop.abort();
      await ended;
      assert.is(world.clock.pending, 0);
    }),
    { numRuns: 150 },
  );
});

test.run();
