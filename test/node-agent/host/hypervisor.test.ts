import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { HypervisorAgent } from '../../../api/hosts.ts';
import { type HypervisorWork, hypervisorVisitor } from '../../../node-agent/host/hypervisor.ts';
import { CannotLook } from '../../../node-agent/roles/errors.ts';
import type { Connected, Initiator } from '../../../node-agent/roles/initiator.ts';
import type { Instance, VmDisk } from '../../../node-agent/roles/vmm.ts';
import { Metrics } from '../../../runtime/metrics.ts';

const test = suite('a visit of a hypervisor');

const BOOT = 'b1';
const context = { signal: new AbortController().signal } as never;
const running = (name: string): Instance => ({ name, uuid: `uuid-${name}`, state: 'Running' });
const disk = (volumeID: string): readonly VmDisk[] => [{ device: 'vdb', volumeID }];

/** A host which was fenced in this boot, so that the number of its disks is told. */
function setUp(vmm: {
  keepsDisks?: boolean;
  list: () => readonly Instance[];
  disks: (name: string) => readonly VmDisk[];
  tend?: Initiator['tend'];
  attachments?: readonly object[];
  hasSynced?: boolean;
  connections?: readonly Connected[];
  measured?: (text: string) => void;
}) {
  let object = { metadata: { name: 'h', uid: 'u' }, status: { fencedBootID: BOOT, agent: {} as object } };
  const api = {
    get: async () => object,
    patch: async (_resource: unknown, _ref: unknown, { status }: { status: { agent: object } }) => {
      const merged = Object.entries({ ...object.status.agent, ...status.agent });
      const agent = Object.fromEntries(merged.filter(([, value]) => value !== null));
      object = { ...object, status: { ...object.status, agent } };
      return object;
    },
  };
  const metrics = new Metrics();
  const work = {
    program: {
      api,
      config: { host: 'h', observeSeconds: 5 },
      bootID: BOOT,
      version: '1',
      clusterID: 'c',
      log: { warn: () => {} },
      metrics,
    },
    deps: {
      host: 'h',
      iqnPrefix: 'iqn.2026-11.dev.vbs',
      attachments: { list: () => vmm.attachments ?? [], hasSynced: vmm.hasSynced === true },
      initiator: { tend: vmm.tend, observe: async () => vmm.connections ?? [] },
      memories: { list: () => [] },
      lookAtInstances: async () => vmm.list(),
      vmm: {
        can: { keepsDisks: vmm.keepsDisks === true },
        unidentified: () => ['old (106)'],
        holders: async (all: readonly Instance[]) => all.filter(({ name }) => name !== 'idle'),

        disks: async ({ name }: Instance) => vmm.disks(name),
        residue: async () => [],
      },
    },
    queue: { add: () => {} },
    bound: [],
    checkup: { problems: async () => [] },
  } as unknown as HypervisorWork;
  const visit = hypervisorVisitor(work);
  return async (): Promise<HypervisorAgent> => {
    await visit('h', context);
    vmm.measured?.(await metrics.text());
    return object.status.agent as HypervisorAgent;
  };
}

test('a VM that cannot be looked into spoils neither the host nor what was seen of it', async () => {
  let isBroken = false;
  const visit = setUp({
    list: () => [running('a'), running('idle'), running('b')],
    disks: (name) => {
      if (isBroken && name === 'a') {
        throw new CannotLook('a', 'dumpxml failed');
      }
      return disk(`vol-${name}`);
    },
  });
  assert.is((await visit()).disks, 2);
  isBroken = true;
  const told = await visit();
  assert.equal(told.problems, []);
  assert.is(told.instances?.length, 3);
  assert.is(told.disks, undefined, 'nobody knows how many there are');
  isBroken = false;
  assert.is((await visit()).disks, 2);
});

test('what its initiator cannot mend stands against the host, for volumes whose servers let it in', async () => {
  const asked: boolean[] = [];
  const attachment = (volumeID: string, epoch: number) => ({
    metadata: { uid: volumeID },
    status: { volumeID, epoch: 2, export: { epoch, state: 'Exported' } },
  });
  const visit = setUp({
    list: () => [],
    disks: () => [],
    attachments: [attachment('vol-now', 2), attachment('vol-then', 1)],
    tend: async (isLetIn) => {
      asked.push(isLetIn('vol-now'), isLetIn('vol-then'), isLetIn('vol-other'));
      return 'restart iscsid';
    },
  });
  assert.equal((await visit()).problems, [{ reason: 'FaultyTool', message: 'restart iscsid' }]);
  assert.equal(asked, [true, false, false]);
});

test('an initiator that cannot be looked at says nothing about its host', async () => {
  const visit = setUp({
    list: () => [],
    disks: () => [],
    tend: async () => {
      throw new CannotLook('sessions', 'no answer');
    },
  });
  assert.equal((await visit()).problems, []);
});

test('before the VMM has answered once the VMs are unknown, and later the last ones stay said', async () => {
  let isUp = false;
  const visit = setUp({
    list: () => {
      if (!isUp) {
        throw new CannotLook('instances', 'no answer');
      }
      return [running('a')];
    },
    disks: () => [],
  });
  const first = await visit();
  assert.is(first.instances, undefined);
  assert.equal(
    first.problems?.map(({ reason }) => reason),
    ['VmmUnavailable'],
  );
  isUp = true;
  assert.is((await visit()).instances?.length, 1);
  isUp = false;
  const last = await visit();
  assert.is(last.instances?.length, 1);
  assert.is(last.disks, undefined);
});

test('disks count wherever they are kept, and a VM without a UUID is told about', async () => {
  const stopped = { ...running('a'), state: 'Stopped' } as const;
  const ending = { ...running('b'), state: 'Unknown' } as const;
  for (const [keepsDisks, expected] of [
    [true, 2],
    [false, 1],
  ] as const) {
    const visit = setUp({ keepsDisks, list: () => [stopped, ending], disks: (name) => disk(`vol-${name}`) });
    const told = await visit();
    assert.is(told.disks, expected);
    assert.equal(told.unidentified, ['old (106)']);
  }
});

test('disks and sessions without an Attachment are told, and counted', async () => {
  let text = '';
  const visit = setUp({
    list: () => [running('a')],
    disks: () => disk('vol-disk'),
    hasSynced: true,
    connections: [{ volumeID: 'vol-session' }],
    measured: (metrics) => {
      text = metrics;
    },
  });
  await visit();
  const { leftovers = [] } = await visit();
  assert.equal(
    leftovers.map(({ kind, name }) => `${kind} ${name}`),
    ['Disk vol-disk', 'Session vol-session'],
  );
  for (const [kind, count] of Object.entries({ Disk: 1, Session: 1, Secret: 0, Record: 0 })) {
    assert.ok(text.includes(`vbs_leftovers{role="Hypervisor",kind="${kind}"} ${count}\n`), kind);
  }
});

test.run();
