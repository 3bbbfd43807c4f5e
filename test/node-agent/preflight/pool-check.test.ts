// What the check of a host says of the place of a pool, for profiles with one look and with several.
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { poolCheck } from '../../../node-agent/preflight/pool-check.ts';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import { profiledPool } from '../../../node-agent/roles/profiled-pool.ts';
import { FakeLvm, VG } from '../../fakes/lvm.ts';

const SHIPPED = path.join(import.meta.dirname, '../../../node-agent/profiles/shipped');
const { signal } = new AbortController();

const thick = async (lvm: FakeLvm) => {
  lvm.thin = false;
  const profile = await loadProfile(path.join(SHIPPED, 'lvm-thick.yaml'), 'pool');
  return bind(profile, { run: lvm.run, files: hostFiles, params: { vg: VG } });
};

test('an empty volume group is fit to become a pool, and one that is a pool is told by its identity', async () => {
  const bound = await thick(new FakeLvm());
  const check = poolCheck('pool thick', bound);
  assert.equal(await check.run(signal), {
    kind: 'ok',
    note: 'empty; make it a pool with vbs-node-agent prepare-pools',
  });
  const identity = await profiledPool(bound, { name: 'thick', clusterID: '' }).prepare(signal);
  assert.equal(await check.run(signal), { kind: 'ok', note: identity });
});

test('a volume group that is not there is wrong', async () => {
  const lvm = new FakeLvm();
  lvm.present = false;
  const check = poolCheck('pool thick', await thick(lvm));
  assert.equal(await check.run(signal), {
    kind: 'wrong',
    wrong: 'it does not exist; is its file system mounted, or its volume group there?',
  });
});

test.run();
