import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseAllDocuments } from 'yaml';
import { type Holdings, manifestsOf } from '../../../node-agent/adopt/manifests.ts';
import type { Backing } from '../../../node-agent/roles/pool.ts';
import { anAttachment, aVolume, placed, VOLUME_ID } from '../../builders/objects.ts';

const test = suite('manifests of what a host holds');

const OTHER_ID = 'vol0123456789abcdef0';
const MI = 1024n * 1024n;
const data = (change: Partial<Backing> = {}): Backing => ({
  id: VOLUME_ID,
  state: 'complete',
  sizeBytes: 16n * MI,
  path: '/p',
  clusterID: 'c',
  owner: { namespace: 'shop', name: 'db' },
  ...change,
});
const told = (backings: readonly Backing[], more: Partial<Holdings> = {}): string =>
  manifestsOf({
    host: 's1',
    clusterID: 'c',
    pools: [{ name: 'main', backings }],
    volumes: [],
    attachments: [],
    connections: [],
    ...more,
  });
interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: Readonly<Record<string, unknown>>;
}
const objectsIn = (text: string): readonly Manifest[] =>
  parseAllDocuments(text).flatMap((document) => (document.toJS() as Manifest | null) ?? []);
const namesIn = (text: string): readonly string[] =>
  objectsIn(text).map(({ kind, metadata }) => `${kind} ${metadata.name}`);

test('what tags tell is enough, and is not to go by an oversight', () => {
  const [namespace, volume] = objectsIn(told([data()]));
  assert.is(namespace?.kind, 'Namespace');
  assert.equal(volume, {
    apiVersion: 'vbs.dev/v1alpha1',
    kind: 'Volume',
    metadata: { namespace: 'shop', name: 'db' },
    spec: {
      size: '16Mi',
      deletionPolicy: 'Retain',
      source: { existing: { volumeServer: 's1', id: VOLUME_ID } },
    },
  });
});

test('a copy of the object tells the rest, but where it came from', () => {
  const copy = aVolume({
    metadata: {
      labels: { app: 'db' },
      annotations: { owner: 'us', 'kubectl.kubernetes.io/last-applied-configuration': '{}' },
    },
    spec: { size: '20Mi', className: 'gold', source: { volumeRef: { name: 'x' } }, volumeServer: 's1' },
    status: { ...placed, volumeID: VOLUME_ID },
  });
  const volume = objectsIn(told([data()], { volumes: [copy] }))[1];
  assert.equal(volume?.metadata, {
    namespace: 'shop',
    name: 'db',
    labels: { app: 'db' },
    annotations: { owner: 'us' },
  } as never);
  assert.is(volume?.spec.size, '20Mi');
  assert.is(volume?.spec.className, 'gold');
  assert.is(volume?.spec.volumeServer, undefined);
  assert.equal(volume?.spec.source, { existing: { volumeServer: 's1', id: VOLUME_ID } });
});

test('what is half grown has the size of its data', () => {
  const volume = objectsIn(told([data({ state: 'growing', sizeBytes: 64n * MI, cleanBytes: 16n * MI })]))[1];
  assert.is(volume?.spec.size, '16Mi');
});

test('two of one name are told apart', () => {
  const text = told([data({ id: OTHER_ID }), data()]);
  assert.equal(namesIn(text), ['Namespace shop', 'Volume db', `Volume db-${VOLUME_ID.slice(-5)}`]);
});

const lines: [name: string, backing: Partial<Backing>, expected: RegExp][] = [
  ['data of another cluster', { clusterID: 'd' }, /is of cluster d, and was left out/],
  ['data without tags', { clusterID: undefined } as never, /is of no cluster that its tags tell/],
  ['data without an owner', { owner: undefined } as never, /of no owner .* choose a name/],
  ['what was not complete', { state: 'provisional' }, /is provisional: it holds nothing/],
  ['what is being removed', { state: 'dying' }, /is dying/],
  ['retained data', { state: 'retained' }, /is retained: a Volume with spec.source.existing/],
  [
    'a Snapshot',
    { id: 'snap0123456789abcdef' },
    /is of a Snapshot: a Volume with .*id: snap0123456789abcdef/,
  ],
];

for (const [name, change, expected] of lines) {
  test(`${name} is in a comment only`, () => {
    const text = told([data(change)]);
    assert.equal(namesIn(text), []);
    assert.match(text, expected);
  });
}

const connection = {
  attachmentUID: 'uid-att',
  namespace: 'shop',
  name: 'db-vm',
  volumeName: 'db',
  volumeID: VOLUME_ID,
  epoch: 3,
  instanceUUID: 'uuid-1',
  released: 0,
};

test('a hypervisor tells of the disks which it has not given up', () => {
  const text = told([], { connections: [connection, { ...connection, name: 'old', released: 3 }] });
  const [, attachment, ...more] = objectsIn(text);
  assert.equal(more, []);
  assert.is(attachment?.metadata.name, 'db-vm');
  assert.equal(attachment?.spec, {
    volumeRef: { name: 'db' },
    instance: { uuid: 'uuid-1' },
    hypervisor: 's1',
  });
});

test('and by the copy, as they were asked for', () => {
  const copy = anAttachment({ metadata: { uid: 'uid-att' } });
  const attachment = objectsIn(told([], { connections: [connection], attachments: [copy] }))[1];
  assert.equal(attachment?.spec, copy.spec as never);
});

test.run();
