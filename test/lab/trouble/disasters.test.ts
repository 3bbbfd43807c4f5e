// Disasters on the real stack, under a guest that writes and flushes: a hypervisor that is cut off and fenced, a store of the API server
// that is set back, and one that is lost.
import * as assert from 'uvu/assert';
import { CONTINUES_CLUSTER } from '../../../api/names.ts';
import { HOSTS, HYPERVISORS, LIO_SERVER } from '../../harness/lab/lab.ts';
import { checkWrites, GuestLoad } from '../../harness/lab/load.ts';
import { XEN_HOST } from '../../harness/lab/machines.ts';
import { labStories } from '../../harness/lab/stories.ts';
import { attachment, attachmentRef, type LabStory, volume, WAIT_MS } from '../../harness/lab/story.ts';
import { waitFor } from '../../harness/process.ts';

const DB = 'db';
const AFTER = 'written after the fence';
/** As the kernel takes it: seconds for which it holds back what it cannot send. */
const SHORT_HOLD = 20;

const stories = labStories('disasters', async (told) => {
  await told.apply(volume(DB, { volumeServer: LIO_SERVER }));
  await told.ready(`vbsvol/${DB}`);
});
const { story } = stories;

const fence = async (told: LabStory, fenced: boolean): Promise<void> => {
  const patch = `--patch=${JSON.stringify({ spec: { fenced } })}`;
  await told.kubectl(['patch', `hypervisor/${XEN_HOST}`, '--type=merge', patch]);
};

const diskIn = async (told: LabStory, guestName: 'vm-a' | 'vm-b'): Promise<string> => {
  const guest = told.lab.guest(guestName);
  await told.ready(attachmentRef(DB, guestName));
  await told.hasDisks(guest, 1);
  return await told.deviceOf(guest, DB);
};

story(
  'a hypervisor that is cut off under writes is fenced: the volume goes on elsewhere, and it cleans up when it is back',
  async (told) => {
    const { lab } = told;
    const [a, b] = [lab.guest('vm-a'), lab.guest('vm-b')];
    const machine = lab.machine(XEN_HOST);
    const [device = ''] = await told.plugIn(a, DB);
    await machine.ssh.succeed(
      `for s in /sys/class/iscsi_session/*; do echo ${SHORT_HOLD} >$s/recovery_tmo; done`,
    );
    const load = await GuestLoad.start(a, device);
    await load.goesOn();
    await machine.plugWire(false);
    await lab.agent(XEN_HOST).freeze(true);
    const acknowledged = await load.abandon();
    await told.waited([`hypervisor/${XEN_HOST}`], ['wait', '--for=condition=Ready=Unknown']);

    await fence(told, true);
    await told.kubectl(['delete', attachmentRef(DB, 'vm-a'), '--wait=false']);
    await told.apply(attachment(DB, 'vm-b'));
    const there = await diskIn(told, 'vm-b');
    await checkWrites(b, there, acknowledged);
    told.log(`${acknowledged} writes were acknowledged before the cut, and all of them are there`);
    await b.writeMarker(there, AFTER);

    // It is heard again, and has not proved yet that it holds nothing: nobody grants it anything.
    await fence(told, false);
    await lab.agent(XEN_HOST).freeze(false);
    await told.apply(volume('other', { volumeServer: LIO_SERVER }), attachment('other', 'vm-a'));
    await told.reasonOf(attachmentRef('other', 'vm-a'), 'Admitted', 'HypervisorFenced');

    await machine.plugWire(true);
    const isOut = {
      what: 'the disk that was cut off to be out of vm-a',
      timeoutMs: WAIT_MS,
      intervalMs: 2_000,
    };
    const id = await told.idOf(DB);
    await waitFor(
      isOut,
      async () => !(await machine.ssh.succeed('iscsiadm -m session 2>/dev/null || true')).includes(id),
    );
    assert.is(await b.readMarker(there), AFTER, 'what was held back there has not come through');
    await checkWrites(b, there, acknowledged);

    await told.ready(attachmentRef('other', 'vm-a'));
    await told.unplug(a, 'other');
    await told.delete('vbsvol/other');
    await told.unplug(b, DB);
    const [back = ''] = await told.plugIn(a, DB);
    assert.is(await a.readMarker(back), AFTER);
    await told.unplug(a, DB);
  },
);

story(
  'the store is set back to when the volume was elsewhere: it is there again, with all that was written since',
  async (told) => {
    const { lab } = told;
    await told.plugIn(lab.guest('vm-b'), DB);
    await lab.controlPlane.backUpStore();
    await told.unplug(lab.guest('vm-b'), DB);
    const [device = ''] = await told.plugIn(lab.guest('vm-a'), DB);
    const load = await GuestLoad.start(lab.guest('vm-a'), device);
    const acknowledged = await load.verify();
    await lab.controlPlane.restoreStore();
    // It notices, and ends; Kubernetes would start it again.
    await lab.controller.exited;
    await lab.startController();
    await told.hasDisks(lab.guest('vm-a'), 0);
    await checkWrites(lab.guest('vm-b'), await diskIn(told, 'vm-b'), acknowledged);
    await told.unplug(lab.guest('vm-b'), DB);
  },
);

story(
  'the store is lost: the guest goes on, and a cluster in its place has the volume under its ID',
  async (told) => {
    const { lab } = told;
    const { controlPlane } = lab;
    const a = lab.guest('vm-a');
    const [device = ''] = await told.plugIn(a, DB);
    const id = await told.idOf(DB);
    const lost = await told.fieldOf('namespace/kube-system', '.metadata.uid');
    const load = await GuestLoad.start(a, device);
    await lab.loseStore();
    const manifests: string[] = [];
    for (const host of HOSTS) {
      manifests.push(await lab.agent(host).adopt());
    }
    told.log(manifests.join('---\n').trimEnd());
    await told.kubectl(['annotate', 'namespace', 'kube-system', `${CONTINUES_CLUSTER}=${lost}`]);
    for (const manifest of manifests.filter((text) => text.includes('kind:'))) {
      await controlPlane.kubectl(['apply', '-f', '-'], manifest);
    }
    await lab.startController();
    for (const host of HOSTS) {
      await lab.agent(host).start();
    }
    for (const host of HYPERVISORS) {
      await told.kubectl(['wait', '--for=create', '--timeout=900s', `hypervisor/${host}`]);
      await told.ready(`hypervisor/${host}`);
    }
    await told.ready(`vbsvol/${DB}`, attachmentRef(DB, 'vm-a'));
    assert.is(await told.deviceOf(a, DB), device);
    await load.goesOn();
    // A grant keeps its key: the same hypervisor is let in again.
    await lab.machine(LIO_SERVER).cutPower();
    await load.goesOn();
    const acknowledged = await load.verify();
    assert.is(await told.idOf(DB), id);
    told.log(
      `${acknowledged} writes were acknowledged while there was no control plane and before, and all of them are there`,
    );
  },
);

story('nothing is left', async (told) => {
  await told.unplug(told.lab.guest('vm-a'), DB);
  await told.delete(`vbsvol/${DB}`);
  await told.nothingLeft();
});

stories.run();
