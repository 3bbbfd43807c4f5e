// The runtime against a real API server: what only the real one can show.

import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type KubeObject, keyOf, type Resource } from '../../api/object.ts';
import { EVENTS, LEASES } from '../../api/resources.ts';
import { type Api, type ApiSettings, createApi } from '../../runtime/api.ts';
import { systemClock } from '../../runtime/clock.ts';
import { ApiError } from '../../runtime/errors.ts';
import { EventRecorder, type KubeEvent } from '../../runtime/events.ts';
import { LeaseWatcher } from '../../runtime/heartbeats.ts';
import { type Lease, LeaseHolder } from '../../runtime/lease.ts';
import { silentLog } from '../../runtime/log.ts';
import { patchFinalizers, patchStatusBlock } from '../../runtime/patch.ts';
import { Reflector, type ReflectorOptions } from '../../runtime/reflector.ts';
import { recordingLog } from '../fakes/log.ts';
import { TcpProxy } from '../fakes/tcp-proxy.ts';
import { type ControlPlane, startControlPlane } from '../harness/control-plane.ts';
import { makeWorkdir, type Workdir } from '../harness/workdir.ts';

const MAPS: Resource = {
  group: '',
  version: 'v1',
  plural: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
};
const SPACES: Resource = {
  group: '',
  version: 'v1',
  plural: 'namespaces',
  kind: 'Namespace',
  namespaced: false,
};

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}
type Door = ReturnType<typeof createApi>;

const test = suite('runtime against a real API server');
const say = (message: string): void => void process.stderr.write(`${message}\n`);
const rejections: unknown[] = [];
const onRejection = (error: unknown) => rejections.push(error);

let workdir: Workdir;
let cluster: ControlPlane;
let admin: Door;
/** Undone after each test, last first. */
let undo: (() => unknown)[] = [];

test.before(async () => {
  process.on('unhandledRejection', onRejection);
  workdir = await makeWorkdir(say);
  cluster = await startControlPlane({ dir: workdir.dir, log: say });
  admin = createApi({ kubeconfigPath: cluster.adminKubeconfig, log: silentLog });
});

test.after(async () => {
  await admin.close();
  await cluster.stop();
  await workdir.remove();
  process.off('unhandledRejection', onRejection);
});

test.after.each(async () => {
  for (const step of undo.reverse()) {
    await step();
  }
  undo = [];
  assert.equal(rejections, [], 'a promise was left unheld');
});

/** Waits for the world to be so; generous, because the machine may be busy. */
async function until(what: string, holds: () => unknown): Promise<void> {
  const endMs = performance.now() + 90_000;
  while (!(await holds())) {
    if (performance.now() > endMs) {
      throw new Error(`still not so after 90 s: ${what}`);
    }
    await sleep(20);
  }
}

const aMap = (name: string, group: string, value = '0') => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'default', labels: { group } },
  data: { value },
});
const create = (name: string, group: string) => admin.create<ConfigMap>(MAPS, aMap(name, group));
const change = (name: string, value: string) =>
  admin.patch<ConfigMap>(MAPS, { name, namespace: 'default' }, { data: { value } }, { fieldManager: 'test' });
const remove = (name: string) => admin.remove(MAPS, { name, namespace: 'default' });

function aDoor(settings: Partial<ApiSettings> = {}): Door {
  const door = createApi({ kubeconfigPath: cluster.adminKubeconfig, log: silentLog, ...settings });
  undo.push(() => door.close());
  return door;
}

async function aProxy(): Promise<TcpProxy> {
  const proxy = new TcpProxy(cluster.port);
  await proxy.start();
  undo.push(() => proxy.stop());
  return proxy;
}

/** A running reflector of one label group, and everything that its handlers were told. */
async function aReflector(group: string, api: Api, options: Partial<ReflectorOptions> = {}) {
  const ends: string[] = [];
  const { log, lines } = recordingLog();
  const reflector = new Reflector<ConfigMap>({
    api,
    resource: MAPS,
    labelSelector: `group=${group}`,
    log,
    metrics: { watchEvent() {}, watchEnded: (_, how) => ends.push(how), synced() {} },
    ...options,
  });
  /** What somebody who only listens believes. */
  const believed = new Map<string, string>();
  const gone: string[] = [];
  reflector.onChange(({ key, object }) => {
    if (object === undefined) {
      believed.delete(key);
      gone.push(key.replace('default/', ''));
    } else {
      believed.set(key, object.metadata.resourceVersion);
    }
  });
  const stop = new AbortController();
  const ended = reflector.run(stop.signal);
  undo.push(async () => {
    stop.abort();
    await ended;
  });
  await reflector.synced;
  const isTrue = async () => {
    const { items } = await admin.list<ConfigMap>(MAPS, {
      namespace: 'default',
      labelSelector: `group=${group}`,
    });
    const truth = items.map((item) => `${keyOf(item)}@${item.metadata.resourceVersion}`).sort();
    return String([...believed].map(([key, version]) => `${key}@${version}`).sort()) === String(truth);
  };
  return { reflector, ends, gone, lines, isTrue };
}

const failureOf = async (attempt: Promise<unknown>): Promise<ApiError> => {
  try {
    await attempt;
  } catch (error) {
    if (error instanceof ApiError) {
      return error;
    }
    throw error;
  }
  throw new Error('it should have failed');
};

test('losing a compare-and-swap is a conflict in every form', async () => {
  const first = await create('cas', 'cas');
  assert.ok((await failureOf(create('cas', 'cas'))).isAlreadyExists);
  const second = await change('cas', '1');
  const patch = (metadata: object) =>
    admin.patch(MAPS, first.metadata, { metadata, data: { value: '9' } }, { fieldManager: 'test' });
  const { uid, resourceVersion } = second.metadata;
  const stale = await failureOf(patch({ uid, resourceVersion: first.metadata.resourceVersion }));
  assert.ok(stale.isConflict);
  assert.is(stale.status, 409);
  const foreign = await failureOf(patch({ uid: '00000000-0000-0000-0000-000000000000', resourceVersion }));
  assert.ok(foreign.isConflict, `${foreign.status} ${foreign.reason} ${JSON.stringify(foreign.causes)}`);
  const both = await failureOf(patch({ uid: 'other', resourceVersion: first.metadata.resourceVersion }));
  assert.ok(both.isConflict);
  assert.ok((await failureOf(admin.remove(MAPS, first.metadata, { uid: 'other' }))).isConflict);
  assert.ok((await failureOf(admin.remove(MAPS, first.metadata, { uid, resourceVersion: '1' }))).isConflict);
  await patch({ uid, resourceVersion });
  await admin.remove(MAPS, first.metadata, { uid });
  await admin.remove(MAPS, first.metadata, { uid });
  assert.is(await admin.get(MAPS, first.metadata), undefined);
  const invalid = await failureOf(admin.create(MAPS, aMap('UPPER', 'cas')));
  assert.ok(invalid.isInvalid && !invalid.isConflict);
});

test('writing what is there already is not a write', async () => {
  const object = await create('quiet', 'quiet');
  const { metadata } = await admin.patch(
    MAPS,
    object.metadata,
    { data: { value: '0' } },
    { fieldManager: 'test' },
  );
  assert.is(metadata.resourceVersion, object.metadata.resourceVersion);
});

test('status and finalizers are patched, and the last finalizer lets the object go', async () => {
  const made = await admin.create(SPACES, {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'patched' },
  });
  const held = await patchFinalizers(admin, {
    resource: SPACES,
    object: made,
    finalizers: ['vbs.dev/test'],
    fieldManager: 'test',
  });
  assert.equal(held?.metadata.finalizers, ['vbs.dev/test']);
  const conditions = [
    {
      type: 'Seen',
      status: 'True',
      reason: 'Looked',
      message: 'by the test',
      lastTransitionTime: '2026-11-23T12:00:00Z',
    },
  ];
  const object = held as KubeObject & { readonly status?: object };
  const owned = { conditions };
  const written = await patchStatusBlock(admin, { resource: SPACES, object, owned, fieldManager: 'test' });
  assert.equal({ ...written?.status }, { phase: 'Active', conditions });
  const stale = patchStatusBlock(admin, {
    resource: SPACES,
    object,
    owned: { conditions: [] },
    fieldManager: 'test',
  });
  assert.ok((await failureOf(stale)).isConflict);
  const map = await admin.create<ConfigMap>(MAPS, {
    ...aMap('held', 'held'),
    metadata: { name: 'held', namespace: 'default', finalizers: ['vbs.dev/test'] },
  });
  await admin.remove(MAPS, map.metadata);
  const dying = await admin.get<ConfigMap>(MAPS, map.metadata);
  assert.ok(dying?.metadata.deletionTimestamp);
  await patchFinalizers(admin, {
    resource: MAPS,
    object: dying ?? map,
    finalizers: [],
    fieldManager: 'test',
  });
  assert.is(await admin.get(MAPS, map.metadata), undefined);
  const late = { resource: MAPS, object: map, finalizers: ['x.dev/y'], fieldManager: 'test' };
  assert.is(await patchFinalizers(admin, late), undefined);
});

test('a reflector streams the list, follows changes and shows own writes', async () => {
  await create('one', 'follow');
  const { reflector, isTrue, gone } = await aReflector('follow', aDoor());
  assert.ok(await isTrue());
  const own = await change('one', 'mine');
  reflector.written(own);
  assert.is(reflector.get('default/one')?.data?.value, 'mine');
  await create('two', 'follow');
  await remove('one');
  await create('one', 'follow');
  await until('the reflector has followed', isTrue);
  assert.equal(gone, ['one']);
});

test('leaving the selection arrives as gone', async () => {
  await create('leaving', 'selected');
  const { isTrue, gone } = await aReflector('selected', aDoor());
  const labels = { labels: { group: 'elsewhere' } };
  await admin.patch(
    MAPS,
    { name: 'leaving', namespace: 'default' },
    { metadata: labels },
    { fieldManager: 'test' },
  );
  await until('it has left', isTrue);
  assert.equal(gone, ['leaving']);
});

test('pages give the same as a stream', async () => {
  for (let number = 0; number < 7; number++) {
    await create(`page-${number}`, 'pages');
  }
  const door = aDoor();
  const noStreams: Pick<Api, 'watch' | 'list'> = {
    list: door.list,
    watch: (resource, query, signal) => {
      const refused = query.sendInitialEvents ? { ...query, resourceVersion: 'nonsense' } : query;
      return door.watch(resource, refused, signal);
    },
  };
  const { isTrue, lines } = await aReflector('pages', noStreams as Api);
  assert.ok(lines.some(({ message }) => message.includes('paging instead')));
  assert.ok(await isTrue());
  await change('page-3', 'later');
  await until('a change after the pages is followed', isTrue);
});

test('a killed API server that comes back costs nothing', async () => {
  for (const name of ['stays', 'changes', 'goes']) {
    await create(name, 'kill');
  }
  const { isTrue, gone, reflector } = await aReflector('kill', aDoor());
  await cluster.killApiServer();
  await until(
    'reads fail',
    async () => (await failureOf(admin.get(MAPS, { name: 'stays', namespace: 'default' }))).isUnanswered,
  );
  assert.is(reflector.list().length, 3);
  await cluster.startApiServer();
  await change('changes', 'after');
  await remove('goes');
  await create('new', 'kill');
  await until('the reflector has caught up', isTrue);
  assert.equal(gone, ['goes']);
  await change('new', 'and on');
  await until('the reflector follows again', isTrue);
});

test('an outage of the database is waited out', async () => {
  await create('kept', 'database');
  const { isTrue, gone } = await aReflector('database', aDoor());
  const impatient = aDoor({ deadlineMs: 3_000 });
  await cluster.killEtcd();
  const write = impatient.create(MAPS, aMap('during', 'database'));
  await failureOf(write);
  await cluster.startEtcd();
  await until('writes succeed again', () => change('kept', 'after').catch(() => undefined));
  await create('after', 'database');
  await until('the reflector has caught up', isTrue);
  assert.equal(gone, []);
});

test('a reflector whose place was forgotten lists again and tells the real differences', async () => {
  for (const name of ['keeps', 'turns', 'vanishes', 'reborn']) {
    await create(name, 'gone');
  }
  const proxy = await aProxy();
  const via = await proxy.kubeconfig(cluster.adminKubeconfig);
  const { isTrue, ends, gone, reflector } = await aReflector('gone', aDoor({ kubeconfigPath: via }));
  const told: string[] = [];
  reflector.onChange(({ key }) => told.push(key.replace('default/', '')));
  proxy.refusing = true;
  proxy.cut();
  await change('turns', 'behind its back');
  await remove('vanishes');
  await remove('reborn');
  await create('reborn', 'gone');
  // A restarted API server remembers no events from before its start.
  await cluster.killApiServer();
  await cluster.startApiServer();
  proxy.refusing = false;
  await until('the reflector has caught up', isTrue);
  assert.ok(ends.includes('gone'), `it ended by ${ends}`);
  assert.equal(gone.sort(), ['reborn', 'vanishes']);
  assert.equal(told.sort(), ['reborn', 'reborn', 'turns', 'vanishes']);
});

test('a connection that goes silent is left, and its events are not lost', async () => {
  await create('quiet-one', 'silent');
  const proxy = await aProxy();
  const via = await proxy.kubeconfig(cluster.adminKubeconfig);
  const { isTrue, ends, gone } = await aReflector('silent', aDoor({ kubeconfigPath: via }), {
    silenceMs: 3_000,
  });
  proxy.freeze();
  await change('quiet-one', 'unheard');
  await create('quiet-two', 'silent');
  await remove('quiet-one');
  await until('the reflector has caught up', isTrue);
  assert.ok(ends.includes('silent'));
  assert.equal(gone, ['quiet-one']);
});

test('a request on a dead connection times out, the next one gets through', async () => {
  const proxy = await aProxy();
  const via = await proxy.kubeconfig(cluster.adminKubeconfig);
  const door = aDoor({ kubeconfigPath: via, deadlineMs: 2_000 });
  const read = () => door.get(SPACES, { name: 'default' });
  for (let times = 0; times < 5; times++) {
    await read();
  }
  const connections = proxy.connections;
  proxy.freeze();
  let timeouts = 0;
  await until('a request gets through', () =>
    read().catch((error) => {
      assert.is(error.reason, 'Timeout');
      timeouts += 1;
    }),
  );
  assert.ok(timeouts >= 1 && timeouts <= connections, `${timeouts} timeouts on ${connections} connections`);
});

test('requests share connections', async () => {
  const proxy = await aProxy();
  const via = await proxy.kubeconfig(cluster.adminKubeconfig);
  const door = aDoor({ kubeconfigPath: via });
  for (let request = 0; request < 30; request++) {
    await door.get(SPACES, { name: 'default' });
  }
  assert.ok(proxy.connections <= 3, `${proxy.connections} connections for 30 requests`);
});

/** A candidate behind a proxy of its own. */
async function aCandidate(holder: string, holding: Set<string>, name: string) {
  const proxy = await aProxy();
  const api = aDoor({ kubeconfigPath: await proxy.kubeconfig(cluster.adminKubeconfig) });
  const stop = new AbortController();
  const lease = new LeaseHolder({
    api,
    name,
    namespace: 'default',
    holder,
    leaseDurationMs: 6_000,
    renewDeadlineMs: 4_000,
    retryMs: 500,
    takeOverStale: true,
    clock: systemClock,
    log: silentLog,
  });
  let most = 0;
  const ended = lease.run(stop.signal, {
    onHeld: (held) => {
      holding.add(holder);
      most = Math.max(most, holding.size);
      held.addEventListener('abort', () => holding.delete(holder), { once: true });
    },
  });
  const leave = async () => {
    stop.abort();
    await ended;
  };
  undo.push(leave);
  return { proxy, leave, most: () => most };
}

test('a lease moves when its holder is cut off or leaves, and is never held twice', async () => {
  const holding = new Set<string>();
  const a = await aCandidate('a', holding, 'elected');
  await until('a holds', () => holding.has('a'));
  const b = await aCandidate('b', holding, 'elected');
  a.proxy.swallowing = true;
  a.proxy.freeze();
  await until('b holds', () => holding.has('b'));
  assert.equal([...holding], ['b']);
  a.proxy.swallowing = false;
  a.proxy.cut();
  await b.leave();
  await until('a holds again', () => holding.has('a'));
  assert.is(Math.max(a.most(), b.most()), 1);
  const lease = await admin.get<Lease>(LEASES, { name: 'elected', namespace: 'default' });
  assert.is(lease?.spec?.leaseTransitions, 2);
});

test('a lease survives a restart of the API server', async () => {
  const holding = new Set<string>();
  const { most } = await aCandidate('only', holding, 'survivor');
  await until('it holds', () => holding.has('only'));
  await cluster.killApiServer();
  await cluster.startApiServer();
  const before = await admin.get<Lease>(LEASES, { name: 'survivor', namespace: 'default' });
  await until('it is renewed again', async () => {
    const now = await admin.get<Lease>(LEASES, { name: 'survivor', namespace: 'default' });
    return now?.spec?.renewTime !== before?.spec?.renewTime && holding.has('only');
  });
  assert.is(most(), 1);
});

test('heartbeats make a host fresh, their end makes it stale', async () => {
  const reflector = new Reflector<Lease>({
    api: aDoor(),
    resource: LEASES,
    namespace: 'default',
    log: silentLog,
  });
  const watcher = new LeaseWatcher({ leases: reflector, api: admin, clock: systemClock, log: silentLog });
  const stop = new AbortController();
  const ended = reflector.run(stop.signal);
  undo.push(async () => {
    stop.abort();
    await ended;
    watcher.stop();
  });
  const { proxy } = await aCandidate('m1:b1', new Set(), 'host');
  await until('the host is fresh', () => watcher.freshness('default/host') === 'fresh');
  assert.is(watcher.holder('default/host'), 'm1:b1');
  proxy.swallowing = true;
  proxy.freeze();
  await until('the host is stale', () => watcher.freshness('default/host') === 'stale');
});

test('the same words are one event with a rising count', async () => {
  const recorder = () =>
    new EventRecorder({
      api: admin,
      component: 'vbs.dev/test',
      instance: 'test-1',
      clock: systemClock,
      log: silentLog,
    });
  const regarding = await create('eventful', 'events');
  const space = await admin.get(SPACES, { name: 'default' });
  assert.ok(space);
  for (let run = 0; run < 3; run++) {
    const events = recorder();
    events.record({ regarding, reason: 'Placed', message: 'on s1' });
    events.record({ regarding, reason: 'Placed', message: 'on s1' });
    events.record({ regarding: space, reason: 'Seen', message: `€${'x'.repeat(5_000)}`, type: 'Warning' });
    const stop = new AbortController();
    stop.abort();
    await events.run(stop.signal);
  }
  const { items } = await admin.list<KubeEvent>(EVENTS, {
    namespace: 'default',
    fieldSelector: 'reportingController=vbs.dev/test',
  });
  const told = items.map(({ reason, type, series }) => `${type} ${reason} ${series?.count}`).sort();
  assert.equal(told, ['Normal Placed 6', 'Warning Seen 3']);
});

test.run();
