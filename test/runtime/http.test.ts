import { request } from 'undici';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loopsAlive, type Probe, startHttp } from '../../runtime/http.ts';
import { silentLog } from '../../runtime/log.ts';
import { Metrics } from '../../runtime/metrics.ts';

const test = suite('http and metrics');

async function aServer(probes: { healthy?: Probe; ready?: Probe } = {}) {
  const metrics = new Metrics({ ofProcess: true });
  const fine = () => undefined;
  const server = await startHttp({
    host: '127.0.0.1',
    port: 0,
    healthy: { loops: probes.healthy ?? fine },
    ready: { synced: probes.ready ?? fine },
    metrics,
    log: silentLog,
  });
  const get = async (path: string) => {
    const { statusCode, body } = await request(`http://127.0.0.1:${server.port}${path}`, { reset: true });
    return { code: statusCode, text: await body.text() };
  };
  return { server, metrics, get };
}

test('a healthy, ready program says so', async () => {
  const { server, get } = await aServer();
  assert.equal(await get('/healthz'), { code: 200, text: 'ok\n' });
  assert.equal(await get('/readyz?verbose'), { code: 200, text: 'ok\n' });
  assert.is((await get('/elsewhere')).code, 404);
  await server.close();
});

test('trouble is named', async () => {
  const { server, get } = await aServer({ ready: () => 'volumes are not synced' });
  assert.equal(await get('/readyz'), { code: 503, text: 'synced: volumes are not synced\n' });
  assert.is((await get('/healthz')).code, 200);
  await server.close();
});

test('a loop that does not even try any more is unhealthy; one not begun is not', () => {
  const loop = (ageMs: number) => ({ resource: { plural: 'volumes' }, lastActivityAgeMs: () => ageMs });
  assert.is(loopsAlive([loop(60_000), loop(Number.POSITIVE_INFINITY)])(), undefined);
  assert.is(loopsAlive([loop(1), loop(200_000)])(), 'no sign of life from the watch of volumes for 200 s');
});

test('metrics show what happened and how things stand', async () => {
  const { server, metrics, get } = await aServer();
  metrics.visited('volume', 'success', 120);
  metrics.queueWait('volume')(5);
  metrics.queueDepth('volume', () => 7);
  metrics.requested({ verb: 'patch', resource: 'volumes', subresource: 'status', code: 409, durationMs: 12 });
  metrics.watchEvent('volumes', 'ADDED');
  metrics.watchEnded('volumes', 'gone');
  metrics.synced('volumes', 3);
  metrics.watchAge('volumes', () => 1_500);
  metrics.watchAge('hosts', () => Number.POSITIVE_INFINITY);
  metrics.leading('vbs-controller', true);
  metrics.commanded({ tool: 'lvm', verb: 'create', outcome: 'ok' }, 300);
  const { text } = await get('/metrics');
  for (const line of [
    'vbs_reconcile_total{controller="volume",result="success"} 1',
    'vbs_queue_depth{controller="volume"} 7',
    'vbs_api_requests_total{verb="patch",resource="volumes/status",code="409"} 1',
    'vbs_reflector_events_total{resource="volumes",type="ADDED"} 1',
    'vbs_reflector_watch_ends_total{resource="volumes",how="gone"} 1',
    'vbs_reflector_synced_objects{resource="volumes"} 3',
    'vbs_reflector_last_event_age_seconds{resource="volumes"} 1.5',
    'vbs_leader{name="vbs-controller"} 1',
    'vbs_command_duration_seconds_count{tool="lvm",verb="create",outcome="ok"} 1',
    'vbs_reconcile_duration_seconds_count{controller="volume"} 1',
    'vbs_queue_wait_seconds_count{controller="volume"} 1',
  ]) {
    assert.match(text, line);
  }
  assert.match(text, 'nodejs_eventloop_lag_p99_seconds');
  assert.not.match(text, 'resource="hosts"');
  await server.close();
});

test('two programs in one process do not share metrics', async () => {
  const [one, other] = [new Metrics(), new Metrics()];
  one.leading('x', true);
  assert.not.match(await other.text(), 'name="x"');
});

test('an address that is taken is an error', async () => {
  const { server } = await aServer();
  const again = startHttp({
    host: '127.0.0.1',
    port: server.port,
    healthy: {},
    ready: {},
    metrics: new Metrics(),
    log: silentLog,
  });
  try {
    await again;
    assert.unreachable();
  } catch (error) {
    assert.is((error as NodeJS.ErrnoException).code, 'EADDRINUSE');
  }
  await server.close();
});

test.run();
