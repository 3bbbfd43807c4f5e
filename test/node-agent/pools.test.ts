import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hostFiles } from '../../node-agent/exec/files.ts';
import { openPools } from '../../node-agent/pools.ts';
import { bind } from '../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../node-agent/profiles/load.ts';
import type { Program } from '../../node-agent/program.ts';
import { systemClock } from '../../runtime/clock.ts';

const test = suite('the pools of a server');

const profile = await loadProfile(
  join(import.meta.dirname, '../../node-agent/profiles/shipped/file.yaml'),
  'pool',
);

test('another pool in the place is missed in the run that learnt the first one, too', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'vbs-test-'));
  const marker = join(dir, '.vbs-pool');
  const params = { dir };
  const run = async () => ({ exitCode: 0, stdout: '', stderr: '' });
  const program = {
    files: hostFiles,
    clock: systemClock,
    clusterID: 'c',
    config: { stateDir: dir },
    bindRole: async () => bind(profile, { run, files: hostFiles, params }),
  } as unknown as Program;
  try {
    await writeFile(marker, '11111111-2222-4333-8444-555555555555\n');
    const [open] = await openPools(program, [{ name: 'main', profile: 'file', params }]);
    assert.is((await open?.look())?.identity, '11111111-2222-4333-8444-555555555555');
    await writeFile(marker, '99999999-2222-4333-8444-555555555555\n');
    const [second] = await Promise.allSettled([open?.look()]);
    assert.is(second?.status, 'rejected');
    assert.match(String(second?.status === 'rejected' && second.reason), /PoolMissing.*99999999/);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test.run();
