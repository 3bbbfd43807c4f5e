// A shop without Kubernetes: one machine has the package of the control plane, two others are its hosts. A guest writes and flushes while
// the control plane is killed, rebooted, upgraded, loses its store and has its backup instead.
import * as assert from 'uvu/assert';
import { CONTROL_PLANE } from '../../../scripts/package/control-plane.ts';
import { buildPackage } from '../../../scripts/package/package.ts';
import { LIO_SERVER, TGT_SERVER } from '../../harness/lab/lab.ts';
import { GuestLoad } from '../../harness/lab/load.ts';
import { LIBVIRT_HOST } from '../../harness/lab/machines.ts';
import { LabControlPlane } from '../../harness/lab/standalone.ts';
import { labStories, log } from '../../harness/lab/stories.ts';
import { attachment, attachmentRef, type LabStory, volume, WAIT_MS } from '../../harness/lab/story.ts';
import { waitFor } from '../../harness/process.ts';

const DB = 'db';
/** A volume server that keeps no volume of this story, and has the control plane instead. */
const CONTROL = TGT_SERVER;
const SERVICES = ['vbs-etcd', 'vbs-apiserver', 'vbs-controller-manager', 'vbs-controller'];
const STOP = `systemctl stop ${SERVICES.toReversed().join(' ')}`;
const STORE = '/var/lib/vbs-control-plane/etcd';

const stories = labStories('standalone', async ({ lab }) => await lab.agent(CONTROL).stop());
const { story } = stories;
let load: GuestLoad | undefined;
let backup = '';

const controlOf = ({ lab }: LabStory): LabControlPlane => new LabControlPlane(lab.machine(CONTROL).ssh);
const running = (): GuestLoad => {
  assert.ok(load, 'the guest writes');
  return load;
};

/** The command that is printed, pasted on the host. */
const joined = async (
  told: LabStory,
  host: typeof LIO_SERVER | typeof LIBVIRT_HOST,
  roles: string,
): Promise<void> => {
  const printed = await controlOf(told).run('enroll', host, '--roles', roles);
  const [command = ''] = /^vbs-node-agent enroll[\s\S]*^JOIN$/m.exec(printed) ?? [];
  assert.match(command, '--join-file -');
  await told.lab.moveHost(host, async () => {
    assert.match(
      await told.lab.machine(host).ssh.succeed(`bash -s`, { stdin: `${command}\n` }),
      `host ${host} is enrolled`,
    );
  });
};

const hostsReady = async (told: LabStory): Promise<void> => {
  for (const ref of [`volumeserver/${LIO_SERVER}`, `hypervisor/${LIBVIRT_HOST}`]) {
    await controlOf(told).kubectl(['wait', '--for=create', '--timeout=900s', ref]);
    await controlOf(told).ready(ref);
  }
};

/** All services run, and all hosts are heard, within a while. */
const well = async (told: LabStory): Promise<void> => {
  const limits = {
    what: 'vbs-control-plane status to say that all is well',
    timeoutMs: WAIT_MS,
    intervalMs: 5_000,
  };
  log(await waitFor(limits, async () => await controlOf(told).run('status')));
};

story(
  'one package and one command make a control plane, also when the command is killed on its way',
  async (told) => {
    const { lab } = told;
    const control = controlOf(told);
    await control.install(await buildPackage(CONTROL_PLANE, log));
    const { address } = lab.machine(CONTROL).plan;
    for (const seconds of [1, 3, 8, 20, 40]) {
      await control.killedAfter(seconds, 'init', '--address', address);
    }
    log(await control.run('init', '--address', address));
    const pool = { poolSelector: { profile: 'lvm-thin' }, default: true };
    await control.apply({
      apiVersion: 'vbs.dev/v1alpha1',
      kind: 'VolumeClass',
      metadata: { name: 'thin' },
      spec: pool,
    });
    for (const unit of SERVICES) {
      const user = await lab
        .machine(CONTROL)
        .ssh.succeed(`ps -o user= -p $(systemctl show -p MainPID --value ${unit})`);
      assert.match(user, /^vbs-con/, unit);
    }
    const ports = await lab.machine(CONTROL).ssh.succeed('ss -ltnH | grep -v :22 || true');
    assert.match(ports, `${address}:6443`);
    assert.not.match(ports, /:(2379|2380|10257)\b/);
  },
);

story('hosts join by the command that is printed, and a volume of theirs is written to', async (told) => {
  const control = controlOf(told);
  await joined(told, LIO_SERVER, 'volumeServer');
  await joined(told, LIBVIRT_HOST, 'hypervisor');
  await hostsReady(told);
  await control.apply(volume(DB), attachment(DB, 'vm-b'));
  await control.ready(`vbsvol/${DB}`, attachmentRef(DB, 'vm-b'));
  const serial = await control.volumeID(DB);
  const found = await told.lab.guest('vm-b').run(`grep -slx ${serial} /sys/block/*/serial`);
  const device = /^\/sys\/block\/(\w+)\/serial$/m.exec(found)?.[1] ?? '';
  assert.match(device, /^vd/);
  load = await GuestLoad.start(told.lab.guest('vm-b'), device);
  assert.match(await control.refusal('status'), /WARN there is no backup/);
  backup = / revision \d+: (\S+)/.exec(await control.run('backup'))?.[1] ?? '';
  await well(told);
});

story('what is killed comes back, and so does all of it after a reboot', async (told) => {
  const { ssh } = told.lab.machine(CONTROL);
  for (const unit of SERVICES) {
    await ssh.succeed(`systemctl kill --kill-whom=main --signal=KILL ${unit}`);
  }
  await well(told);
  await told.lab.machine(CONTROL).reboot();
  await well(told);
  await running().goesOn();
});

story('an upgrade restarts it, after a backup, under writes', async (told) => {
  const said = await controlOf(told).upgrade(await buildPackage(CONTROL_PLANE, log));
  assert.match(said, /backed up \d+ keys/);
  assert.match(said, 'all of the control plane is of version');
  await well(told);
  await running().goesOn();
});

story('certificates are renewed while all of it runs', async (told) => {
  const { ssh } = told.lab.machine(CONTROL);
  const [sums, pids] = [
    'sha256sum /etc/vbs/pki/apiserver.pem /etc/vbs/pki/controller.pem',
    `systemctl show -p MainPID --value ${SERVICES.join(' ')}`,
  ];
  const [sumsBefore, pidsBefore] = [await ssh.succeed(sums), await ssh.succeed(pids)];
  // They are made anew, as those are that are about to end.
  await ssh.succeed('rm /etc/vbs/pki/apiserver.pem /etc/vbs/pki/controller.pem');
  await ssh.succeed('systemctl start vbs-control-plane-renew.service', { timeoutMs: WAIT_MS });
  assert.is.not(await ssh.succeed(sums), sumsBefore);
  assert.is(await ssh.succeed(pids), pidsBefore, 'nothing was restarted');
  await well(told);
});

story(
  'the store is lost, and the backup takes its place: what was made since is left as it is, and the guest goes on',
  async (told) => {
    const control = controlOf(told);
    const { ssh } = told.lab.machine(CONTROL);
    await control.apply(volume('since'));
    await control.ready('vbsvol/since');
    const id = await control.volumeID('since');
    assert.match(await control.refusal('restore', backup), 'stop all of it first');
    await ssh.succeed(STOP, { timeoutMs: WAIT_MS });
    assert.match(await control.refusal('restore', backup), '--replace');
    await ssh.succeed(`rm -r ${STORE}`);
    log(await control.run('restore', backup));
    await well(told);
    await control.ready(`vbsvol/${DB}`, attachmentRef(DB, 'vm-b'));
    const orphans = ['get', `volumeserver/${LIO_SERVER}`, '-o', 'jsonpath={.status.agent.orphans}'];
    await waitFor({ what: 'the new volume to be told of', timeoutMs: WAIT_MS, intervalMs: 2_000 }, async () =>
      (await control.kubectl(orphans)).includes(id),
    );
    const existing = { volumeServer: LIO_SERVER, id };
    await control.apply(volume('since', { source: { existing } }));
    await control.ready('vbsvol/since');
    await control.kubectl(['delete', 'vbsvol/since', '--timeout=900s']);
    await running().goesOn();
  },
);

story('nothing is left of the volume, and a purged package leaves its backups', async (told) => {
  const control = controlOf(told);
  const { ssh } = told.lab.machine(CONTROL);
  log(`${await running().verify()} writes were acknowledged, and all of them are there`);
  await control.kubectl(['delete', attachmentRef(DB, 'vm-b'), `vbsvol/${DB}`, '--timeout=900s']);
  // The object goes before its bytes do.
  await told.nothingLeft();
  await told.lab.agent(LIO_SERVER).stop();
  await told.lab.agent(LIBVIRT_HOST).stop();
  assert.match(await ssh.succeed('dpkg --purge vbs-control-plane 2>&1'), '/var/backups/vbs is kept');
  assert.is(await ssh.succeed(`ls ${backup}`), `${backup}\n`);
  assert.is(await ssh.succeed('ls -d /var/lib/vbs-control-plane /etc/vbs/pki 2>/dev/null || true'), '');
  await ssh.succeed('rm -r /var/backups/vbs');
});

stories.run();
