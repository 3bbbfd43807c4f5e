// What the examples for GitOps tools name is there, and what they must not say is not said. That the tools take them, and install with them what
// the charts install, is tried by test/integration/manifests.test.ts.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseAllDocuments } from 'yaml';

const test = suite('examples for GitOps');
const ROOT = path.resolve(import.meta.dirname, '../..');
const DIR = path.join(ROOT, 'examples/gitops');

const files = (await readdir(DIR, { recursive: true })).filter((name) => name.endsWith('.yaml'));
const texts = await Promise.all(files.map((name) => readFile(path.join(DIR, name), 'utf8')));

interface Tool {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly spec?: {
    /** Of a Kustomization of Flux. */
    readonly prune?: boolean;
    readonly deletionPolicy?: string;
    /** Of a Kustomization. */
    readonly path?: string;
    /** Of an Application. */
    readonly source?: { readonly path: string };
    /** Of a HelmRelease. */
    readonly chart?: { readonly spec: { readonly chart: string } };
  };
}

const toolsIn = (text: string): readonly Tool[] =>
  parseAllDocuments(text).map((document) => document.toJS() as Tool);

const pathsIn = (text: string): readonly string[] =>
  toolsIn(text).flatMap(({ spec }) => spec?.path ?? spec?.source?.path ?? spec?.chart?.spec.chart ?? []);

test('every path of a Kustomization, release or application is one of this repository', async () => {
  const paths = texts.flatMap(pathsIn);
  assert.is(paths.length, 9, paths.join());
  for (const folder of paths) {
    const wanted = folder.startsWith('charts/') ? 'Chart.yaml' : 'kustomization.yaml';
    assert.ok((await readdir(path.join(ROOT, folder))).includes(wanted), folder);
  }
});

test('whoever deletes what Flux is told deletes nothing that it applied', () => {
  const tools = texts.flatMap(toolsIn);
  const prunes = tools.filter(({ spec }) => spec?.prune === true);
  assert.is(prunes.length, 3);
  for (const { metadata, spec } of prunes) {
    assert.is(spec?.deletionPolicy, 'Orphan', metadata.name);
  }
});

test('no namespace of the controller or of a team is pruned', () => {
  const namespaces = texts.flatMap(toolsIn).filter(({ kind }) => kind === 'Namespace');
  const kept = namespaces.filter(
    ({ metadata }) => metadata.annotations?.['kustomize.toolkit.fluxcd.io/prune'] === 'disabled',
  );
  // Those of hosts get theirs from their kustomization.
  assert.equal(kept.map(({ metadata }) => metadata.name).sort(), ['shop', 'vbs-system']);
  assert.ok(namespaces.every((one) => kept.includes(one) || one.metadata.name.startsWith('vbs-host-')));
});

test('no tool is told to delete what it cannot change', () => {
  for (const [index, text] of texts.entries()) {
    const said = text.replaceAll(/#.*$/gm, '');
    assert.not.match(said, /Replace=true|Force=true|^\s*force:|force: enabled/m, files[index]);
  }
});

test.run();
