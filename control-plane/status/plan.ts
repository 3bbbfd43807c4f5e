// What `vbs-control-plane status` says of what it saw. Pure: facts in, lines with their remedies out.

import type { Condition } from '../../api/conditions.ts';
import { isTrue } from '../../api/conditions.ts';
import { type Leader, leads } from '../leader.ts';
import type { StoreTrouble } from '../store.ts';

const MIB = 1024 ** 2;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A daily timer may be a day late, as on a machine that was off at night. */
const OLDEST_BACKUP_MS = 2 * DAY_MS;
/** A renewal comes when 122 days are left: with fewer, it has failed for weeks. */
const LEAF_WARNING_DAYS = 90;
const CA_WARNING_DAYS = 365;
const FULL_SHARE = 0.8;

export interface UnitFact {
  readonly unit: string;
  readonly state: string;
  readonly since?: Date;
  readonly memoryBytes?: number;
}

export interface CertificateFact {
  readonly what: string;
  readonly isCa: boolean;
  /** Undefined: there is none that can be used. */
  readonly notAfter: Date | undefined;
}

export interface StoreFact {
  readonly version: string;
  readonly sizeBytes: number;
  readonly usedBytes: number;
  readonly quotaBytes: number;
  readonly alarms: readonly string[];
}

export interface HostFact {
  readonly kind: 'VolumeServer' | 'Hypervisor';
  readonly name: string;
  readonly conditions: readonly Condition[];
  readonly agentVersion: string | undefined;
}

export interface Facts {
  readonly now: Date;
  /** Of the program that asks. */
  readonly version: string;
  /** Which was started and applied last, to the end. */
  readonly appliedVersion: string | undefined;
  /** Why nothing may be started. */
  readonly trouble: StoreTrouble | undefined;
  readonly units: readonly UnitFact[];
  readonly timers: readonly UnitFact[];
  readonly certificates: readonly CertificateFact[];
  /** Files that `backup` made, by their times. */
  readonly backups: readonly { readonly file: string; readonly at: Date; readonly sizeBytes: number }[];
  /** An error says why it could not be asked. */
  readonly store: StoreFact | string;
  readonly apiServer: { readonly version: string; readonly url: string } | string;
  /** Undefined: nobody leads, or nobody could be asked. */
  readonly leader: Leader | undefined;
  readonly classes: number;
  readonly hosts: readonly HostFact[];
}

/** `todo`: it works, and something is to be done before anybody has a volume. */
export interface Finding {
  readonly state: 'ok' | 'todo' | 'WARN' | 'FAIL';
  readonly text: string;
  readonly remedy?: string;
}

export function findings(facts: Facts): readonly Finding[] {
  return [
    ...troubleFindings(facts),
    ...facts.units.map((unit) => unitFinding(unit, facts)),
    ...facts.timers.map(timerFinding),
    versionFinding(facts),
    apiServerFinding(facts),
    storeFinding(facts),
    leaderFinding(facts),
    ...facts.certificates.map((certificate) => certificateFinding(certificate, facts)),
    backupFinding(facts),
    ...hostFindings(facts),
  ];
}

/** 0 only when all is well. */
export const exitCodeOf = (found: readonly Finding[]): 0 | 1 =>
  found.some(({ state }) => state === 'WARN' || state === 'FAIL') ? 1 : 0;

export const linesOf = (found: readonly Finding[]): readonly string[] =>
  found.flatMap(({ state, text, remedy }) => [
    `${state.padEnd(4)} ${text}`,
    ...(remedy === undefined ? [] : [`     -> ${remedy}`]),
  ]);

const troubleFindings = ({ trouble }: Facts): readonly Finding[] =>
  trouble === undefined ? [] : [{ state: 'FAIL', text: trouble.what, remedy: trouble.remedy }];

function unitFinding({ unit, state, since, memoryBytes }: UnitFact, { now, trouble }: Facts): Finding {
  const name = unit.replace('.service', '');
  if (state !== 'active') {
    const text = `${name} is ${state}`;
    return trouble === undefined
      ? { state: 'FAIL', text, remedy: `journalctl -u ${name} -n 50; systemctl restart ${name}` }
      : { state: 'FAIL', text };
  }
  const memory = memoryBytes === undefined ? '' : `, ${Math.round(memoryBytes / MIB)} MiB`;
  return { state: 'ok', text: `${name} runs since ${told(since, now)}${memory}` };
}

const told = (at: Date | undefined, now: Date): string =>
  at === undefined ? 'some time' : `${at.toISOString().slice(0, 16).replace('T', ' ')} (${ago(at, now)})`;

function ago(at: Date, now: Date): string {
  const ms = now.getTime() - at.getTime();
  if (ms < HOUR_MS) {
    return `${Math.max(0, Math.round(ms / 60_000))} min`;
  }
  return ms < 2 * DAY_MS ? `${Math.round(ms / HOUR_MS)} h` : `${Math.floor(ms / DAY_MS)} days`;
}

function timerFinding({ unit, state }: UnitFact): Finding {
  return state === 'active'
    ? { state: 'ok', text: `${unit} waits for its time` }
    : { state: 'WARN', text: `${unit} is ${state}`, remedy: `systemctl enable --now ${unit}` };
}

function versionFinding({ version, appliedVersion }: Facts): Finding {
  return version === appliedVersion
    ? { state: 'ok', text: `version ${version}, whose definitions and policies are applied` }
    : {
        state: 'WARN',
        text: `this is version ${version}, and the API server was given the definitions and policies of ${appliedVersion ?? 'none'}`,
        remedy: 'vbs-control-plane upgrade',
      };
}

function apiServerFinding({ apiServer }: Facts): Finding {
  return typeof apiServer === 'string'
    ? {
        state: 'FAIL',
        text: `the API server does not answer: ${apiServer}`,
        remedy: 'journalctl -u vbs-apiserver -n 50',
      }
    : { state: 'ok', text: `the API server answers at ${apiServer.url} (Kubernetes ${apiServer.version})` };
}

function storeFinding({ store }: Facts): Finding {
  if (typeof store === 'string') {
    return { state: 'FAIL', text: `etcd does not answer: ${store}`, remedy: 'journalctl -u vbs-etcd -n 50' };
  }
  const { version, sizeBytes, usedBytes, quotaBytes, alarms } = store;
  const size = `${mebibytes(sizeBytes)} of ${mebibytes(quotaBytes)}, ${mebibytes(usedBytes)} in use`;
  if (alarms.length > 0) {
    return {
      state: 'FAIL',
      text: `etcd ${version} has the alarm ${alarms.join(', ')} (${size})`,
      remedy: alarms.includes('CORRUPT')
        ? 'restore the last backup (docs/standalone.md)'
        : 'vbs-control-plane etcdctl defrag; vbs-control-plane etcdctl alarm disarm',
    };
  }
  return sizeBytes > FULL_SHARE * quotaBytes
    ? {
        state: 'WARN',
        text: `the store of etcd ${version} is almost full: ${size}`,
        remedy: 'vbs-control-plane etcdctl defrag',
      }
    : { state: 'ok', text: `etcd ${version}: ${size}` };
}

const mebibytes = (bytes: number): string => `${(bytes / MIB).toFixed(1)} MiB`;

function leaderFinding({ leader, now }: Facts): Finding {
  if (leader === undefined || !leads(leader, now)) {
    return { state: 'FAIL', text: 'no controller leads', remedy: 'journalctl -u vbs-controller -n 50' };
  }
  return { state: 'ok', text: `controller ${leader.holder} leads` };
}

function certificateFinding({ what, isCa, notAfter }: CertificateFact, { now }: Facts): Finding {
  const remedy = isCa
    ? 'vbs-control-plane renew --ca, and then enrol each host again'
    : 'vbs-control-plane renew; journalctl -u vbs-control-plane-renew -n 20';
  const days = notAfter === undefined ? -1 : Math.floor((notAfter.getTime() - now.getTime()) / DAY_MS);
  const text = `the certificate of ${what}`;
  if (notAfter === undefined) {
    return { state: 'FAIL', text: `${text} is missing or damaged`, remedy: 'vbs-control-plane init' };
  }
  if (days < 0) {
    return { state: 'FAIL', text: `${text} ended at ${notAfter.toISOString()}`, remedy };
  }
  return days < (isCa ? CA_WARNING_DAYS : LEAF_WARNING_DAYS)
    ? { state: 'WARN', text: `${text} has ${days} days left`, remedy }
    : { state: 'ok', text: `${text} has ${days} days left` };
}

function backupFinding({ backups, now }: Facts): Finding {
  const remedy = 'vbs-control-plane backup; journalctl -u vbs-control-plane-backup -n 20';
  // One that was made while the clock was ahead says nothing.
  const past = backups.filter(({ at }) => at <= now);
  const newest = past.toSorted((a, b) => b.at.getTime() - a.at.getTime())[0];
  if (newest === undefined) {
    return { state: 'WARN', text: 'there is no backup', remedy };
  }
  const text = `the last of ${backups.length} backups is ${ago(newest.at, now)} old: ${newest.file} (${mebibytes(newest.sizeBytes)})`;
  return now.getTime() - newest.at.getTime() > OLDEST_BACKUP_MS
    ? { state: 'WARN', text, remedy }
    : { state: 'ok', text };
}

function hostFindings({ hosts, classes, apiServer }: Facts): readonly Finding[] {
  if (typeof apiServer === 'string') {
    return [];
  }
  const todo: Finding[] = [];
  if (hosts.length === 0) {
    todo.push({
      state: 'todo',
      text: 'no host has enrolled yet',
      remedy: 'vbs-control-plane enroll HOST --roles volumeServer,hypervisor',
    });
  }
  if (classes === 0) {
    todo.push({
      state: 'todo',
      text: 'there is no VolumeClass',
      remedy:
        'vbs-control-plane kubectl apply -f /usr/share/vbs/examples/volumeclass.yaml, or one of your own',
    });
  }
  return [...hosts.map(hostFinding), ...todo];
}

function hostFinding({ kind, name, conditions, agentVersion }: HostFact): Finding {
  const text = `${kind} ${name} (agent ${agentVersion ?? 'of an unknown version'})`;
  const ready = conditions.find(({ type }) => type === 'Ready');
  if (ready === undefined) {
    return {
      state: 'WARN',
      text: `${text} is not judged yet`,
      remedy: 'vbs-control-plane status again in a minute',
    };
  }
  const remedy = `vbs-control-plane kubectl describe ${kind.toLowerCase()} ${name}`;
  return isTrue(conditions, 'Ready')
    ? { state: 'ok', text: `${text} is heard` }
    : { state: 'WARN', text: `${text}: ${ready.reason}: ${ready.message}`, remedy };
}
