import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Claim } from '../../api/conditions.ts';
import type { KubeObject } from '../../api/object.ts';
import type { Reason } from '../../api/reasons.ts';
import { VOLUMES } from '../../api/resources.ts';
import type { Volume } from '../../api/volume.ts';
import { no, summarized, unsure, yes } from '../../controller/claims.ts';
import { Reporter } from '../../controller/report.ts';
import { aVolume } from '../builders/objects.ts';
import { FakeClock } from '../fakes/clock.ts';

const test = suite('writing a status');

interface Sent {
  readonly body: { readonly status: Record<string, unknown> };
}

function setUp() {
  const clock = new FakeClock();
  const sent: Sent[] = [];
  const recorded: string[] = [];
  const types: string[] = [];
  const api = {
    patch: async <T extends KubeObject>(_resource: unknown, _ref: unknown, body: object): Promise<T> => {
      sent.push({ body: body as Sent['body'] });
      return aVolume({ status: (body as Sent['body']).status }) as unknown as T;
    },
  };
  const events = {
    record: ({ reason, type }: { readonly reason: string; readonly type: string }) => {
      recorded.push(reason);
      types.push(type);
    },
  };
  const operated: unknown[] = [];
  const metrics = { operated: (...what: readonly unknown[]) => void operated.push(what) };
  const reporter = new Reporter({ api, clock, events: events as never, metrics });
  const report = (object: Volume, reason: Reason, fields: Record<string, unknown> = {}) =>
    reporter.report({
      resource: VOLUMES,
      object,
      fields,
      claims: summarized([], reason === 'Provisioned' ? yes('Ready', reason, '') : no('Ready', reason, '')),
    });
  const tell = (ready: Claim) =>
    reporter.report({ resource: VOLUMES, object: aVolume(), fields: {}, claims: summarized([], ready) });
  return { clock, sent, recorded, types, operated, reporter, report, tell };
}

test('a step under way is told only when it lasts', async () => {
  const { clock, sent, report } = setUp();
  assert.is((await report(aVolume(), 'Provisioning')).kind, 'held-back');
  await clock.advance(1_000);
  assert.is((await report(aVolume(), 'Provisioning')).kind, 'held-back');
  assert.is(sent.length, 0);
  await clock.advance(600);
  assert.is((await report(aVolume(), 'Provisioning')).kind, 'written');
});

test('a decision is written at once, with what it means', async () => {
  const { sent, report } = setUp();
  assert.is((await report(aVolume(), 'Provisioning', { server: 's1' })).kind, 'written');
  assert.is(sent[0]?.body.status.server, 's1');
  assert.ok(sent[0]?.body.status.conditions);
});

test('a result is written at once, and told in an event', async () => {
  const { report, recorded } = setUp();
  assert.is((await report(aVolume(), 'Provisioned')).kind, 'written');
  assert.equal(recorded, ['Provisioned']);
});

test('nothing is written twice', async () => {
  const { report, sent, recorded } = setUp();
  const first = await report(aVolume(), 'NoSpace');
  assert.is(first.kind, 'written');
  const object = first.kind === 'written' ? first.object : aVolume();
  assert.is((await report(object, 'NoSpace')).kind, 'unchanged');
  assert.is(sent.length, 1);
  assert.equal(recorded, ['NoSpace']);
});

test('to wait for one’s turn is no warning; a fault, and not to know, is one', async () => {
  const cases: readonly (readonly [Claim, 'Normal' | 'Warning'])[] = [
    [yes('Ready', 'Attached', ''), 'Normal'],
    [no('Ready', 'VolumeNotReady', ''), 'Normal'],
    [no('Ready', 'VolumeInUse', ''), 'Normal'],
    [no('Ready', 'NoSpace', ''), 'Warning'],
    [no('Ready', 'HypervisorSilent', ''), 'Warning'],
    [no('Ready', 'DataMissing', ''), 'Warning'],
    [unsure('Ready', 'HostSilent', ''), 'Warning'],
  ];
  for (const [claim, type] of cases) {
    const { tell, types } = setUp();
    await tell(claim);
    assert.equal(types, [type], claim.reason);
  }
});

/** So many seconds before the clock of the test. */
const before = (clock: FakeClock, seconds: number): string =>
  new Date(clock.now().getTime() - seconds * 1000).toISOString();

test('it is measured how long an object took to be ready, to be ready again, and to go', async () => {
  const { clock, operated, reporter, report } = setUp();
  const made = { metadata: { creationTimestamp: before(clock, 7) } };
  await report(aVolume(made), 'Provisioned');
  const was = (status: 'True' | 'False', reason: Reason) => ({
    ...made,
    status: {
      conditions: [{ type: 'Ready', status, reason, message: '', lastTransitionTime: before(clock, 3) }],
    },
  });
  await report(aVolume(was('False', 'Provisioning')), 'Provisioned');
  await report(aVolume(was('False', 'NoSpace')), 'Provisioned');
  await report(aVolume(was('True', 'Provisioned')), 'Provisioned');
  reporter.letGo(VOLUMES, aVolume({ metadata: { deletionTimestamp: before(clock, 2) } }));
  assert.equal(operated, [
    ['Volume', 'ready', 7_000],
    ['Volume', 'ready', 3_000],
    ['Volume', 'recovered', 3_000],
    ['Volume', 'removed', 2_000],
  ]);
});

test('what stalls is counted once', async () => {
  const { clock, operated, tell } = setUp();
  const mismatch = no('Ready', 'Mismatch', '');
  await tell(mismatch);
  assert.is(operated.length, 1);
  assert.equal((operated[0] as unknown[]).slice(0, 2), ['Volume', 'stalled']);
  assert.ok(clock.pending === 0);
});

test.run();
