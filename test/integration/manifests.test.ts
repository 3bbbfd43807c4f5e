// The examples for GitOps tools: by kustomize they install the same as the charts, and keep the same when a tool prunes; and the API server takes
// what they say to Flux and Argo CD, by these projects' own definitions of their kinds.
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { type ControlPlane, startControlPlane } from '../harness/control-plane.ts';
import { toolDefinitions } from '../harness/gitops-tools.ts';
import { helmFor } from '../harness/helm.ts';
import { loud } from '../harness/loud.ts';
import { ROOT } from '../harness/system.ts';
import { makeWorkdir, type Workdir } from '../harness/workdir.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const EXAMPLES = path.join(ROOT, 'examples/gitops');
const SITE = path.join(EXAMPLES, 'kustomize/site');

interface Manifest {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: Readonly<Record<string, unknown>>;
}

interface World {
  workdir: Workdir;
  controlPlane: ControlPlane;
  /** What kustomize makes of the site, and Helm of the charts, sorted by name. */
  site: readonly Manifest[];
  charts: readonly Manifest[];
}

const test = suite<World>('manifests');

const documentsOf = (text: string): readonly Manifest[] =>
  parseAllDocuments(text).flatMap((document) => (document.toJS() as Manifest | null) ?? []);

const example = async (file: string): Promise<readonly Manifest[]> =>
  documentsOf(await readFile(path.join(EXAMPLES, file), 'utf8'));

const fluxValues = async () => (await example('flux/install.yaml')).at(-1)?.spec?.values;

const nameOf = ({ kind, metadata }: Manifest): string =>
  `${kind} ${metadata.namespace ?? ''}/${metadata.name}`;

/** The namespace of the controller apart, which no chart makes. */
const sorted = (manifests: readonly Manifest[]): readonly Manifest[] =>
  manifests
    .filter((one) => nameOf(one) !== 'Namespace /vbs-system')
    .map((one) => withoutHash(one))
    .toSorted((one, other) => nameOf(one).localeCompare(nameOf(other)));

/** Kustomize puts one behind the name of the ConfigMap. */
const withoutHash = (one: Manifest): Manifest =>
  JSON.parse(JSON.stringify(one).replaceAll(/"vbs-controller-[0-9a-z]{10}"/g, '"vbs-controller"'));

test.before(
  loud(async (world) => {
    world.workdir = await makeWorkdir(log);
    const { dir } = world.workdir;
    world.controlPlane = await startControlPlane({ dir, log });
    const helm = await helmFor(world.controlPlane, { dir, log });
    const values = path.join(dir, 'values.yaml');
    await writeFile(values, stringify(await fluxValues()));
    const render = (chart: string, ...args: readonly string[]) =>
      helm(
        ...['template', chart, path.join(ROOT, 'charts', chart), '--namespace', 'vbs-system'],
        ...['--no-hooks', '--kube-version', '1.37.0', ...args],
      );
    const charts = [await render('vbs-crds'), await render('vbs', '--values', values)];
    world.charts = sorted(charts.flatMap(documentsOf));
    world.site = sorted(documentsOf(await world.controlPlane.kubectl(['kustomize', SITE])));
  }),
);

test.after(
  loud(async ({ controlPlane, workdir }) => {
    await controlPlane?.stop();
    await workdir?.remove();
  }),
);

/** Without what tells the tools apart: annotations, and Helm's labels. */
const plain = ({ metadata: { name, namespace }, ...rest }: Manifest): object =>
  JSON.parse(JSON.stringify({ ...rest, metadata: { name, namespace } }), (key, value) => {
    const isOfTool = /^(annotations|app\.kubernetes\.io\/(instance|version|managed-by)|helm\.sh\/chart)$/;
    if (isOfTool.test(key)) {
      return undefined;
    }
    return key === 'controller.yaml' ? parse(value) : value;
  });

test('kustomize, and the charts with the values for Flux, install the same', ({ site, charts }) => {
  assert.equal(site.map(nameOf), charts.map(nameOf));
  for (const [index, one] of site.entries()) {
    assert.equal(plain(one), plain(charts[index] as Manifest), nameOf(one));
  }
});

test('Argo CD is given the values of Flux', async () => {
  const source = (await example('argocd/install.yaml')).at(-1)?.spec?.source as {
    readonly helm: { readonly valuesObject: object };
  };
  assert.equal(source.helm.valuesObject, await fluxValues());
});

test('what Helm keeps, Flux and Argo CD keep when they prune', ({ site, charts }) => {
  const kept = (manifests: readonly Manifest[], annotation: string, value: string): readonly string[] =>
    manifests.filter(({ metadata }) => metadata.annotations?.[annotation] === value).map(nameOf);
  const byHelm = kept(charts, 'helm.sh/resource-policy', 'keep');
  for (const name of [
    'CustomResourceDefinition /volumes.vbs.dev',
    'ValidatingAdmissionPolicy /vbs-deletion-protection',
    'ServiceAccount vbs-host-xen07/vbs-agent',
  ]) {
    assert.ok(byHelm.includes(name), name);
  }
  const argoCD = ['argocd.argoproj.io/sync-options', 'Prune=false,Delete=false'] as const;
  assert.equal(kept(charts, ...argoCD), byHelm);
  assert.equal(kept(site, ...argoCD), byHelm);
  assert.equal(kept(site, 'kustomize.toolkit.fluxcd.io/prune', 'disabled'), byHelm);
});

test('Flux and Argo CD take what is said to them', async ({ controlPlane }) => {
  const apply = (...args: readonly string[]) => controlPlane.kubectl(['apply', '--server-side', ...args]);
  await apply('-f', await toolDefinitions(log));
  await controlPlane.kubectl(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']);
  for (const namespace of ['flux-system', 'argocd']) {
    await controlPlane.kubectl(['create', 'namespace', namespace]);
  }
  await apply('-f', path.join(EXAMPLES, 'flux'));
  await apply('-f', path.join(EXAMPLES, 'argocd'));
  const kinds = 'gitrepositories,helmreleases,kustomizations,applications';
  const names = await controlPlane.kubectl(['get', kinds, '--all-namespaces', '-o', 'name']);
  assert.is(names.trim().split('\n').length, 9, names);
});

test('what they would not take is found', async ({ controlPlane }) => {
  const [release] = (await example('flux/install.yaml')).filter(({ kind }) => kind === 'HelmRelease');
  const refusal = (spec: object): Promise<string> =>
    controlPlane
      .kubectl(
        ['apply', '--server-side', '-f', '-'],
        stringify({ ...release, spec: { ...release?.spec, ...spec } }),
      )
      .then(
        () => 'it was taken',
        (error: Error) => error.message,
      );
  assert.match(await refusal({ instal: {} }), /\.spec\.instal/);
  assert.match(await refusal({ install: { strategy: { name: 'Never' } } }), 'RetryOnFailure');
});

test.run();
