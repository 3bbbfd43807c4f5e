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
  readonly spec?: {
    /** Of a Kustomization. */
    readonly path?: string;
    /** Of an Application. */
    readonly source?: { readonly path: string };
    /** Of a HelmRelease. */
    readonly chart?: { readonly spec: { readonly chart: string } };
  };
}

const pathsIn = (text: string): readonly string[] =>
  parseAllDocuments(text).flatMap((document) => {
    const { spec } = document.toJS() as Tool;
    return spec?.path ?? spec?.source?.path ?? spec?.chart?.spec.chart ?? [];
  });

test('every path of a Kustomization, release or application is one of this repository', async () => {
  const paths = texts.flatMap(pathsIn);
  assert.is(paths.length, 9, paths.join());
  for (const folder of paths) {
    const wanted = folder.startsWith('charts/') ? 'Chart.yaml' : 'kustomization.yaml';
    assert.ok((await readdir(path.join(ROOT, folder))).includes(wanted), folder);
  }
});

test('no tool is told to delete what it cannot change', () => {
  for (const [index, text] of texts.entries()) {
    const said = text.replaceAll(/#.*$/gm, '');
    assert.not.match(said, /Replace=true|Force=true|^\s*force:|force: enabled/m, files[index]);
  }
});

test.run();
