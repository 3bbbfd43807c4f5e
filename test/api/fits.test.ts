// One fact too many would make the API server refuse a whole status: however much there is to tell, what is told fits.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { volumeIDFor } from '../../api/ids.ts';
import { API_VERSION } from '../../api/resources.ts';
import { conditionsOf, no, summarized } from '../../controller/claims.ts';
import { type HypervisorScene, hypervisorFacts, serverFacts } from '../../node-agent/host/facts.ts';
import { problemOf } from '../../node-agent/problems.ts';
import { CannotLook } from '../../node-agent/roles/errors.ts';
import { validators } from './validation.ts';

const test = suite('what is told fits the schemas');
const validate = await validators();
const many = <T>(make: (index: number) => T): T[] => Array.from({ length: 3000 }, (_, index) => make(index));
const long = 'x'.repeat(10_000);
const facts = { bootID: 'b', version: '1', clusterID: 'c', profiles: [], problems: [] };

const fits = (kind: string, status: object, spec: object = {}): void => {
  const check = validate.get(kind);
  const object = { apiVersion: API_VERSION, kind, metadata: { name: 'x' }, spec, status };
  assert.ok(check?.(JSON.parse(JSON.stringify(object))), JSON.stringify(check?.errors).slice(0, 500));
};

test('a hypervisor with thousands of VMs of long names and thousands of disks which nobody accounts for', () => {
  const scene: HypervisorScene = {
    ...facts,
    initiator: 'iqn.2026-11.dev.vbs:host.x',
    instances: many((index) => ({
      name: long,
      uuid: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
      state: 'Running' as const,
      vmid: 999_999_999 - index,
    })),
    unidentified: many(() => long),
    disks: many((index) => ({ volumeID: volumeIDFor(String(index)), instance: long })),
    accounted: new Set(),
    fenced: true,
    isSeen: true,
  };
  fits('Hypervisor', { agent: hypervisorFacts(scene) });
});

test('a volume server with thousands of volumes to free and thousands which nobody accounts for', () => {
  const backing = (state: 'dying' | 'complete' | 'retained') => (index: number) => ({
    id: volumeIDFor(`${state}${index}`),
    state,
    sizeBytes: 1n,
    path: '/x',
    owner: { namespace: long, name: long },
  });
  const view = {
    name: 'main',
    identity: 'i',
    totalBytes: 2n ** 63n,
    freeBytes: 0n,
    extentBytes: 4096n,
    backings: [...many(backing('dying')), ...many(backing('complete')), ...many(backing('retained'))],
  };
  const can = {
    growOnline: true,
    copyOnWrite: true,
    snapshotAttached: true,
    snapshotsOutlive: true,
    snapshotsHoldSize: true,
    zeroes: true,
    wipes: true,
    trash: true,
  };
  const pool = { name: 'main', profile: 'file', view, can, problem: undefined };
  const scene = {
    ...facts,
    portals: ['192.0.2.1:3260'],
    remoteCopy: true,
    targetGrows: true,
    pools: [pool],
    exports: [],
    trash: new Map(view.backings.map(({ id }) => [id, { ttlSeconds: 31_536_000, leftMs: 1 }])),
    now: new Date(),
    before: undefined,
  };
  fits('VolumeServer', { agent: serverFacts({ ...scene, accounted: new Set() }) });
});

test('a problem whose tool said very much, also with a few words before it', () => {
  const { reason = '', message = '' } = problemOf(new CannotLook('pool', long)) ?? {};
  fits('Hypervisor', {
    agent: { bootID: 'b', problems: [{ reason, message: `${'w'.repeat(100)}${message}` }] },
  });
});

test('a condition with very much to say', () => {
  const claims = summarized(
    [no('Placed', 'TwoDefaultClasses', long)],
    no('Ready', 'TwoDefaultClasses', long),
  );
  const conditions = conditionsOf([], claims, { generation: 1, now: new Date('2026-11-23T08:00:00Z') });
  fits('Volume', { conditions }, { size: '1Gi' });
});

test.run();
