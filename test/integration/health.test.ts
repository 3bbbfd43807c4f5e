// What GitOps tools make of everything that our objects can say: by kstatus' own code, by Argo CD's health checks in their interpreter, and by
// Flux's expressions. The table in docs/gitops.md says what it must be.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Claim } from '../../api/conditions.ts';
import { CONDITIONS, type ConditionType, REASONS, type Reason } from '../../api/reasons.ts';
import { API_VERSION } from '../../api/resources.ts';
import { conditionsOf, summarized } from '../../controller/claims.ts';
import { healthJudge, type Judge } from '../harness/health.ts';
import { asThePageSays } from '../harness/health-table.ts';
import { loud } from '../harness/loud.ts';
import type { Thing } from '../harness/story.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const NOW = new Date('2026-11-27T04:00:00Z');

interface World {
  judge: Judge;
}

const test = suite<World>('health');
test.before(
  loud(async (world) => {
    world.judge = await healthJudge(log);
  }),
);

const USER_KINDS = CONDITIONS.Stalled.kinds;
const HOST_KINDS = CONDITIONS.HostSafe.kinds;

interface Situation {
  readonly claims: readonly Claim[];
  readonly spec?: object;
  readonly seen?: number;
  readonly metadata?: object;
}

const object = (kind: string, { claims, spec = {}, seen = 3, metadata = {} }: Situation): Thing =>
  ({
    apiVersion: API_VERSION,
    kind,
    metadata: { name: 'x', generation: 3, ...metadata },
    spec,
    status: {
      observedGeneration: seen,
      conditions: conditionsOf([], claims, { generation: seen, now: NOW }),
    },
  }) as never;

const ready = (status: Claim['status'], reason: Reason): Claim => ({
  type: 'Ready',
  status,
  reason,
  message: `about ${reason}`,
});

const isOn = (kind: string, types: readonly ConditionType[]): boolean =>
  types.some((type) => (CONDITIONS[type].kinds as readonly string[]).includes(kind));

/** In each kind every reason which it may have as that of Ready, at every status. */
const everySaying = (metadata: object = {}): readonly Thing[] =>
  [...USER_KINDS, ...HOST_KINDS].flatMap((kind) =>
    (Object.keys(REASONS) as Reason[])
      .filter((reason) => isOn(kind, REASONS[reason].on as readonly ConditionType[]))
      .flatMap((reason) =>
        (['True', 'False', 'Unknown'] as const).map((status) => {
          const summary = ready(status, reason);
          const claims = isOn(kind, ['Stalled']) ? summarized([], summary) : [summary];
          return object(kind, { claims, metadata });
        }),
      ),
  );

test('every reason, at every status', async ({ judge }) => {
  const counts = await asThePageSays(judge, everySaying());
  assert.is(counts.size, 4 + 4 + 5 + 3 + 3, [...counts.keys()].join('\n'));
});

test('being deleted, not looked at, cordoned and fenced', async ({ judge }) => {
  const heard = [ready('True', 'Heard')];
  await asThePageSays(judge, everySaying({ deletionTimestamp: NOW.toISOString() }));
  await asThePageSays(judge, everySaying({ generation: 4 }));
  const kinds = [...USER_KINDS, ...HOST_KINDS];
  await asThePageSays(judge, [
    ...kinds.map((kind) => object(kind, { claims: [], seen: -1 })),
    object('VolumeServer', { claims: heard, spec: { cordoned: true } }),
    object('Hypervisor', { claims: heard, spec: { cordoned: true } }),
    object('Hypervisor', { claims: heard, spec: { fenced: true } }),
    object('Hypervisor', { claims: heard, spec: { fenced: false, cordoned: false } }),
    { apiVersion: API_VERSION, kind: 'VolumeClass', metadata: { name: 'x', generation: 3 } } as never,
  ]);
});

test('a Volume that grows is Ready, and whoever waits for it waits on', async ({ judge }) => {
  const growing = (reason: Reason) =>
    object('Volume', {
      claims: summarized(
        [{ type: 'Resized', status: 'False', reason, message: 'growing' }],
        ready('True', 'Provisioned'),
      ),
    });
  await asThePageSays(judge, [growing('Resizing'), growing('NoSpace'), growing('WaitingForDetach')]);
  const [verdict] = await judge([growing('NoSpace')]);
  assert.equal(verdict, {
    kstatus: 'InProgress',
    argoCD: { status: 'Progressing', message: 'NoSpace: growing' },
    flux: 'InProgress',
  });
});

test('Argo CD shows the reason and the message', async ({ judge }) => {
  const [stalled] = await judge([
    object('Volume', { claims: summarized([], ready('False', 'DataMissing')) }),
  ]);
  assert.equal(stalled?.argoCD, { status: 'Degraded', message: 'DataMissing: about DataMissing' });
});

test.run();
