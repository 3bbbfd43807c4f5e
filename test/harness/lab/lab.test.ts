import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RanStep } from './agent.ts';
import { table } from './times.ts';

const lab = suite('parts of the lab');

const step = (changes: Partial<RanStep>): RanStep => ({
  profile: 'lio',
  verb: 'allow',
  tool: 'file',
  outcome: 'ok',
  durationMs: 100,
  argv: ['mkdir'],
  ...changes,
});

lab('the table of commands has the longest sum first and tells failures apart', () => {
  const lines = table([
    step({}),
    step({ durationMs: 300 }),
    step({ durationMs: 200 }),
    step({ profile: 'xen-xl', tool: 'xl', verb: 'detach', argv: ['xl', 'block-detach'], durationMs: 5_000 }),
    step({ outcome: 'absent', durationMs: 50 }),
  ]);
  assert.equal(lines, [
    '   1 ×    5.00    5.00    5.00  xen-xl xl (detach)',
    '   3 ×    0.20    0.30    0.60  lio mkdir allow',
    '   1 ×    0.05    0.05    0.05  lio mkdir allow → absent',
  ]);
});

lab.run();
