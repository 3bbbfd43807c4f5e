// Our objects in the hands of GitOps tools: an installation by kustomize, applications applied in any order, pruned and deleted with their namespace,
// and what the tools make of every state on the way.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { findCondition, isTrue } from '../../api/conditions.ts';
import { FINALIZER, MANAGERS } from '../../api/names.ts';
import { API_VERSION, GROUP } from '../../api/resources.ts';
import { Caller } from '../api/caller.ts';
import type { ControlPlane } from '../harness/control-plane.ts';
import { holds } from '../harness/fuzz.ts';
import type { Guest } from '../harness/guest.ts';
import { healthJudge, type Judge } from '../harness/health.ts';
import { type Judged, readTable, rowFor } from '../harness/health-table.ts';
import { resolveHelm } from '../harness/helm.ts';
import { loud } from '../harness/loud.ts';
import { runCommand, waitFor } from '../harness/process.ts';
import { Recorder } from '../harness/recorder.ts';
import { attachment, hypervisorHost, openStory, type Story, snapshot, volume } from '../harness/story.ts';
import { HYPERVISOR, ROOT } from '../harness/system.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const EXAMPLES = path.join(ROOT, 'examples/gitops');
const SITE = path.join(EXAMPLES, 'kustomize/site');
const TENANT = path.join(EXAMPLES, 'kustomize/tenant');
const LIMIT_MS = 120_000;
const APPLIER = 'gitops';

interface Manifest extends Judged {
  readonly apiVersion: string;
  readonly kind: string;
}

interface World {
  story: Story;
  a: Guest;
  b: Guest;
  caller: Caller;
  recorder: Recorder;
  judge: Judge;
}

const test = suite<World>('gitops');

/** The site of the examples, with the hosts of this machine and a pool of files, as an administrator installs it. */
async function installSite(controlPlane: ControlPlane, hosts: readonly string[]): Promise<void> {
  const dir = path.join(path.dirname(path.dirname(controlPlane.adminKubeconfig)), 'site');
  await mkdir(dir);
  const template = await readFile(path.join(ROOT, 'deploy/host.yaml'), 'utf8');
  await writeFile(
    path.join(dir, 'hosts.yaml'),
    hosts.map((host) => template.replaceAll('HOST', host)).join('\n---\n'),
  );
  const patch = [{ op: 'replace', path: '/spec/poolSelector/profile', value: 'file' }];
  const overlay = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: [path.relative(dir, SITE), 'hosts.yaml'],
    patches: [{ target: { kind: 'VolumeClass' }, patch: stringify(patch) }],
  };
  await writeFile(path.join(dir, 'kustomization.yaml'), stringify(overlay));
  await controlPlane.kubectl(['apply', '--server-side', '-k', path.join(ROOT, 'deploy')]);
  await controlPlane.kubectl([
    'wait',
    '--for=condition=Established',
    '--timeout=60s',
    'crd/volumeclasses.vbs.dev',
  ]);
  await controlPlane.kubectl(['apply', '--server-side', '-k', dir]);
}

test.before(
  loud(async (world) => {
    // kubectl's own pruning is asked for by this.
    process.env.KUBECTL_APPLYSET = 'true';
    world.judge = await healthJudge(log);
    world.story = await openStory(log, { installation: installSite });
    world.recorder = new Recorder(world.story.api);
    world.caller = await Caller.from(world.story.system.controlPlane.adminKubeconfig);
    [world.a, world.b] = await Promise.all([world.story.guest('vm-a'), world.story.guest('vm-b')]);
  }),
);

test.after(
  loud(async ({ story, recorder, caller }) => {
    caller?.close();
    await recorder?.close();
    await story?.close();
  }),
);

const refusal = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'it was not refused',
    (error: Error) => error.message,
  );

const kubectl = ({ story }: World, args: readonly string[], manifests?: readonly object[]): Promise<string> =>
  story.system.controlPlane.kubectl(args, manifests?.map((one) => stringify(one)).join('---\n'));

const manifest = (kind: string, name: string, spec: object, namespace?: string): Manifest =>
  ({ apiVersion: API_VERSION, kind, metadata: { name, ...(namespace && { namespace }) }, spec }) as never;

const PLURALS = {
  Volume: 'volumes',
  Snapshot: 'snapshots',
  Attachment: 'attachments',
  VolumeClass: 'volumeclasses',
} as const;

const pathOf = ({ kind, metadata }: Manifest): string => {
  const place = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`;
  return `/apis/${API_VERSION}${place}/${PLURALS[kind as keyof typeof PLURALS]}/${metadata.name}`;
};

/** As Flux and Argo CD do. */
async function apply({ caller }: World, one: Manifest): Promise<void> {
  const answer = await caller.call({
    method: 'PATCH',
    path: `${pathOf(one)}?fieldManager=${APPLIER}&force=true`,
    type: 'application/apply-patch+yaml',
    body: one,
  });
  assert.ok(answer.status < 300, answer.message);
}

async function live({ caller }: World, one: Manifest): Promise<Judged | undefined> {
  const { status, body } = await caller.call({ method: 'GET', path: pathOf(one) });
  return status === 404 ? undefined : (body as never);
}

const isReady = (one: Judged | undefined): boolean =>
  one?.kind === 'VolumeClass' ||
  (isTrue(one?.status?.conditions, 'Ready') && one?.status?.observedGeneration === one?.metadata.generation);

const said = (one: Judged | undefined): string => {
  const ready = findCondition(one?.status?.conditions, 'Ready');
  return `${one?.kind} ${one?.metadata.namespace}/${one?.metadata.name}: ${ready?.reason} ${ready?.message}`;
};

async function untilReady(world: World, manifests: readonly Manifest[]): Promise<void> {
  await waitFor({ what: 'all to be Ready', timeoutMs: LIMIT_MS, intervalMs: 200 }, async () => {
    const late = (await Promise.all(manifests.map((one) => live(world, one)))).filter((one) => !isReady(one));
    if (late.length > 0) {
      throw new Error(late.map(said).join('\n'));
    }
    return true;
  });
}

async function untilGone(world: World, manifests: readonly Manifest[]): Promise<void> {
  await waitFor({ what: 'all to be gone', timeoutMs: LIMIT_MS, intervalMs: 200 }, async () => {
    const left = (await Promise.all(manifests.map((one) => live(world, one)))).filter(
      (one) => one !== undefined,
    );
    if (left.length > 0) {
      throw new Error(left.map(said).join('\n'));
    }
    return true;
  });
}

interface Plain {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
}

/** Without what tells Helm and kustomize apart: labels, annotations, the ending of a generated name. */
function plain(object: Plain): Plain {
  const text = JSON.stringify(object, (key, value) => {
    if (key === 'annotations') {
      return undefined;
    }
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
      const own = Object.entries(value).filter(
        ([name]) => !/^(app\.kubernetes\.io\/(instance|version|managed-by)|helm\.sh\/chart)$/.test(name),
      );
      return key === 'labels' && own.every(([name]) => name.startsWith('app.kubernetes.io/'))
        ? undefined
        : Object.fromEntries(own.toSorted(([one], [other]) => one.localeCompare(other)));
    }
    return key === 'controller.yaml' ? parse(value) : value;
  });
  return JSON.parse(text.replaceAll(/"vbs-controller-[0-9a-z]{10}"/g, '"vbs-controller"'));
}

const listed = (texts: readonly string[]): readonly Plain[] =>
  texts
    .flatMap((text) => parseAllDocuments(text).map((document) => document.toJS() as Plain | null))
    .filter((one): one is Plain => one !== null)
    .filter(({ kind, metadata }) => kind !== 'Namespace' || metadata.name !== 'vbs-system')
    .map(plain)
    .toSorted((one, other) => keyOf(one).localeCompare(keyOf(other)));

const keyOf = ({ kind, metadata }: Plain): string => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`;

test('kustomize, and the charts with the values for Flux and Argo CD, install the same', async (world) => {
  const { story } = world;
  const site = listed([await kubectl(world, ['kustomize', SITE])]);
  const helm = await resolveHelm(log);
  const flux = parseAllDocuments(await readFile(path.join(EXAMPLES, 'flux/install.yaml'), 'utf8')).map(
    (document) =>
      document.toJS() as { readonly metadata: Plain['metadata']; readonly spec?: { values?: object } },
  );
  const values = path.join(story.workdir.dir, 'flux-values.yaml');
  await writeFile(values, stringify(flux.at(-1)?.spec?.values));
  const render = (chart: string, ...args: readonly string[]) =>
    runCommand(helm, [
      ...['template', chart, path.join(ROOT, 'charts', chart), '--namespace', 'vbs-system', '--no-hooks'],
      ...['--kube-version', '1.37.0', ...args],
    ]);
  const charts = listed([await render('vbs-crds'), await render('vbs', '--values', values)]);
  assert.equal(site.map(keyOf), charts.map(keyOf));
  for (const [index, one] of site.entries()) {
    assert.equal(one, charts[index], keyOf(one));
  }
  const argocd = parseAllDocuments(await readFile(path.join(EXAMPLES, 'argocd/install.yaml'), 'utf8')).map(
    (document) => document.toJS() as { readonly spec: { source: { helm?: { valuesObject: object } } } },
  );
  assert.equal(argocd.at(-1)?.spec.source.helm?.valuesObject, flux.at(-1)?.spec?.values);
});

test('the example of a team becomes Ready step by step, and then nothing is left to do', async (world) => {
  const { story, a } = world;
  const ns = ['-n', 'shop'];
  await kubectl(world, ['apply', '--server-side', '-f', path.join(TENANT, 'namespace.yaml')]);
  for (const [step, kinds] of [
    ['storage', 'volumes,snapshots'],
    ['attachments', 'attachments'],
  ] as const) {
    await kubectl(world, ['apply', '--server-side', '-k', path.join(TENANT, step)]);
    const wait = ['wait', '--for=condition=Ready', '--timeout=110s', kinds, '--all', ...ns];
    await story.system.controlPlane.kubectl(wait, undefined, LIMIT_MS);
  }
  await kubectl(world, ['diff', '--server-side', '-k', TENANT]);
  const id = await kubectl(world, ['get', 'volume', 'orders', ...ns, '-o', 'jsonpath={.status.volumeID}']);
  assert.is(await a.sizeBytes(id), 64n * 1024n * 1024n);
  await kubectl(world, ['delete', 'attachments', '--all', ...ns]);
});

test('what is missing, wrong, switched off, busy or silent has a state of its own', async (world) => {
  const { story, a, b } = world;
  await story.system.kill('controller');
  await story.makeVolume('db');
  await story.system.run('controller');
  await story.makeVolume('of-later', { source: { snapshotRef: { name: 'later' } } });
  await story.waitReason(volume('of-later'), { reason: 'SourceNotFound', message: /later/ });
  await story.makeSnapshot('later', 'missing');
  await story.waitReason(snapshot('later'), { reason: 'VolumeNotFound', message: /missing/ });
  await story.attach('early', 'missing', 'vm-a');
  await story.waitReason(attachment('early'), { reason: 'VolumeNotFound', message: /missing/ });
  await story.makeVolume('classless', { className: 'later' });
  await story.waitReason(volume('classless'), { reason: 'ClassNotFound', message: /later/ });
  await story.waitReady(volume('db'));

  await story.makeSnapshot('nightly', 'db');
  await story.waitReady(snapshot('nightly'));
  await story.makeVolume('small', { size: '8Mi', source: { snapshotRef: { name: 'nightly' } } });
  await story.waitReason(volume('small'), { reason: 'SizeBelowSource', message: /16Mi/ });

  await b.stop();
  await story.attach('db-on-vm-b', 'db', 'vm-b');
  await story.waitReason(attachment('db-on-vm-b'), { reason: 'InstanceNotRunning', message: /vm-b/ });
  await story.attach('db-on-vm-a', 'db', a.name);
  await story.waitReason(attachment('db-on-vm-a'), { reason: 'VolumeInUse', message: /db-on-vm-b/ });
  await story.makeSnapshot('of-used', 'db');
  await story.waitReason(snapshot('of-used'), { reason: 'WaitingForDetach', message: /db/ });
  await b.start();
  await story.waitReady(attachment('db-on-vm-b'));
  await story.remove(volume('db'));
  await story.waitReason(volume('db'), { reason: 'InUse', message: /db-on-vm-b/ });

  await story.change(hypervisorHost(), { cordoned: true });
  await story.makeVolume('other');
  await story.attach('other-on-vm-a', 'other', a.name);
  await story.waitReason(attachment('other-on-vm-a'), { reason: 'HypervisorCordoned', message: /cordon/ });
  await story.change(hypervisorHost(), { cordoned: false });
  await story.waitReady(attachment('other-on-vm-a'));
  await story.system.kill(HYPERVISOR);
  await story.waitReason(attachment('other-on-vm-a'), { reason: 'HostSilent', message: /does not answer/ });
  await story.waitReason(hypervisorHost(), { reason: 'HostSilent', message: /heartbeat/ });
  await story.system.run(HYPERVISOR);
  await story.waitReady(attachment('other-on-vm-a'));

  await story.removeAndWait(
    ...['early', 'db-on-vm-b', 'db-on-vm-a', 'other-on-vm-a'].map(attachment),
    ...['later', 'nightly', 'of-used'].map(snapshot),
    ...['db', 'of-later', 'classless', 'small', 'other'].map(volume),
  );
});

/** One application; its Attachments go to the VM. */
const application = (namespace: string, vm: string): readonly Manifest[] => {
  const attach = (name: string): Manifest =>
    manifest('Attachment', `${name}-on-${vm}`, { volumeRef: { name }, instance: { name: vm } }, namespace);
  const className = namespace;
  return [
    manifest('VolumeClass', className, { poolSelector: { profile: 'file' } }),
    manifest('Volume', 'db', { size: '16Mi', className }, namespace),
    manifest('Snapshot', 'db-prepared', { volumeRef: { name: 'db' } }, namespace),
    manifest(
      'Volume',
      'db-copy',
      { size: '24576Ki', className, source: { snapshotRef: { name: 'db-prepared' } } },
      namespace,
    ),
    manifest('Volume', 'logs', { size: '16384Ki', className }, namespace),
    attach('db-copy'),
    attach('logs'),
  ];
};

interface ManagedFields {
  readonly manager: string;
  readonly subresource?: string;
  readonly fieldsV1: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** Spec, labels and annotations are those of the applier alone; what is ours is the status and one finalizer. */
function isNobodyElses(one: Judged): void {
  const { managedFields = [] } = one.metadata as { readonly managedFields?: readonly ManagedFields[] };
  const others = managedFields.filter(({ manager }) => manager !== APPLIER);
  for (const { manager, subresource, fieldsV1 } of others) {
    assert.ok(
      Object.values(MANAGERS).some((known) => known === manager),
      manager,
    );
    const fields = Object.keys(fieldsV1).map((field) =>
      field === 'f:metadata' ? `${field}.${Object.keys(fieldsV1[field] ?? {})}` : field,
    );
    const allowed = subresource === 'status' ? 'f:status' : 'f:metadata.f:finalizers';
    assert.equal(fields, [allowed], `${said(one)}, written by ${manager}`);
  }
  assert.equal(one.metadata.finalizers ?? [], one.kind === 'VolumeClass' ? [] : [FINALIZER]);
}

const APPLICATIONS = 8;
const OBJECTS = application('', '').length;
let made = 0;

test('any order of apply comes to the same end, and nothing but the applier has written a spec', async (world) => {
  const order = fc.shuffledSubarray(
    Array.from({ length: OBJECTS }, (_, index) => index),
    { minLength: OBJECTS },
  );
  const orders = fc.array(order, { minLength: APPLICATIONS, maxLength: APPLICATIONS });
  await holds(
    fc.asyncProperty(orders, async (all) => {
      const applications = all.map((_, index) => {
        made += 1;
        return application(`app-${made}`, index % 2 === 0 ? 'vm-a' : 'vm-b');
      });
      const namespaces = applications.map(([first]) => first?.metadata.name ?? '');
      await kubectl(
        world,
        ['apply', '-f', '-'],
        namespaces.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
      );
      await Promise.all(
        applications.map(async (manifests, index) => {
          for (const number of all[index] ?? []) {
            await apply(world, manifests[number] as Manifest);
          }
          await untilReady(world, manifests);
        }),
      );
      const everything = applications.flat();
      for (const one of await Promise.all(everything.map((wanted) => live(world, wanted)))) {
        isNobodyElses(one as Judged);
      }
      await kubectl(world, ['diff', '--server-side', `--field-manager=${APPLIER}`, '-f', '-'], everything);
      // At once and in the order in which they were applied: each waits for those which need it.
      await kubectl(world, ['delete', '--wait=false', '-f', '-'], everything);
      await untilGone(world, everything);
    }),
    { runs: 1, dear: true },
  );
});

test('a prune is refused what is protected and does all else, and the data of what is retained stays', async (world) => {
  const { story } = world;
  const ns = 'pruned';
  await kubectl(world, ['create', 'namespace', ns]);
  const sync = (...manifests: readonly Manifest[]) =>
    kubectl(world, ['apply', '-n', ns, '--prune', '--applyset=storage', '-f', '-'], manifests);
  const volumeOf = (name: string, spec: object = {}) =>
    manifest('Volume', name, { size: '16Mi', ...spec }, ns);
  const db = volumeOf('db', { deletionProtection: true });
  const archive = volumeOf('archive', { deletionPolicy: 'Retain' });
  const scratch = volumeOf('scratch');
  const use = manifest(
    'Attachment',
    'scratch-on-vm-a',
    { volumeRef: { name: 'scratch' }, instance: { name: 'vm-a' } },
    ns,
  );
  await sync(db, archive, scratch, use);
  await untilReady(world, [db, archive, scratch, use]);
  const archiveID = (await live(world, archive))?.status?.volumeID;

  const [later, more] = [volumeOf('later'), volumeOf('more')];
  const protectedWords = /Volume db has spec\.deletionProtection: true; set it to false first/;
  assert.match(await refusal(sync(later)), protectedWords);
  await untilGone(world, [archive, scratch, use]);
  await untilReady(world, [db, later]);
  assert.match(await refusal(sync(later, more)), protectedWords);
  await untilReady(world, [db, later, more]);
  assert.is((await live(world, db))?.metadata.deletionTimestamp, undefined);
  assert.ok((await story.system.poolContents()).includes(`${archiveID}.retained`), 'the data stays');

  await sync(volumeOf('db', { deletionProtection: false }), later, more);
  await sync(later, more);
  await untilGone(world, [db]);
  await sync(later);
  await untilGone(world, [more]);

  // Argo CD deletes so; here is nobody who takes that finalizer off.
  await kubectl(world, ['delete', 'volume', 'later', '-n', ns, '--cascade=foreground', '--wait=false']);
  await waitFor({ what: 'ours to be off', timeoutMs: LIMIT_MS }, async () => {
    const { finalizers = [] } = (await live(world, later))?.metadata ?? {};
    return !finalizers.includes(FINALIZER);
  });
  assert.equal((await live(world, later))?.metadata.finalizers, ['foregroundDeletion']);
  const off = ['patch', 'volume', 'later', '-n', ns, '--type=merge', '-p', '{"metadata":{"finalizers":[]}}'];
  await kubectl(world, off);
  await untilGone(world, [later]);
});

test('a namespace that is deleted ends, and says on what it waits', async (world) => {
  const { story, caller, a } = world;
  const ns = 'leaving';
  await kubectl(world, ['create', 'namespace', ns]);
  const objects = [
    manifest('Volume', 'db', { size: '16Mi', deletionProtection: true }, ns),
    manifest('Snapshot', 'db-prepared', { volumeRef: { name: 'db' } }, ns),
    manifest('Volume', 'copy', { source: { snapshotRef: { name: 'db-prepared' } } }, ns),
    manifest('Attachment', 'copy-on-vm-a', { volumeRef: { name: 'copy' }, instance: { name: a.name } }, ns),
  ];
  for (const one of objects) {
    await apply(world, one);
  }
  await untilReady(world, objects);
  const remove = ['delete', 'namespace', ns, '--wait=false'];
  assert.match(await refusal(kubectl(world, remove)), /Volume db in it has spec\.deletionProtection: true/);
  await apply(world, manifest('Volume', 'db', { size: '16Mi', deletionProtection: false }, ns));

  await story.system.kill(HYPERVISOR);
  await kubectl(world, remove);
  // As kube-controller-manager does, which is not here: every kind, in an order of its own.
  for (const kind of ['volumes', 'attachments', 'snapshots']) {
    const { status, message } = await caller.call({
      method: 'DELETE',
      path: `/apis/${API_VERSION}/namespaces/${ns}/${kind}`,
    });
    assert.is(status, 200, message);
  }
  const [, , copy] = objects;
  await waitFor({ what: 'the Volume to say what it waits for', timeoutMs: LIMIT_MS }, async () => {
    const ready = findCondition((await live(world, copy as Manifest))?.status?.conditions, 'Ready');
    return (
      ready?.reason === 'InUse' && /waiting until hypervisor-1 has given the disk up/.test(ready.message)
    );
  });
  await story.system.run(HYPERVISOR);
  await untilGone(world, objects);
});

test('every state on the way is what the page says', async (world) => {
  const { recorder, judge } = world;
  const table = await readTable();
  const seen = recorder.seen.filter(({ apiVersion }) => apiVersion?.startsWith(`${GROUP}/`));
  const verdicts = await judge(seen);
  const counts = new Map<string, number>();
  for (const [index, { kstatus, argoCD, flux }] of verdicts.entries()) {
    const one = seen[index] as Judged;
    const row = rowFor(table, one);
    assert.is(kstatus, row.kstatus, JSON.stringify(one));
    assert.is(argoCD.status, row.argoCD, JSON.stringify(one));
    assert.is(flux, one.kind === 'Attachment' ? row.flux : row.kstatus, JSON.stringify(one));
    const what = `${one.kind}: ${row.says}`;
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  for (const [what, count] of [...counts].toSorted()) {
    log(`${count} × ${what}`);
  }
  const kinds = ['Volume', 'Snapshot', 'Attachment'];
  const states = [
    'it is being deleted',
    'nobody has looked at it since it was made or changed',
    '`Reconciling` is True',
    '`Reconciling` is True, with any other reason',
    '`Ready` is True',
  ];
  const expected = [
    ...kinds.flatMap((kind) => states.map((state) => `${kind}: ${state}`)),
    'Volume: `Stalled` is True',
    'Hypervisor: it is cordoned or fenced',
    'Hypervisor: `Ready` is not True, with any other reason',
    'Hypervisor: `Ready` is True',
    'VolumeServer: `Ready` is True',
    'VolumeClass: it exists',
  ].filter((state) => state !== 'Volume: `Reconciling` is True');
  for (const state of expected) {
    assert.ok(counts.has(state), `${state} was never seen`);
  }
});

test.run();
