// The store of the API server is lost for good. A cluster that takes its place has all Volumes back, from what the disks of the hosts say,
// under their old IDs; the guests notice nothing.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CONTINUES_CLUSTER } from '../../api/names.ts';
import type { Guest } from '../harness/guest.ts';
import { loud } from '../harness/loud.ts';
import { attachment, Heartbeat, openStory, type Story, serverHost, volume } from '../harness/story.ts';
import { HYPERVISOR, SERVER } from '../harness/system.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const PROGRAMS = ['controller', SERVER, HYPERVISOR];

interface World {
  story: Story;
  a: Guest;
  b: Guest;
}

const test = suite<World>('the loss of the store');

test.before(
  loud(async (world) => {
    world.story = await openStory(log);
    world.a = await world.story.guest('vm-a');
    world.b = await world.story.guest('vm-b');
  }),
);
test.after(loud(async ({ story }) => await story?.close()));

const clusterUID = async ({ system }: Story): Promise<string> =>
  await system.controlPlane.kubectl(['get', 'namespace', 'kube-system', '-o', 'jsonpath={.metadata.uid}']);

/** Libvirt's own description of the disk: its alias and address change when it is plugged in anew. */
async function diskOf({ system }: Story, { name }: Guest, id: string): Promise<string> {
  const xml = await system.libvirtd.virsh(['dumpxml', name]);
  return xml.split('<disk ').find((part) => part.includes(id)) ?? '';
}

test('all Volumes come back under their IDs, and no guest notices', async ({ story, a, b }) => {
  const { system } = story;
  const { controlPlane } = system;
  await story.makeVolume('idle', { size: '16Mi' });
  await story.inGuest('idle', b, (serial) => b.writeMarker(serial, 'kept'));
  const id = await story.attached('db', a);
  const idle = await story.volumeID('idle');
  const heartbeat = await Heartbeat.start(a, id);
  const before = await diskOf(story, a, id);
  const lost = await clusterUID(story);

  await controlPlane.loseStore();
  for (const name of PROGRAMS) {
    await system.kill(name);
  }
  await system.installAgain();
  for (const name of PROGRAMS) {
    // One that had left by itself may have been started again meanwhile.
    await system.kill(name);
  }
  assert.is.not(await clusterUID(story), lost);

  // Without the word of an administrator a host does nothing in another cluster.
  await system.run('controller');
  await system.run(SERVER);
  const refused = await story.waitReason(serverHost(), {
    reason: 'WrongCluster',
    message: /continues-cluster/,
    type: 'HostSafe',
  });
  assert.match(JSON.stringify(refused.status), new RegExp(`${CONTINUES_CLUSTER}=${lost}`));
  await heartbeat.goesOn();
  await system.kill(SERVER);

  await controlPlane.kubectl(['annotate', 'namespace', 'kube-system', `${CONTINUES_CLUSTER}=${lost}`]);
  const manifests: string[] = [];
  for (const host of [SERVER, HYPERVISOR]) {
    manifests.push(await system.agentCommand(host, 'adopt'));
  }
  log(manifests.join('---\n').trimEnd().replaceAll('\n', '\n# '));
  for (const manifest of manifests) {
    await controlPlane.kubectl(['apply', '-f', '-'], manifest);
  }
  await system.run(SERVER);
  await system.run(HYPERVISOR);
  await story.waitReady(volume('idle'));
  await story.waitReady(volume('db'));
  await story.waitReady(attachment('db-on-vm-a'));
  assert.is(await story.volumeID('idle'), idle);
  assert.is(await story.volumeID('db'), id);
  await heartbeat.goesOn();
  assert.equal(await diskOf(story, a, id), before, 'it is the same disk, which nobody took out');
  await a.writeMarker(id, 'written without a control plane');

  // A restart of the volume server's daemon lets the same guest in again: a grant keeps its key.
  await system.tgtd.restart();
  await heartbeat.goesOn();
  await heartbeat.stop();
  await a.destroy();
  await a.start();
  await a.waitForDisk(id);
  assert.is(await a.readMarker(id), 'written without a control plane');
  assert.is(await story.inGuest('idle', b, (serial) => b.readMarker(serial)), 'kept');
});

test('and all of it is as every other Volume from then on', async ({ story }) => {
  const { items } = JSON.parse(await story.kubectl('get', 'attachments', '-o', 'json')) as {
    readonly items: readonly { readonly metadata: { readonly name: string } }[];
  };
  await story.removeAndWait(...items.map(({ metadata }) => attachment(metadata.name)));
  await story.removeAndWait(volume('db'), volume('idle'));
  await story.nothingLeft();
});

test.run();
