// Our objects in the hands of GitOps tools: an installation by kustomize; applications applied in any order, pruned, and deleted with their
// namespace; and what the tools make of every state on the way.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stringify } from 'yaml';
import { FINALIZER, MANAGERS } from '../../api/names.ts';
import { API_VERSION, ATTACHMENTS, SNAPSHOTS, VOLUME_CLASSES, VOLUMES } from '../../api/resources.ts';
import type { ControlPlane } from '../harness/control-plane.ts';
import { holds } from '../harness/fuzz.ts';
import type { Guest } from '../harness/guest.ts';
import { healthJudge, type Judge } from '../harness/health.ts';
import { asThePageSays } from '../harness/health-table.ts';
import { loud } from '../harness/loud.ts';
import { waitFor } from '../harness/process.ts';
import { Recorder } from '../harness/recorder.ts';
import { attachment, openStory, type Ref, type Story, type Thing } from '../harness/story.ts';
import { HYPERVISOR, ROOT } from '../harness/system.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const EXAMPLES = path.join(ROOT, 'examples/gitops/kustomize');
const TENANT = path.join(EXAMPLES, 'tenant');
const LIMIT_MS = 120_000;
const APPLIER = 'gitops';

interface World {
  story: Story;
  a: Guest;
  b: Guest;
  recorder: Recorder;
  judge: Judge;
}

const test = suite<World>('gitops');

/** As the page says: the base, then the site of the examples, here with the hosts of this machine and a pool of files. */
async function installSite(controlPlane: ControlPlane, hosts: readonly string[]): Promise<void> {
  const dir = path.join(path.dirname(path.dirname(controlPlane.adminKubeconfig)), 'site');
  await mkdir(dir);
  const template = await readFile(path.join(ROOT, 'deploy/host.yaml'), 'utf8');
  const identities = hosts.map((host) => template.replaceAll('HOST', host));
  await writeFile(path.join(dir, 'hosts.yaml'), identities.join('\n---\n'));
  const pool = [{ op: 'replace', path: '/spec/poolSelector/profile', value: 'file' }];
  const overlay = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: [path.relative(dir, path.join(EXAMPLES, 'site')), 'hosts.yaml'],
    patches: [{ target: { kind: 'VolumeClass' }, patch: stringify(pool) }],
  };
  await writeFile(path.join(dir, 'kustomization.yaml'), stringify(overlay));
  const apply = (folder: string) => controlPlane.kubectl(['apply', '--server-side', '-k', folder]);
  await apply(path.join(ROOT, 'deploy'));
  const definition = 'crd/volumeclasses.vbs.dev';
  await controlPlane.kubectl(['wait', '--for=condition=Established', '--timeout=60s', definition]);
  await apply(dir);
}

test.before(
  loud(async (world) => {
    world.judge = await healthJudge(log);
    world.story = await openStory(log, { installation: installSite });
    world.recorder = new Recorder(world.story.api);
    [world.a, world.b] = await Promise.all([world.story.guest('vm-a'), world.story.guest('vm-b')]);
  }),
);

test.after(
  loud(async ({ story, recorder }) => {
    await recorder?.close();
    await story?.close();
  }),
);

interface Manifest extends Ref {
  readonly spec: object;
}

const textOf = (manifests: readonly Manifest[]): string =>
  manifests
    .map(({ resource: { kind }, name, namespace, spec }) =>
      stringify({ apiVersion: API_VERSION, kind, metadata: { name, namespace }, spec }),
    )
    .join('---\n');

const kubectl = ({ story }: World, args: readonly string[], manifests: readonly Manifest[] = []) =>
  story.system.controlPlane.kubectl(args, textOf(manifests), LIMIT_MS);

/** In their order, as Flux and Argo CD do. */
const apply = (world: World, ...manifests: readonly Manifest[]) =>
  kubectl(world, ['apply', '--server-side', `--field-manager=${APPLIER}`, '-f', '-'], manifests);

const volumeIn = (namespace: string, name: string, spec: object = {}): Manifest => ({
  resource: VOLUMES,
  name,
  namespace,
  spec: { ...('source' in spec ? {} : { size: '16Mi' }), ...spec },
});

const snapshotIn = (namespace: string, name: string, of: string): Manifest => ({
  resource: SNAPSHOTS,
  name,
  namespace,
  spec: { volumeRef: { name: of } },
});

const attachmentIn = (namespace: string, name: string, vm: string): Manifest => ({
  resource: ATTACHMENTS,
  name: `${name}-on-${vm}`,
  namespace,
  spec: { volumeRef: { name }, instance: { name: vm } },
});

const untilReady = ({ story }: World, manifests: readonly Manifest[]) =>
  Promise.all(
    manifests.filter(({ resource }) => resource !== VOLUME_CLASSES).map((one) => story.waitReady(one)),
  );

const untilGone = ({ story }: World, manifests: readonly Manifest[]) =>
  Promise.all(manifests.map((one) => story.waitGone(one)));

const refusal = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'it was not refused',
    (error: Error) => error.message,
  );

test('the example of a team becomes Ready step by step, and then nothing is left to do', async (world) => {
  const { a } = world;
  const ns = ['-n', 'shop'];
  for (const [step, kinds] of [
    ['storage', 'volumes,snapshots'],
    ['attachments', 'attachments'],
  ] as const) {
    await kubectl(world, ['apply', '--server-side', '-k', path.join(TENANT, step)]);
    await kubectl(world, ['wait', '--for=condition=Ready', '--timeout=110s', kinds, '--all', ...ns]);
  }
  await kubectl(world, ['diff', '--server-side', '-k', TENANT]);
  const id = await kubectl(world, ['get', 'volume', 'orders', ...ns, '-o', 'jsonpath={.status.volumeID}']);
  assert.is(await a.sizeBytes(id), 64n * 1024n * 1024n);
  await kubectl(world, ['delete', 'attachments', '--all', ...ns]);
});

test('a virtual machine that is off holds up kstatus, and no gate with the expressions of the example', async (world) => {
  const { story, judge, b } = world;
  await b.stop();
  await story.makeVolume('db');
  await story.attach('db-on-vm-b', 'db', 'vm-b');
  const off = await story.waitReason(attachment('db-on-vm-b'), {
    reason: 'InstanceNotRunning',
    message: /vm-b/,
  });
  const [verdict] = await judge([off]);
  assert.equal(
    [verdict?.kstatus, verdict?.flux, verdict?.argoCD.status],
    ['InProgress', 'Current', 'Suspended'],
  );
  await b.start();
  await story.waitReady(attachment('db-on-vm-b'));
  await story.removeAndWait(attachment('db-on-vm-b'), { resource: VOLUMES, name: 'db' });
});

/** One application; its Attachments go to the VM. */
const application = (ns: string, vm: string): readonly Manifest[] => {
  const className = ns;
  return [
    { resource: VOLUME_CLASSES, name: className, spec: { poolSelector: { profile: 'file' } } },
    volumeIn(ns, 'db', { className }),
    snapshotIn(ns, 'db-prepared', 'db'),
    volumeIn(ns, 'db-copy', { size: '24576Ki', className, source: { snapshotRef: { name: 'db-prepared' } } }),
    volumeIn(ns, 'logs', { size: '16384Ki', className }),
    attachmentIn(ns, 'db-copy', vm),
    attachmentIn(ns, 'logs', vm),
  ];
};

interface ManagedFields {
  readonly manager: string;
  readonly subresource?: string;
  readonly fieldsV1: Readonly<Record<string, object>>;
}

/** Spec, labels and annotations are those of the applier alone; what is ours is the status and one finalizer. */
function isNobodyElses({ kind, metadata }: Thing): void {
  const { managedFields = [] } = metadata as { readonly managedFields?: readonly ManagedFields[] };
  const told = `${kind} ${metadata.name}: ${JSON.stringify(managedFields)}`;
  assert.ok(
    managedFields.some(({ manager }) => manager === APPLIER),
    told,
  );
  for (const { manager, subresource, fieldsV1 } of managedFields.filter((one) => one.manager !== APPLIER)) {
    assert.ok(Object.values<string>(MANAGERS).includes(manager), told);
    const isStatus = subresource === 'status';
    assert.equal(Object.keys(fieldsV1), [isStatus ? 'f:status' : 'f:metadata'], told);
    assert.equal(Object.keys(fieldsV1['f:metadata'] ?? {}), isStatus ? [] : ['f:finalizers'], told);
  }
  assert.equal(metadata.finalizers ?? [], kind === 'VolumeClass' ? [] : [FINALIZER], told);
}

const APPLICATIONS = 4;
const OBJECTS = application('', '').length;
let made = 0;

const order = fc.shuffledSubarray([...Array(OBJECTS).keys()], { minLength: OBJECTS });
const orders = fc.array(order, { minLength: APPLICATIONS, maxLength: APPLICATIONS });

test('any order of apply comes to the same end, and nothing but the applier has written a spec', async (world) => {
  const { story } = world;
  const property = fc.asyncProperty(orders, async (all) => {
    const applications = all.map((numbers, index) => {
      made += 1;
      const objects = application(`app-${made}`, index % 2 === 0 ? 'vm-a' : 'vm-b');
      return numbers.map((number) => objects[number] as Manifest);
    });
    const everything = applications.flat();
    for (const { namespace } of everything.filter(({ resource }) => resource === SNAPSHOTS)) {
      await kubectl(world, ['create', 'namespace', String(namespace)]);
    }
    await Promise.all(applications.map((manifests) => apply(world, ...manifests)));
    await untilReady(world, everything);
    for (const one of everything) {
      isNobodyElses((await story.get(one)) as Thing);
    }
    // All at once: each waits for those which need it.
    await kubectl(world, ['delete', '--wait=false', '-f', '-'], everything);
    await untilGone(world, everything);
  });
  await holds(property, { runs: 1, dear: true });
});

test('a prune is refused what is protected and does all else, and the data of what is retained stays', async (world) => {
  const { story } = world;
  const ns = 'pruned';
  await kubectl(world, ['create', 'namespace', ns]);
  const db = volumeIn(ns, 'db', { deletionProtection: true });
  const archive = volumeIn(ns, 'archive', { deletionPolicy: 'Retain' });
  const scratch = volumeIn(ns, 'scratch');
  const use = attachmentIn(ns, 'scratch', 'vm-a');
  await apply(world, db, archive, scratch, use);
  const [, retained] = await untilReady(world, [db, archive, scratch, use]);

  // As Flux does: one after the other, and on after a refusal.
  const prune = () =>
    kubectl(world, ['delete', '--ignore-not-found', '--wait=false', '-f', '-'], [db, archive, scratch, use]);
  const words = /Volume db has spec\.deletionProtection: true; set it to false first/;
  assert.match(await refusal(prune()), words);
  await untilGone(world, [archive, scratch, use]);
  assert.match(await refusal(prune()), words);
  const [kept] = await untilReady(world, [db]);
  assert.is(kept?.metadata.deletionTimestamp, undefined);
  const files = await story.system.poolContents();
  assert.ok(files.includes(`${retained?.status?.volumeID}.retained`), files.join());

  await apply(world, volumeIn(ns, 'db', { deletionProtection: false }));
  await prune();
  await untilGone(world, [db]);
});

test('whoever deletes in the foreground, as Argo CD does, waits for nothing of ours', async (world) => {
  const { story } = world;
  const db = volumeIn('pruned', 'foreground');
  await apply(world, db);
  await untilReady(world, [db]);
  const place = ['volume', db.name, '-n', 'pruned'];
  await kubectl(world, ['delete', ...place, '--cascade=foreground', '--wait=false']);
  await waitFor({ what: 'our finalizer to be off', timeoutMs: LIMIT_MS }, async () => {
    const { finalizers = [] } = (await story.get(db))?.metadata ?? {};
    return !finalizers.includes(FINALIZER);
  });
  // The rest is the garbage collector's, which does not run here.
  assert.equal((await story.get(db))?.metadata.finalizers, ['foregroundDeletion']);
  await kubectl(world, ['patch', ...place, '--type=merge', '-p', '{"metadata":{"finalizers":[]}}']);
  await untilGone(world, [db]);
});

test('a namespace that is deleted is emptied, and says on what it waits', async (world) => {
  const { story } = world;
  const ns = 'leaving';
  await kubectl(world, ['create', 'namespace', ns]);
  const copy = volumeIn(ns, 'copy', { source: { snapshotRef: { name: 'db-prepared' } } });
  const objects = [
    volumeIn(ns, 'db', { deletionProtection: true }),
    snapshotIn(ns, 'db-prepared', 'db'),
    copy,
    attachmentIn(ns, 'copy', 'vm-a'),
  ];
  await apply(world, ...objects);
  await untilReady(world, objects);
  const remove = ['delete', 'namespace', ns, '--wait=false'];
  assert.match(await refusal(kubectl(world, remove)), /Volume db in it has spec\.deletionProtection: true/);
  await apply(world, volumeIn(ns, 'db', { deletionProtection: false }));

  await story.system.kill(HYPERVISOR);
  await kubectl(world, remove);
  // As kube-controller-manager does, which does not run here: every kind, in an order of its own.
  for (const kind of ['volumes', 'attachments', 'snapshots']) {
    await kubectl(world, ['delete', kind, '--all', '-n', ns, '--wait=false']);
  }
  await story.waitReason(copy, {
    reason: 'InUse',
    message: /waiting until the disk is given up by hypervisor-1/,
  });
  await story.system.run(HYPERVISOR);
  await untilGone(world, objects);
});

test('every state on the way is what the page says', async ({ recorder, judge }) => {
  const counts = await asThePageSays(judge, recorder.seen);
  for (const [state, count] of [...counts].toSorted()) {
    log(`${count} × ${state}`);
  }
  const states = [
    'it is being deleted',
    'nobody has looked at it since it was made or changed',
    '`Reconciling` is True, with any other reason',
    '`Ready` is True',
  ];
  const expected = ['Volume', 'Snapshot', 'Attachment'].flatMap((kind) =>
    states.map((state) => `${kind}: ${state}`),
  );
  assert.equal(
    expected.filter((state) => !counts.has(state)),
    [],
  );
  // Flux gives up at once on what is Stalled, and nothing here needed a person.
  assert.equal(
    [...counts.keys()].filter((state) => state.includes('`Stalled`')),
    [],
  );
});

test.run();
