// The main job on the stacks VBS is made for: thin logical volumes, exported by LIO or by tgt, reached by open-iscsi, plugged into a
// running guest of Xen or of libvirt; a snapshot while the guest writes, a copy of it that grows, a volume that moves to the other
// hypervisor; and all taken back until nothing is left anywhere.
import * as assert from 'uvu/assert';
import { LIO_SERVER, POOLS, TGT_SERVER } from '../harness/lab/lab.ts';
import { LIBVIRT_HOST, XEN_HOST } from '../harness/lab/machines.ts';
import { labStories } from '../harness/lab/stories.ts';
import { attachmentRef, MIB, snapshot, volume } from '../harness/lab/story.ts';

const THEN = 'written in the guest';
const LATER = 'written later';

const stories = labStories('LVM, LIO, tgt, open-iscsi, Xen and libvirt');
const { story: tell } = stories;

tell(
  'over LIO, in a guest of Xen: what was written is there again, and in a copy of that moment',
  async (story) => {
    const guest = story.lab.guest('vm-a');
    const hosts = [LIO_SERVER, XEN_HOST] as const;
    assert.equal(await guest.disks(), [], 'the guest begins without disks');
    await story.timed('create', hosts, async () => {
      await story.apply(volume('db', { volumeServer: LIO_SERVER, size: '64Mi' }));
      await story.ready('vbsvol/db');
    });
    const id = await story.idOf('db');
    const [first = ''] = await story.timed('attach', hosts, async () => await story.plugIn(guest, 'db'));
    assert.is(await guest.sizeBytes(first), 64 * MIB, 'the guest sees the size asked for');
    assert.is(await guest.readMarker(first), '', 'a new volume is all zero');
    await guest.writeMarker(first, THEN);
    assert.is(await story.onLogicalVolume(LIO_SERVER, id), THEN, 'the bytes are on the logical volume');
    await story.timed('snapshot, attached', hosts, async () => {
      await story.apply(snapshot('then', 'db'));
      await story.ready('vbssnap/then');
    });
    await guest.writeMarker(first, LATER);
    await story.timed('restore', hosts, async () => {
      await story.apply(volume('copy', { source: { snapshotRef: { name: 'then' } } }));
      await story.ready('vbsvol/copy');
    });
    const [copy = ''] = await story.plugIn(guest, 'copy');
    assert.is(await guest.readMarker(first), LATER, 'the original goes on');
    assert.is(await guest.readMarker(copy), THEN, 'the copy is of the moment of its Snapshot');
    await story.timed('grow in the guest', hosts, async () => await story.grow(guest, 'copy', copy, 96));
    assert.is(await guest.readMarker(copy), THEN, 'what has grown holds what it held');
    await story.timed('detach', hosts, async () => await story.unplug(guest, 'db', 'copy'));
    assert.equal(await guest.disks(), []);
    await story.timed(
      'delete',
      hosts,
      async () => await story.delete('vbsvol/copy', 'vbssnap/then', 'vbsvol/db'),
    );
    await story.nothingLeft();
  },
);

tell('over tgt, in a guest of libvirt: a file system, which moves to a guest of Xen', async (story) => {
  const there = story.lab.guest('vm-b');
  const here = story.lab.guest('vm-a');
  const hosts = [TGT_SERVER, LIBVIRT_HOST] as const;
  await story.apply(volume('files', { volumeServer: TGT_SERVER }));
  await story.ready('vbsvol/files');
  const [disk = ''] = await story.timed('attach', hosts, async () => await story.plugIn(there, 'files'));
  assert.is(await there.sizeBytes(disk), 64 * MIB);
  const text = 'a line in a file';
  await there.run(
    `mke2fs /dev/${disk} >/dev/null && mkdir -p /mnt && mount -t ext2 /dev/${disk} /mnt && echo '${text}' >/mnt/file && umount /mnt`,
  );
  await story.timed('detach', hosts, async () => await story.unplug(there, 'files'));
  const onXen = [TGT_SERVER, XEN_HOST] as const;
  const [moved = ''] = await story.timed(
    'attach on Xen',
    onXen,
    async () => await story.plugIn(here, 'files'),
  );
  assert.is(
    (
      await here.run(`mkdir -p /mnt && mount -t ext2 /dev/${moved} /mnt && cat /mnt/file && umount /mnt`)
    ).trim(),
    text,
    'the file came along',
  );
  assert.is(await story.fieldOf(attachmentRef('files', 'vm-a'), '.status.hypervisor'), XEN_HOST);
  await story.unplug(here, 'files');
  await story.delete('vbsvol/files');
  await story.nothingLeft();
});

tell(
  'thick volumes over LIO: what others left on the disks is never seen, and a snapshot of what is in use holds',
  async (story) => {
    const guest = story.lab.guest('vm-a');
    const { ssh } = story.lab.machine(LIO_SERVER);
    const { vg } = POOLS.thick;
    // What a volume that somebody removed by hand leaves behind.
    await ssh.succeed(
      `lvcreate -q -y -Wn -l 100%FREE -n old ${vg} && tr '\\0' x </dev/zero | dd of=/dev/${vg}/old bs=1M count=256 iflag=fullblock oflag=direct status=none && lvremove -q -y ${vg}/old`,
      { timeoutMs: 900_000 },
    );
    await story.timed('create, thick', [LIO_SERVER], async () => {
      await story.apply(volume('thick', { className: 'thick', volumeServer: LIO_SERVER }));
      await story.ready('vbsvol/thick');
    });
    const id = await story.idOf('thick');
    await ssh.succeed(`cmp -n ${64 * MIB} /dev/${vg}/${id} /dev/zero`);
    const [disk = ''] = await story.plugIn(guest, 'thick');
    await guest.writeMarker(disk, THEN);
    await story.timed('snapshot of a thick volume, attached', [LIO_SERVER], async () => {
      await story.apply(snapshot('thick-then', 'thick'));
      await story.ready('vbssnap/thick-then');
    });
    await guest.writeMarker(disk, LATER);
    await story.timed('copy of a thick snapshot', [LIO_SERVER], async () => {
      const source = { snapshotRef: { name: 'thick-then' } };
      await story.apply(volume('thick-copy', { className: 'thick', source }));
      await story.ready('vbsvol/thick-copy');
    });
    assert.is(await story.onLogicalVolume(LIO_SERVER, await story.idOf('thick-copy'), vg), THEN);
    assert.is(await guest.readMarker(disk), LATER, 'the original goes on');
    await story.unplug(guest, 'thick');
    await story.delete('vbsvol/thick-copy', 'vbssnap/thick-then', 'vbsvol/thick');
    await story.nothingLeft();
  },
);

stories.run();
