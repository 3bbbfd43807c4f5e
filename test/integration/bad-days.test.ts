// Bad days: whatever goes wrong ends in a condition or an error which a person can act on; nothing is lost, nothing is left
// over, and when the cause is gone it works without further help.
import { chmod, cp, mkdir, readdir, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hostNamespace } from '../../api/names.ts';
import { EVENTS, VOLUME_CLASSES } from '../../api/resources.ts';
import type { Guest } from '../harness/guest.ts';
import { loud } from '../harness/loud.ts';
import { type RunningProcess, runCommand, waitFor } from '../harness/process.ts';
import {
  attachment,
  Heartbeat,
  hypervisorHost,
  openStory,
  type Ref,
  type Story,
  serverHost,
  type Thing,
  volume,
} from '../harness/story.ts';
import { HYPERVISOR, SERVER } from '../harness/system.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const SECOND = 'hypervisor-2';
const volumeClass = (name: string): Ref => ({ resource: VOLUME_CLASSES, name });
const shipped = path.resolve(import.meta.dirname, '../../node-agent/profiles/shipped');

interface World {
  story: Story;
  a: Guest;
  b: Guest;
  /** On the second hypervisor. */
  c: Guest;
}

const days = suite<World>('bad days');

days.before(
  loud(async (world) => {
    world.story = await openStory(log);
    const { story } = world;
    const second = await story.addHypervisor(SECOND, await story.configOf(HYPERVISOR));
    world.a = await story.guest('vm-a');
    world.b = await story.guest('vm-b');
    world.c = await story.guest('vm-c', second);
  }),
);

days.after(loud(async ({ story }) => await story?.close()));

days('an unknown class is named, and the volume comes when the class does', async ({ story }) => {
  await story.makeVolume('gold', { className: 'gold' });
  await story.waitReason(volume('gold'), { reason: 'ClassNotFound', message: /no VolumeClass gold/ });
  await story.make(volumeClass('gold'), { poolSelector: { profile: 'file' } });
  await story.waitReady(volume('gold'));
  await story.removeAndWait(volume('gold'), volumeClass('gold'));
});

days('two default classes are a question, not a guess', async ({ story }) => {
  await story.make(volumeClass('other'), { default: true, poolSelector: { profile: 'file' } });
  await story.makeVolume('which');
  await story.waitReason(volume('which'), {
    reason: 'TwoDefaultClasses',
    message: /other.*standard.*leave one, or set spec\.className|standard.*other.*leave one/,
  });
  await story.remove(volumeClass('other'));
  const placed = await story.waitReady(volume('which'));
  assert.is(placed.status?.className, 'standard');
  await story.removeAndWait(volume('which'));
});

days('an Attachment may come before its Volume', async ({ story, a }) => {
  await story.attach('early', 'later', 'vm-a');
  await story.waitReason(attachment('early'), { reason: 'VolumeNotFound', message: /no Volume later/ });
  await story.makeVolume('later');
  await story.waitReady(attachment('early'));
  await a.writeMarker(await story.volumeID('later'), 'worth the wait');
  await story.removeAndWait(attachment('early'), volume('later'));
  await story.nothingLeft();
});

days('an unknown hypervisor and an unknown instance are named', async ({ story }) => {
  await story.makeVolume('lost');
  await story.attach('nowhere', 'lost', 'vm-a', { hypervisor: 'no-such-host' });
  await story.waitReason(attachment('nowhere'), { reason: 'HypervisorNotFound', message: /no-such-host/ });
  await story.attach('nobody', 'lost', 'no-such-vm');
  await story.waitReason(attachment('nobody'), { reason: 'InstanceNotFound', message: /no-such-vm/ });
  await story.attach('elsewhere', 'lost', 'vm-a', { hypervisor: SECOND });
  await story.waitReason(attachment('elsewhere'), {
    reason: 'InstanceNotFound',
    message: new RegExp(`${SECOND}.*vm-a`),
  });
  await story.removeAndWait(...['nowhere', 'nobody', 'elsewhere'].map(attachment), volume('lost'));
  await story.nothingLeft();
});

days(
  'an Exclusive volume goes to one VM at a time; the next one follows by itself',
  async ({ story, a, b }) => {
    const id = await story.attached('one', a);
    await a.writeMarker(id, 'from the first');
    await story.attach('second', 'one', 'vm-b');
    await story.waitReason(attachment('second'), {
      reason: 'VolumeInUse',
      message: /held by Attachment one-on-vm-a/,
    });
    assert.is(await b.findDisk(id), undefined);
    await story.remove(attachment('one-on-vm-a'));
    await story.waitReady(attachment('second'));
    assert.is(await b.readMarker(id), 'from the first');
    assert.is(await a.findDisk(id), undefined);
    await story.removeAndWait(attachment('second'), volume('one'));
    await story.nothingLeft();
  },
);

days('a device name that is taken is refused, not replaced', async ({ story, a }) => {
  const first = await story.attached('dev1', a, { device: 'vdq' });
  await story.makeVolume('dev2');
  await story.attach('dev2', 'dev2', 'vm-a', { device: 'vdq' });
  await story.waitReason(attachment('dev2'), { reason: 'DeviceInUse', message: /vdq/, type: 'Stalled' });
  await a.writeMarker(first, 'undisturbed');
  await story.removeAndWait(attachment('dev1-on-vm-a'));
  const ready = await story.waitReady(attachment('dev2'));
  assert.is(
    (ready.status?.connection as { device?: string } | undefined)?.device,
    'vdq',
    'free now, and taken',
  );
  await story.removeAndWait(attachment('dev2'), volume('dev1'), volume('dev2'));
  await story.nothingLeft();
});

days('a VM that is off gets its disks when it starts, every time', async ({ story, b }) => {
  await b.destroy();
  await story.makeVolume('off');
  await story.attach('off', 'off', 'vm-b');
  await story.waitReason(attachment('off'), { reason: 'InstanceNotRunning', message: /vm-b.*when it runs/ });
  await b.start();
  await story.waitReady(attachment('off'));
  const id = await story.volumeID('off');
  await b.writeMarker(id, 'survives a restart');
  await b.destroy();
  await story.waitReason(attachment('off'), { reason: 'InstanceNotRunning', message: /vm-b/ });
  await b.start();
  assert.is(await b.readMarker(id), 'survives a restart');
  await story.waitReady(attachment('off'));
  await b.destroy();
  await story.removeAndWait(attachment('off'), volume('off'));
  await b.start();
  await story.nothingLeft();
});

days('a VM that dies while its disk is plugged in, and one that is undefined', async ({ story, b }) => {
  await story.makeVolume('mid');
  await story.attach('mid', 'mid', 'vm-b');
  await story.waitReason(attachment('mid'), { reason: 'Exported', message: /./, type: 'Exported' });
  await b.destroy();
  await story.waitReason(attachment('mid'), { reason: 'InstanceNotRunning', message: /vm-b/ });
  await story.system.libvirtd.virsh(['undefine', 'vm-b']);
  await story.waitReason(attachment('mid'), {
    reason: 'InstanceNotFound',
    message: /vm-b.*define it, or delete/,
  });
  await b.define();
  await b.start();
  await story.waitReady(attachment('mid'));
  await b.destroy();
  await story.system.libvirtd.virsh(['undefine', 'vm-b']);
  await story.removeAndWait(attachment('mid'), volume('mid'));
  await b.define();
  await b.start();
  await story.nothingLeft();
});

days('a size that fits nowhere, corrected', async ({ story }) => {
  await story.makeVolume('huge', { size: '900Ti' });
  await story.waitReason(volume('huge'), { reason: 'NoSpace', message: /bytes free.*lower spec\.size/ });
  await story.change(volume('huge'), { size: '16Mi' });
  await story.waitReady(volume('huge'));
  await story.removeAndWait(volume('huge'));
  await story.nothingLeft();
});

days(
  'a full pool takes the next volume when space comes; an unmounted one is missing, not empty',
  async (world) => {
    const { story } = world;
    const dir = path.join(story.system.dir, 'small');
    await mkdir(dir);
    const mount = () => runCommand('mount', ['-t', 'tmpfs', '-o', 'size=64m,mode=700', 'none', dir]);
    await mount();
    try {
      const config = (await story.configOf(SERVER)) as { volumeServer: { pools: object[] } };
      const small = { name: 'small', profile: 'file', params: { dir } };
      const pools = [...config.volumeServer.pools, small];
      await story.reconfigure(SERVER, { volumeServer: { ...config.volumeServer, pools } });
      await story.waitReason(serverHost(), { reason: 'Heard', message: /./ });
      await story.system.preparePools();
      await story.make(volumeClass('small'), { poolSelector: { name: 'small' } });
      await story.makeVolume('fits', { className: 'small', size: '40Mi' });
      await story.waitReady(volume('fits'));
      await story.makeVolume('waits', { className: 'small', size: '40Mi' });
      await story.waitReason(volume('waits'), { reason: 'NoSpace', message: /small.*free space/ });
      await story.removeAndWait(volume('fits'));
      await story.waitReady(volume('waits'));

      await runCommand('umount', ['-l', dir]);
      await story.waitReason(volume('waits'), {
        reason: 'PoolMissing',
        message: /small.*mounted, or its volume group/,
      });
      assert.equal(await readdir(dir), [], 'nothing is made in the bare mount point');
      await mount();
      await story.system.preparePools();
      await story.waitReason(volume('waits'), {
        reason: 'PoolMissing',
        message: /small.*holds pool .* not /,
      });
      await runCommand('umount', ['-l', dir]);
      await story.reconfigure(SERVER, config);
      // Its disk is gone for good: a person lets the object go.
      await story.kubectl('delete', 'vbsvol/waits', '--wait=false');
      await story.kubectl('patch', 'vbsvol/waits', '--type=merge', '-p', '{"metadata":{"finalizers":null}}');
      await story.waitGone(volume('waits'));
    } finally {
      await runCommand('umount', ['-l', dir]).catch(() => undefined);
    }
    await story.removeAndWait(volumeClass('small'));
  },
);

days('tgtd and libvirtd stopped: the hosts say so, and recover', async ({ story, a }) => {
  const id = await story.attached('steady', a);
  await story.system.libvirtd.kill();
  await story.waitReason(hypervisorHost(), { reason: 'VmmUnavailable', message: /VMM does not answer/ });
  await a.writeMarker(id, 'without libvirtd');
  await story.system.libvirtd.restart();
  await story.waitReady(hypervisorHost());

  await story.system.tgtd.kill();
  await story.waitReason(serverHost(), { reason: 'TargetUnavailable', message: /tgt/ });
  await story.makeVolume('meanwhile');
  await story.system.tgtd.restart();
  await story.waitReady(serverHost());
  await story.waitReady(volume('meanwhile'));
  await story.waitReady(attachment('steady-on-vm-a'));
  assert.is(await a.readMarker(id), 'without libvirtd');
  await story.removeAndWait(attachment('steady-on-vm-a'), volume('steady'), volume('meanwhile'));
  await story.nothingLeft();
});

days('the volume server fails between export and login', async ({ story, a }) => {
  await story.makeVolume('between');
  await story.waitReady(volume('between'));
  signal(story, HYPERVISOR, 'SIGSTOP');
  await story.attach('between', 'between', 'vm-a');
  await story.waitReason(attachment('between'), { reason: 'Exported', message: /iqn/, type: 'Exported' });
  await story.system.kill(SERVER);
  await story.system.tgtd.restart();
  signal(story, HYPERVISOR, 'SIGCONT');
  await story.system.run(SERVER);
  await story.waitReady(attachment('between'));
  await a.writeMarker(await story.volumeID('between'), 'made it');
  await story.removeAndWait(attachment('between'), volume('between'));
  await story.nothingLeft();
});

function signal(story: Story, name: string, what: NodeJS.Signals): void {
  process.kill(story.system.programs.get(name)?.process?.pid ?? 0, what);
}

days(
  'deleted and made anew under the same name: another volume, never the old bytes',
  async ({ story, a }) => {
    const first = await story.attached('phoenix', a);
    await a.writeMarker(first, 'secret of the first');
    await story.removeAndWait(attachment('phoenix-on-vm-a'), volume('phoenix'));
    const second = await story.attached('phoenix', a);
    assert.is.not(second, first);
    const bytes = await a.read(second, 0, 1 << 16);
    assert.ok(bytes.equals(Buffer.alloc(1 << 16)), 'all zero');
    await story.removeAndWait(attachment('phoenix-on-vm-a'), volume('phoenix'));
    await story.nothingLeft();
  },
);

days('a clone of a host does nothing and says so', async ({ story, a }) => {
  const config = await story.configOf(HYPERVISOR);
  const dir = path.join(story.system.dir, 'clone');
  await mkdir(dir);
  await writeFile(path.join(dir, 'machine-id'), '0123456789abcdef0123456789abcdef\n');
  await writeFile(path.join(dir, 'boot-id'), `${crypto.randomUUID()}\n`);
  const clone = await story.startProgram('clone', 'node-agent', {
    ...config,
    stateDir: path.join(dir, 'state'),
    machineIDFile: path.join(dir, 'machine-id'),
    bootIDFile: path.join(dir, 'boot-id'),
  });
  const event = await waitFor({ what: 'the event DuplicateHost', timeoutMs: 60_000 }, async () => {
    const { items } = await story.api.list<EventLike>(EVENTS, { namespace: hostNamespace(HYPERVISOR) });
    return items.find(({ reason }) => reason === 'DuplicateHost');
  });
  assert.match(event.note ?? '', /another machine \(.*\) acts as host hypervisor-1.*stop one of them/);
  const id = await story.attached('calm', a);
  assert.ok(id);
  assert.ok(clone.isRunning());
  assert.not.match(await readFile(clone.logFile, 'utf8'), /Acting for this host|Running verb/);
  await clone.stop(20_000);
  assert.is(await clone.exited, 'exit code 0');
  await story.removeAndWait(attachment('calm-on-vm-a'), volume('calm'));
});

interface EventLike extends Thing {
  readonly reason?: string;
  readonly note?: string;
}

/** Runs an agent that cannot start; answers what it says. */
async function refused(agent: RunningProcess): Promise<string> {
  await waitFor({ what: `${agent.name} to leave`, timeoutMs: 60_000 }, async () => !agent.isRunning());
  assert.is(await agent.exited, 'exit code 2');
  return await readFile(agent.logFile, 'utf8');
}

days('the same state directory twice: the second agent leaves with exit code 2', async ({ story }) => {
  const config = await story.configOf(SERVER);
  const twin = await story.startProgram('twin', 'node-agent', config);
  assert.match(await refused(twin), /another agent already runs with stateDir .*; stop it first/);
});

days('a profile with an unknown parameter, and one that others may write', async ({ story }) => {
  const config = (await story.configOf(SERVER)) as { volumeServer: { target: object; pools: object[] } };
  const base = { ...config, stateDir: path.join(story.system.dir, 'picky') };
  const pools = [{ name: 'main', profile: 'file', params: { dir: story.system.poolDir, colour: 'red' } }];
  const odd = await story.startProgram('odd', 'node-agent', {
    ...base,
    volumeServer: { ...config.volumeServer, pools },
  });
  const complaint = await refused(odd);
  assert.match(complaint, /colour/);
  assert.match(complaint, /\.yaml/, 'it names the file');

  const profiles = path.join(story.system.dir, 'profiles');
  await cp(shipped, profiles, { recursive: true });
  await chmod(path.join(profiles, 'tgt.yaml'), 0o666);
  const open = await story.startProgram('open', 'node-agent', { ...base, profileDirectories: [profiles] });
  assert.match(await refused(open), /tgt\.yaml.*(writ|chmod)/s);

  await chmod(path.join(profiles, 'tgt.yaml'), 0o600);
  const text = await readFile(path.join(profiles, 'tgt.yaml'), 'utf8');
  await writeFile(path.join(profiles, 'tgt.yaml'), text.replace('{C}', '{D}'));
  const typo = await story.startProgram('typo', 'node-agent', { ...base, profileDirectories: [profiles] });
  assert.match(await refused(typo), /tgt\.yaml:\d+.*D/s);
});

days('data removed by hand is missing for ever, and never an empty disk', async ({ story, a }) => {
  const id = await story.attached('gone', a);
  await a.writeMarker(id, 'precious');
  await story.removeAndWait(attachment('gone-on-vm-a'));
  const file = path.join(story.system.poolDir, `${id}.raw`);
  await rename(file, `${story.system.dir}/saved.raw`);
  const wanted = { reason: 'DataMissing', message: /restore it there, or delete the Volume/ };
  await story.waitReason(volume('gone'), { ...wanted, type: 'Stalled' });
  await story.system.kill(SERVER);
  await story.system.run(SERVER);
  await story.attach('gone-on-vm-a', 'gone', 'vm-a');
  await story.waitReason(attachment('gone-on-vm-a'), { reason: 'VolumeNotReady', message: /Volume gone/ });
  await story.waitReason(volume('gone'), wanted);
  assert.not.ok((await story.system.poolContents()).includes(`${id}.raw`), 'not made anew');
  await rename(`${story.system.dir}/saved.raw`, file);
  await story.waitReady(attachment('gone-on-vm-a'));
  assert.is(await a.readMarker(id), 'precious', 'restored, it is used again');
  await story.removeAndWait(attachment('gone-on-vm-a'));
  await unlink(file);
  await story.waitReason(volume('gone'), wanted);
  await story.removeAndWait(volume('gone'));
  await story.nothingLeft();
});

days('a pool directory that is gone or another one is PoolMissing; guests go on', async ({ story, a }) => {
  const id = await story.attached('rock', a);
  const { poolDir } = story.system;
  await rename(poolDir, `${poolDir}-away`);
  await story.waitReason(volume('rock'), {
    reason: 'PoolMissing',
    message: /main.*mounted, or its volume group/,
  });
  await a.writeMarker(id, 'the file is still open');
  await mkdir(poolDir, { mode: 0o700 });
  await story.system.preparePools();
  await story.waitReason(volume('rock'), { reason: 'PoolMissing', message: /main.*holds pool .*, not / });
  await rm(poolDir, { recursive: true });
  await rename(`${poolDir}-away`, poolDir);
  await story.waitReady(volume('rock'));
  await story.waitReady(attachment('rock-on-vm-a'));
  assert.is(await a.readMarker(id), 'the file is still open');
  await story.removeAndWait(attachment('rock-on-vm-a'), volume('rock'));
  await story.nothingLeft();
});

days('an agent pointed to another cluster refuses and touches nothing', async ({ story, a }) => {
  const id = await story.attached('mine', a);
  await a.writeMarker(id, 'of this cluster');
  const record = path.join(story.system.dir, SERVER, 'host', 'cluster.json');
  const known = await readFile(record, 'utf8');
  await story.system.kill(SERVER);
  await writeFile(record, JSON.stringify('11111111-2222-4333-8444-555555555555'));
  const before = [await story.system.poolContents(), await story.targets()];
  await story.system.run(SERVER);
  const agent = story.system.programs.get(SERVER)?.process;
  assert.ok(agent);
  assert.match(await refused(agent), /belongs to cluster 11111111-.*correct the kubeconfig/);
  await story.waitReason(serverHost(), {
    reason: 'WrongCluster',
    message: /correct the kubeconfig/,
    type: 'HostSafe',
  });
  assert.equal([await story.system.poolContents(), await story.targets()], before);
  await writeFile(record, known);
  await story.system.run(SERVER);
  await story.waitReady(serverHost());
  await story.waitReady(attachment('mine-on-vm-a'));
  assert.is(await a.readMarker(id), 'of this cluster');
  await story.removeAndWait(attachment('mine-on-vm-a'), volume('mine'));
  await story.nothingLeft();
});

days('files, targets and disks of others are not touched', async ({ story, a }) => {
  const { poolDir, tgtd, libvirtd } = story.system;
  const foreign = ['notes.txt', 'vol0123456789abcdef0.raw'].map((name) => path.join(poolDir, name));
  for (const file of foreign) {
    await writeFile(file, Buffer.alloc(1 << 20, 1));
  }
  const tgt = (...args: string[]) => tgtd.tgtadm(['--lld', 'iscsi', ...args]);
  const theirs = 'iqn.2001-01.org.example:theirs';
  await tgt('--op', 'new', '--mode', 'target', '--tid', '1', '-T', theirs);
  const image = path.join(story.system.dir, 'theirs.img');
  await writeFile(image, Buffer.alloc(1 << 20, 2));
  await libvirtd.virsh([
    'attach-disk',
    'vm-a',
    image,
    'vdb',
    '--live',
    '--serial',
    'theirs',
    '--subdriver',
    'raw',
  ]);

  const id = await story.attached('ours', a);
  await a.writeMarker(id, 'beside the others');
  await story.system.tgtd.tgtadm(['--lld', 'iscsi', '--op', 'show', '--mode', 'target']);
  await story.system.kill(SERVER);
  await story.system.run(SERVER);
  await story.waitReady(attachment('ours-on-vm-a'));
  await story.removeAndWait(attachment('ours-on-vm-a'), volume('ours'));

  for (const file of foreign) {
    assert.ok((await readFile(file)).equals(Buffer.alloc(1 << 20, 1)), file);
  }
  assert.match(await tgt('--op', 'show', '--mode', 'target'), theirs);
  assert.ok(await a.findDisk('theirs'));
  await tgt('--op', 'delete', '--mode', 'target', '--tid', '1');
  await libvirtd.virsh(['detach-disk', 'vm-a', 'vdb', '--live']);
  await a.waitForNoDisk('theirs');
  await Promise.all(foreign.map((file) => unlink(file)));
  await story.nothingLeft();
});

days('a disk stays in its VM while its target is away, and the VM goes on', async ({ story, a }) => {
  const id = await story.attached('away', a);
  const device = await a.waitForDisk(id);
  await story.system.kill(SERVER);
  // QEMU would have to bring these bytes to the target before it lets the disk go.
  await a.run(`dd if=/dev/zero of=${device} bs=4k count=8 oflag=direct`);
  await story.system.tgtd.kill();
  await story.remove(attachment('away-on-vm-a'));
  await story.waitReason(attachment('away-on-vm-a'), { reason: 'TargetAway', message: /stays in the VM/ });
  assert.is(await a.findDisk(id), device, 'the VM answers, and has its disk');
  await story.system.tgtd.restart();
  await story.system.run(SERVER);
  await story.waitGone(attachment('away-on-vm-a'));
  assert.is(await a.findDisk(id), undefined);
  await story.removeAndWait(volume('away'));
  await story.nothingLeft();
});

days(
  'a silent hypervisor is cut off at the target before another VM gets the volume',
  async ({ story, a, c }) => {
    const id = await story.attached('fence', c, { detachPolicy: 'Graceful' });
    await c.writeMarker(id, 'from vm-c');
    const heartbeat = await Heartbeat.start(c, id);
    await story.attach('next', 'fence', 'vm-a');
    await story.waitReason(attachment('next'), { reason: 'VolumeInUse', message: /fence-on-vm-c/ });
    const silent = story.program(SECOND);
    process.kill(silent.pid, 'SIGSTOP');
    await story.remove(attachment('fence-on-vm-c'));
    await story.waitReason(attachment('fence-on-vm-c'), {
      reason: 'HypervisorSilent',
      message: /hypervisor-2.*spec\.detachPolicy: Fence/,
    });
    assert.is(await a.findDisk(id), undefined, 'no timer detaches');
    await heartbeat.goesOn();
    await story.change(attachment('fence-on-vm-c'), { detachPolicy: 'Fence' });
    await story.waitReady(attachment('next'));
    assert.is(await a.readMarker(id), 'from vm-c');
    await a.writeMarker(id, 'now of vm-a');
    const sessions = (
      await story.system.tgtd.tgtadm(['--lld', 'iscsi', '--op', 'show', '--mode', 'target'])
    ).split('\n');
    const initiators = sessions.filter((line) => /Initiator: /.test(line));
    assert.is(initiators.length, 1, 'one session, and no other');
    assert.match(initiators.join(), 'host.hypervisor-1');
    await story.waitGone(attachment('fence-on-vm-c'));

    process.kill(silent.pid, 'SIGCONT');
    // Its guest hangs in a write which nobody answers and cannot let go: the host tells of the disk, and only a restart frees it.
    await waitFor({ what: `${SECOND} to tell of the disk`, timeoutMs: 90_000 }, async () => {
      const { agent } = (await story.get(hypervisorHost(SECOND)))?.status ?? {};
      return JSON.stringify((agent as { leftovers?: unknown } | undefined)?.leftovers ?? []).includes(id);
    });
    assert.is(await a.readMarker(id), 'now of vm-a');
    await c.destroy();
    await c.start();
    assert.not.match(await story.virshOf(SECOND, ['dumpxml', 'vm-c']), id);
    await story.removeAndWait(attachment('next'), volume('fence'));
    await story.nothingLeft();
  },
);

days('spec.fenced cuts a hypervisor off, and lifts when its VMs hold nothing', async ({ story, c }) => {
  const id = await story.attached('wall', c);
  await c.writeMarker(id, 'before the fence');
  await story.change(hypervisorHost(SECOND), { fenced: true });
  await story.waitReason(attachment('wall-on-vm-c'), {
    reason: 'HypervisorFenced',
    message: /hypervisor-2 .*fenced/,
  });
  assert.equal(await story.targets(), [], 'nothing is exported any more');
  await story.change(hypervisorHost(SECOND), { fenced: false });
  await c.destroy();
  await c.start();
  await story.waitReady(attachment('wall-on-vm-c'), 120_000);
  assert.is(await c.readMarker(id), 'before the fence');
  await story.removeAndWait(attachment('wall-on-vm-c'), volume('wall'));
  await story.nothingLeft();
});

days('a hypervisor reboots: its VMs get their disks again', async ({ story, a }) => {
  const id = await story.attached('boot', a);
  await a.writeMarker(id, 'before the reboot');
  await a.destroy();
  await story.system.kill(HYPERVISOR);
  await story.system.reboot(HYPERVISOR);
  await story.system.run(HYPERVISOR);
  await a.start();
  assert.is(await a.readMarker(id), 'before the reboot');
  await story.waitReady(attachment('boot-on-vm-a'));
  await story.removeAndWait(attachment('boot-on-vm-a'), volume('boot'));
  await story.nothingLeft();
});

days('a volume server reboots under a writing guest', async ({ story, a }) => {
  const id = await story.attached('under', a);
  await a.writeMarker(id, 'before the reboot');
  const heartbeat = await Heartbeat.start(a, id);
  await story.system.kill(SERVER);
  await story.system.tgtd.kill();
  await story.system.reboot(SERVER);
  await story.system.tgtd.restart();
  await story.system.run(SERVER);
  await heartbeat.goesOn();
  await heartbeat.stop();
  await story.waitReady(attachment('under-on-vm-a'));
  assert.is(await a.readMarker(id), 'before the reboot');
  await story.removeAndWait(attachment('under-on-vm-a'), volume('under'));
  await story.nothingLeft();
});

days.run();
