import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { grantUUIDOf } from '../../../node-agent/connection/visit.ts';
import { countLeftovers } from '../../../node-agent/host/leftovers.ts';
import { residueWatcher } from '../../../node-agent/host/residue.ts';
import { CannotLook } from '../../../node-agent/roles/errors.ts';

const test = suite('what is left on a hypervisor beside disks');

interface Scene {
  attachments: readonly { uid: string; volumeID?: string; epoch?: number }[];
  memories: readonly { attachmentUID: string; volumeID: string; epoch: number }[];
  secrets: readonly string[];
  connections: readonly string[];
  hasSynced: boolean;
  fails: boolean;
}

const { signal } = new AbortController();
function setUp(change: Partial<Scene>) {
  const scene: Scene = {
    ...{ attachments: [], memories: [], secrets: [], connections: [], hasSynced: true, fails: false },
    ...change,
  };
  let looks = 0;
  const watcher = residueWatcher({
    attachments: {
      get hasSynced() {
        return scene.hasSynced;
      },
      list: () => scene.attachments.map(({ uid, ...status }) => ({ metadata: { uid }, status })),
    },
    memories: { list: () => scene.memories.map((one) => ({ ...one, namespace: 'shop', name: 'db' })) },
    vmm: { residue: async () => scene.secrets.map((grantUUID) => ({ grantUUID })) },
    initiator: {
      observe: async () => {
        looks += 1;
        if (scene.fails) {
          throw new CannotLook('sessions', 'no answer');
        }
        return scene.connections.map((volumeID) => ({ volumeID }));
      },
    },
  } as never);
  const look = async () => (await watcher(signal)).map(({ kind, name }) => `${kind} ${name}`);
  return { scene, look, looks: () => looks };
}

test('what no Attachment accounts for is told at the second look', async () => {
  const { look } = setUp({
    memories: [{ attachmentUID: 'gone', volumeID: 'vol1', epoch: 1 }],
    secrets: ['strange'],
    connections: ['vol2', 'vol2'],
  });
  assert.equal(await look(), []);
  assert.equal(await look(), ['Record vol1', 'Session vol2', 'Secret strange']);
});

test('what an Attachment or our own memory accounts for is not left over', async () => {
  const { look } = setUp({
    attachments: [{ uid: 'here', volumeID: 'vol1', epoch: 3 }, { uid: 'new' }],
    memories: [{ attachmentUID: 'here', volumeID: 'vol2', epoch: 4 }],
    secrets: [grantUUIDOf('vol1', 3), grantUUIDOf('vol2', 4)],
    connections: ['vol1', 'vol2'],
  });
  assert.equal([await look(), await look()], [[], []]);
});

test('a secret of an earlier grant of a Volume is left over', async () => {
  const { look } = setUp({
    attachments: [{ uid: 'here', volumeID: 'vol1', epoch: 3 }],
    secrets: [grantUUIDOf('vol1', 2)],
  });
  await look();
  assert.equal(await look(), [`Secret ${grantUUIDOf('vol1', 2)}`]);
});

test('what comes and goes is never told, and what went is told no more', async () => {
  const { scene, look } = setUp({ connections: ['vol1'] });
  await look();
  scene.connections = ['vol2'];
  assert.equal(await look(), []);
  assert.equal(await look(), ['Session vol2']);
  scene.connections = [];
  assert.equal(await look(), []);
});

test('where nothing is left it is seldom looked, and at every visit once something is found', async () => {
  const { scene, look, looks } = setUp({});
  for (let visit = 0; visit < 24; visit += 1) {
    await look();
  }
  assert.is(looks(), 2);
  scene.connections = ['vol1'];
  assert.equal([await look(), await look(), await look()], [[], ['Session vol1'], ['Session vol1']]);
  assert.is(looks(), 5);
});

test('nothing is left over before the objects are known; a look that fails unsays nothing', async () => {
  const { scene, look } = setUp({ connections: ['vol1'], hasSynced: false });
  assert.equal([await look(), await look(), await look()], [[], [], []]);
  scene.hasSynced = true;
  await look();
  assert.equal(await look(), ['Session vol1']);
  scene.fails = true;
  assert.equal(await look(), ['Session vol1']);
  scene.fails = false;
  scene.connections = [];
  assert.equal(await look(), []);
});

test('each kind of a role is counted, also none', () => {
  const leftovers = [
    { kind: 'Session', name: 'vol1' },
    { kind: 'Session', name: 'vol2' },
    { kind: 'Disk', name: 'vol1' },
  ];
  const counted: [string, object][] = [];
  const metrics = { leftOver: (role: string, counts: object) => counted.push([role, counts]) };
  countLeftovers(metrics, 'Hypervisor', { leftovers });
  countLeftovers(metrics, 'VolumeServer', {});
  countLeftovers(metrics, 'VolumeServer', undefined);
  assert.equal(counted, [
    ['Hypervisor', { Disk: 1, Session: 2, Secret: 0, Record: 0 }],
    ['VolumeServer', { Backing: 0, Export: 0, Record: 0 }],
  ]);
});

test.run();
