// Every manifest which we show to people is one that the API server takes.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseAllDocuments } from 'yaml';
import { API_VERSION } from '../../api/resources.ts';
import { validators } from '../api/validation.ts';

const test = suite('examples');
const DIR = path.resolve(import.meta.dirname, '../../examples');
const validate = await validators();
const files = (await readdir(DIR, { recursive: true })).filter((name) => /\.ya?ml$/.test(name)).sort();

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

const ours = async (name: string): Promise<readonly Manifest[]> => {
  const documents = parseAllDocuments(await readFile(path.join(DIR, name), 'utf8'));
  return documents.flatMap((document): Manifest[] => {
    assert.equal(document.errors, [], name);
    const manifest = document.toJS() as Manifest | null;
    return manifest?.apiVersion?.startsWith('vbs.dev/') === true ? [manifest] : [];
  });
};

test('there is one for each of the kinds which people write', async () => {
  const kinds = new Set((await Promise.all(files.map(ours))).flat().map(({ kind }) => kind));
  for (const kind of ['Volume', 'Snapshot', 'Attachment', 'VolumeClass']) {
    assert.ok(kinds.has(kind), kind);
  }
});

for (const name of files) {
  test(`${name} is valid`, async () => {
    for (const manifest of await ours(name)) {
      assert.is(manifest.apiVersion, API_VERSION, name);
      const check = validate.get(manifest.kind);
      assert.ok(check, `${name}: there is no kind ${manifest.kind}`);
      assert.ok(check?.(manifest), `${name}: ${JSON.stringify(check?.errors)}`);
    }
  });
}

test('an unknown field, a wrong type and a value out of range are found', () => {
  const check = validate.get('Volume');
  const volume = (spec: object) => ({
    apiVersion: API_VERSION,
    kind: 'Volume',
    metadata: { name: 'x' },
    spec,
  });
  assert.ok(check?.(volume({ size: '1Gi' })));
  for (const spec of [
    { size: '1Gi', source: { snapshotRef: {} } },
    { size: '1Gi', sizes: 1 },
    { size: true },
    { size: '1Gi', sharing: 'ManyWriters' },
  ]) {
    assert.not.ok(check?.(volume(spec)), JSON.stringify(spec));
  }
});

test.run();
