// The charts as a platform team uses them, in a real cluster of one node: the controller in its Deployment, the agent in its DaemonSet, on a node that is
// volume server and hypervisor; installed, walked through, upgraded, rolled back, uninstalled and installed again, under a guest that writes; and left for good.
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { resolveControlPlane } from '../../scripts/control-plane/resolve.ts';
import { fencesOf } from '../docs/markdown.ts';
import { enterBox } from '../harness/cluster/box.ts';
import {
  type Cluster,
  CURRENT,
  chart,
  NODE,
  openCluster,
  prepareCluster,
} from '../harness/cluster/cluster.ts';
import { processorsOf, residentOf, workingSetOf } from '../harness/cluster/node.ts';
import type { Guest } from '../harness/guest.ts';
import { resolveHelm } from '../harness/helm.ts';
import { loud } from '../harness/loud.ts';
import { runCommand, waitFor } from '../harness/process.ts';
import { findRelease } from '../harness/release.ts';
import {
  attachment,
  Heartbeat,
  hypervisorHost,
  type Story,
  serverHost,
  snapshot,
  volume,
} from '../harness/story.ts';
import { ROOT } from '../harness/system.ts';

const log = (line: string): boolean => process.stdout.write(`# ${line}\n`);
const VERSION = '0.1.0';
const NAMESPACE = ['--namespace', 'vbs-system'];
const PATIENCE = ['--wait', '--timeout', '4m'];
const LIMIT_MS = 120_000;
const AGENT = 'app.kubernetes.io/component=node-agent-both';
const CONTROLLER = 'app.kubernetes.io/component=controller';

const release = await findRelease(VERSION);
if (release.kind === 'missing' && process.env.CI === 'true' && !release.shallow) {
  throw new Error(release.why);
}
const dir = await enterBox(log, (folder) => prepareCluster(folder, log, release));

interface World extends Cluster {
  guest: Guest;
  heartbeat: Heartbeat;
}

const test = suite<World>('the charts in a cluster');
/** What is told at the end. */
const figures: string[] = [];
const figure = (line: string): void => {
  figures.push(line);
  log(line);
};

test.before(
  loud(async (world) => {
    Object.assign(world, await openCluster(dir, log, release));
    const images = path.join(dir, 'images');
    for (const name of await readdir(images)) {
      const { size } = await stat(path.join(images, name));
      figures.push(`image ${name}: ${(size / 1e6).toFixed(1)} MB`);
    }
  }),
);
test.after(
  loud(async ({ story }) => {
    await story?.close();
    log(['In short:', ...figures].join('\n#   '));
  }),
);

let failed: string | undefined;
/** A test that builds on those before it, and tells how the pods are when it fails. */
const step = (name: string, work: (world: World) => Promise<void>): void =>
  test(name, async (world) => {
    if (failed !== undefined) {
      throw new Error(`not tried, since this failed: ${failed}`);
    }
    try {
      await work(world);
    } catch (error) {
      failed = name;
      await explain(world.story).catch(() => {});
      throw error;
    }
  });

async function explain(story: Story): Promise<void> {
  log(await story.kubectl('get', 'pods,events', '--all-namespaces'));
  for (const selector of [CONTROLLER, AGENT]) {
    log(await story.kubectl('logs', ...NAMESPACE, '--selector', selector, '--tail=20', '--prefix'));
  }
}

const jsonOf = async <T>(story: Story, ...what: readonly string[]): Promise<T> =>
  JSON.parse(await story.kubectl('get', ...what, ...NAMESPACE, '--output=json')) as T;

interface Pod {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly spec: { readonly containers: readonly { readonly image: string }[] };
  readonly status: {
    readonly containerStatuses?: readonly {
      readonly containerID?: string;
      readonly ready: boolean;
      readonly restartCount: number;
      readonly lastState: { readonly terminated?: { readonly exitCode: number } };
    }[];
  };
}

const podsOf = async (story: Story, selector: string): Promise<readonly Pod[]> => {
  const { items } = await jsonOf<{ items: readonly Pod[] }>(story, 'pods', '--selector', selector);
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
};

/** The process of the only container of a pod that runs. */
const pidOf = async ({ node, story }: World, selector: string, name?: string): Promise<number> =>
  await waitFor({ what: `a container of ${selector} to run`, timeoutMs: LIMIT_MS }, async () => {
    const pods = (await podsOf(story, selector)).filter(
      ({ metadata }) => name === undefined || metadata.name === name,
    );
    const id = pods[0]?.status.containerStatuses?.[0]?.containerID?.replace('containerd://', '');
    return (await node.containers()).get(id ?? '');
  });

const install = async ({ helm, values }: World): Promise<void> => {
  await helm('install', 'vbs-crds', chart('vbs-crds'), ...NAMESPACE, '--create-namespace', '--wait');
  await helm('install', 'vbs', chart('vbs'), ...NAMESPACE, '--values', values, ...PATIENCE);
};

const upgradeTo = async ({ helm, values }: World, tag: string): Promise<void> => {
  const tags = ['--values', values, '--set-string', `image.tag=${tag}`];
  await helm('upgrade', 'vbs', chart('vbs'), ...NAMESPACE, ...tags, ...PATIENCE);
};

/** All goes on, with the images of that tag. */
const expectAllWell = async ({ story, heartbeat }: World, tag: string): Promise<void> => {
  await heartbeat.goesOn();
  for (const ref of [serverHost(NODE), hypervisorHost(NODE), volume('db'), attachment('db-on-vm-a')]) {
    await story.waitReady(ref);
  }
  for (const selector of [AGENT, CONTROLLER]) {
    for (const { spec } of await podsOf(story, selector)) {
      assert.ok(spec.containers[0]?.image.endsWith(`:${tag}`), spec.containers[0]?.image);
    }
  }
  await heartbeat.goesOn();
};

/** iSCSI sessions at the target: the guest's is the same one all the while. */
const sessions = async ({ system }: Story): Promise<readonly string[]> => {
  const shown = await system.tgtd.tgtadm(['--lld', 'iscsi', '--op', 'show', '--mode', 'target']);
  return shown.split('\n').filter((line) => /I_T nexus: |Initiator: |Connection: /.test(line));
};

step('installed with Helm, all pods become Ready, and then a Volume', async (world) => {
  const { story } = world;
  await story.kubectl('label', 'node', NODE, 'vbs.dev/volume-server=true', 'vbs.dev/hypervisor=true');
  const startedAt = Date.now();
  const seconds = (): string => ((Date.now() - startedAt) / 1000).toFixed(1);
  await install(world);
  figure(`${seconds()} s after helm install: all pods are Ready`);
  const [agent] = await podsOf(story, AGENT);
  const ofAgent = path.join(dir, 'state', 'vbs-node-agent');
  const command = [ofAgent, 'prepare-pools', '--config', path.join(dir, 'state', 'agent.yaml')];
  log((await story.kubectl('exec', ...NAMESPACE, agent?.metadata.name ?? '', '--', ...command)).trim());
  await story.makeVolume('db');
  await story.waitReady(volume('db'));
  figure(`${seconds()} s after helm install: the first Volume is Ready`);
  assert.is((await podsOf(story, CONTROLLER)).length, 2);
});

step(
  'the agent lives in the namespaces of the host, out of the groups of its pod, and ends in order',
  async (world) => {
    const { story } = world;
    const pid = await pidOf(world, AGENT);
    for (const namespace of ['mnt', 'uts', 'ipc', 'net', 'pid', 'cgroup']) {
      const [own, host] = await Promise.all([pid, 1].map((one) => readlink(`/proc/${one}/ns/${namespace}`)));
      assert.is(own, host, namespace);
    }
    const groups = (await readFile(`/proc/${pid}/cgroup`, 'utf8')).trim().split('\n');
    assert.equal(
      groups.filter((line) => !line.endsWith(':/')),
      [],
    );
    process.kill(pid, 'SIGTERM');
    await waitFor({ what: 'kubelet to start the agent anew', timeoutMs: LIMIT_MS }, async () => {
      const [pod] = await podsOf(story, AGENT);
      const { restartCount = 0, ready = false, lastState } = pod?.status.containerStatuses?.[0] ?? {};
      if (restartCount === 0 || !ready) {
        return false;
      }
      assert.is(lastState?.terminated?.exitCode, 0);
      return true;
    });
    assert.is.not(await pidOf(world, AGENT), pid);
  },
);

step('the walk: attach, write, detach, snapshot, restore, and each goes its own way', async (world) => {
  const { story } = world;
  const guest = await story.guest('vm-a');
  world.guest = guest;
  await story.inGuest('db', guest, (id) => guest.writeMarker(id, 'by the charts'));
  assert.is(await guest.findDisk(await story.volumeID('db')), undefined);
  await story.makeSnapshot('db-then', 'db');
  await story.waitReady(snapshot('db-then'));
  await story.makeVolume('db-again', { source: { snapshotRef: { name: 'db-then' } } });
  await story.waitReady(volume('db-again'));
  const db = await story.plugIn('db', guest);
  await guest.writeMarker(db, 'later');
  await story.inGuest('db-again', guest, async (id) => {
    assert.is(await guest.readMarker(id), 'by the charts');
  });
  assert.is(await guest.readMarker(db), 'later');
  await story.removeAndWait(volume('db-again'), snapshot('db-then'));
});

step('upgraded from the version before, and rolled back to it, under a guest that writes', async (world) => {
  const { story, guest, helm, previous } = world;
  world.heartbeat = await Heartbeat.start(guest, await story.volumeID('db'));
  if (release.kind === 'missing') {
    log(`only a change of the tag is tried, by the name of ${previous}: ${release.why}`);
  }
  const before = await sessions(story);
  assert.ok(before.length > 0);
  const revision = async (): Promise<string> => {
    const { version } = JSON.parse(await helm('status', 'vbs', ...NAMESPACE, '--output', 'json'));
    return String(version);
  };
  const tell = async (what: string, tag: string): Promise<void> => {
    await expectAllWell(world, tag);
    const name = `made-after-${await revision()}`;
    await story.makeVolume(name);
    await story.waitReady(volume(name));
    await story.removeAndWait(volume(name));
    assert.equal(await sessions(story), before, 'the guest’s session is the one that it was');
    log(`${what}: the guest writes on, and a Volume is made`);
  };
  await upgradeTo(world, previous);
  const old = await revision();
  await tell(`with ${previous}`, previous);
  await upgradeTo(world, CURRENT);
  await tell(`upgraded from ${previous}`, CURRENT);
  await helm('rollback', 'vbs', old, ...NAMESPACE, ...PATIENCE);
  await tell(`rolled back to ${previous}`, previous);
  await upgradeTo(world, CURRENT);
  await tell('upgraded again', CURRENT);
});

step('the pods tell what they take', async (world) => {
  const pods = await podsOf(world.story, CONTROLLER);
  const controllers = pods.map(async ({ metadata: { name } }) => {
    const pid = await pidOf(world, CONTROLLER, name);
    return `a controller: ${await takenBy(pid)}; its control group is charged for ${await workingSetOf(pid)} MiB`;
  });
  // It is in no group of its own.
  const agent = pidOf(world, AGENT).then(async (pid) => `the agent: ${await takenBy(pid)}`);
  for (const line of await Promise.all([...controllers, agent])) {
    figure(line);
  }
});

/** While nobody wants anything of it. */
const takenBy = async (pid: number): Promise<string> => {
  const processors = await processorsOf(pid, 10_000);
  const { now, most } = await residentOf(pid);
  return `${now} MiB resident (${most} at most), ${processors} thousandths of a processor`;
};

step('the leader is killed, and the other one leads', async (world) => {
  const { story, heartbeat } = world;
  const holder = async (): Promise<string> =>
    (await jsonOf<{ spec: { holderIdentity: string } }>(story, 'lease', 'vbs-controller')).spec
      .holderIdentity;
  const first = await holder();
  const leader = (await podsOf(story, CONTROLLER)).find(({ metadata }) => first.startsWith(metadata.name));
  assert.ok(leader, `${first} is one of the pods`);
  process.kill(await pidOf(world, CONTROLLER, leader.metadata.name), 'SIGKILL');
  const killedAt = Date.now();
  const seconds = (): string => ((Date.now() - killedAt) / 1000).toFixed(1);
  await story.makeVolume('meanwhile');
  await waitFor({ what: 'another leader', timeoutMs: LIMIT_MS }, async () => (await holder()) !== first);
  figure(`${seconds()} s after the leader was killed: another leads`);
  await story.waitReady(volume('meanwhile'));
  figure(`${seconds()} s after the leader was killed: a Volume that was asked for at once is Ready`);
  await story.removeAndWait(volume('meanwhile'));
  await heartbeat.goesOn();
});

step('helm test says that all is well, and so does the same command in a pod', async ({ helm, story }) => {
  const check = ['vbs-controller', 'check', '--config', '/etc/vbs/controller.yaml'];
  for (const said of [
    await helm('test', 'vbs', ...NAMESPACE, '--logs'),
    await story.kubectl('exec', ...NAMESPACE, 'deployment/vbs-controller', '--', ...check),
  ]) {
    assert.match(said, /^ok {3}controller \S+ leads$/m);
    assert.match(said, /^\d+ passed, 0 to do, 0 failed$/m);
  }
});

step(
  'uninstalled, the guest writes on, and everything is taken up again by another release',
  async (world) => {
    const { story, helm, heartbeat } = world;
    const uids = async (): Promise<string> =>
      await story.kubectl('get', 'volume,attachment', '--output=jsonpath={.items[*].metadata.uid}');
    const before = await uids();
    await helm('uninstall', 'vbs', ...NAMESPACE, ...PATIENCE);
    await helm('uninstall', 'vbs-crds', ...NAMESPACE, ...PATIENCE);
    await waitFor({ what: 'all pods to go', timeoutMs: LIMIT_MS }, async () => {
      // That of the test stays, and does nothing.
      const left = await jsonOf<{ items: readonly Pod[] }>(
        story,
        'pods',
        '--selector=app.kubernetes.io/component',
      );
      return left.items.length === 0;
    });
    await heartbeat.goesOn();
    assert.is(await uids(), before);
    await install(world);
    await expectAllWell(world, CURRENT);
    assert.is(await uids(), before);
    await story.makeVolume('later');
    await story.waitReady(volume('later'));
    await story.removeAndWait(volume('later'));
  },
);

step('an agent stops and starts by the labels of its node', async (world) => {
  const { story, heartbeat } = world;
  const label = (...labels: readonly string[]) => story.kubectl('label', 'node', NODE, ...labels);
  await label('vbs.dev/volume-server-', 'vbs.dev/hypervisor-');
  await waitFor({ what: 'the pod of the agent to go', timeoutMs: LIMIT_MS }, async () => {
    const { items } = await jsonOf<{ items: readonly Pod[] }>(story, 'pods', '--selector', AGENT);
    return items.length === 0;
  });
  await heartbeat.goesOn();
  await label('vbs.dev/volume-server=true', 'vbs.dev/hypervisor=true');
  await pidOf(world, AGENT);
  await expectAllWell(world, CURRENT);
});

step('left for good, as the page says, nothing is left', async ({ story, heartbeat }) => {
  log(`the guest wrote ${await heartbeat.stop()} blocks, each flushed`);
  await story.makeVolume('last');
  await story.waitReady(volume('last'));
  await story.makeSnapshot('last-then', 'last');
  await story.waitReady(snapshot('last-then'));
  const [clear, leave] = await commandsOf('Leave for good');
  log(await typed(story, clear ?? ''));
  await story.nothingLeft();
  for (const ref of [serverHost(NODE), hypervisorHost(NODE)]) {
    const agent = (await story.get(ref))?.status?.agent as { readonly leftovers?: readonly object[] };
    assert.equal(agent.leftovers ?? [], []);
  }
  log(await typed(story, leave ?? ''));
  const kinds = ['namespaces', 'crds', 'clusterroles', 'clusterrolebindings'];
  const policies = ['validatingadmissionpolicies', 'validatingadmissionpolicybindings'];
  const names = await story.kubectl('get', [...kinds, ...policies].join(), '--output=name');
  assert.equal(
    names.split('\n').filter((name) => name.includes('vbs')),
    [],
  );
  assert.not.match(await story.kubectl('get', 'node', NODE, '--output=jsonpath={.metadata.labels}'), 'vbs');
});

/** What a section of docs/install.md says to type, a text for each fence. */
async function commandsOf(heading: string): Promise<readonly string[]> {
  const page = await readFile(path.join(ROOT, 'docs/install.md'), 'utf8');
  const section = page.split(/^(?=## )/m).find((one) => one.startsWith(`## ${heading}\n`));
  return fencesOf(section ?? '');
}

/** What commands say that are typed as administrator. */
async function typed({ system }: Story, commands: string): Promise<string> {
  const programs = [await resolveHelm(log), (await resolveControlPlane(log)).kubectl];
  const PATH = [...programs.map((file) => path.dirname(file)), process.env.PATH].join(':');
  const env = { ...process.env, PATH, HOME: dir, KUBECONFIG: system.controlPlane.adminKubeconfig };
  return await runCommand('sh', ['-eu', '-c', commands], { env, timeoutMs: 2 * LIMIT_MS });
}

test.run();
