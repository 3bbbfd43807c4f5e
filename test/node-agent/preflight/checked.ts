// Shipped profiles bound to a plain host, and what their checks print there.
import path from 'node:path';
import { checksOf, runChecks } from '../../../node-agent/preflight/checks.ts';
import {
  type Finding,
  findingLines,
  problemOfFinding,
  stateOf,
} from '../../../node-agent/preflight/finding.ts';
import { type BoundProfile, bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import type { Settings } from '../../../node-agent/profiles/settings.ts';
import type { RoleName } from '../../../node-agent/profiles/vocabulary.ts';
import { type PlainHost, plainHost } from '../../fakes/plain-host.ts';

const SHIPPED = path.join(import.meta.dirname, '../../../node-agent/profiles/shipped');

export interface Checked {
  readonly role: RoleName;
  readonly name: string;
  readonly params?: Settings;
}

export async function boundOn(host: PlainHost, { role, name, params = {} }: Checked): Promise<BoundProfile> {
  const profile = await loadProfile(path.join(SHIPPED, `${name}.yaml`), role);
  const { run, files } = plainHost(host);
  return bind(profile, { run, files, params });
}

/** The finding of the check whose sentence begins so. */
export async function findingOf(host: PlainHost, checked: Checked, check: string): Promise<Finding> {
  const bound = await boundOn(host, checked);
  const about = { iqnPrefix: 'iqn.2026-11.dev.vbs' };
  const checks = checksOf([{ name: checked.name, bound }], about).filter((one) =>
    one.check.startsWith(check),
  );
  if (checks.length !== 1) {
    throw new Error(`${checks.length} checks begin with ${check}`);
  }
  const [finding] = await runChecks(checks, new AbortController().signal);
  if (finding === undefined) {
    throw new Error('a check without a finding');
  }
  return finding;
}

export const printed = (finding: Finding): string => findingLines(finding).join('\n');

/** State, and the reason of HostSafe where there is one. */
export const judged = (finding: Finding): string =>
  [stateOf(finding), problemOfFinding(finding)?.reason ?? ''].join(' ').trim();
