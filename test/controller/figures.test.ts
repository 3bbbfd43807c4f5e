// What the controller's caches hold, as an alert or a dashboard sees it.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { KubeObject } from '../../api/object.ts';
import { type Seen, showFigures } from '../../controller/figures.ts';
import { Metrics } from '../../runtime/metrics.ts';
import { aHypervisor, anAttachment, aServer, aVolume } from '../builders/objects.ts';
import { FakeClock } from '../fakes/clock.ts';

const test = suite('figures');

const listOf = <T extends KubeObject>(...objects: T[]) => ({ list: () => objects });

const ready = (status: 'True' | 'False' | 'Unknown', reason: string, since: string) => ({
  conditions: [{ type: 'Ready', status, reason, message: '', lastTransitionTime: since }],
});

const setUp = (seen: Partial<Seen>) => {
  const metrics = new Metrics();
  const clock = new FakeClock();
  showFigures(
    metrics,
    {
      volumes: listOf(),
      snapshots: listOf(),
      attachments: listOf(),
      servers: listOf(),
      hypervisors: listOf(),
      ...seen,
    },
    clock,
  );
  const lines = async (name: string) =>
    (await metrics.text()).split('\n').filter((line) => line.startsWith(`${name}{`));
  return { clock, lines };
};

/** RFC 3339, so many seconds before the clock. */
const ago = (clock: FakeClock, seconds: number): string =>
  new Date(clock.now().getTime() - seconds * 1000).toISOString();

test('objects are counted by kind, readiness and reason', async () => {
  const { lines } = setUp({
    volumes: listOf(
      aVolume({ status: ready('True', 'Provisioned', '2026-01-01T00:00:00Z') }),
      aVolume({ status: ready('True', 'Provisioned', '2026-01-01T00:00:00Z') }),
      aVolume({ status: ready('False', 'NoSpace', '2026-01-01T00:00:00Z') }),
    ),
    attachments: listOf(anAttachment()),
  });
  assert.equal(await lines('vbs_objects'), [
    'vbs_objects{kind="Volume",ready="True",reason="Provisioned"} 2',
    'vbs_objects{kind="Volume",ready="False",reason="NoSpace"} 1',
    'vbs_objects{kind="Attachment",ready="Unknown",reason="Unseen"} 1',
  ]);
});

test('the longest wait is told by kind and reason, also of what nobody has looked at', async () => {
  const clock = new FakeClock();
  const { lines } = setUp({
    volumes: listOf(
      aVolume({ status: ready('False', 'NoSpace', ago(clock, 20)) }),
      aVolume({ status: ready('False', 'NoSpace', ago(clock, 300)) }),
      aVolume({ status: ready('True', 'Provisioned', ago(clock, 900)) }),
      aVolume({ metadata: { creationTimestamp: ago(clock, 60) } }),
    ),
  });
  assert.equal(await lines('vbs_oldest_wait_seconds'), [
    'vbs_oldest_wait_seconds{kind="Volume",reason="NoSpace"} 300',
    'vbs_oldest_wait_seconds{kind="Volume",reason="Unseen"} 60',
  ]);
});

test('a disk that has to be cut off, and a volume that has to grow, wait although they are Ready', async () => {
  const clock = new FakeClock();
  const also = (type: string, reason: string) => ({
    conditions: [
      ...ready('True', 'Attached', ago(clock, 900)).conditions,
      { type, status: 'False' as const, reason, message: '', lastTransitionTime: ago(clock, 40) },
    ],
  });
  const { lines } = setUp({
    volumes: listOf(aVolume({ status: also('Resized', 'NoSpace') })),
    attachments: listOf(anAttachment({ status: also('Fenced', 'Fencing') })),
  });
  assert.equal(await lines('vbs_oldest_wait_seconds'), [
    'vbs_oldest_wait_seconds{kind="Volume",reason="NoSpace"} 40',
    'vbs_oldest_wait_seconds{kind="Attachment",reason="Fencing"} 40',
  ]);
});

test('what is gone is told no more', async () => {
  const volumes = [aVolume({ status: ready('False', 'NoSpace', '2026-01-01T00:00:00Z') })];
  const { lines } = setUp({ volumes: { list: () => volumes } });
  assert.is((await lines('vbs_objects')).length, 1);
  volumes.pop();
  assert.equal(await lines('vbs_objects'), []);
});

test('hosts have names, conditions, leftovers; servers their pools and what they keep', async () => {
  const server = aServer('s1').host;
  const { lines } = setUp({
    servers: listOf({
      ...server,
      status: {
        ...ready('True', 'Heard', '2026-01-01T00:00:00Z'),
        agent: {
          bootID: 'boot-s1',
          version: '0.1.0',
          pools: [
            { name: 'main', profile: 'file', totalBytes: '100', freeBytes: '40' },
            { name: 'off', profile: 'file', problem: { reason: 'PoolMissing', message: '' } },
          ],
          leftovers: [{ kind: 'Backing', name: 'x' }],
          retainedOmitted: 3,
        } as never,
      },
    }),
    hypervisors: listOf({
      ...aHypervisor('h1').host,
      status: ready('False', 'HostSilent', '2026-01-01T00:00:00Z'),
    }),
  });
  assert.equal(await lines('vbs_host_condition'), [
    'vbs_host_condition{kind="VolumeServer",host="s1",condition="Ready",status="True",reason="Heard"} 1',
    'vbs_host_condition{kind="Hypervisor",host="h1",condition="Ready",status="False",reason="HostSilent"} 1',
  ]);
  assert.equal(await lines('vbs_host_info'), [
    'vbs_host_info{kind="VolumeServer",host="s1",version="0.1.0"} 1',
  ]);
  assert.equal(await lines('vbs_host_leftovers'), ['vbs_host_leftovers{kind="VolumeServer",host="s1"} 1']);
  assert.equal(await lines('vbs_server_pool_bytes'), [
    'vbs_server_pool_bytes{host="s1",pool="main",kind="total"} 100',
    'vbs_server_pool_bytes{host="s1",pool="main",kind="free"} 40',
  ]);
  assert.equal(await lines('vbs_server_pool_faulty'), [
    'vbs_server_pool_faulty{host="s1",pool="main"} 0',
    'vbs_server_pool_faulty{host="s1",pool="off"} 1',
  ]);
  assert.equal(await lines('vbs_server_kept'), [
    'vbs_server_kept{host="s1",kind="retained"} 3',
    'vbs_server_kept{host="s1",kind="orphaned"} 0',
    'vbs_server_kept{host="s1",kind="freeing"} 0',
  ]);
});

test.run();
