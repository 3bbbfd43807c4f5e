// The controller process when its connections fail it: its place in the watch is forgotten, or nothing comes any more. Between it
// and the API server stands a proxy that misbehaves on demand. This API server keeps no watch cache, so that what etcd
// compacts is gone for its watchers, too, as on a server that had to drop its own.
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FINALIZER } from '../../api/names.ts';
import { API_VERSION, VOLUMES } from '../../api/resources.ts';
import type { Volume } from '../../api/volume.ts';
import { type Api, createApi } from '../../runtime/api.ts';
import { ApiError } from '../../runtime/errors.ts';
import { silentLog } from '../../runtime/log.ts';
import { TcpProxy } from '../fakes/tcp-proxy.ts';
import { AuditLog, isList, programOf } from '../harness/audit.ts';
import { type ControlPlane, startControlPlane } from '../harness/control-plane.ts';
import { install } from '../harness/install.ts';
import { leads } from '../harness/leaders.ts';
import { loud } from '../harness/loud.ts';
import { waitFor } from '../harness/process.ts';
import { ControllerProcess, controllerKubeconfig } from '../harness/scale/controllers.ts';
import { makeWorkdir, type Workdir } from '../harness/workdir.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const silenceSeconds = 6;
const VOLUMES_MADE = 300;

interface World {
  workdir: Workdir;
  audit: AuditLog;
  controlPlane: ControlPlane;
  api: Api & { close(): Promise<void> };
  proxy: TcpProxy;
  controller: ControllerProcess;
}

const trouble = suite<World>('a controller in trouble');

const refOf = (name: string) => ({ name, namespace: 'default' });
const make = (api: Api, name: string) =>
  api.create<Volume>(VOLUMES, {
    apiVersion: API_VERSION,
    kind: 'Volume',
    metadata: refOf(name),
    spec: { size: '1Mi' },
  } as never);

/** The controller has seen the object: it wrote its finalizer, and why nothing can go on without a host. */
async function isSeen(api: Api, name: string): Promise<boolean> {
  const found = await api.get<Volume>(VOLUMES, refOf(name));
  const conditions = found?.status?.conditions ?? [];
  return found?.metadata.finalizers?.includes(FINALIZER) === true && conditions.length > 0;
}

const untilSeen = (api: Api, name: string) =>
  waitFor({ what: `the controller to see ${name}`, timeoutMs: 60_000 }, () => isSeen(api, name));

const untilGone = (api: Api, name: string) =>
  waitFor({ what: `${name} to be gone`, timeoutMs: 60_000 }, async () => {
    return (await api.get(VOLUMES, refOf(name))) === undefined;
  });

const ended = (world: World, how: string) =>
  world.controller.metric('vbs_reflector_watch_ends_total', 'resource="volumes"', `how="${how}"`);
const syncs = (world: World) => world.controller.metric('vbs_reflector_syncs_total', 'resource="volumes"');

trouble.before(
  loud(async (world) => {
    world.audit = await AuditLog.make({ bodies: false });
    world.workdir = await makeWorkdir(log);
    const { dir } = world.workdir;
    const apiServerArgs = [...world.audit.apiServerArgs, '--watch-cache=false'];
    world.controlPlane = await startControlPlane({ dir, log, apiServerArgs });
    await install(world.controlPlane, []);
    world.api = createApi({ kubeconfigPath: world.controlPlane.adminKubeconfig, log: silentLog });
    world.proxy = new TcpProxy(world.controlPlane.port);
    await world.proxy.start();
    const kubeconfig = await world.proxy.kubeconfig(await controllerKubeconfig(world.controlPlane));
    // Its Lease outlives every trouble made here, so that the same process has to get over them.
    const leaderElection = { leaseSeconds: 120, renewSeconds: 100, retrySeconds: 1 };
    const config = { leaderElection, watchSilenceSeconds: silenceSeconds };
    world.controller = await ControllerProcess.make({ dir, name: 'controller', kubeconfig, config });
    await world.controller.start();
    await world.controller.untilReady();
    await waitFor({ what: 'it to lead', timeoutMs: 60_000 }, () => leads(world.controller.port));
    await Promise.all(Array.from({ length: VOLUMES_MADE }, (_, number) => make(world.api, `v-${number}`)));
    await untilSeen(world.api, `v-${VOLUMES_MADE - 1}`);
    await world.audit.quiet(3_000);
  }),
);

trouble.after(
  loud(async ({ controller, proxy, api, controlPlane, workdir, audit }) => {
    await controller?.stop();
    await proxy?.stop();
    await api?.close();
    await controlPlane?.stop();
    await workdir?.remove();
    await audit?.remove();
  }),
);

/** Whether a watch from there is answered with 410. */
async function isCompacted(api: Api, resourceVersion: string): Promise<boolean> {
  const stop = AbortSignal.timeout(1_000);
  try {
    for await (const _ of api.watch(VOLUMES, { resourceVersion, timeoutSeconds: 1 }, stop)) {
      break;
    }
    return false;
  } catch (error) {
    return error instanceof ApiError && error.isGone;
  }
}

trouble(
  'a place in the watch that was compacted costs one list of each kind, and loses nothing',
  async (world) => {
    const { api, proxy, controller, audit } = world;
    const { pid } = controller.process;
    const before = { gone: await ended(world, 'gone'), syncs: await syncs(world) };
    const place = (await api.list(VOLUMES, { limit: 1 })).resourceVersion;
    proxy.refusing = true;
    proxy.cut();
    await make(api, 'behind-its-back');
    await api.remove(VOLUMES, refOf('v-0'));
    await world.controlPlane.compactEtcd();
    assert.ok(await isCompacted(api, place), 'a watch from there is answered with 410');
    const from = await audit.end();
    proxy.refusing = false;
    await untilSeen(api, 'behind-its-back');
    await untilGone(api, 'v-0');
    await sleep(3_000);
    const lists = (await audit.between(from))
      .filter(isList)
      .filter((event) => programOf(event) === 'vbs-controller');
    const listed = lists.map(({ objectRef }) => objectRef.resource).sort();
    log(`after the compaction: lists of ${listed.join(', ')}`);
    assert.ok((await ended(world, 'gone')) > before.gone, 'the watch was told that its place is gone');
    assert.is((await syncs(world)) - before.syncs, 1, 'one list of the volumes');
    assert.equal(listed, [...new Set(listed)], 'no kind was listed twice');
    assert.is(listed.filter((kind) => kind === 'volumes').length, 1);
    assert.is(controller.process.pid, pid);
    assert.ok(controller.process.isRunning());
  },
);

trouble('connections that freeze are left after their silence, without a list', async (world) => {
  const { api, proxy, controller, audit } = world;
  const before = { silent: await ended(world, 'silent'), syncs: await syncs(world) };
  const from = await audit.end();
  proxy.freeze();
  const frozenMs = performance.now();
  await make(api, 'unheard');
  await api.remove(VOLUMES, refOf('v-2'));
  await untilSeen(api, 'unheard');
  await untilGone(api, 'v-2');
  const seconds = ((performance.now() - frozenMs) / 1000).toFixed(1);
  log(`frozen connections: got over after ${seconds} s (a watch may be silent for ${silenceSeconds} s)`);
  assert.ok((await ended(world, 'silent')) > before.silent, 'the watch was left for its silence');
  assert.is(await syncs(world), before.syncs);
  assert.equal((await audit.between(from)).filter(isList), []);
  assert.ok(controller.process.isRunning());
  assert.is(await leads(controller.port), true);
});

trouble.run();
