import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PlainHost } from '../../fakes/plain-host.ts';
import { findingOf, judged, printed } from './checked.ts';

const test = suite('a hypervisor with open-iscsi');

const open = { role: 'initiator', name: 'open-iscsi' } as const;
const on = (host: PlainHost, check: string) => findingOf(host, open, check);
const RECORD = '/etc/iscsi/nodes/iqn.2026-11.dev.vbs:vol0123456789abcdef0/192.0.2.1,3260,1/vbs';
const record = (startup: string, scan = 'manual', timeout = '600'): string =>
  `# BEGIN RECORD 2.1.8
node.name = iqn.2026-11.dev.vbs:vol0123456789abcdef0
node.startup = ${startup}
node.session.auth.password = not-for-people
node.session.scan = ${scan}
node.session.timeo.replacement_timeout = ${timeout}
# END RECORD
`;
const ISCSID_CONF = `# Debian's, cut short
node.startup = manual
# iscsid.safe_logout = Yes
node.session.timeo.replacement_timeout = 120
node.session.scan = auto
`;
const conf = (text: string): PlainHost => ({ texts: { '/etc/iscsi/iscsid.conf': text } });

test('a record of ours that logs in by itself is a failure, in its line, without its password', async () => {
  const finding = await on({ texts: { [RECORD]: record('automatic') } }, 'nothing logs in');
  assert.is(judged(finding), 'FAIL AutomaticLogin');
  assert.is(
    printed(finding),
    `FAIL open-iscsi: nothing logs in to our targets when the host boots
     node.startup is automatic
     why: by then another host may have been given the volume, and two would write to it
     change ${RECORD}:3
         node.startup = manual`,
  );
});

test('records in either place, of ours only', async () => {
  const newer = RECORD.replace('/etc/', '/var/lib/');
  assert.is(
    judged(await on({ texts: { [newer]: record('automatic') } }, 'nothing logs in')),
    'FAIL AutomaticLogin',
  );
  const other = RECORD.replace('iqn.2026-11.dev.vbs', 'iqn.2003-01.org.linux-iscsi.san');
  const texts = { [other]: record('automatic'), [RECORD]: record('manual') };
  assert.is(judged(await on({ texts }, 'nothing logs in')), 'ok');
  assert.is(judged(await on({}, 'nothing logs in')), 'ok');
});

test('records of ours keep the other settings of the profile', async () => {
  const scans = await on({ texts: { [RECORD]: record('manual', 'auto') } }, 'records of ours let');
  assert.match(printed(scans), `change ${RECORD}:5\n         node.session.scan = manual`);
  assert.is(judged(scans), 'warn');
  const waits = await on({ texts: { [RECORD]: record('manual', 'manual', '20') } }, 'records of ours wait');
  assert.match(printed(waits), 'replacement_timeout is 20');
  assert.match(printed(waits), `change ${RECORD}:6\n         node.session.timeo.replacement_timeout = 600`);
  const good = { texts: { [RECORD]: record('manual') } };
  assert.is(judged(await on(good, 'records of ours let')), 'ok');
  assert.is(judged(await on(good, 'records of ours wait')), 'ok');
});

test('settings for all records are warnings, since ours say so themselves', async () => {
  const startup = await on(conf('node.startup = automatic\n'), 'new records do not log in');
  assert.is(judged(startup), 'warn');
  assert.match(printed(startup), 'change /etc/iscsi/iscsid.conf:1\n         node.startup = manual');
  assert.is(judged(await on(conf(ISCSID_CONF), 'new records do not log in')), 'ok');
  const scan = await on(conf(ISCSID_CONF), 'new records do not scan');
  assert.match(printed(scan), 'change /etc/iscsi/iscsid.conf:5\n         node.session.scan = manual');
  assert.is(judged(await on(conf('node.session.scan = manual\n'), 'new records do not scan')), 'ok');
  assert.is(judged(await on(conf(ISCSID_CONF), 'new records wait')), 'ok');
  const short = conf('node.session.timeo.replacement_timeout = 5\n');
  assert.match(printed(await on(short, 'new records wait')), 'replacement_timeout is 5\n');
});

test('safe logout that is not switched on belongs after its example', async () => {
  assert.is(
    printed(await on(conf(ISCSID_CONF), 'a mounted disk')),
    `warn open-iscsi: a mounted disk is not logged out of (iscsid.safe_logout)
     iscsid.safe_logout is No by default
     why: a logout by mistake would take a disk away that this host has mounted; disks in VMs are not seen by it
     add after /etc/iscsi/iscsid.conf:3
         iscsid.safe_logout = Yes`,
  );
  assert.is(judged(await on(conf('iscsid.safe_logout = Yes\n'), 'a mounted disk')), 'ok');
});

test('the module may be loaded or loadable', async () => {
  const loadable = { commands: { 'modprobe --dry-run --quiet iscsi_tcp': '' } };
  assert.is(judged(await on({ texts: { '/sys/module/iscsi_tcp/x': '' } }, 'the kernel can speak')), 'ok');
  assert.is(judged(await on(loadable, 'the kernel can speak')), 'ok');
  const absent = { commands: { 'modprobe --dry-run --quiet iscsi_tcp': { exitCode: 1 } } };
  assert.is(judged(await on(absent, 'the kernel can speak')), 'FAIL HostUnsafe');
  assert.match(printed(await on({}, 'the kernel can speak')), 'cannot be told: modprobe: did not start');
});

const UNIX =
  'Num RefCount Protocol Flags Type St Inode Path\n0000: 00000002 00000000 00010000 0001 01 20 @x\n';
const socket = (name: string) => `${UNIX}0000: 00000002 00000000 00010000 0001 01 21 ${name}\n`;

test('iscsid is there when somebody listens for it: itself, or systemd for it', async () => {
  const listening = { texts: { '/proc/net/unix': socket('@ISCSIADM_ABSTRACT_NAMESPACE') } };
  assert.is(judged(await on(listening, 'iscsid can be reached')), 'ok');
  const finding = await on({ texts: { '/proc/net/unix': UNIX } }, 'iscsid can be reached');
  assert.is(judged(finding), 'FAIL HostUnsafe');
  assert.match(printed(finding), 'run\n         systemctl enable --now iscsid.socket');
});

test('two versions of one tool are a fault, and so is a daemon that was replaced as it ran', async () => {
  const versions = (iscsid: string) => ({
    commands: {
      'iscsiadm --version': 'iscsiadm version 2.1.8\n',
      'iscsid --version': `iscsid version ${iscsid}\n`,
    },
  });
  const finding = await on(versions('2.1.9'), 'iscsiadm and iscsid');
  assert.is(judged(finding), 'FAIL FaultyTool');
  assert.match(printed(finding), 'their versions differ: 2.1.8 and 2.1.9');
  assert.match(printed(await on(versions('2.1.8'), 'iscsiadm and iscsid')), '(2.1.8)');
  assert.is(judged(await on({}, 'iscsiadm and iscsid')), 'warn');
  const runs = (exe: string) =>
    on({ links: { '/proc/1/exe': '/sbin/init', '/proc/77/exe': exe } }, 'the iscsid that');
  assert.is(judged(await runs('/usr/sbin/iscsid')), 'ok');
  assert.is(judged(await runs('/usr/sbin/iscsid (deleted)')), 'FAIL FaultyTool');
});

test('a service that logs out of everything is told', async () => {
  const unit = (stdout: string, exitCode = 0) =>
    on({ commands: { 'systemctl is-enabled open-iscsi.service': { exitCode, stdout } } }, 'no service logs');
  assert.is(judged(await unit('enabled\n')), 'warn');
  assert.is(judged(await unit('masked\n', 1)), 'ok');
  assert.is(judged(await unit('disabled\n', 1)), 'ok');
  assert.match(printed(await on({}, 'no service logs')), 'cannot be told: systemctl: did not start');
});

test('multipath is told when it runs and takes all it sees', async () => {
  const running = (config: string): PlainHost => ({
    texts: { '/proc/net/unix': socket('@/org/kernel/linux/storage/multipathd') },
    commands: { 'multipathd show config': config },
  });
  const finding = await on(running('defaults {\n\tfind_multipaths "greedy"\n}\n'), 'multipath');
  assert.match(
    printed(finding),
    'make /etc/multipath.conf:1\n         blacklist {\n             protocol "scsi:iscsi"\n         }',
  );
  assert.is(judged(finding), 'warn');
  assert.is(judged(await on(running('defaults {\n\tfind_multipaths "strict"\n}\n'), 'multipath')), 'ok');
  assert.is(judged(await on(running('blacklist {\n\tprotocol "scsi:iscsi"\n}\n'), 'multipath')), 'ok');
  assert.is(judged(await on({ texts: { '/proc/net/unix': UNIX } }, 'multipath')), 'ok');
});

test('passwords on command lines are hidden, or that they are not is told', async () => {
  const mounted = (options: string): PlainHost => ({
    texts: { '/proc/mounts': `proc /proc proc ${options} 0 0\n`, '/etc/fstab': '# root\n/dev/vda / ext4\n' },
  });
  assert.is(judged(await on(mounted('rw,relatime,hidepid=invisible'), 'command lines')), 'ok');
  assert.is(judged(await on(mounted('rw,hidepid=2'), 'command lines')), 'ok');
  const finding = await on(mounted('rw,nosuid'), 'command lines');
  assert.match(
    printed(finding),
    'add after /etc/fstab:2\n         proc /proc proc defaults,hidepid=invisible 0 0',
  );
  assert.is(judged(finding), 'warn');
});

test.run();
