// A guest of Xen on LIO and one of libvirt on tgt write and flush without end, while everything around them dies and comes
// back. Their writes may wait; none fails, and none that was acknowledged is lost.
import * as assert from 'uvu/assert';
import { HOSTS, LIO_SERVER, TGT_SERVER } from '../../harness/lab/lab.ts';
import { GuestLoad } from '../../harness/lab/load.ts';
import { labStories, log } from '../../harness/lab/stories.ts';
import { type LabStory, volume } from '../../harness/lab/story.ts';

/** Well below the 600 s for which open-iscsi holds back what it cannot send. */
const SHORT_CUT_MS = 30_000;

const begin = async (told: LabStory, guestName: 'vm-a' | 'vm-b', name: string): Promise<GuestLoad> => {
  const guest = told.lab.guest(guestName);
  const [device = ''] = await told.plugIn(guest, name);
  return await GuestLoad.start(guest, device);
};

let loads: readonly GuestLoad[] = [];
const stories = labStories('guests go on', async (told) => {
  await told.apply(
    volume('on-lio', { volumeServer: LIO_SERVER }),
    volume('on-tgt', { volumeServer: TGT_SERVER }),
  );
  await told.ready('vbsvol/on-lio', 'vbsvol/on-tgt');
  loads = await Promise.all([begin(told, 'vm-a', 'on-lio'), begin(told, 'vm-b', 'on-tgt')]);
});

/** It happens, and both guests write again. */
const withstood = (name: string, happen: (lab: LabStory['lab']) => Promise<void>): void => {
  stories.story(name, async ({ lab }) => {
    await happen(lab);
    await Promise.all(loads.map(async (load) => await load.goesOn()));
    for (const load of loads) {
      assert.is(await load.errors(), '');
    }
  });
};

withstood('all agents and the controller are killed', async (lab) => {
  await lab.controller.kill('SIGKILL');
  await Promise.all(HOSTS.map(async (host) => await lab.agent(host).kill()));
  await lab.startController();
});

withstood('all agents are upgraded', async (lab) => {
  const file = await lab.package();
  await Promise.all(HOSTS.map(async (host) => await lab.agent(host).upgrade(file)));
});

withstood(
  'the volume server with LIO loses its power',
  async (lab) => await lab.machine(LIO_SERVER).cutPower(),
);

withstood(
  'the volume server with tgt loses its power',
  async (lab) => await lab.machine(TGT_SERVER).cutPower(),
);

withstood('both volume servers are rebooted', async (lab) => {
  await Promise.all([LIO_SERVER, TGT_SERVER].map(async (host) => await lab.machine(host).reboot()));
});

withstood('tgtd is killed', async (lab) => {
  await lab.machine(TGT_SERVER).ssh.succeed('systemctl kill --signal=KILL tgt');
});

withstood('the network between the machines is cut for a while', async (lab) => {
  for (const isUp of [false, true]) {
    await lab.plugServers(isUp);
    await new Promise((resolve) => setTimeout(resolve, isUp ? 0 : SHORT_CUT_MS));
  }
});

stories.story('every write that was acknowledged is there, and nothing is left', async (told) => {
  const { lab } = told;
  for (const load of loads) {
    log(`${await load.verify()} writes were acknowledged, and all of them are there`);
  }
  await told.unplug(lab.guest('vm-a'), 'on-lio');
  await told.unplug(lab.guest('vm-b'), 'on-tgt');
  await told.delete('vbsvol/on-lio', 'vbsvol/on-tgt');
  await told.nothingLeft();
});

stories.run();
