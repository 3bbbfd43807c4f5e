// Upgrades and downgrades under a guest that writes without end; and CRDs of a version that is yet to come.
import { cp, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, stringify } from 'yaml';
import { crdFiles } from '../deploy/platform.ts';
import { AuditLog, isConflict, isWrite, programOf } from '../harness/audit.ts';
import type { Guest } from '../harness/guest.ts';
import { loud } from '../harness/loud.ts';
import { findRelease } from '../harness/release.ts';
import { log, type MixedWorld, mainJob, mixed } from '../harness/skew.ts';
import {
  attachment,
  Heartbeat,
  hypervisorHost,
  openStory,
  type Ref,
  type Story,
  serverHost,
  type Thing,
  volume,
} from '../harness/story.ts';
import { HYPERVISOR, ROOT, SERVER } from '../harness/system.ts';
import { makeWorkdir, type Workdir } from '../harness/workdir.ts';

// All that is awaited comes before the first suite runs: uvu begins as soon as it can.
const release = await findRelease('0.1.0');
const audit = await AuditLog.make({ bodies: false });

const upgrade = mixed({
  name: 'an upgrade from 0.1.0, and back',
  release,
  options: (old) => ({ sources: { cluster: old, controller: old, agents: old } }),
});

/** What stays as it is while nobody detaches anything: identity, backing file, iSCSI session, disk of the VM. */
async function traces({ story }: MixedWorld, id: string) {
  const { system } = story;
  const targets = await system.tgtd.tgtadm(['--lld', 'iscsi', '--op', 'show', '--mode', 'target']);
  const nexus = targets.split('\n').filter((line) => /I_T nexus: |Initiator: |Connection: /.test(line));
  const [db, att] = [await story.get(volume('db')), await story.get(attachment('db-on-vm-a'))];
  return {
    volumeID: db?.status?.volumeID,
    inode: (await stat(path.join(system.poolDir, `${id}.raw`))).ino,
    nexus,
    disks: await system.libvirtd.virsh(['domblklist', 'vm-a']),
    grants: db?.status?.grants,
    epoch: att?.status?.epoch,
  };
}

upgrade('CRDs, controller, agents, one after the other, under writes; and back', async (world) => {
  const { story, old, a, b } = world;
  const { system } = story;
  const id = await story.attached('db', a);
  await a.writeMarker(id, 'written by version 0.1.0');
  const before = await traces(world, id);
  assert.ok(before.nexus.length > 0, 'the session is seen at the target');
  const heartbeat = await Heartbeat.start(a, id);
  const step = async (what: string, work: () => Promise<void>) => {
    await work();
    await heartbeat.goesOn();
    await story.waitReady(attachment('db-on-vm-a'));
    await story.waitReady(volume('db'));
    await story.waitReady(serverHost());
    await story.waitReady(hypervisorHost());
    await heartbeat.goesOn();
    assert.equal(await traces(world, id), before, what);
    log(what);
  };
  await step('upgraded: CRDs, rights and policies', () => system.replaceCluster(ROOT));
  await step('upgraded: the controller', () => system.replaceController(ROOT));
  await step('upgraded: the agents', () => system.replaceAgents(ROOT));
  await mainJob({ story, a: b, b: a }, 'meanwhile');
  await step('downgraded: the agents', () => system.replaceAgents(old));
  await step('downgraded: the controller', () => system.replaceController(old));
  await step('downgraded: CRDs, rights and policies', () => system.replaceCluster(old));
  await mainJob({ story, a: b, b: a }, 'afterwards');
  log(`the guest wrote ${await heartbeat.stop()} blocks, each flushed`);
});

upgrade('state directories are read by the other version, while there is no API server', async (world) => {
  const { story, old, a, b } = world;
  const { system } = story;
  const id = await story.volumeID('db');
  const heartbeat = await Heartbeat.start(a, id);
  await system.replaceCluster(ROOT);
  await system.replaceController(ROOT);
  for (const sources of [ROOT, old]) {
    await system.controlPlane.killApiServer();
    await system.tgtd.restart();
    assert.equal(await story.targets(), [], 'the target daemon has forgotten everything');
    await system.replaceAgents(sources);
    await heartbeat.goesOn(120_000);
    assert.match((await story.targets()).join(), id);
    await system.controlPlane.startApiServer();
    await story.waitReady(attachment('db-on-vm-a'), 120_000);
  }
  await heartbeat.stop();
  await story.removeAndWait(attachment('db-on-vm-a'));
  await story.plugIn('db', b);
  assert.is(await b.readMarker(id), 'written by version 0.1.0');
  await story.removeAndWait(attachment('db-on-vm-b'), volume('db'));
  await story.nothingLeft();
});

interface FutureWorld {
  sources: Workdir;
  story: Story;
  a: Guest;
  b: Guest;
}

type Schema = { properties: Record<string, Schema | object> };

/** An optional field of a version to come, in spec, in status, and in each agent's block. */
function withFuture(text: string): string {
  const crd = parse(text) as { spec: { versions: [{ schema: { openAPIV3Schema: Schema } }] } };
  const { spec, status } = crd.spec.versions[0].schema.openAPIV3Schema.properties as Record<string, Schema>;
  const blocks = ['backend', 'export', 'connection', 'agent'].map((name) => status?.properties?.[name]);
  for (const place of [spec, status, ...blocks] as (Schema | undefined)[]) {
    if (place?.properties !== undefined) {
      place.properties.future = { type: 'string', maxLength: 64, description: 'Of a version to come.' };
    }
  }
  return stringify(crd, { aliasDuplicateObjects: false });
}

const future = suite<FutureWorld>('CRDs with fields of a version to come');

future.before(
  loud(async (world) => {
    world.sources = await makeWorkdir(log);
    const { dir } = world.sources;
    await cp(path.join(ROOT, 'deploy'), path.join(dir, 'deploy'), { recursive: true });
    await mkdir(path.join(dir, 'crds'));
    for (const file of await crdFiles()) {
      await writeFile(path.join(dir, 'crds', path.basename(file)), withFuture(await readFile(file, 'utf8')));
    }
    const { apiServerArgs } = audit;
    world.story = await openStory(log, { apiServerArgs, sources: { cluster: dir } });
    world.a = await world.story.guest('vm-a');
    world.b = await world.story.guest('vm-b');
  }),
);

future.after(
  loud(async ({ story, sources }) => {
    await story?.close();
    await sources?.remove();
    await audit.remove();
  }),
);

/** As a program of a version to come would. */
async function write({ story }: FutureWorld, { resource, name }: Ref, status: object): Promise<void> {
  const where = { name, ...(resource.namespaced ? { namespace: 'default' } : {}) };
  await story.api.patch(
    resource,
    where,
    { status },
    { fieldManager: 'to-come', type: 'merge', subresource: 'status' },
  );
}

type Block = { readonly future?: string } | undefined;
const futureIn = (thing: Thing | undefined, block: string): string | undefined =>
  (thing?.status?.[block] as Block)?.future;

future('in spec and in status they stay through everything that is done', async (world) => {
  const { story, a, b } = world;
  await story.makeVolume('db', { future: 'wanted' });
  await story.waitReady(volume('db'));
  await write(world, volume('db'), { future: 'seen' });
  await story.plugIn('db', a, { future: 'wanted' });
  await write(world, attachment('db-on-vm-a'), { future: 'seen' });
  await write(world, serverHost(), { future: 'seen' });
  await write(world, hypervisorHost(), { future: 'seen' });
  await story.change(volume('db'), { size: '32Mi' });
  await story.waitReason(volume('db'), { type: 'Resized', reason: 'WaitingForDetach', message: /grows to/ });
  await audit.quiet(4_000);
  for (const ref of [volume('db'), attachment('db-on-vm-a')]) {
    const thing = await story.get(ref);
    assert.is(thing?.spec?.future, 'wanted', ref.name);
    assert.is(thing?.status?.future, 'seen', ref.name);
  }
  await story.removeAndWait(attachment('db-on-vm-a'));
  await story.plugIn('db', b);
  assert.is((await story.get(volume('db')))?.spec?.future, 'wanted');
  for (const ref of [volume('db'), serverHost(), hypervisorHost()]) {
    assert.is((await story.get(ref))?.status?.future, 'seen', ref.name);
  }
});

future(
  'the controller leaves them in the blocks of hosts; a host of today takes its own back, once',
  async (world) => {
    const { story } = world;
    const places: readonly [ref: Ref, block: string][] = [
      [volume('db'), 'backend'],
      [attachment('db-on-vm-b'), 'export'],
      [attachment('db-on-vm-b'), 'connection'],
      [serverHost(), 'agent'],
      [hypervisorHost(), 'agent'],
    ];
    await Promise.all([SERVER, HYPERVISOR].map((host) => story.system.kill(host)));
    for (const [ref, block] of places) {
      await write(world, ref, { [block]: { future: 'seen' } });
    }
    // The silence of the hosts is told in the conditions of all of these.
    await story.waitReason(volume('db'), { reason: 'HostSilent', message: /does not answer/ });
    await story.waitReason(attachment('db-on-vm-b'), { reason: 'HostSilent', message: /does not answer/ });
    await audit.quiet(4_000);
    for (const [ref, block] of places) {
      assert.is(futureIn(await story.get(ref), block), 'seen', `${ref.name} ${block}`);
    }
    const from = await audit.end();
    await Promise.all([SERVER, HYPERVISOR].map((host) => story.system.run(host)));
    await story.waitReady(attachment('db-on-vm-b'));
    await audit.quiet(4_000);
    for (const [ref, block] of places) {
      assert.is(futureIn(await story.get(ref), block), undefined, `${ref.name} ${block}`);
    }
    const writes = (await audit.between(from))
      .filter((event) => isWrite(event) && !isConflict(event) && programOf(event) !== 'vbs-controller')
      .map((event) => `${programOf(event)} ${event.objectRef.resource}/${event.objectRef.name}`);
    assert.equal([...new Set(writes)].sort(), [...writes].sort(), 'each block is written once');
    await story.removeAndWait(attachment('db-on-vm-b'), volume('db'));
    await story.nothingLeft();
  },
);

upgrade.run();
future.run();
