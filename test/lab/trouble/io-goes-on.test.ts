// A guest of Xen on LIO and one of libvirt on tgt write and flush without end, while everything around them dies and comes
// back. Their writes may wait; none fails, and none that was acknowledged is lost.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HOSTS, type HostName, type Lab, LIO_SERVER, openLab, TGT_SERVER } from '../../harness/lab/lab.ts';
import { GuestLoad } from '../../harness/lab/load.ts';
import { LabStory, volume } from '../../harness/lab/story.ts';
import { loud } from '../../harness/loud.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
/** Well below the 600 s for which open-iscsi holds back what it cannot send. */
const SHORT_CUT_MS = 30_000;

interface World {
  lab?: Lab;
  loads: readonly GuestLoad[];
  failed: boolean;
}

const stories = suite<World>('guests go on', { loads: [], failed: true });

stories.before(
  loud(async (world) => {
    const lab = await openLab({ log, keep: process.env.VBS_LAB_KEEP === '1' });
    world.lab = lab;
    const story = new LabStory(lab);
    await story.apply(
      volume('on-lio', { volumeServer: LIO_SERVER }),
      volume('on-tgt', { volumeServer: TGT_SERVER }),
    );
    await story.ready('vbsvol/on-lio', 'vbsvol/on-tgt');
    world.loads = await Promise.all([begin(story, 'vm-a', 'on-lio'), begin(story, 'vm-b', 'on-tgt')]);
  }),
);

stories.after(loud(async ({ lab, failed }) => await lab?.close(failed)));

const begin = async (story: LabStory, guestName: 'vm-a' | 'vm-b', name: string): Promise<GuestLoad> => {
  const guest = story.lab.guest(guestName);
  const [device = ''] = await story.plugIn(guest, name);
  return await GuestLoad.start(guest, device);
};

const labOf = ({ lab }: World): Lab => {
  assert.ok(lab, 'the lab is up');
  return lab;
};

/** Does it, and tells how long it took until both guests wrote again. */
const withstand = async (world: World, what: string, happen: () => Promise<void>): Promise<void> => {
  const startedAt = performance.now();
  await happen();
  await Promise.all(world.loads.map(async (load) => await load.goesOn()));
  for (const load of world.loads) {
    assert.is(await load.errors(), '');
  }
  log(`${what}: both guests write again after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
};

const story = (name: string, tell: (world: World, lab: Lab) => Promise<void>): void => {
  stories(name, async (world) => await withstand(world, name, async () => await tell(world, labOf(world))));
};

const powerCut = async (lab: Lab, host: HostName): Promise<void> => {
  const machine = lab.machine(host);
  await machine.powerOff();
  await machine.powerOn();
  await machine.connect();
};

story('all agents and the controller are killed', async (_, lab) => {
  await lab.controller.kill('SIGKILL');
  await Promise.all(HOSTS.map(async (host) => await lab.agent(host).kill()));
  await lab.startController();
});

story('all agents are upgraded', async (_, lab) => {
  const file = await lab.package();
  await Promise.all(HOSTS.map(async (host) => await lab.agent(host).upgrade(file)));
});

story('the volume server with LIO loses its power', async (_, lab) => await powerCut(lab, LIO_SERVER));

story('the volume server with tgt loses its power', async (_, lab) => await powerCut(lab, TGT_SERVER));

story('both volume servers are rebooted', async (_, lab) => {
  await Promise.all([LIO_SERVER, TGT_SERVER].map(async (host) => await lab.machine(host).reboot()));
});

story('tgtd is killed', async (_, lab) => {
  await lab.machine(TGT_SERVER).ssh.succeed('systemctl kill --signal=KILL tgt');
});

story('the network between the machines is cut for a while', async (_, lab) => {
  for (const isUp of [false, true]) {
    await Promise.all([LIO_SERVER, TGT_SERVER].map(async (host) => await lab.machine(host).plugWire(isUp)));
    await new Promise((resolve) => setTimeout(resolve, isUp ? 0 : SHORT_CUT_MS));
  }
});

stories('every write that was acknowledged is there, and nothing is left', async (world) => {
  const lab = labOf(world);
  const told = new LabStory(lab);
  for (const load of world.loads) {
    log(`${await load.verify()} writes were acknowledged, and all of them are there`);
  }
  await told.unplug(lab.guest('vm-a'), 'on-lio');
  await told.unplug(lab.guest('vm-b'), 'on-tgt');
  await told.delete('vbsvol/on-lio', 'vbsvol/on-tgt');
  await told.nothingLeft();
  world.failed = false;
});

stories.run();
