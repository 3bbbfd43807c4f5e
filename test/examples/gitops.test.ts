// What the examples for GitOps tools name is there, and what they must not say is not said.
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, parseAllDocuments } from 'yaml';

const test = suite('examples for GitOps');
const ROOT = path.resolve(import.meta.dirname, '../..');
const DIR = path.join(ROOT, 'examples/gitops');
const KUSTOMIZATION = /(^|\/)([Kk]ustomization(\.ya?ml)?)$/;

interface Document {
  readonly kind: string;
  readonly metadata?: { readonly name: string };
  readonly resources?: readonly string[];
  readonly spec?: Readonly<Record<string, unknown>> & {
    readonly path?: string;
    readonly source?: { readonly path: string };
    readonly chart?: { readonly spec: { readonly chart: string } };
  };
}

const documentsOf = async (file: string): Promise<readonly Document[]> =>
  parseAllDocuments(await readFile(file, 'utf8')).map((document) => {
    assert.equal(document.errors, [], file);
    return document.toJS() as Document;
  });

const manifestsIn = async (folder: string): Promise<readonly Document[]> => {
  const names = (await readdir(path.join(DIR, folder))).filter((name) => name.endsWith('.yaml'));
  return (await Promise.all(names.map((name) => documentsOf(path.join(DIR, folder, name))))).flat();
};

const tools = [...(await manifestsIn('flux')), ...(await manifestsIn('argocd'))];

const holds = async (folder: string, file: RegExp): Promise<boolean> =>
  (await readdir(path.join(ROOT, folder))).some((name) => file.test(name));

test('every path of a Kustomization, release or application is one of this repository', async () => {
  const paths = tools.flatMap(
    ({ spec }) => spec?.path ?? spec?.source?.path ?? spec?.chart?.spec.chart ?? [],
  );
  assert.ok(paths.length >= 9, paths.join());
  for (const folder of paths) {
    assert.ok(
      await holds(folder, folder.startsWith('charts/') ? /^Chart\.yaml$/ : KUSTOMIZATION),
      `${folder} is neither a chart nor a kustomization`,
    );
  }
});

test('no tool is told to delete what it cannot change', async () => {
  const names = (await readdir(DIR, { recursive: true })).filter((name) => /\.ya?ml$/.test(name));
  for (const name of names) {
    const text = (await readFile(path.join(DIR, name), 'utf8')).replaceAll(/#.*$/gm, '');
    assert.not.match(text, /Replace=true|Force=true|^\s*force:|force: enabled/m, name);
  }
});

for (const [folder, below] of [
  ['crds', ''],
  ['deploy', 'admission'],
] as const) {
  test(`the base of ${folder} leaves nothing out`, async () => {
    const { resources = [] } = parse(
      await readFile(path.join(ROOT, folder, 'Kustomization'), 'utf8'),
    ) as Document;
    const files = (await readdir(path.join(ROOT, folder, below)))
      .filter((name) => name.endsWith('.yaml'))
      .map((name) => path.join(below, name));
    assert.equal(
      files.filter((name) => !resources.includes(name)),
      [],
    );
    for (const resource of resources) {
      assert.ok(await stat(path.join(ROOT, folder, resource)), resource);
    }
  });
}

for (const [host, without] of [
  ['storage1', 'vbs-hypervisor'],
  ['xen07', 'vbs-volume-server'],
] as const) {
  test(`the host ${host} is deploy/host.yaml with its name, for the role that it plays`, async () => {
    const template = await readFile(path.join(ROOT, 'deploy/host.yaml'), 'utf8');
    const parts = template
      .replaceAll('HOST', host)
      .split('---\n')
      .filter((part) => !part.includes(`name: ${without}\n`));
    const own = await documentsOf(path.join(DIR, `kustomize/site/hosts/${host}.yaml`));
    assert.equal(
      own,
      parts.map((part) => parse(part) as Document),
    );
  });
}

test.run();
