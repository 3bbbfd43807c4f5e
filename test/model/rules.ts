// The plan functions under test, gathered so that a test of the test can hand in broken ones.
import { mayForget, planAttachment } from '../../controller/attachment/plan.ts';
import { planSnapshot } from '../../controller/snapshot/plan.ts';
import { planVolume } from '../../controller/volume/plan.ts';
import { planConnection, planLeftover } from '../../node-agent/connection/plan.ts';
import { planExport } from '../../node-agent/export/plan.ts';
import { planBacking } from '../../node-agent/volume/plan.ts';

export const rules = {
  planVolume,
  planSnapshot,
  planAttachment,
  mayForget,
  planBacking,
  planExport,
  planConnection,
  planLeftover,
};
export type Rules = typeof rules;
