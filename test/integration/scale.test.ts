// Thousands of objects on the real API server, with the real controller process and the agents' real roles over tools that
// are played in memory: how long, how much memory, how many requests; and what must not cost anything does not.
//
//   VBS_SCALE=full     5,000 Volumes and 1,000 Attachments on 20 volume servers and 20 hypervisors
//   (absent)           1,000 and 200 on 6 and 6, to stay within minutes on two cores
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Api, createApi } from '../../runtime/api.ts';
import { silentLog } from '../../runtime/log.ts';
import { type AuditEvent, AuditLog, isConflict, isList, isWrite, programOf } from '../harness/audit.ts';
import { type Budget, loadBudget, overBudget } from '../harness/budget.ts';
import { type ControlPlane, startControlPlane } from '../harness/control-plane.ts';
import { install } from '../harness/install.ts';
import { LeaderWatch, leads } from '../harness/leaders.ts';
import { loud } from '../harness/loud.ts';
import { waitFor } from '../harness/process.ts';
import { ControllerProcess, controllerKubeconfig } from '../harness/scale/controllers.ts';
import { Crowd } from '../harness/scale/crowd.ts';
import { LightHosts } from '../harness/scale/light-hosts.ts';
import { makeWorkdir, type Workdir } from '../harness/workdir.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

const isFull = process.env.VBS_SCALE === 'full';
const size = isFull
  ? { volumes: 5_000, attachments: 1_000, servers: 20, hypervisors: 20, later: 500 }
  : { volumes: 1_000, attachments: 200, servers: 6, hypervisors: 6, later: 120 };
const limitMs = isFull ? 15 * 60_000 : 4 * 60_000;
/** Longer than the controller's and the agents' resync: everything is looked at once more in this time. */
const resyncSeconds = 20;
const quietMs = 25_000;
/** A machine has 26 names for disks. */
const machines = Math.ceil((size.attachments + size.later / 2) / size.hypervisors / 12);

interface World {
  workdir: Workdir;
  audit: AuditLog;
  controlPlane: ControlPlane;
  api: Api & { close(): Promise<void> };
  hosts: LightHosts;
  crowd: Crowd;
  first: ControllerProcess;
  second: ControllerProcess;
  budget: Budget;
}

const scale = suite<World>('scale');
const names = (what: string, count: number) =>
  Array.from({ length: count }, (_, index) => `${what}-${index}`);
const machinesOf = (hypervisor: string) => names(`vm-${hypervisor}`, machines);

scale.before(
  loud(async (world) => {
    log(
      isFull
        ? 'full size'
        : `reduced size: ${size.volumes} Volumes and ${size.attachments} Attachments; VBS_SCALE=full for 5,000 and 1,000`,
    );
    world.budget = await loadBudget();
    world.audit = await AuditLog.make({ bodies: false });
    world.workdir = await makeWorkdir(log);
    const { dir } = world.workdir;
    world.controlPlane = await startControlPlane({ dir, log, apiServerArgs: world.audit.apiServerArgs });
    const { controlPlane } = world;
    const [servers, hypervisors] = [names('server', size.servers), names('hypervisor', size.hypervisors)];
    await install(controlPlane, [...servers, ...hypervisors]);
    world.api = createApi({ kubeconfigPath: controlPlane.adminKubeconfig, log: silentLog });
    world.crowd = new Crowd(world.api, hypervisors.flatMap(machinesOf));
    world.hosts = new LightHosts({ dir, controlPlane, servers, hypervisors, machinesOf });
    const kubeconfig = await controllerKubeconfig(controlPlane);
    const leaderElection = { leaseSeconds: 10, renewSeconds: 7, retrySeconds: 1 };
    const config = { resyncSeconds, leaderElection };
    world.first = await ControllerProcess.make({ dir, name: 'controller-1', kubeconfig, config });
    world.second = await ControllerProcess.make({ dir, name: 'controller-2', kubeconfig, config });
    await world.first.start();
    await world.first.untilReady();
    await world.hosts.start();
    await waitFor({ what: 'all hosts to be Ready', timeoutMs: 120_000 }, async () => {
      const ready = await controlPlane.kubectl([
        'get',
        'volumeservers,hypervisors',
        '-o',
        'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}',
      ]);
      return (
        ready.split(' ').filter((status) => status === 'True').length === size.servers + size.hypervisors
      );
    });
  }),
);

scale.after(
  loud(async ({ crowd, hosts, first, second, api, controlPlane, workdir, audit }) => {
    await crowd?.close();
    await hosts?.stop();
    await Promise.all([first?.stop(), second?.stop()]);
    await api?.close();
    await controlPlane?.stop();
    await workdir?.remove();
    await audit?.remove();
  }),
);

/** `120 patch volumes/status` for each kind of request, most first. */
function counted(events: readonly AuditEvent[]): string {
  const counts = new Map<string, number>();
  for (const { verb, objectRef } of events) {
    const what = [verb, [objectRef.resource, objectRef.subresource].filter(Boolean).join('/')].join(' ');
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  const rows = [...counts].toSorted((a, b) => b[1] - a[1]).map(([what, count]) => `${count} ${what}`);
  return rows.length === 0 ? 'none' : rows.join(', ');
}

const isController = (event: AuditEvent): boolean => programOf(event) === 'vbs-controller';

function printRequests(what: string, events: readonly AuditEvent[]): void {
  const shown = (title: string, some: readonly AuditEvent[]) => {
    const [written, lists] = [some.filter(isWrite), some.filter(isList)];
    const gets = some.filter(({ verb }) => verb === 'get').length;
    log(
      `${what}, ${title}: ${written.length} writes (${counted(written)}), ${lists.length} lists, ${gets} gets`,
    );
  };
  shown('controller', events.filter(isController));
  shown(
    'agents',
    events.filter((event) => !isController(event)),
  );
  log(`${what}: ${events.filter(isWrite).filter(isConflict).length} writes lost a compare-and-swap`);
}

async function printMemory(what: string, controller: ControllerProcess): Promise<void> {
  const { now, peak } = await controller.memoryMiB();
  log(`${what}: the controller has ${now} MiB resident, ${peak} at most`);
}

scale('everything becomes Ready, within what a crowd may cost', async (world) => {
  const { crowd, hosts, audit, first, budget } = world;
  await printMemory('before', first);
  const [from, startedMs] = [await audit.end(), performance.now()];
  const made = crowd.make({ prefix: 'v', ...size });
  await made;
  log(`made after ${seconds(performance.now() - startedMs)}`);
  await crowd.untilDone(size.volumes, size.attachments, limitMs);
  const tookMs = performance.now() - startedMs;
  log(`${size.volumes} Volumes and ${size.attachments} Attachments are Ready after ${seconds(tookMs)}`);
  await audit.quiet(4_000, limitMs);
  const events = await audit.between(from);
  printRequests('converging', events);
  await printMemory('after converging', first);
  const writes = events.filter(isWrite).filter((event) => !isConflict(event));
  const perVolume = budget.crowd.create?.writes ?? 0;
  const perAttachment = budget.crowd.attach?.writes ?? 0;
  // Beside the objects: reports of the hosts about themselves, and a key for each pair of hosts in both their namespaces.
  const ofHosts = writes.filter(({ objectRef }) =>
    ['volumeservers', 'hypervisors', 'secrets'].includes(objectRef.resource),
  ).length;
  const found = { writes: writes.length - ofHosts };
  const allowed = { writes: size.volumes * perVolume + size.attachments * perAttachment };
  assert.equal(overBudget('converging', found, allowed), []);
  assert.ok(
    ofHosts <= size.servers * size.hypervisors * 2 + (size.servers + size.hypervisors) * 30,
    `${ofHosts} writes about hosts`,
  );
  assert.equal(hosts.contents, {
    backings: size.volumes,
    targets: size.attachments,
    disks: size.attachments,
  });
});

scale(
  'nothing is written and nothing changed while nothing happens',
  async ({ audit, hosts, first, budget }) => {
    await audit.quiet(4_000);
    const [from, changes] = [await audit.end(), hosts.changes];
    const visits = await first.metric('vbs_reconcile_total', 'controller="volume"');
    await sleep(quietMs);
    const events = await audit.between(from);
    const visited = (await first.metric('vbs_reconcile_total', 'controller="volume"')) - visits;
    printRequests('idle', events);
    log(`idle: ${visited} visits in ${seconds(quietMs)}`);
    assert.ok(visited >= size.volumes, 'every volume was looked at meanwhile');
    const cost = {
      writes: events.filter(isWrite).length,
      lists: events.filter(isList).length,
      commands: hosts.changes - changes,
    };
    assert.equal(overBudget('idle', cost, budget.idle), []);
  },
);

scale('a controller that starts where everything is settled writes nothing', async (world) => {
  const { audit, first, budget } = world;
  await first.stop();
  const from = await audit.end();
  await first.start();
  log(`restart: caches are full ${seconds(await first.untilReady())} after the start of the process`);
  await waitFor({ what: 'it to lead', timeoutMs: 60_000, intervalMs: 10 }, () => leads(first.port));
  await waitFor({ what: 'a visit of everything', timeoutMs: limitMs }, async () => {
    return (await first.metric('vbs_reconcile_total', 'controller="volume"')) >= size.volumes;
  });
  // Whatever it has to say about hosts, it says when their heartbeats came once.
  await sleep(10_000);
  const events = (await audit.between(from)).filter(isController);
  printRequests('restart', events);
  await printMemory('after the restart', first);
  const cost = { writes: events.filter(isWrite).length, lists: events.filter(isList).length };
  assert.equal(overBudget('restart', cost, budget.restart), []);
  assert.ok(cost.lists > 0, 'the audit log shows the lists at all');
});

scale('kill -9 of the leader under load: the other goes on, and never did both lead', async (world) => {
  const { crowd, first, second, hosts } = world;
  await second.start();
  await second.untilReady();
  assert.is(await leads(second.port), false, 'the second one waits');
  const watch = new LeaderWatch([first.port, second.port]);
  const total = { volumes: size.volumes + size.later, attachments: size.attachments + size.later / 2 };
  const startedMs = performance.now();
  const made = crowd.make({ prefix: 'late', volumes: size.later, attachments: size.later / 2 });
  await crowd.untilDone(size.volumes + size.later / 4, size.attachments, limitMs);
  await first.kill();
  const killedMs = performance.now();
  const before = crowd.done;
  await waitFor({ what: 'the other to lead', timeoutMs: 60_000, intervalMs: 10 }, () => leads(second.port));
  log(`failover: ${seconds(performance.now() - killedMs)} without a leader`);
  await made;
  await crowd.untilDone(total.volumes, total.attachments, limitMs);
  log(`failover: all is Ready ${seconds(performance.now() - startedMs)} after the first was made`);
  assert.ok(before.volumes < total.volumes, 'there was work left when the leader was killed');
  await first.start();
  await first.untilReady();
  await sleep(2_000);
  await watch.stop();
  log(`failover: both were asked ${watch.samples} times whether they lead`);
  assert.ok(watch.samples > 20, `${watch.samples} samples`);
  assert.is(watch.both, 0, 'samples in which both led');
  assert.equal(hosts.twoWriters, []);
  await printMemory('after the failover', second);
});

scale('everything goes, and nothing is left on any host', async (world) => {
  const { crowd, audit, hosts } = world;
  const [from, startedMs] = [await audit.end(), performance.now()];
  await crowd.removeAll();
  await crowd.untilGone(limitMs);
  log(`all is gone after ${seconds(performance.now() - startedMs)}`);
  await waitFor({ what: 'the hosts to be empty', timeoutMs: 60_000 }, async () => {
    const { backings, targets, disks } = hosts.contents;
    return backings + targets + disks === 0;
  });
  printRequests('removing', await audit.between(from));
  assert.equal(hosts.twoWriters, []);
});

scale.run();
