// A protected Volume is deleted by nobody until its protection is taken off.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openPlatform, type Platform } from '../deploy/platform.ts';
import { loud } from '../harness/loud.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const test = suite<{ platform: Platform }>('deletion protection');
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

test.run();
