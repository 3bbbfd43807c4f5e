// Drills on the real stack, as `test/faults/drills*.test.ts` has them in the simulated world: a hypervisor that was cloned, clocks that
// are hours off, and finalizers that an administrator takes off.
import { setTimeout as sleep } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { HOST_LEASE, hostNamespace } from '../../../api/names.ts';
import { LabAgent } from '../../harness/lab/agent.ts';
import { LIO_SERVER } from '../../harness/lab/lab.ts';
import { GuestLoad } from '../../harness/lab/load.ts';
import type { Machine } from '../../harness/lab/machine.ts';
import { LIBVIRT_HOST, XEN_HOST } from '../../harness/lab/machines.ts';
import { labStories } from '../../harness/lab/stories.ts';
import { attachment, attachmentRef, type LabStory, volume, WAIT_MS } from '../../harness/lab/story.ts';
import { waitFor } from '../../harness/process.ts';

const DB = 'db';
const WRITTEN = 'written before';
/** Longer than a Lease of the lab's hosts. */
const LONG_MS = 120_000;

const stories = labStories('drills', async (told) => {
  await told.apply(volume(DB, { volumeServer: LIO_SERVER }));
  await told.ready(`vbsvol/${DB}`);
});
const { story } = stories;

const holderOf = async (told: LabStory): Promise<string> =>
  await told.kubectl([
    ...['get', `lease/${HOST_LEASE}`, '-n', hostNamespace(LIBVIRT_HOST)],
    ...['-o', 'jsonpath={.spec.holderIdentity}'],
  ]);

/** Its initiator is logged in nowhere, and none of its VMs runs. */
const expectIdle = async ({ name, ssh }: Machine): Promise<void> => {
  assert.is((await ssh.succeed('ls /sys/class/iscsi_session 2>/dev/null || true')).trim(), '', name);
  assert.is((await ssh.succeed('virsh -q -c qemu:///system list --name')).trim(), '', name);
};

story('a copy of a hypervisor runs beside it: one of the two acts, and it is told', async (told) => {
  const { lab } = told;
  const machine = lab.machine(LIBVIRT_HOST);
  const guest = lab.guest('vm-b');
  await told.plugIn(guest, DB);
  await machine.powerOff();
  const twin = await lab.machines.twinOf(machine);
  await machine.powerOn();
  await machine.connect();
  await guest.start();
  await told.hasDisks(guest, 1);
  const load = await GuestLoad.start(guest, await told.deviceOf(guest, DB));
  const holder = await holderOf(told);

  await twin.powerOn();
  await twin.connect();
  await twin.ssh.succeed('systemctl start libvirtd.service');
  const isTold = { what: 'the event DuplicateHost', timeoutMs: WAIT_MS, intervalMs: 1_000 };
  await waitFor(isTold, async () => {
    const events = ['get', 'events', '-n', hostNamespace(LIBVIRT_HOST), '--field-selector'];
    return (await told.kubectl([...events, 'reason=DuplicateHost', '-o', 'name'])) !== '';
  });
  // Whoever of the two starts anew, it is the same one that goes on.
  await lab.agent(LIBVIRT_HOST).kill();
  await new LabAgent(twin.ssh).kill();
  await sleep(LONG_MS);
  assert.is(await holderOf(told), holder);
  await expectIdle(twin);
  await load.goesOn();
  told.log(`${await load.verify()} writes were acknowledged beside the copy, and all of them are there`);
  await twin.powerOff();
  await told.unplug(guest, DB);
});

/** Turns the clock of a host on by so many hours. */
const turnClock = async ({ ssh }: Machine, hours: number): Promise<void> => {
  await ssh.succeed(`date -s @$(($(date +%s) + ${hours * 3600}))`);
};

story('clocks are hours off, and are set right in the midst of it', async (told) => {
  const { lab } = told;
  const [a, b] = [lab.guest('vm-a'), lab.guest('vm-b')];
  const hosts = [
    [LIO_SERVER, 2],
    [XEN_HOST, 30],
    [LIBVIRT_HOST, 1],
  ] as const;
  for (const [host, hours] of hosts) {
    await turnClock(lab.machine(host), hours);
  }
  await told.apply(volume('late', { volumeServer: LIO_SERVER }));
  const [device = ''] = await told.plugIn(a, 'late');
  await a.writeMarker(device, WRITTEN);
  for (const [host, hours] of hosts) {
    await turnClock(lab.machine(host), -hours);
  }
  await told.unplug(a, 'late');
  const [there = ''] = await told.plugIn(b, 'late');
  assert.is(await b.readMarker(there), WRITTEN);
  await told.unplug(b, 'late');
  await told.delete('vbsvol/late');
});

/** The object goes at once, whatever it stood for. */
const strip = async (told: LabStory, ref: string): Promise<void> => {
  await told.kubectl(['delete', ref, '--wait=false']);
  const patch = JSON.stringify({ metadata: { finalizers: null } });
  await told.kubectl(['patch', ref, '--type=merge', `--patch=${patch}`]);
  await told.kubectl(['wait', '--for=delete', '--timeout=60s', ref]);
};

story('finalizers are taken off: the disk is let go of, the data stays, and is had back', async (told) => {
  const { lab } = told;
  const [a, b] = [lab.guest('vm-a'), lab.guest('vm-b')];
  const id = await told.idOf(DB);
  const [device = ''] = await told.plugIn(a, DB);
  await a.writeMarker(device, WRITTEN);
  await strip(told, attachmentRef(DB, 'vm-a'));
  await told.hasDisks(a, 0);

  const [there = ''] = await told.plugIn(b, DB);
  assert.is(await b.readMarker(there), WRITTEN);
  await strip(told, `vbsvol/${DB}`);
  const orphan = `{.status.agent.orphans[?(@.id=="${id}")].pool}`;
  await told.waited([`volumeserver/${LIO_SERVER}`], ['wait', `--for=jsonpath=${orphan}=thin`]);
  assert.is(await b.readMarker(there), WRITTEN, 'it is told, and goes on as before');
  await told.unplug(b, DB);

  await told.apply(volume(DB, { source: { existing: { volumeServer: LIO_SERVER, id } } }));
  await told.apply(attachment(DB, 'vm-a'));
  await told.ready(`vbsvol/${DB}`, attachmentRef(DB, 'vm-a'));
  assert.is(await told.idOf(DB), id);
  assert.is(await a.readMarker(await told.deviceOf(a, DB)), WRITTEN);
});

story('nothing is left', async (told) => {
  await told.unplug(told.lab.guest('vm-a'), DB);
  await told.delete(`vbsvol/${DB}`);
  await told.nothingLeft();
});

stories.run();
