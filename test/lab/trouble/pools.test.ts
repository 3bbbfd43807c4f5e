// What befalls pools: no space left in a volume group, in the data or the metadata of a thin pool, in the store of a snapshot; a disk that
// is missing at boot; a volume that somebody removed; and what belongs to others beside it all, which nobody touches.
import * as assert from 'uvu/assert';
import { LIO_SERVER, POOLS, TGT_SERVER } from '../../harness/lab/lab.ts';
import { XEN_HOST } from '../../harness/lab/machines.ts';
import { others } from '../../harness/lab/others.ts';
import { labStories, log } from '../../harness/lab/stories.ts';
import { attachmentRef, type LabStory, MIB, snapshot, volume, WAIT_MS } from '../../harness/lab/story.ts';
import { waitFor } from '../../harness/process.ts';

const { thin, thick } = POOLS;
/** Index of its disk among the data disks of a server. */
const THICK_DISK = 1;
const GUEST = 'vm-a';
const WRITTEN = 'written before';

const stories = labStories('pools');
const { story } = stories;

const onServer = (told: LabStory, command: string): Promise<string> =>
  told.lab.machine(LIO_SERVER).ssh.succeed(command, { timeoutMs: 900_000 });

/** Waits until the server says so of its pool. */
const poolSays = async (told: LabStory, pool: string, pattern: RegExp): Promise<void> => {
  const field = `.status.agent.pools[?(@.name=="${pool}")]`;
  const limits = { what: `pool ${pool} to say ${pattern}`, timeoutMs: WAIT_MS, intervalMs: 1_000 };
  await waitFor(limits, async () => pattern.test(await told.fieldOf(`volumeserver/${LIO_SERVER}`, field)));
};

story('what belongs to others is as it was after a volume came and went beside it', async (told) => {
  const { lab } = told;
  const guest = lab.guest(GUEST);
  const foreign = others(lab);
  await foreign.make();
  try {
    const before = await foreign.look();
    await told.apply(
      volume('ours-1', { volumeServer: LIO_SERVER }),
      volume('ours-2', { volumeServer: TGT_SERVER }),
      volume('ours-3', { volumeServer: LIO_SERVER, className: 'thick' }),
    );
    await told.ready('vbsvol/ours-1', 'vbsvol/ours-2', 'vbsvol/ours-3');
    await told.plugIn(guest, 'ours-1', 'ours-2');
    assert.equal(await foreign.look(), before, 'while ours is there');
    await Promise.all(
      ([LIO_SERVER, TGT_SERVER, XEN_HOST] as const).map(async (host) => await lab.agent(host).kill()),
    );
    await told.unplug(guest, 'ours-1', 'ours-2');
    await told.delete('vbsvol/ours-1', 'vbsvol/ours-2', 'vbsvol/ours-3');
    assert.equal(await foreign.look(), before, 'when ours is gone');
  } finally {
    await foreign.remove();
  }
  await told.nothingLeft();
});

story(
  'a volume group is filled by others: the volume waits, and is made when there is room',
  async (told) => {
    await onServer(told, `lvcreate -q -y -Wn -Zn -l 100%FREE -n theirs ${thick.vg}`);
    // Its server has said a moment ago that there is room, and is the last judge.
    await told.apply(volume('late', { volumeServer: LIO_SERVER, className: 'thick' }));
    log(await told.reasonOf('vbsvol/late', 'Ready', 'NoSpace'));
    assert.is((await onServer(told, `lvs --noheadings -o lv_name ${thick.vg}`)).trim(), 'theirs');
    await onServer(told, `lvremove -q -y ${thick.vg}/theirs`);
    await told.ready('vbsvol/late');
    await told.delete('vbsvol/late');
  },
);

story('a snapshot does not overflow by itself; one that was made smaller does, and says so', async (told) => {
  const guest = told.lab.guest(GUEST);
  await told.apply(volume('busy', { volumeServer: LIO_SERVER, className: 'thick' }));
  await told.ready('vbsvol/busy');
  const [device = ''] = await told.plugIn(guest, 'busy');
  await guest.writeMarker(device, WRITTEN);
  await told.apply(snapshot('whole', 'busy'), snapshot('cut', 'busy'));
  await told.ready('vbssnap/whole', 'vbssnap/cut');
  const id = async (name: string): Promise<string> =>
    await told.fieldOf(`vbssnap/${name}`, '.status.snapshotID');
  await onServer(told, `lvreduce -q -f -y -L 8M ${thick.vg}/${await id('cut')}`);
  const fill = `dd if=/dev/urandom of=/dev/${device} bs=1M count=64 conv=fsync 2>&1`;
  await guest.run(fill, 900_000);
  log(await told.reasonOf('vbssnap/cut', 'Ready', 'DataLost'));
  await told.apply(
    volume('again', { className: 'thick', source: { snapshotRef: { name: 'whole' } } }),
    volume('never', { className: 'thick', source: { snapshotRef: { name: 'cut' } } }),
  );
  await told.ready('vbsvol/again');
  assert.is(await told.onLogicalVolume(LIO_SERVER, await told.idOf('again'), thick.vg), WRITTEN);
  assert.is(await told.fieldOf('vbsvol/never', '.status.server'), '', 'what is lost is not copied');
  await told.delete('vbsvol/never', 'vbsvol/again', 'vbssnap/cut', 'vbssnap/whole');
  await told.unplug(guest, 'busy');
  await told.delete('vbsvol/busy');
});

story('the volume group is not there at boot: nothing is made in its place', async (told) => {
  const machine = told.lab.machine(LIO_SERVER);
  await told.apply(volume('away', { volumeServer: LIO_SERVER, className: 'thick' }));
  await told.ready('vbsvol/away');
  const device = `/dev/${thick.vg}/${await told.idOf('away')}`;
  await onServer(
    told,
    `printf '%-511s\\n' '${WRITTEN}' | dd of=${device} bs=512 iflag=fullblock conv=notrunc,fsync status=none`,
  );
  await machine.cutPower(async () => await machine.swapDisk(THICK_DISK));
  log(await told.reasonOf('vbsvol/away', 'Ready', 'PoolMissing'));
  await poolSays(told, 'thick', /[Mm]issing|not there/);
  await told.apply(volume('not-here', { volumeServer: LIO_SERVER, className: 'thick' }));
  await told.reasonOf('vbsvol/not-here', 'Ready', 'NoPool');
  await onServer(told, `cmp -n ${16 * MIB} ${thick.disk} /dev/zero`);
  await machine.cutPower(async () => await machine.swapDisk(THICK_DISK));
  await told.ready('vbsvol/away', 'vbsvol/not-here');
  assert.is(await told.onLogicalVolume(LIO_SERVER, await told.idOf('away'), thick.vg), WRITTEN);
  await told.delete('vbsvol/not-here', 'vbsvol/away');
});

story('a volume that somebody removed is missing, and not made anew', async (told) => {
  await told.apply(volume('removed', { volumeServer: LIO_SERVER }));
  await told.ready('vbsvol/removed');
  await onServer(told, `lvremove -q -y ${thin.vg}/${await told.idOf('removed')}`);
  log(await told.reasonOf('vbsvol/removed', 'Ready', 'DataMissing'));
  await told.lab.agent(LIO_SERVER).kill();
  await told.lab.agent(LIO_SERVER).start();
  await told.apply(volume('other', { volumeServer: LIO_SERVER }));
  await told.ready('vbsvol/other');
  await told.reasonOf('vbsvol/removed', 'Ready', 'DataMissing');
  const there = await onServer(told, `lvs --noheadings -o lv_name ${thin.vg}`);
  assert.not.match(there, await told.idOf('removed'));
  await told.delete('vbsvol/removed', 'vbsvol/other');
  await told.nothingLeft();
});

story(
  'the thin pool is out of data space: writes wait, nothing more is put in, and more space cures it',
  async (told) => {
    const guest = told.lab.guest(GUEST);
    await told.apply(volume('written', { volumeServer: LIO_SERVER }));
    await told.ready('vbsvol/written');
    const [device = ''] = await told.plugIn(guest, 'written');
    await guest.writeMarker(device, WRITTEN);
    // Another's thin volume takes all but 16 MiB.
    await onServer(
      told,
      `lvcreate -q -y -V 4G -T ${thin.vg}/${thin.thinpool} -n theirs && size=$(lvs --noheadings --nosuffix --units m -o lv_size ${thin.vg}/${thin.thinpool}) && dd if=/dev/zero of=/dev/${thin.vg}/theirs bs=1M count=$((\${size%.*} - 20)) oflag=direct status=none`,
    );
    await told.apply(volume('no-more', { volumeServer: LIO_SERVER }));
    log(await told.reasonOf('vbsvol/no-more', 'Ready', 'NoSpace'));
    await guest.run(
      `(dd if=/dev/urandom of=/dev/${device} bs=1M seek=1 count=48 conv=notrunc,fsync >/run/full.said 2>&1; echo $? >/run/full) & `,
    );
    await poolSays(told, 'thin', /out of data space/);
    await onServer(told, `lvextend -q -y -l +50%FREE ${thin.vg}/${thin.thinpool}`);
    const limits = { what: 'the write to end', timeoutMs: WAIT_MS, intervalMs: 1_000 };
    await waitFor(limits, async () => (await guest.run('cat /run/full 2>/dev/null || true')) !== '');
    log(`the write that met a full pool: ${await guest.run('cat /run/full /run/full.said')}`);
    await guest.run(
      `dd if=/dev/urandom of=/dev/${device} bs=1M seek=1 count=48 conv=notrunc,fsync 2>&1`,
      900_000,
    );
    assert.is(await guest.readMarker(device), WRITTEN);
    await onServer(told, `lvremove -q -y ${thin.vg}/theirs`);
    await told.ready('vbsvol/no-more', 'vbsvol/written');
    await told.delete('vbsvol/no-more');
  },
);

story(
  'the thin pool is out of metadata space: it goes read-only, says so, and can be given more',
  async (told) => {
    const { lab } = told;
    const guest = lab.guest(GUEST);
    const device = await told.deviceOf(guest, 'written');
    // Each thin device, also one that LVM knows nothing of, takes blocks of the metadata.
    await onServer(
      told,
      `n=1000000; while dmsetup message ${thin.vg}-${thin.thinpool}-tpool 0 "create_thin $n" 2>/dev/null; do n=$((n + 1)); done; true`,
    );
    await poolSays(told, 'thin', /read-only|must be checked/);
    await told.apply(volume('no-room', { volumeServer: LIO_SERVER }));
    log(await told.reasonOf('vbsvol/no-room', 'Ready', 'NoPool'));
    assert.is(await guest.readMarker(device), WRITTEN, 'what is there can be read');
    const machine = lab.machine(LIO_SERVER);
    await machine.reboot();
    await onServer(told, `lvextend -q -y --poolmetadatasize +8M ${thin.vg}/${thin.thinpool}`);
    await told.ready('vbsvol/no-room', 'vbsvol/written', attachmentRef('written', GUEST));
    assert.is(await guest.readMarker(device), WRITTEN);
    await guest.run(
      `dd if=/dev/urandom of=/dev/${device} bs=1M seek=1 count=32 conv=notrunc,fsync 2>&1`,
      900_000,
    );
    await told.unplug(guest, 'written');
    await told.delete('vbsvol/no-room', 'vbsvol/written');
    await told.apply(volume('fresh', { volumeServer: LIO_SERVER }));
    await told.ready('vbsvol/fresh');
    const [fresh = ''] = await told.plugIn(guest, 'fresh');
    const bytes = await guest.run(
      `dd if=/dev/${fresh} bs=1M iflag=direct 2>/dev/null | tr -d '\\0' | wc -c`,
      900_000,
    );
    assert.is(bytes.trim(), '0', 'nothing of a deleted volume is in a new one');
    await told.unplug(guest, 'fresh');
    await told.delete('vbsvol/fresh');
  },
);

story('nothing is left', async (told) => {
  await told.nothingLeft();
});

stories.run();
