// What GitOps tools make of everything that our objects can say: by kstatus' own code, by Argo CD's health checks in their interpreter, and by
// Flux's expressions. The table in docs/gitops.md says what it must be.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Claim } from '../../api/conditions.ts';
import { CONDITIONS, REASONS, type Reason } from '../../api/reasons.ts';
import { API_VERSION } from '../../api/resources.ts';
import { conditionsOf, summarized } from '../../controller/claims.ts';
import { healthJudge, type Judge } from '../harness/health.ts';
import { type Judged, type Row, readTable, rowFor } from '../harness/health-table.ts';
import { loud } from '../harness/loud.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const NOW = new Date('2026-11-27T04:00:00Z');

interface World {
  judge: Judge;
  table: readonly Row[];
}

const test = suite<World>('health');
test.before(
  loud(async (world) => {
    world.judge = await healthJudge(log);
    world.table = await readTable();
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

const object = (kind: string, { claims, spec = {}, seen = 3, metadata = {} }: Situation): Judged =>
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

/** Every reason as that of Ready, in each kind which has the summary of kstatus or has not. */
function everySaying(metadata: object = {}, spec: object = {}): readonly Judged[] {
  const statuses = ['True', 'False', 'Unknown'] as const;
  return (Object.keys(REASONS) as Reason[]).flatMap((reason) =>
    statuses.flatMap((status) => [
      ...USER_KINDS.map((kind) =>
        object(kind, { claims: summarized([], ready(status, reason)), metadata, spec }),
      ),
      ...HOST_KINDS.map((kind) => object(kind, { claims: [ready(status, reason)], metadata, spec })),
    ]),
  );
}

async function asTheTableSays({ judge, table }: World, objects: readonly Judged[]): Promise<Set<Row>> {
  const verdicts = await judge(objects);
  const rows = objects.map((one) => rowFor(table, one));
  for (const [index, { kstatus, argoCD, flux }] of verdicts.entries()) {
    const [one, row] = [objects[index], rows[index]];
    const told = `${row?.says}: ${JSON.stringify(one)}`;
    assert.is(kstatus, row?.kstatus, told);
    assert.is(argoCD.status, row?.argoCD, told);
    assert.is(flux, one?.kind === 'Attachment' ? row?.flux : row?.kstatus, told);
  }
  assert.is(verdicts.length, objects.length);
  return new Set(rows);
}

test('every reason, at every status', async (world) => {
  const rows = await asTheTableSays(world, everySaying());
  const says = [...rows].map((row) => row.says);
  assert.ok(rows.size >= 8, says.join('; '));
});

test('being deleted, not looked at, cordoned and fenced', async (world) => {
  const claims = summarized([], ready('True', 'Provisioned'));
  const heard = [ready('True', 'Heard')];
  await asTheTableSays(world, everySaying({ deletionTimestamp: NOW.toISOString() }));
  await asTheTableSays(world, everySaying({ generation: 4 }));
  await asTheTableSays(world, [
    ...USER_KINDS.map((kind) => object(kind, { claims: [], seen: -1 })),
    ...HOST_KINDS.map((kind) => object(kind, { claims: [], seen: -1 })),
    ...USER_KINDS.map((kind) => object(kind, { claims })),
    object('VolumeServer', { claims: heard, spec: { cordoned: true } }),
    object('Hypervisor', { claims: heard, spec: { cordoned: true } }),
    object('Hypervisor', { claims: heard, spec: { fenced: true } }),
    object('Hypervisor', { claims: heard, spec: { fenced: false, cordoned: false } }),
    { apiVersion: API_VERSION, kind: 'VolumeClass', metadata: { name: 'x', generation: 3 } } as never,
  ]);
});

test('a Volume that grows is Ready, and whoever waits for it waits on', async (world) => {
  const growing = (reason: Reason) =>
    object('Volume', {
      claims: summarized(
        [{ type: 'Resized', status: 'False', reason, message: 'growing' }],
        ready('True', 'Provisioned'),
      ),
    });
  await asTheTableSays(world, [growing('Resizing'), growing('NoSpace'), growing('WaitingForDetach')]);
  const [verdict] = await world.judge([growing('NoSpace')]);
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
