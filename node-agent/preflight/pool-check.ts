// Before installing: is the place of a pool there, and fit to become one? The running agent tells the same of each pool.
import type { BoundProfile } from '../profiles/bind.ts';
import { placeOf } from '../roles/backings.ts';
import type { Check } from './checks.ts';
import type { Verdict } from './finding.ts';

export const POOL_CHECK = {
  check: 'its place can hold volumes',
  why: 'without a pool no volume can be placed here',
} as const;

async function lookAtPlace(bound: BoundProfile, signal: AbortSignal): Promise<Verdict> {
  const { identity = '', problem = '' } = await placeOf(bound, signal);
  if (problem !== '') {
    return { kind: 'wrong', wrong: problem };
  }
  if (identity !== '') {
    return { kind: 'ok', note: identity };
  }
  const contents = await bound.call('contents', {}, signal);
  if (contents.outcome === 'absent') {
    return {
      kind: 'wrong',
      wrong: 'it does not exist; is its file system mounted, or its volume group there?',
    };
  }
  const [other] = contents.rows;
  return other === undefined
    ? { kind: 'ok', note: 'empty; make it a pool with vbs-node-agent prepare-pools' }
    : { kind: 'wrong', wrong: `it is no pool, and holds ${other.name ?? 'something'}` };
}

export const poolCheck = (name: string, bound: BoundProfile): Check => ({
  ...POOL_CHECK,
  subject: name,
  severity: 'fail',
  reason: 'HostUnsafe',
  live: true,
  run: async (signal) => {
    try {
      return await lookAtPlace(bound, signal);
    } catch (error) {
      return { kind: 'wrong', wrong: error instanceof Error ? error.message : String(error) };
    }
  },
});
