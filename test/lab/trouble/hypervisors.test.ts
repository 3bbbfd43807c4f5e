// What befalls hypervisors and their guests: a guest and its host that start anew, a network that is away for longer than writes are
// held back, a tool that was killed, and what a guest keeps on its disk that looks like the host's own.
import * as assert from 'uvu/assert';
import type { LabGuest } from '../../harness/lab/guest.ts';
import { HYPERVISORS, LIO_SERVER, POOLS, TGT_SERVER } from '../../harness/lab/lab.ts';
import { LIBVIRT_HOST, XEN_HOST } from '../../harness/lab/machines.ts';
import { UNFILTERED } from '../../harness/lab/others.ts';
import { labStories } from '../../harness/lab/stories.ts';
import { attachment, attachmentRef, type LabStory, volume, WAIT_MS } from '../../harness/lab/story.ts';
import { waitFor } from '../../harness/process.ts';

/** A guest of each hypervisor, with a volume of each server. */
const PAIRS = [
  { name: 'on-lio', server: LIO_SERVER, host: XEN_HOST, guest: 'vm-a' },
  { name: 'on-tgt', server: TGT_SERVER, host: LIBVIRT_HOST, guest: 'vm-b' },
] as const;
type Pair = (typeof PAIRS)[number];
const WRITTEN = 'written before';
const GUESTS_VG = 'guestvg';
/** As the kernel takes it: seconds for which it holds back what it cannot send. */
const SHORT_HOLD = 20;

const forBoth = async (work: (pair: Pair) => Promise<void>): Promise<void> => {
  await Promise.all(PAIRS.map(work));
};

const stories = labStories('hypervisors and guests', async (told) => {
  await told.apply(...PAIRS.map(({ name, server }) => volume(name, { volumeServer: server })));
  await told.ready(...PAIRS.map(({ name }) => `vbsvol/${name}`));
  await guestsOwnGroup(told, 'on-lio');
  await forBoth(async (pair) => {
    const guest = told.lab.guest(pair.guest);
    const [device = ''] = await told.plugIn(guest, pair.name);
    await guest.writeMarker(device, WRITTEN);
  });
});
const { story } = stories;

/**
 * Puts a volume group with an active-to-be volume on the volume's data, byte for byte what a guest would have made there with its own
 * LVM. No host may ever look into it.
 */
const guestsOwnGroup = async (told: LabStory, name: string): Promise<void> => {
  const file = '/root/guest.img';
  await told.lab
    .machine(LIO_SERVER)
    .ssh.succeed(
      [
        `truncate -s 64M ${file} && loop=$(losetup -f --show ${file})`,
        `pvcreate -q ${UNFILTERED} $loop && vgcreate -q ${UNFILTERED} ${GUESTS_VG} $loop && lvcreate -q -y ${UNFILTERED} -L 8M -n root ${GUESTS_VG}`,
        `vgchange -q -an ${UNFILTERED} ${GUESTS_VG} && losetup -d $loop`,
        `dd if=${file} of=/dev/${POOLS.thin.vg}/${await told.idOf(name)} bs=1M oflag=direct conv=fsync status=none && rm ${file}`,
      ].join(' && '),
    );
};

/** What LVM and the device mapper of a host say when they are asked to look at everything again. */
const expectUnseen = async ({ lab }: LabStory): Promise<void> => {
  for (const host of [LIO_SERVER, XEN_HOST] as const) {
    const seen = await lab
      .machine(host)
      .ssh.succeed('pvscan --cache -aay >/dev/null 2>&1; vgs --noheadings -o vg_name; dmsetup ls; pvs 2>&1');
    assert.not.match(seen, GUESTS_VG, `${host} does not see what is in the volume of a guest`);
  }
};

/** The guest has its disk again, by itself, and on it is what was there. */
const hasItsDisk = async (told: LabStory, pair: Pair): Promise<void> => {
  const guest = told.lab.guest(pair.guest);
  await told.hasDisks(guest, 1);
  await told.ready(attachmentRef(pair.name, pair.guest));
  assert.is(await guest.readMarker(await told.deviceOf(guest, pair.name)), WRITTEN);
};

story('what a guest keeps on its disk is not seen by the LVM of any host', async (told) => {
  await expectUnseen(told);
});

story('guests are stopped and started: they get their disks again', async (told) => {
  await forBoth(async (pair) => {
    const guest = told.lab.guest(pair.guest);
    await guest.destroy();
    await guest.start();
    await hasItsDisk(told, pair);
  });
});

story('hypervisors lose their power: their guests get their disks again', async (told) => {
  await forBoth(async (pair) => {
    await told.lab.machine(pair.host).cutPower();
    await told.lab.guest(pair.guest).start();
    await hasItsDisk(told, pair);
  });
  await expectUnseen(told);
});

story('an iscsiadm that was killed leaves its lock behind', async (told) => {
  const { lab } = told;
  const lock = '/run/lock/iscsi/lock';
  for (const host of HYPERVISORS) {
    await lab.machine(host).ssh.succeed(`touch ${lock} && ln ${lock} ${lock}.write`);
  }
  const more = PAIRS.map(({ server, guest }) => ({ name: `more-${server}`, server, guest }));
  await told.apply(...more.map(({ name, server }) => volume(name, { volumeServer: server })));
  await told.apply(...more.map(({ name, guest }) => attachment(name, guest)));
  await told.ready(...more.map(({ name, guest }) => attachmentRef(name, guest)));
  for (const host of HYPERVISORS) {
    await lab.machine(host).ssh.succeed(`[ ! -e ${lock}.write ]`);
  }
  await Promise.all(more.map(async ({ name, guest }) => await told.unplug(lab.guest(guest), name)));
  await told.delete(...more.map(({ name }) => `vbsvol/${name}`));
});

const writeFails = async (guest: LabGuest, device: string): Promise<boolean> => {
  const said = await guest.run(
    `dd if=/dev/zero of=/dev/${device} bs=4096 count=1 seek=100 conv=notrunc,fsync 2>/dev/null && echo written || echo failed`,
    900_000,
  );
  return said.trim() === 'failed';
};

story('the network is away for longer than writes are held back: they fail, and go on', async (told) => {
  const { lab } = told;
  for (const host of HYPERVISORS) {
    await lab
      .machine(host)
      .ssh.succeed(`for s in /sys/class/iscsi_session/*; do echo ${SHORT_HOLD} >$s/recovery_tmo; done`);
  }
  const disks = await Promise.all(
    PAIRS.map(async ({ name, guest }) => ({
      guest: lab.guest(guest),
      device: await told.deviceOf(lab.guest(guest), name),
    })),
  );
  await lab.plugServers(false);
  try {
    const failed = await Promise.all(disks.map(async ({ guest, device }) => await writeFails(guest, device)));
    assert.equal(failed, [true, true], 'nothing that is not on the server is acknowledged');
  } finally {
    await lab.plugServers(true);
  }
  for (const { guest, device } of disks) {
    const limits = { what: `${guest.name} to write again`, timeoutMs: WAIT_MS, intervalMs: 1_000 };
    await waitFor(limits, async () => !(await writeFails(guest, device)));
  }
  await forBoth(async (pair) => await hasItsDisk(told, pair));
});

story('nothing is left', async (told) => {
  await forBoth(async ({ name, guest }) => await told.unplug(told.lab.guest(guest), name));
  await told.delete(...PAIRS.map(({ name }) => `vbsvol/${name}`));
  await told.nothingLeft();
});

stories.run();
