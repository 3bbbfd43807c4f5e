import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Command, CommandTimeout, type RunCommand } from '../../../node-agent/exec/command.ts';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { bind, type CommandEvent } from '../../../node-agent/profiles/bind.ts';
import { loadProfile, parseProfile } from '../../../node-agent/profiles/load.ts';
import { outcomeOf } from '../../../node-agent/profiles/outcome.ts';
import type { RoleName } from '../../../node-agent/profiles/vocabulary.ts';
import { CannotLook } from '../../../node-agent/roles/errors.ts';

const test = suite('bound profiles');
const root = join(import.meta.dirname, '../../..');
const { signal } = new AbortController();
const ID = 'vol0123456789abcdef0';
const UUID = '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a1111';
const IQN = `iqn.2026-11.dev.vbs:${ID}`;
const ok = { exitCode: 0, stdout: '', stderr: '' };

const shipped = (name: string, role: RoleName) =>
  loadProfile(join(root, 'node-agent/profiles/shipped', `${name}.yaml`), role);

const recorder = (answer: (command: Command) => typeof ok = () => ok) => {
  const commands: Command[] = [];
  const run: RunCommand = async (command) => {
    commands.push(command);
    return answer(command);
  };
  return { commands, run };
};

test('tgt gets its arguments', async () => {
  const { commands, run } = recorder();
  const tgt = bind(await shipped('tgt', 'target'), { run, files: hostFiles, params: { controlPort: 7 } });
  const at = { tid: 3n, iqn: IQN, 'volume.id': ID };
  await tgt.call('createLun', { ...at, lun: 1, path: '/dev/vbs/x', serial: ID }, signal);
  const names = { serial: ID, 'scsi.id': `VBS${ID}`, 'lun.readOnly': 0 };
  await tgt.call('identify', { ...at, lun: 1, ...names }, signal);
  const access = { lun: 1, 'lun.readOnly': 0, 'chap.user': 'u1', 'chap.password': 'hunter22hunter22' };
  await tgt.call('allow', { ...at, ...access, initiator: 'iqn.2026-11.dev.vbs:host1' }, signal);
  assert.equal(
    commands.map(({ file, args }) => [file, ...args].join(' ')),
    [
      'tgtadm -C 7 -L iscsi -o new -m logicalunit -t 3 -l 1 -b /dev/vbs/x',
      `tgtadm -C 7 -L iscsi -o update -m logicalunit -t 3 -l 1 -P scsi_sn=${ID},scsi_id=VBS${ID},readonly=0`,
      'tgtadm -C 7 -L iscsi -o bind -m target -t 3 -Q iqn.2026-11.dev.vbs:host1',
    ],
  );
});

test('the password goes to libvirt by stdin and to libiscsi by environment, and to no observer', async () => {
  const { commands, run } = recorder();
  const events: CommandEvent[] = [];
  const options = { run, files: hostFiles, onCommand: (event: CommandEvent) => events.push(event) };
  const secret = { 'chap.user': 'u', 'chap.password': 'hunter22hunter22' };
  const virsh = bind(await shipped('libvirt-virsh', 'vmm'), options);
  await virsh.call('defineSecret', { 'grant.uuid': UUID, ...secret }, signal);
  const qemu = bind(await shipped('qemu', 'initiator'), options);
  const session = {
    iqn: IQN,
    lun: 1,
    initiator: IQN,
    'portal.host': '10.0.0.1',
    'portal.port': 3260,
    ...secret,
  };
  await qemu.call('capacity', session, signal).catch(() => undefined);
  const tgt = bind(await shipped('tgt', 'target'), options);
  await tgt.call('createAccount', secret, signal);
  const [define, value, ask, account] = commands;
  assert.match(define?.stdin ?? '', `<uuid>${UUID}</uuid>`);
  assert.is(value?.stdin, 'hunter22hunter22');
  assert.is(ask?.env?.LIBISCSI_CHAP_PASSWORD, 'hunter22hunter22');
  assert.is(ask?.args.at(-1), `iscsi://10.0.0.1:3260/${IQN}/1`);
  assert.not.match(JSON.stringify([define?.args, value?.args, ask?.args]), 'hunter');
  assert.ok(account?.args.includes('hunter22hunter22'));
  assert.is(events.length, 4);
  assert.not.match(JSON.stringify(events), 'hunter');
});

test('a disk for libvirt is one document with nothing left open', async () => {
  const { commands, run } = recorder();
  const virsh = bind(await shipped('libvirt-virsh', 'vmm'), { run, files: hostFiles });
  const values = {
    'instance.uuid': UUID,
    'volume.id': ID,
    device: 'vdb',
    readOnly: true,
    'disk.access': 'ro',
    'disk.readOnly': 1,
    path: '/dev/x&"<y>',
  };
  await virsh.call('attach.block', values, signal);
  assert.is(
    commands[0]?.stdin,
    '<disk type="block" device="disk"><driver name="qemu" type="raw" cache="none" discard="unmap"/>' +
      '<source dev="/dev/x&amp;&quot;&lt;y&gt;"/><target dev="vdb" bus="virtio"/><readonly/>' +
      `<serial>${ID}</serial><alias name="ua-vbs-${ID}"/></disk>`,
  );
  await virsh.call('attach.block', { ...values, readOnly: false }, signal);
  assert.not.match(commands[1]?.stdin ?? '', 'readonly');
});

test('a value that is none, or one too many, reaches no command', async () => {
  const { commands, run } = recorder();
  const tgt = bind(await shipped('tgt', 'target'), { run, files: hostFiles });
  const failure = (values: object) =>
    tgt.call('createTarget', { ...values }, signal).then(
      () => '',
      (error: Error) => error.name,
    );
  assert.is(await failure({ tid: 1n, iqn: '--force' }), 'ParameterError');
  assert.is(await failure({ tid: 1n }), 'ParameterError');
  assert.is(await failure({ tid: 1n, iqn: IQN, force: true }), 'ParameterError');
  assert.equal(commands, []);
});

test('a look that failed, complained or was not understood is CannotLook, never empty', async () => {
  const answers = [
    { ...ok, exitCode: 107, stderr: 'tgtadm: failed to send request hdr' },
    { ...ok, stderr: 'tgtadm: failed to read response' },
    { ...ok, stdout: 'Ziel 1: iqn.2026-11.dev.vbs:x' },
    { ...ok, exitCode: 22, stderr: "tgtadm: can't find the target" },
  ];
  for (const answer of answers) {
    const { run } = recorder(() => answer);
    const tgt = bind(await shipped('tgt', 'target'), { run, files: hostFiles });
    const error = await tgt.call('show', {}, signal).catch((failure: unknown) => failure);
    assert.instance(error, CannotLook);
  }
});

test('an overdue look is CannotLook, and the next verb of that tool does not start beside it', async () => {
  const end = Promise.withResolvers<void>();
  let started = 0;
  const run: RunCommand = async () => {
    started += 1;
    throw new CommandTimeout('tgtadm', 'no end after 1 ms', end.promise);
  };
  const tgt = bind(await shipped('tgt', 'target'), { run, files: hostFiles });
  const call = () => tgt.call('show', {}, signal).catch((error: Error) => error.name);
  assert.is(await call(), 'CannotLook');
  assert.is(await call(), 'Busy');
  assert.is(started, 1);
  end.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  await call();
  assert.is(started, 2);
});

test('one machine that hangs stops no other', async () => {
  const never = Promise.withResolvers<typeof ok>();
  const run: RunCommand = async ({ args }) =>
    args.includes(UUID) ? never.promise : { ...ok, stdout: '<domain/>' };
  const virsh = bind(await shipped('libvirt-virsh', 'vmm'), { run, files: hostFiles });
  const hanging = virsh.call('detach', { 'instance.uuid': UUID, 'volume.id': ID, device: 'vdb' }, signal);
  const other = { 'instance.uuid': UUID.replace('7', '8'), 'volume.id': ID, device: 'vdb' };
  assert.is((await virsh.call('detach', other, signal)).outcome, 'ok');
  never.resolve(ok);
  await hanging;
});

test('a change stops at the first step that fails, and goes on where the profile says it may', async () => {
  const text = `profile: 1
role: initiator
name: x
provides: iscsi
verbs:
  serial:
    - {exec: [one], ok: [absent], outcomes: [{exit: 1, is: absent}]}
    - {exec: [two], rows: {text: serial}}
    - {exec: [three]}
  capacity: {exec: [four], rows: {text: size}}
`;
  const { commands, run } = recorder(({ file }) => ({
    ...ok,
    stdout: file,
    exitCode: file === 'one' ? 1 : 0,
  }));
  const bound = bind(parseProfile(text, 'x.yaml', 'initiator'), { run, files: hostFiles });
  const session = { iqn: IQN, lun: 1, initiator: IQN, 'portal.host': 'h', 'portal.port': 1 };
  const values = { ...session, 'chap.user': 'u', 'chap.password': 'p' };
  const { outcome, rows } = await bound.call('serial', values, signal);
  assert.equal([outcome, rows], ['ok', [{ serial: 'two' }]]);
  assert.equal(
    commands.map(({ file }) => file),
    ['one', 'two', 'three'],
  );
});

test('settings replace defaults, and wrong ones are refused', async () => {
  const { run } = recorder();
  const options = { run, files: hostFiles };
  const libvirt = await shipped('libvirt-virsh', 'vmm');
  assert.is(
    bind(libvirt, { ...options, params: { uri: 'qemu:///session' } }).setting('uri'),
    'qemu:///session',
  );
  const failure = (params: Record<string, string | number>) => {
    try {
      bind(libvirt, { ...options, params });
      return '';
    } catch (error) {
      return String(error);
    }
  };
  assert.match(failure({ url: 'x' }), 'there is no parameter url (did you mean "uri"?)');
  assert.match(failure({ uri: '-c' }), 'is no word');
  const file = await shipped('file', 'pool');
  assert.throws(() => bind(file, options), /the parameter dir has no default/);
});

test('known-bad versions are told', async () => {
  const text = readFileSync(join(root, 'node-agent/profiles/shipped/tgt.yaml'), 'utf8').replace(
    'verbs:\n',
    'versions: {bad: [{match: "^1\\\\.0\\\\.1$", why: predictable challenges}]}\nverbs:\n',
  );
  const bound = (stdout: string) =>
    bind(parseProfile(text, 't.yaml', 'target'), { run: async () => ({ ...ok, stdout }), files: hostFiles });
  assert.equal(await bound('1.0.85\n').version(signal), { version: '1.0.85' });
  assert.equal(await bound('1.0.1\n').version(signal), { version: '1.0.1', bad: 'predictable challenges' });
});

const recorded = (tool: string): Readonly<Record<string, { exit: number; stderr: string }>> =>
  JSON.parse(readFileSync(join(root, 'test/fixtures', tool, 'errors.json'), 'utf8'));

const outcomesOf = async (tool: string, name: string, role: RoleName, verb?: string) => {
  const { format } = await shipped(name, role);
  const step = verb === undefined ? undefined : format.verbs[verb];
  const own = step !== undefined && 'outcomes' in step ? (step.outcomes ?? []) : [];
  return Object.fromEntries(
    Object.entries(recorded(tool)).map(([what, { exit, stderr }]) => [
      what,
      outcomeOf([...own, ...(format.outcomes ?? [])], { exitCode: exit, stdout: '', stderr }),
    ]),
  );
};

test('recorded failures have their meaning', async () => {
  const virsh = await outcomesOf('libvirt', 'libvirt-virsh', 'vmm');
  const wanted = {
    'attach-device (alias taken)': 'exists',
    'attach-device (device taken)': 'exists',
    'attach-device (secret missing)': 'failed',
    'attach-device (not running)': 'notRunning',
    'attach-device (no such domain)': 'absent',
    'attach-device (wrong password)': 'denied',
    'attach-device (initiator not allowed)': 'denied',
    'attach-device (portal does not answer)': 'unreachable',
    'attach-device (no such LUN)': 'failed',
    'attach-device (slots)': 'full',
    'dumpxml (no such domain)': 'absent',
    'list (no daemon)': 'unreachable',
  };
  for (const [what, outcome] of Object.entries(wanted)) {
    assert.is(virsh[what], outcome, what);
  }
  const detach = await outcomesOf('libvirt', 'libvirt-virsh', 'vmm', 'detach');
  assert.is(detach['detach-device-alias (no such alias)'], 'absent');
  const ask = await outcomesOf('libiscsi', 'qemu', 'initiator');
  assert.is(ask['iscsi-inq (wrong password)'], 'denied');
  assert.is(ask['iscsi-inq (initiator not allowed)'], 'denied');
  assert.is(ask['iscsi-inq (no such LUN)'], 'absent');
  assert.is(ask['iscsi-inq (portal does not answer)'], 'unreachable');
  const tgt = await outcomesOf('tgt', 'tgt', 'target');
  assert.is(tgt['tgtadm --lld iscsi --op show --mode target (no daemon)'], 'unreachable');
  assert.is(tgt['tgtadm --lld iscsi --op delete --mode target --tid 5'], 'busy');
  assert.is(tgt['tgtadm --lld iscsi --op delete --mode target --tid 77'], 'absent');
  const lvm = await outcomesOf('lvm', 'lvm-thin', 'pool');
  assert.equal(lvm, {
    'lvcreate -q -y -W n -n big -L 64G vbs': 'full',
    'lvcreate -q -y -W n -n vol-2 -L 64M vbs': 'exists',
    'lvremove -q -y vbs/nope': 'absent',
    'vgs nope': 'absent',
    'lvs --reportformat json vbs/nope': 'absent',
    'lvremove of an open volume': 'busy',
    'lvrename --config K nope x.new x': 'absent',
    'lvcreate --zero y --virtualsize 1048576b --thinpool thin0 nope': 'failed',
    'lvcreate --virtualsize 1048576b --thinpool thin0 vbs': 'absent',
  });
});

test.run();
