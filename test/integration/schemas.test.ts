// What the API server itself makes of our schemas: which input it takes, and what it tells a person about the rest.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { parseBytes } from '../../api/quantity.ts';
import { type Crd, readCrds } from '../../scripts/generate.ts';
import type { Answer } from '../api/caller.ts';
import { type Field, fieldsOf, schemaOf } from '../api/fields.ts';
import { SIZES } from '../api/sizes.ts';
import { crdFiles, GROUP_PATH, openPlatform, type Platform } from '../deploy/platform.ts';
import { loud } from '../harness/loud.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const EXAMPLES = path.resolve(import.meta.dirname, '../../examples');
const UUID = '2f6a1c0e-5b1d-4a77-9c3e-0d1b2a3c4d5e';
const crds = await readCrds();

const test = suite<{ platform: Platform }>('schemas');
test.before(
  loud(async (world) => {
    world.platform = await openPlatform(log);
  }),
);
test.after(loud(async ({ platform }) => await platform?.close()));

type Spec = Readonly<Record<string, unknown>>;

/** The least that is valid. */
const LEAST: Readonly<Record<string, Spec>> = {
  Volume: { size: '1Gi' },
  Snapshot: { volumeRef: { name: 'db' } },
  Attachment: { volumeRef: { name: 'db' }, instance: { name: 'vm-a' } },
  VolumeClass: { poolSelector: {} },
  VolumeServer: {},
  Hypervisor: {},
};

/** Two valid values of every leaf of a spec. A new field has to be named here, and is then covered by all tests below. */
const VALUES: Readonly<Record<string, readonly [unknown, unknown]>> = {
  'Volume.spec.size': ['1Gi', '2Gi'],
  'Volume.spec.className': ['fast', 'slow'],
  'Volume.spec.description': ['one', 'another'],
  'Volume.spec.sharing': ['Exclusive', 'Exclusive'],
  'Volume.spec.volumeServer': ['s1', 's2'],
  'Volume.spec.source.snapshotRef.name': ['nightly', 'db.2'],
  'Volume.spec.source.volumeRef.name': ['db', 'db.2'],
  'Volume.spec.source.existing.volumeServer': ['s1', 's2'],
  'Volume.spec.source.existing.id': ['vol0123456789abcdef0', 'snap0123456789abcdef'],
  'Snapshot.spec.volumeRef.name': ['db', 'db.2'],
  'Snapshot.spec.description': ['one', 'another'],
  'Volume.spec.deletionProtection': [false, true],
  'Volume.spec.deletionPolicy': ['Delete', 'Retain'],
  'Snapshot.spec.deletionPolicy': ['Delete', 'Retain'],
  'Attachment.spec.volumeRef.name': ['db', 'db.2'],
  'Attachment.spec.instance.name': ['vm-a', '_VM.b+1'],
  'Attachment.spec.instance.uuid': [UUID, UUID.replace('2f', '3f')],
  'Attachment.spec.instance.vmid': [105, 999_999_999],
  'Attachment.spec.hypervisor': ['xen07', 'xen08'],
  'Attachment.spec.device': ['vdb', 'xvdc'],
  'Attachment.spec.readOnly': [false, true],
  'Attachment.spec.detachPolicy': ['Graceful', 'Fence'],
  'VolumeClass.spec.default': [false, true],
  'VolumeClass.spec.description': ['one', 'another'],
  'VolumeClass.spec.poolSelector.name': ['main', 'other-1'],
  'VolumeClass.spec.poolSelector.profile': ['file', 'lvm-thin'],
  'VolumeClass.spec.trash.ttlSeconds': [60, 86_400],
  'VolumeServer.spec.cordoned': [false, true],
  'VolumeServer.spec.lost': [false, true],
  'Hypervisor.spec.cordoned': [false, true],
  'Hypervisor.spec.fenced': [false, true],
};

/** Retained data is named by both. */
const WHOLE = { volumeServer: 's1', id: 'vol0123456789abcdef0' };

const MUTABLE = [
  'Volume.spec.size',
  'Volume.spec.description',
  'Volume.spec.deletionProtection',
  'Volume.spec.deletionPolicy',
  'Snapshot.spec.deletionPolicy',
  'Snapshot.spec.description',
  'Attachment.spec.detachPolicy',
  'VolumeClass.spec.default',
  'VolumeClass.spec.description',
  'VolumeClass.spec.poolSelector.name',
  'VolumeClass.spec.poolSelector.profile',
  'VolumeClass.spec.trash.ttlSeconds',
  'VolumeServer.spec.cordoned',
  'VolumeServer.spec.lost',
  'Hypervisor.spec.cordoned',
  'Hypervisor.spec.fenced',
];

const HOSTILE = {
  'an option': '-f',
  'a shell command': ';rm -rf /',
  'two lines': 'db\nrm',
  '300 characters': 'a'.repeat(300),
  'other letters': 'bücher',
  'a right-to-left mark': 'a\u202eb',
  'a control character': 'a\u0007b',
  'a substitution': '$(x)',
  backticks: '`x`',
  'a path upwards': '../',
  'an absolute path': '/etc/shadow',
  'a quote': `a'b"c`,
  'a space': 'a b',
  'a template': '{{x}}',
  nothing: '',
};

interface Leaf extends Field {
  readonly crd: Crd;
  readonly kind: string;
  readonly isFree: boolean;
}

const leaves: readonly Leaf[] = crds.flatMap((crd) =>
  fieldsOf(schemaOf(crd))
    .filter(({ path: at, schema }) => at.startsWith('spec.') && schema.properties === undefined)
    .map((field) => ({
      ...field,
      crd,
      kind: crd.spec.names.kind,
      isFree: /^Free text/.test(field.schema.description ?? ''),
    })),
);
const texts = leaves.filter(
  ({ schema }) => schema.type === 'string' || schema['x-kubernetes-int-or-string'] === true,
);

const collection = (kind: string): string => {
  const crd = crds.find(({ spec }) => spec.names.kind === kind);
  const scope = crd?.spec.scope === 'Namespaced' ? '/namespaces/default' : '';
  return `${GROUP_PATH}${scope}/${crd?.spec.names.plural}`;
};

const manifest = (kind: string, spec: unknown, name = 'x') => ({
  apiVersion: 'vbs.dev/v1alpha1',
  kind,
  metadata: { name },
  spec,
});

/** The spec with one leaf set, or removed when the value is undefined. `spec.` leads the path. */
function withLeaf(spec: Spec, at: string, value: unknown): Spec {
  const [name = '', ...rest] = at.replace(/^spec\./, '').split('.');
  if (rest.length === 0) {
    // One of name, uuid and vmid: the other one goes.
    const others = ['uuid', 'vmid'].includes(name) ? { ...spec, name: undefined } : spec;
    return { ...others, [name]: value };
  }
  if (name === 'existing' && value !== undefined) {
    // Two fields that stand together only.
    return { ...spec, existing: { ...WHOLE, ...withLeaf({}, rest.join('.'), value) } };
  }
  return { ...spec, [name]: withLeaf((spec[name] ?? {}) as Spec, rest.join('.'), value) };
}

const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

/** Creates nothing: strict validation, dry run. */
const tryCreate = async ({ admin }: Platform, kind: string, spec: unknown, name?: string): Promise<Answer> =>
  await admin.call({
    method: 'POST',
    path: `${collection(kind)}?dryRun=All&fieldValidation=Strict`,
    body: manifest(kind, spec, name),
  });

const create = async ({ admin }: Platform, kind: string, spec: unknown, name: string): Promise<Answer> => {
  await admin.call({ method: 'DELETE', path: `${collection(kind)}/${name}` });
  const answer = await admin.call({
    method: 'POST',
    path: collection(kind),
    body: manifest(kind, spec, name),
  });
  assert.is(answer.status, 201, answer.message);
  return answer;
};

const patch = async ({ admin }: Platform, at: string, body: unknown): Promise<Answer> =>
  await admin.call({ method: 'PATCH', path: at, body });

const isGranted = ({ status, message }: Answer, what: string): void =>
  assert.ok(status < 300, `${what}: ${status} ${message}`);

const isRefused = ({ status, message }: Answer, what: string, ...says: string[]): void => {
  assert.is(status, 422, `${what}: ${status} ${message}`);
  for (const words of says) {
    assert.ok(message.includes(words), `${what}: the refusal does not say "${words}": ${message}`);
  }
};

test('every CRD is taken without a warning and served', async ({ platform: { admin } }) => {
  const base = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  for (const file of await crdFiles()) {
    const crd = parse(await readFile(file, 'utf8')) as {
      metadata: { name: string; resourceVersion?: string };
    };
    const { body: stored } = await admin.call({ method: 'GET', path: `${base}/${crd.metadata.name}` });
    const { metadata, status } = stored as {
      metadata: { resourceVersion: string };
      status: { conditions: readonly { type: string; status: string; message: string }[] };
    };
    const again = await admin.call({
      method: 'PUT',
      path: `${base}/${crd.metadata.name}?dryRun=All&fieldValidation=Strict`,
      body: { ...crd, metadata: { ...crd.metadata, resourceVersion: metadata.resourceVersion } },
    });
    assert.is(again.status, 200, again.message);
    assert.is(again.warnings, '');
    assert.equal(
      status.conditions
        .filter((condition) => condition.status === 'True')
        .map(({ type }) => type)
        .sort(),
      ['Established', 'NamesAccepted'],
    );
  }
});

test('every example is taken, without a warning', async ({ platform }) => {
  // Those for GitOps tools, in a folder below, are for other kinds too, and need what they bring with them: manifests.test.ts.
  const args = ['apply', '--dry-run=server', '--validate=strict', '-f', EXAMPLES];
  const output = await platform.controlPlane.kubectl(args);
  assert.match(output, /^volume\.vbs\.dev\/db created \(server dry run\)$/m);
});

test('every leaf of every spec has sample values here', () => {
  assert.equal(leaves.map(({ kind, path: at }) => `${kind}.${at}`).sort(), Object.keys(VALUES).sort());
});

test('valid values of every field are taken', async ({ platform }) => {
  for (const { kind, path: at } of leaves) {
    for (const value of VALUES[`${kind}.${at}`] ?? []) {
      isGranted(await tryCreate(platform, kind, withLeaf(LEAST[kind] ?? {}, at, value)), `${kind}.${at}`);
    }
  }
});

for (const { size, bytes, says = '' } of SIZES) {
  test(`size ${JSON.stringify(size)} is ${bytes === undefined ? 'refused' : 'taken'}`, async ({
    platform,
  }) => {
    const answer = await tryCreate(platform, 'Volume', { size });
    if (bytes === undefined) {
      isRefused(answer, `size ${size}`, 'spec.size', says);
    } else {
      isGranted(answer, `size ${size}`);
    }
  });
}

test('any other text is a size for the API server exactly when it is one for us', async ({ platform }) => {
  const text = fc.oneof(
    fc.stringMatching(/^[-+0-9.eEKMGTPimk]{1,10}$/),
    fc.stringMatching(/^[0-9]{1,19}(\.[0-9]{1,9})?(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E|m|[eE][0-9]{1,3})?$/),
  );
  await fc.assert(
    fc.asyncProperty(text, async (size) => {
      const { status } = await tryCreate(platform, 'Volume', { size });
      assert.is(status === 201, isSize(size), size);
    }),
    { numRuns: 300 },
  );
});

const isSize = (text: string): boolean => {
  try {
    return parseBytes(text) > 0n;
  } catch {
    return false;
  }
};

test('a size which is too long, of another type or absent is refused', async ({ platform }) => {
  isRefused(await tryCreate(platform, 'Volume', { size: '1'.repeat(300) }), 'long', 'spec.size', 'Too long');
  for (const size of [1.5, true, [], {}]) {
    isRefused(await tryCreate(platform, 'Volume', { size }), typeof size, 'spec.size', 'integer,string');
  }
  isRefused(await tryCreate(platform, 'Volume', {}), 'absent', 'spec.size is required');
  isRefused(
    await tryCreate(platform, 'Volume', { source: {} }),
    'an empty source',
    'name one source: snapshotRef, volumeRef or existing',
  );
  const both = { snapshotRef: { name: 'a' }, volumeRef: { name: 'b' } };
  isRefused(await tryCreate(platform, 'Volume', { source: both }), 'two sources', 'name one source');
  isGranted(
    await tryCreate(platform, 'Volume', { source: { volumeRef: { name: 'b' } } }),
    'no size, but a source',
  );
});

test('numbers are read as kubectl sends them: 1e9 without quotes is a thousand million', async ({
  platform,
}) => {
  const text = 'apiVersion: vbs.dev/v1alpha1\nkind: Volume\nmetadata: { name: plain }\nspec: { size: 1e9 }\n';
  const args = ['create', '--dry-run=server', '-o', 'jsonpath={.spec.size}', '-f', '-'];
  assert.is(await platform.controlPlane.kubectl(args, text), '1000000000');
  const large = text.replace('1e9', '9007199254740993');
  const refusal = await platform.controlPlane.kubectl(args, large).catch((error: Error) => error.message);
  assert.match(refusal, 'must be quoted');
});

test('a size may be lowered until the volume is allocated, afterwards only raised', async ({ platform }) => {
  const at = `${collection('Volume')}/grows`;
  const resize = async (size: string) => await patch(platform, at, { spec: { size } });
  await create(platform, 'Volume', { size: '100Gi' }, 'grows');
  isGranted(await resize('10Mi'), 'lowered before allocation');
  isGranted(await resize('2G'), 'raised before allocation');
  isGranted(await resize('65Mi'), 'lowered again');
  isGranted(await patch(platform, `${at}/status`, { status: { capacity: '68Mi' } }), 'capacity');
  isGranted(await resize('65Mi'), 'the same size, which was rounded up');
  isGranted(await resize('66560Ki'), 'the same size in other words');
  isGranted(await patch(platform, at, { spec: { description: 'other' } }), 'another field');
  isGranted(await resize('66Mi'), 'raised within what it was rounded up to');
  for (const size of ['65Mi', '1Mi', '1', '1e3', '0.5Ki']) {
    isRefused(await resize(size), size, 'spec.size', '68Mi', 'a volume only grows: set 68Mi or more');
  }
  isGranted(await resize('1.5Gi'), 'raised');
  isGranted(await resize('68Mi'), 'taken back before it was grown');
  isRefused(await resize('10GB'), 'not a size', 'spec.size', 'not a size');
  isGranted(await patch(platform, `${at}/status`, { status: { capacity: '7Pi' } }), 'capacity');
  isGranted(await resize('1Ti'), 'raised, though below the capacity');
  isRefused(await resize('1Gi'), 'lowered', 'spec.size', '7Pi');
});

test('fields which cannot change cannot change, appear or go', async ({ platform }) => {
  const fixed = leaves.filter(({ kind, path: at }) => !MUTABLE.includes(`${kind}.${at}`));
  assert.ok(fixed.length >= 8);
  for (const { kind, path: at, schema } of fixed) {
    const [one, other] = VALUES[`${kind}.${at}`] ?? [];
    const [without, having, changed] = [undefined, one, other].map((value) =>
      withLeaf(LEAST[kind] ?? {}, at, value),
    );
    const isRequired = (await tryCreate(platform, kind, without)).status !== 201;
    const moves: [string, unknown, unknown][] = [
      ...(one === other ? [] : [['changes', having, changed] as [string, unknown, unknown]]),
      ...(isRequired || schema.default !== undefined
        ? []
        : [
            ['appears', without, having] as [string, unknown, unknown],
            ['goes', having, without] as [string, unknown, unknown],
          ]),
    ];
    for (const [move, from, to] of moves) {
      const created = await create(platform, kind, from, 'fixed');
      const body = { ...created.body, spec: plain(to) };
      const answer = await platform.admin.call({ method: 'PUT', path: `${collection(kind)}/fixed`, body });
      const remedy = kind === 'Attachment' ? 'delete this Attachment and create another' : 'cannot change';
      const field = at.startsWith('spec.source') ? 'spec.source' : at;
      isRefused(answer, `${kind}.${at} ${move}`, `${field} cannot change`, remedy);
    }
  }
});

test('an instance cannot be named another way later', async ({ platform }) => {
  await create(platform, 'Attachment', LEAST.Attachment, 'switched');
  const spec = { instance: { name: null, uuid: UUID } };
  const answer = await patch(platform, `${collection('Attachment')}/switched`, { spec });
  isRefused(answer, 'name to uuid', 'spec.instance.name cannot change', 'spec.instance.uuid cannot change');
});

test('fields which may change may change, appear and go', async ({ platform }) => {
  for (const { kind, path: at } of leaves.filter(({ kind, path: at }) => MUTABLE.includes(`${kind}.${at}`))) {
    const [one, other] = VALUES[`${kind}.${at}`] ?? [];
    const created = await create(platform, kind, withLeaf(LEAST[kind] ?? {}, at, one), 'free');
    const put = async (value: unknown) => {
      const { metadata, ...rest } = created.body as { metadata: object };
      const body = {
        ...rest,
        metadata: { ...metadata, resourceVersion: undefined },
        spec: plain(withLeaf(LEAST[kind] ?? {}, at, value)),
      };
      const { resourceVersion } = (
        await platform.admin.call({ method: 'GET', path: `${collection(kind)}/free` })
      ).body.metadata as { resourceVersion: string };
      Object.assign(body.metadata, { resourceVersion });
      return await platform.admin.call({ method: 'PUT', path: `${collection(kind)}/free`, body });
    };
    isGranted(await put(other), `${kind}.${at} changes`);
    // The size stays, and the time of a trash goes with the trash.
    if (at !== 'spec.size' && at !== 'spec.trash.ttlSeconds') {
      isGranted(await put(undefined), `${kind}.${at} goes`);
      isGranted(await put(one), `${kind}.${at} appears`);
    }
  }
});

test('an instance is named by exactly one of name, uuid and vmid', async ({ platform }) => {
  const many = { name: 'vm-a', uuid: UUID, vmid: 105 };
  for (const instance of [{}, { name: 'vm-a', uuid: UUID }, { uuid: UUID, vmid: 105 }, many]) {
    const answer = await tryCreate(platform, 'Attachment', { volumeRef: { name: 'db' }, instance });
    isRefused(answer, JSON.stringify(instance), 'spec.instance', 'give exactly one of name, uuid and vmid');
  }
  for (const vmid of [0, -1, 1_000_000_000, 1.5, '105']) {
    const answer = await tryCreate(platform, 'Attachment', { volumeRef: { name: 'db' }, instance: { vmid } });
    isRefused(answer, `vmid ${JSON.stringify(vmid)}`, 'spec.instance.vmid');
  }
  const upper = { volumeRef: { name: 'db' }, instance: { uuid: UUID.toUpperCase() } };
  isRefused(await tryCreate(platform, 'Attachment', upper), 'upper case', 'spec.instance.uuid', 'lower case');
});

for (const [what, text] of Object.entries(HOSTILE)) {
  test(`${what} is refused in every field but free text`, async ({ platform }) => {
    assert.ok(texts.length >= 12);
    for (const { kind, path: at, isFree, schema } of texts) {
      const name = `${kind}.${at} = ${JSON.stringify(text.slice(0, 40))}`;
      const answer = await tryCreate(platform, kind, withLeaf(LEAST[kind] ?? {}, at, text));
      if (isFree && text.length <= (schema.maxLength ?? 0)) {
        isGranted(answer, name);
      } else {
        isRefused(answer, name, at);
        assert.match(answer.message, /must be |supported values|Too long|at least 1 char|write for example/);
      }
    }
  });
}

test('a value of another type is refused in every field', async ({ platform }) => {
  for (const { kind, path: at } of leaves) {
    for (const value of [{}, ['x'], 1.5]) {
      const answer = await tryCreate(platform, kind, withLeaf(LEAST[kind] ?? {}, at, value));
      isRefused(answer, `${kind}.${at} = ${JSON.stringify(value)}`, at, 'must be of type');
    }
  }
});

test('an unknown field is refused by strict validation, at every depth', async ({ platform }) => {
  for (const crd of crds) {
    const { kind } = crd.spec.names;
    const objects = fieldsOf(schemaOf(crd)).filter(
      ({ path: at, schema }) => /^spec(\.|$)/.test(at) && schema.properties !== undefined,
    );
    for (const { path: at } of objects) {
      const spec = withLeaf(LEAST[kind] ?? {}, `${at}.colour`.replace(/^spec\./, ''), 'red');
      const { status, message } = await tryCreate(platform, kind, spec);
      assert.is(status, 400, `${kind} ${at}`);
      assert.match(message, `unknown field "${at}.colour"`);
    }
  }
});

test('a way of sharing which is not there yet is refused with those which are', async ({ platform }) => {
  const answer = await tryCreate(platform, 'Volume', { size: '1Gi', sharing: 'ManyWriters' });
  isRefused(answer, 'ManyWriters', 'spec.sharing', 'supported values: "Exclusive"');
});

test('names which would not fit where they are used are refused', async ({ platform }) => {
  for (const { spec } of crds) {
    const { kind } = spec.names;
    const isHost = ['VolumeServer', 'Hypervisor'].includes(kind);
    const most = isHost ? 52 : 63;
    isGranted(await tryCreate(platform, kind, LEAST[kind], 'n'.repeat(most)), kind);
    const answer = await tryCreate(platform, kind, LEAST[kind], 'n'.repeat(most + 1));
    isRefused(answer, kind, 'metadata.name', `at most ${most} characters`);
    if (isHost || kind === 'VolumeClass') {
      isRefused(await tryCreate(platform, kind, LEAST[kind], 'a.b'), kind, 'metadata.name', 'no dots');
    }
  }
});

test('every field that names an object takes the longest name which that object can have', async ({
  platform,
}) => {
  const names = { className: 63, volumeServer: 52, hypervisor: 52 };
  for (const [field, length] of Object.entries(names)) {
    const kind = field === 'hypervisor' ? 'Attachment' : 'Volume';
    isGranted(await tryCreate(platform, kind, { ...LEAST[kind], [field]: 'n'.repeat(length) }), field);
  }
  const spec = { ...LEAST.Attachment, volumeRef: { name: 'n'.repeat(63) } };
  isGranted(await tryCreate(platform, 'Attachment', spec), 'volumeRef');
});

test('a fresh object has a status of observedGeneration -1', async ({ platform }) => {
  for (const { spec } of crds) {
    const { kind } = spec.names;
    const { body } = await create(platform, kind, LEAST[kind], 'fresh');
    assert.equal(body.status, kind === 'VolumeClass' ? undefined : { observedGeneration: -1 });
  }
});

test('defaults are filled in', async ({ platform }) => {
  const volume = await create(platform, 'Volume', LEAST.Volume, 'defaults');
  assert.equal(volume.body.spec, { size: '1Gi', sharing: 'Exclusive', deletionPolicy: 'Delete' });
  const attachment = await create(platform, 'Attachment', LEAST.Attachment, 'defaults');
  assert.is((attachment.body.spec as Spec).detachPolicy, 'Graceful');
});

test('the status cannot be set but through its subresource', async ({ platform }) => {
  const at = `${collection('Volume')}/own`;
  await create(platform, 'Volume', LEAST.Volume, 'own');
  const { body } = await patch(platform, at, { status: { server: 's1' }, spec: { description: 'kept' } });
  assert.equal(body.status, { observedGeneration: -1 });
  const through = await patch(platform, `${at}/status`, { status: { server: 's1' }, spec: { size: '9Gi' } });
  assert.equal(through.body.spec, {
    size: '1Gi',
    sharing: 'Exclusive',
    description: 'kept',
    deletionPolicy: 'Delete',
  });
});

test('one may ask for the objects of one host only', async ({ platform }) => {
  const cases: [string, string, string][] = [
    ['Volume', 'volumes', 'server'],
    ['Attachment', 'attachments', 'server'],
    ['Attachment', 'attachments', 'hypervisor'],
  ];
  for (const [kind, plural, field] of cases) {
    for (const host of ['sel-1', 'sel-2']) {
      const name = `${field}-on-${host}`;
      await create(platform, kind, LEAST[kind], name);
      await patch(platform, `${collection(kind)}/${name}/status`, { status: { [field]: host } });
    }
    const args = ['get', plural, '--all-namespaces', '--field-selector', `status.${field}=sel-1`];
    const found = await platform.controlPlane.kubectl([...args, '-o', 'name']);
    assert.is(found.trim(), `${kind.toLowerCase()}.vbs.dev/${field}-on-sel-1`);
  }
});

const condition = (type: string, status: string, reason: string) => ({
  type,
  status,
  reason,
  message: 'told for the test',
  lastTransitionTime: '2026-11-23T08:00:00Z',
});

/** What `kubectl get -o wide` prints of one object, column by column. */
async function columns({ controlPlane }: Platform, plural: string, name: string) {
  const text = await controlPlane.kubectl(['get', plural, name, '-o', 'wide']);
  const [head = '', row = ''] = text.split('\n');
  const starts = [...head.matchAll(/\S+/g)].map(({ index, 0: title }) => ({ index, title }));
  return Object.fromEntries(
    starts.map(({ index, title }, at) => [title, row.slice(index, starts[at + 1]?.index).trim()]),
  );
}

test('kubectl get shows what a person wants to know', async ({ platform }) => {
  const told = async (kind: string, spec: Spec, status: object) => {
    await create(platform, kind, spec, 'shown');
    isGranted(await patch(platform, `${collection(kind)}/shown/status`, { status }), kind);
    const { AGE, ...rest } = await columns(platform, kind.toLowerCase(), 'shown');
    assert.match(String(AGE), /^\d+s$/);
    return rest;
  };
  const ready = condition('Ready', 'False', 'NoSpace');
  const volumeID = 'vol0123456789abcdef0';
  const volume = { capacity: '1Gi', className: 'fast', server: 's1', attachedTo: 'xen07/vm-a', volumeID };
  assert.equal(
    await told(
      'Volume',
      { size: '1Gi' },
      { conditions: [condition('Placed', 'True', 'X'), ready], ...volume },
    ),
    {
      NAME: 'shown',
      READY: 'False',
      REASON: 'NoSpace',
      SIZE: '1Gi',
      CLASS: 'fast',
      SERVER: 's1',
      ATTACHEDTO: 'xen07/vm-a',
      VOLUMEID: volumeID,
    },
  );
  const connection = { epoch: 1, bootID: 'b', device: 'vdb' };
  assert.equal(
    await told('Attachment', LEAST.Attachment ?? {}, {
      conditions: [condition('Ready', 'Unknown', 'HostSilent')],
      server: 's1',
      hypervisor: 'xen07',
      instanceUID: UUID,
      connection,
    }),
    {
      NAME: 'shown',
      READY: 'Unknown',
      REASON: 'HostSilent',
      VOLUME: 'db',
      HYPERVISOR: 'xen07',
      INSTANCE: 'vm-a',
      DEVICE: 'vdb',
      SERVER: 's1',
      INSTANCEUUID: UUID,
    },
  );
  const conditions = [condition('Ready', 'True', 'Heard'), condition('HostSafe', 'False', 'ForeignPool')];
  const agent = { bootID: 'b', version: '1.2.3' };
  assert.equal(
    await told(
      'VolumeServer',
      { cordoned: true },
      {
        conditions,
        agent: { ...agent, portals: ['192.0.2.1:3260', '192.0.2.2:3260'] },
      },
    ),
    {
      NAME: 'shown',
      READY: 'True',
      REASON: 'Heard',
      SAFE: 'False',
      CORDONED: 'true',
      PORTAL: '192.0.2.1:3260',
      VERSION: '1.2.3',
    },
  );
  const initiator = 'iqn.2026-11.dev.vbs:host.shown';
  assert.equal(await told('Hypervisor', { fenced: true }, { conditions, agent: { ...agent, initiator } }), {
    NAME: 'shown',
    READY: 'True',
    REASON: 'Heard',
    SAFE: 'False',
    CORDONED: '',
    FENCED: 'true',
    INITIATOR: initiator,
    VERSION: '1.2.3',
  });
});

test('short names and the category are known', async ({ platform: { controlPlane } }) => {
  for (const name of ['vbsvol', 'vbsatt', 'vbsclass', 'vbsserver', 'vbshv', 'vbs']) {
    assert.type(await controlPlane.kubectl(['get', name, '-o', 'name']), 'string');
  }
});

test.run();
