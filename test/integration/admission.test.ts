// A protected Volume is deleted by nobody until its protection is taken off, nor is its namespace; and a definition of ours by nobody who
// has not said that he means it.
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { crdFiles, openPlatform, type Platform, until } from '../deploy/platform.ts';
import { loud } from '../harness/loud.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const test = suite<{ platform: Platform }>('what is not deleted by accident');
test.before(
  loud(async (world) => {
    world.platform = await openPlatform(log);
  }),
);
test.after(loud(async ({ platform }) => await platform?.close()));

const volume = (name: string, spec: object, namespace = 'default') =>
  JSON.stringify({
    apiVersion: 'vbs.dev/v1alpha1',
    kind: 'Volume',
    metadata: { name, namespace },
    spec: { size: '1Gi', ...spec },
  });

const REMEDY = (name: string) => `Volume ${name} has spec.deletionProtection: true; set it to false first`;

/** What kubectl complains of; empty when it does not. */
const complaint = async ({ controlPlane }: Platform, ...args: string[]): Promise<string> => {
  try {
    await controlPlane.kubectl(args);
    return '';
  } catch (error) {
    return (error as Error).message;
  }
};

const namesIn = async ({ controlPlane }: Platform, namespace: string): Promise<string[]> =>
  (await controlPlane.kubectl(['get', 'volumes', '-n', namespace, '-o', 'name'])).split('\n').filter(Boolean);

const protect = async ({ controlPlane }: Platform, name: string, protection: boolean | null) =>
  await controlPlane.kubectl([
    'patch',
    'volume',
    name,
    '--type=merge',
    '-p',
    JSON.stringify({ spec: { deletionProtection: protection } }),
  ]);

test('a protected Volume is not deleted, and the refusal says what to do', async ({ platform }) => {
  await platform.controlPlane.kubectl(['apply', '-f', '-'], volume('kept', { deletionProtection: true }));
  const refusal = await complaint(platform, 'delete', 'volume', 'kept');
  assert.match(refusal, 'Forbidden');
  assert.match(refusal, REMEDY('kept'));
  assert.equal(await namesIn(platform, 'default'), ['volume.vbs.dev/kept']);
});

test('no way of deleting gets around it', async ({ platform }) => {
  for (const how of [['--force'], ['--now'], ['--grace-period=0', '--force'], ['--cascade=orphan']]) {
    assert.match(await complaint(platform, 'delete', 'volume', 'kept', ...how), REMEDY('kept'));
  }
  const at = '/apis/vbs.dev/v1alpha1/namespaces/default/volumes';
  const all = await platform.admin.call({ method: 'DELETE', path: at });
  assert.is(all.status, 403);
  assert.match(all.message, REMEDY('kept'));
  assert.equal(await namesIn(platform, 'default'), ['volume.vbs.dev/kept']);
});

test('delete --all of a namespace takes what is not protected, and says which one it left', async ({
  platform,
}) => {
  const { controlPlane } = platform;
  await controlPlane.kubectl(['create', 'namespace', 'shop']);
  const volumes = [volume('free', {}, 'shop'), volume('kept-2', { deletionProtection: true }, 'shop')];
  await controlPlane.kubectl(['apply', '-f', '-'], volumes.join('\n'));
  const refusal = await complaint(platform, 'delete', 'volumes', '--all', '-n', 'shop');
  assert.match(refusal, REMEDY('kept-2'));
  assert.equal(await namesIn(platform, 'shop'), ['volume.vbs.dev/kept-2']);
});

test('everything else about a protected Volume can be changed', async ({ platform }) => {
  await platform.controlPlane.kubectl(['label', 'volume', 'kept', 'team=shop']);
  const size = JSON.stringify({ spec: { size: '2Gi' } });
  await platform.controlPlane.kubectl(['patch', 'volume', 'kept', '--type=merge', '-p', size]);
});

test('without its protection a Volume goes', async ({ platform }) => {
  for (const protection of [false, null]) {
    await platform.controlPlane.kubectl(['apply', '-f', '-'], volume('kept', { deletionProtection: true }));
    await protect(platform, 'kept', protection);
    assert.is(await complaint(platform, 'delete', 'volume', 'kept'), '');
    assert.equal(await namesIn(platform, 'default'), []);
  }
});

test('a Volume which is already being deleted is not held up by a protection set too late', async ({
  platform,
}) => {
  const { controlPlane } = platform;
  await controlPlane.kubectl(['apply', '-f', '-'], volume('late', {}));
  const finalizers = (list: string[] | null) => JSON.stringify({ metadata: { finalizers: list } });
  const patchWith = async (body: string) =>
    await controlPlane.kubectl(['patch', 'volume', 'late', '--type=merge', '-p', body]);
  await patchWith(finalizers(['vbs.dev/controller']));
  await controlPlane.kubectl(['delete', 'volume', 'late', '--wait=false']);
  await protect(platform, 'late', true);
  await patchWith(finalizers(null));
  assert.equal(await namesIn(platform, 'default'), []);
});

const namespaceOf = async (platform: Platform, name: string, ...volumes: string[]): Promise<void> => {
  await platform.controlPlane.kubectl(['create', 'namespace', name]);
  for (const manifest of volumes) {
    await platform.controlPlane.kubectl(['apply', '-f', '-'], manifest);
  }
};
const dropping = async (platform: Platform, name: string): Promise<string> =>
  await complaint(platform, 'delete', 'namespace', name, '--dry-run=server');

test('a namespace with a protected Volume is not deleted, and the refusal names the Volume', async ({
  platform,
}) => {
  const protectedOne = volume('kept-3', { deletionProtection: true }, 'bank');
  await namespaceOf(platform, 'bank', volume('free', {}, 'bank'), protectedOne);
  // The policy hears of a Volume through a watch.
  await until('the policy to know the Volume', async () => (await dropping(platform, 'bank')) !== '');
  const refusal = await complaint(platform, 'delete', 'namespace', 'bank');
  assert.match(refusal, 'Volume kept-3 in it has spec.deletionProtection: true; set it to false first');
  assert.match(refusal, 'Forbidden');
  const unprotect = ['patch', 'volume', 'kept-3', '-n', 'bank', '--type=merge'];
  await platform.controlPlane.kubectl([...unprotect, '-p', '{"spec":{"deletionProtection":false}}']);
  await until('the policy to let it go', async () => (await dropping(platform, 'bank')) === '');
});

test('what is in one namespace keeps no other', async ({ platform }) => {
  await namespaceOf(platform, 'vault', volume('kept-4', { deletionProtection: true }, 'vault'));
  await namespaceOf(platform, 'empty');
  await namespaceOf(platform, 'loose', volume('free', {}, 'loose'));
  await until('the policy to know the Volume', async () => (await dropping(platform, 'vault')) !== '');
  for (const name of ['empty', 'loose']) {
    assert.is(await complaint(platform, 'delete', 'namespace', name, '--wait=false'), '');
  }
  assert.match(await dropping(platform, 'vault'), 'kept-4');
});

const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
/** Of each definition, what the refusal says is lost with it. */
const LOSSES: Readonly<Record<string, string>> = {
  attachments: 'this deletes every Attachment of the cluster, and takes their disks out of the running VMs',
  hypervisors: 'this deletes every Hypervisor of the cluster, and what administrators have set there',
  snapshots: 'this deletes every Snapshot of the cluster, and the data of each with deletionPolicy Delete',
  volumeclasses: 'this deletes every VolumeClass of the cluster, and what administrators have set there',
  volumes: 'this deletes every Volume of the cluster, and the data of each with deletionPolicy Delete',
  volumeservers: 'this deletes every VolumeServer of the cluster, and what administrators have set there',
};
/** By name, what tells one from another of that name, and whether it is on its way. */
const definitions = async ({ admin }: Platform): Promise<Readonly<Record<string, string>>> => {
  const { body } = await admin.call({ method: 'GET', path: DEFINITIONS });
  const items = body.items as readonly {
    metadata: { name: string; uid: string; deletionTimestamp?: string };
  }[];
  return Object.fromEntries(
    items.map(({ metadata: { name, uid, deletionTimestamp = '' } }) => [name, `${uid} ${deletionTimestamp}`]),
  );
};

test('no definition is deleted in any way, and the refusal says what would be lost and what permits it', async ({
  platform,
}) => {
  const before = await definitions(platform);
  assert.equal(
    Object.keys(before).sort(),
    Object.keys(LOSSES).map((plural) => `${plural}.vbs.dev`),
  );
  for (const [plural, loss] of Object.entries(LOSSES)) {
    const name = `${plural}.vbs.dev`;
    for (const how of [[], ['--force'], ['--now'], ['--cascade=orphan']]) {
      const refusal = await complaint(platform, 'delete', 'crd', name, ...how);
      assert.match(refusal, loss);
      assert.match(refusal, `kubectl annotate crd ${name} vbs.dev/allow-deletion=true`);
    }
  }
  for (const file of await crdFiles()) {
    assert.match(await complaint(platform, 'replace', '--force', '-f', file), 'to update a definition use');
  }
  assert.match(
    await complaint(platform, 'delete', '-f', path.dirname((await crdFiles())[0] ?? '')),
    'Forbidden',
  );
  assert.is((await platform.admin.call({ method: 'DELETE', path: DEFINITIONS })).status, 403);
  assert.equal(await definitions(platform), before, 'the same ones, and none on its way');
});

test('definitions are still applied and replaced in place', async ({ platform }) => {
  for (const file of await crdFiles()) {
    assert.is(await complaint(platform, 'apply', '--server-side', '--force-conflicts', '-f', file), '');
    assert.is(await complaint(platform, 'replace', '-f', file), '');
  }
});

test('only the word true permits it', async ({ platform }) => {
  for (const value of ['false', '', 'yes', 'True']) {
    const note = `vbs.dev/allow-deletion=${value}`;
    await platform.controlPlane.kubectl(['annotate', '--overwrite', 'crd', 'volumes.vbs.dev', note]);
    assert.match(await complaint(platform, 'delete', 'crd', 'volumes.vbs.dev'), LOSSES.volumes ?? '');
  }
});

test('the definitions of others are none of our business', async ({ platform }) => {
  const other = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'volumes.vbs.dev.example.org' },
    spec: {
      group: 'vbs.dev.example.org',
      scope: 'Cluster',
      names: { kind: 'Volume', plural: 'volumes' },
      versions: [
        { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } },
      ],
    },
  };
  await platform.controlPlane.kubectl(['apply', '-f', '-'], JSON.stringify(other));
  assert.is(await complaint(platform, 'delete', 'crd', other.metadata.name, '--wait=false'), '');
});

test('who means it deletes a definition, and what is protected is deleted with it', async ({ platform }) => {
  const { controlPlane } = platform;
  const held = JSON.parse(volume('held', { deletionProtection: true }, 'vault'));
  held.metadata.finalizers = ['vbs.dev/controller'];
  await controlPlane.kubectl(['apply', '-f', '-'], JSON.stringify(held));
  assert.match(await complaint(platform, 'delete', 'volume', 'held', '-n', 'vault'), REMEDY('held'));
  const note = 'vbs.dev/allow-deletion=true';
  await controlPlane.kubectl(['annotate', '--overwrite', 'crd', 'volumes.vbs.dev', note]);
  assert.is(await complaint(platform, 'delete', 'crd', 'volumes.vbs.dev', '--wait=false'), '');
  const at = '/apis/vbs.dev/v1alpha1/namespaces/vault/volumes/held';
  await until('the API server to delete the objects of the kind', async () => {
    const { body } = await platform.admin.call({ method: 'GET', path: at });
    return (body.metadata as { deletionTimestamp?: string } | undefined)?.deletionTimestamp !== undefined;
  });
  const finalizers = { metadata: { finalizers: null } };
  await platform.admin.call({ method: 'PATCH', path: at, body: finalizers });
  await until('the definition to be gone', async () => !('volumes.vbs.dev' in (await definitions(platform))));
  // Without our kind namespaces are deleted as ever.
  assert.is(await dropping(platform, 'vault'), '');
});

test.run();
