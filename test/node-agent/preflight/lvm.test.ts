// The host's LVM, on a volume server and on a hypervisor.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PlainHost, Said } from '../../fakes/plain-host.ts';
import { findingOf, judged, printed } from './checked.ts';

const test = suite('the LVM of a host');

const LVMCONFIG = 'lvmconfig --typeconfig full devices';
const PVS = 'pvs --readonly --noheadings -o pv_name';
const LVM_CONF = 'devices {\n\t# global_filter = [ "a|.*|" ]\n\t# scan_lvs = 0\n}\n';

interface Lvm {
  readonly filter?: string;
  readonly more?: string;
  readonly conf?: Readonly<Record<string, string>>;
  readonly pvs?: Said;
  readonly links?: Readonly<Record<string, string>>;
}

const hostWith = ({ filter = '"a|.*|"', more = '', conf, pvs = '', links = {} }: Lvm): PlainHost => ({
  texts: { '/sys/block/vda/size': '1', ...(conf ?? { '/etc/lvm/lvm.conf': LVM_CONF }) },
  links,
  commands: { [LVMCONFIG]: `devices {\n\tglobal_filter=[${filter}]\n${more}\n}\n`, [PVS]: pvs },
});

const pool = { role: 'pool', name: 'lvm-thin', params: { vg: 'vbs-1', thinpool: 'tp' } } as const;
const onServer = (lvm: Lvm) => findingOf(hostWith(lvm), pool, 'the LVM of the host does not look');
const initiator = { role: 'initiator', name: 'open-iscsi' } as const;
const onHypervisor = (lvm: Lvm) => findingOf(hostWith(lvm), initiator, 'the LVM of the host leaves');

test('a volume server whose LVM does not look into logical volumes is safe', async () => {
  assert.is(judged(await onServer({ more: '\tscan_lvs=0', pvs: '  /dev/vdb\n  /dev/md0\n' })), 'ok');
});

test('a volume server whose LVM looks into logical volumes is not', async () => {
  const conf = { '/etc/lvm/lvm.conf': 'devices {\n\tscan_lvs = 1\n}\n' };
  const finding = await onServer({ more: '\tscan_lvs=1', conf });
  assert.is(judged(finding), 'FAIL LvmSeesGuests');
  assert.is(
    printed(finding),
    `FAIL lvm-thin: the LVM of the host does not look into the volumes
     devices/scan_lvs is 1, and devices/global_filter lets /dev/vbs-1/vol… in
     why: it would activate what guests keep on their disks while they use them, and a volume that is held open cannot be removed
     change /etc/lvm/lvm.conf:2
         scan_lvs = 0`,
  );
});

test('a filter, or a devices file, keeps it off all the same', async () => {
  const filter = '"r|^/dev/vbs-1/|","r|^/dev/mapper/|","r|^/dev/dm-|"';
  assert.is(judged(await onServer({ more: '\tscan_lvs=1', filter })), 'ok');
  assert.is(judged(await onServer({ more: '\tscan_lvs=1', filter: '"a|^/dev/vdb$|","r|.*|"' })), 'ok');
  const conf = { '/etc/lvm/lvm.conf': LVM_CONF, '/etc/lvm/devices/system.devices': '' };
  assert.is(judged(await onServer({ more: '\tscan_lvs=1\n\tuse_devicesfile=1', conf })), 'ok');
});

test('what LVM shows of a volume counts, whatever its settings say', async () => {
  for (const seen of ['/dev/vbs-1/vol0123456789abcdef0', '/dev/mapper/vbs--1-vol0123456789abcdef0']) {
    const finding = await onServer({ more: '\tscan_lvs=0', pvs: `  /dev/vdb\n  ${seen}\n` });
    assert.is(judged(finding), 'FAIL LvmSeesGuests');
    assert.match(printed(finding), `LVM takes ${seen} for a disk of its own (pvs)`);
    assert.match(printed(finding), 'add after /etc/lvm/lvm.conf:3\n         scan_lvs = 0');
  }
});

test('LVM that cannot be asked is told, and no failure', async () => {
  const finding = await onServer({ pvs: { exitCode: 5, stderr: 'Parse error at byte 47' } });
  assert.is(judged(finding), 'warn');
  assert.match(printed(finding), 'cannot be told: pvs: Parse error at byte 47');
});

test('a hypervisor with the settings which LVM ships is not safe', async () => {
  const finding = await onHypervisor({});
  assert.is(judged(finding), 'FAIL LvmSeesGuests');
  assert.is(
    printed(finding),
    `FAIL open-iscsi: the LVM of the host leaves iSCSI disks alone
     devices/global_filter lets an iSCSI disk in, as /dev/sda: [ "a|.*|" ]
     why: it would activate what guests keep on their disks, hold the disks open and mix up groups of one name; list every disk with volume groups of the host itself
     add after /etc/lvm/lvm.conf:2
         global_filter = [ "a|^/dev/vda|", "r|.*|" ]`,
  );
});

test('a filter that accepts the disks of the host only is safe', async () => {
  assert.is(judged(await onHypervisor({ filter: '"a|^/dev/vda3$|","r|.*|"' })), 'ok');
  assert.is(judged(await onHypervisor({ filter: '"a|^/dev/disk/by-id/virtio-x|","r|.*|"' })), 'ok');
  assert.is(judged(await onHypervisor({ filter: '"r|^/dev/sd|"' })), 'ok');
});

test('a filter that accepts a name which the next iSCSI disk may get is not', async () => {
  const finding = await onHypervisor({ filter: '"a|^/dev/sd[a-d]|","r|.*|"' });
  assert.match(printed(finding), 'as /dev/sda');
  assert.is(judged(await onHypervisor({ filter: '"a|/dev/disk/by-path/|","r|.*|"' })), 'FAIL LvmSeesGuests');
});

test('names that disks of the host have are free to be accepted, and are in the filter to write', async () => {
  const links = {
    '/sys/block/sda': '../devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda',
    '/sys/block/sdb': '../devices/platform/host2/session1/target2:0:0/2:0:0:1/block/sdb',
  };
  assert.is(judged(await onHypervisor({ links, filter: '"a|^/dev/sda[0-9]*$|","r|.*|"' })), 'ok');
  const finding = await onHypervisor({ links, filter: '"a|^/dev/sda|","r|.*|"' });
  assert.match(printed(finding), 'as /dev/sdaa');
  assert.match(printed(finding), 'global_filter = [ "a|^/dev/sda[0-9]*$|", "a|^/dev/vda|", "r|.*|" ]');
});

test('refusing links alone does not do: there are none yet when LVM is told of a disk', async () => {
  assert.is(judged(await onHypervisor({ filter: '"r|/dev/disk/by-path/.*-iscsi-|"' })), 'FAIL LvmSeesGuests');
});

test('a devices file keeps iSCSI disks out, if it is there', async () => {
  const more = '\tuse_devicesfile=1\n\tdevicesfile="system.devices"';
  const conf = { '/etc/lvm/lvm.conf': LVM_CONF, '/etc/lvm/devices/system.devices': '' };
  const finding = await onHypervisor({ more, conf });
  assert.match(
    printed(finding),
    'ok   open-iscsi: the LVM of the host leaves iSCSI disks alone (only what /etc/lvm/devices/',
  );
  assert.is(judged(await onHypervisor({ more })), 'FAIL LvmSeesGuests');
});

test('where the setting stands in lvmlocal.conf, that line is to be changed', async () => {
  const conf = {
    '/etc/lvm/lvm.conf': LVM_CONF,
    '/etc/lvm/lvmlocal.conf': 'devices {\n  use_devicesfile = 0\n  global_filter = [ "a|.*|" ]\n}\n',
  };
  assert.match(
    printed(await onHypervisor({ conf })),
    'change /etc/lvm/lvmlocal.conf:3\n         global_filter = ',
  );
});

test('without LVM there is nothing to fear, and without its configuration its defaults hold', async () => {
  const bare = { texts: { '/sys/block/vda/size': '1' }, commands: {} };
  assert.is(judged(await findingOf(bare, initiator, 'the LVM of the host leaves')), 'ok');
  const said = { exitCode: 5, stderr: 'Cannot clone NULL config node.' };
  const defaults = { ...bare, commands: { [LVMCONFIG]: said } };
  const finding = await findingOf(defaults, initiator, 'the LVM of the host leaves');
  assert.match(
    printed(finding),
    'make /etc/lvm/lvmlocal.conf:1\n         devices {\n             global_filter = [ "a|^/dev/vda|", "r|.*|" ]\n         }',
  );
});

test('an encrypted disk below LVM is in the filter to write', async () => {
  const conf = {
    '/etc/lvm/lvm.conf': LVM_CONF,
    '/sys/block/dm-0/dm/uuid': 'CRYPT-LUKS2-0\n',
    '/sys/block/dm-0/dm/name': 'root_crypt\n',
    '/sys/block/dm-1/dm/uuid': 'LVM-x\n',
    '/sys/block/dm-1/dm/name': 'vg-root\n',
  };
  assert.match(
    printed(await onHypervisor({ conf })),
    '[ "a|^/dev/mapper/root_crypt$|", "a|^/dev/vda|", "r|.*|" ]',
  );
});

test.run();
