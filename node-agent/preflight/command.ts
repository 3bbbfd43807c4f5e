// `vbs-node-agent check`: what the host must be like, told before anything is installed. Changes nothing and needs no API server.

import { systemClock } from '../../runtime/clock.ts';
import { ConfigError } from '../../runtime/errors.ts';
import type { BindRole } from '../bindings.ts';
import type { AgentConfig } from '../config.ts';
import { bindHypervisor } from '../hypervisor-role.ts';
import { reachByTcp } from '../roles/session-care.ts';
import { bindReader } from '../server-role.ts';
import { type Check, checksOf, runChecks, type Subject } from './checks.ts';
import { findingLines, stateOf, summaryLine } from './finding.ts';
import { poolCheck } from './pool-check.ts';

interface CheckCommand {
  readonly config: AgentConfig;
  /** One that takes versions with known faults, too. */
  readonly bindRole: BindRole;
  readonly write: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Answers the exit code. Throws ConfigError and ProfileError. */
export async function checkHost({ config, bindRole, write, signal }: CheckCommand): Promise<0 | 1> {
  const pools = await poolSubjects({ config, bindRole });
  const tools = once([
    ...(await serverSubjects({ config, bindRole })),
    ...(await hypervisorSubjects({ config, bindRole })),
  ]);
  if (pools.length + tools.length === 0) {
    throw new ConfigError(
      'the configuration names neither volumeServer nor hypervisor: there is nothing to check',
    );
  }
  const checks: readonly Check[] = [
    ...checksOf([...pools, ...tools], config),
    ...pools.map(({ name, bound }) => poolCheck(name, bound)),
  ];
  const findings = await runChecks(checks, signal);
  for (const line of findings.toSorted(bySubject(checks)).flatMap(findingLines)) {
    write(line);
  }
  write(summaryLine(findings));
  return findings.some((finding) => stateOf(finding) === 'FAIL') ? 1 : 0;
}

/** What belongs to one subject stands together. */
function bySubject(checks: readonly Check[]): (a: { subject: string }, b: { subject: string }) => number {
  const order = [...new Set(checks.map(({ subject }) => subject))];
  return (a, b) => order.indexOf(a.subject) - order.indexOf(b.subject);
}

type Binding = Pick<CheckCommand, 'config' | 'bindRole'>;

async function poolSubjects({ config, bindRole }: Binding): Promise<readonly Subject[]> {
  const subjects: Subject[] = [];
  for (const pool of config.volumeServer?.pools ?? []) {
    subjects.push({ name: `pool ${pool.name} (${pool.profile})`, bound: await bindRole('pool', pool) });
  }
  return subjects;
}

async function serverSubjects({ config, bindRole }: Binding): Promise<readonly Subject[]> {
  if (config.volumeServer === undefined) {
    return [];
  }
  const target = await bindRole('target', config.volumeServer.target);
  const reader = await bindReader({ bindRole }, config.volumeServer.initiator);
  return [target, ...(reader === undefined ? [] : [reader])].map((bound) => ({ name: bound.name, bound }));
}

async function hypervisorSubjects({ config, bindRole }: Binding): Promise<readonly Subject[]> {
  if (config.hypervisor === undefined) {
    return [];
  }
  const { bound } = await bindHypervisor(
    { config, bindRole, clock: systemClock, reach: reachByTcp },
    config.hypervisor,
  );
  return bound.map(([, profile]) => ({ name: profile.name, bound: profile }));
}

/** A host that is both may read as it connects, with one tool. */
const once = (subjects: readonly Subject[]): readonly Subject[] => [
  ...new Map(subjects.map((subject) => [subject.name, subject])).values(),
];
