import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { KubeObject, Resource } from '../../api/object.ts';
import { checkInstallation } from '../../controller/check.ts';
import { ApiError } from '../../runtime/errors.ts';
import { FakeClock } from '../fakes/clock.ts';

const test = suite('the check of an installation');

const { signal } = new AbortController();
const object = (name: string, more: object = {}) => ({ metadata: { name, uid: name }, ...more });
const ready = (value: string) => ({ status: { conditions: [{ type: 'Ready', status: value }] } });
const spec = { holderIdentity: 'pod-1', renewTime: '2026-11-23T11:59:50.000000Z', leaseDurationSeconds: 15 };
const lease = object('vbs-controller', { spec });

type Objects = Readonly<Record<string, readonly object[] | undefined>>;

const check = async (objects: Objects, leader: object | undefined = lease) => {
  const lines: string[] = [];
  const api = {
    get: async () => leader,
    list: async ({ plural }: Resource) => {
      const items = objects[plural];
      if (items === undefined) {
        throw new ApiError('the server could not find the requested resource', {
          status: 404,
          reason: 'NotFound',
        });
      }
      return { items: items as unknown as readonly KubeObject[], resourceVersion: '1' };
    },
  };
  const exitCode = await checkInstallation({
    api: api as never,
    clock: new FakeClock(),
    namespace: 'vbs-system',
    write: (line) => lines.push(line),
    signal,
  });
  return { exitCode, lines };
};

const fresh: Objects = {
  volumes: [],
  snapshots: [],
  attachments: [],
  volumeclasses: [],
  volumeservers: [],
  hypervisors: [],
};
const standard = object('standard', { spec: { default: true } });

test('one in which everything is there', async () => {
  const { exitCode, lines } = await check({
    ...fresh,
    volumeclasses: [standard],
    volumeservers: [object('s1', ready('True'))],
    hypervisors: [object('h1', ready('True')), object('h2', ready('True'))],
  });
  assert.is(exitCode, 0);
  assert.equal(lines.slice(-5), [
    'ok   controller pod-1 leads',
    'ok   1 VolumeClasses, default: standard',
    'ok   1 volume servers, all Ready',
    'ok   2 hypervisors, all Ready',
    '10 passed, 0 to do, 0 failed',
  ]);
});

test('a new one works, and says what is to be done next', async () => {
  const { exitCode, lines } = await check({ ...fresh, hypervisors: [object('h1', ready('False'))] });
  assert.is(exitCode, 0);
  assert.equal(lines.slice(-4), [
    'todo there is no VolumeClass: apply one, such as examples/volumeclass.yaml',
    'todo no volume server has enrolled yet (docs/hosts/agent.md)',
    'todo hypervisor h1 not Ready: kubectl describe hypervisors',
    '7 passed, 3 to do, 0 failed',
  ]);
});

test('without our kinds nothing else is asked', async () => {
  const { exitCode, lines } = await check({ ...fresh, attachments: undefined });
  assert.is(exitCode, 1);
  assert.is(lines.length, 7);
  assert.match(lines[2] ?? '', /^FAIL attachments\.vbs\.dev cannot be read: .*vbs-crds/);
});

test('a Lease that nobody renews, or holds, is no leader; two default classes are one too many', async () => {
  const old = object('vbs-controller', { spec: { ...spec, renewTime: '2026-11-23T11:59:00.000000Z' } });
  const two = { ...fresh, volumeclasses: [standard, object('other', { spec: { default: true } })] };
  for (const [leader, words] of [
    [old, 'pod-1 renewed it 2026-11-23T11:59:00'],
    [object('vbs-controller', { spec: { holderIdentity: '' } }), 'nobody holds it'],
    [undefined, 'nobody holds it'],
  ] as const) {
    const { exitCode, lines } = await check(two, leader ?? object('other'));
    assert.is(exitCode, 1);
    assert.match(lines[6] ?? '', words);
    assert.is(lines[7], 'FAIL standard and other are both default VolumeClasses: leave one');
  }
});

test.run();
