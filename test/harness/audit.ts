// What our programs asked of the API server, by its own audit log.
import { mkdir, open, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type Condition, findCondition } from '../../api/conditions.ts';
import { STEP_MS } from '../../api/reasons/info.ts';
import { infoOf } from '../../api/reasons.ts';
import { onEarlyEnd } from './early-end.ts';
import { waitFor } from './process.ts';

/** audit.k8s.io/v1 Event, as far as it is read here. */
export interface AuditEvent {
  readonly stage: 'ResponseStarted' | 'ResponseComplete' | 'Panic';
  readonly verb: string;
  readonly requestURI: string;
  /** RFC 3339. */
  readonly requestReceivedTimestamp: string;
  readonly user: { readonly username: string };
  readonly objectRef: { readonly resource: string; readonly name?: string; readonly subresource?: string };
  readonly responseStatus?: { readonly code?: number };
  readonly requestObject?: { readonly status?: object; readonly metadata?: object };
}

const WRITES = ['create', 'update', 'patch', 'delete', 'deletecollection'];

/** Heartbeats and Events are apart; `bodies` keeps what was written, which a log of thousands of writes need not. */
const policyOf = (bodies: boolean) => ({
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [
    {
      level: 'None',
      resources: [
        { group: 'coordination.k8s.io', resources: ['leases'] },
        { group: 'events.k8s.io', resources: ['events'] },
      ],
    },
    { level: 'None', users: ['system:apiserver'] },
    // What is in a Secret is not for a log.
    { level: 'Metadata', verbs: WRITES, resources: [{ group: '', resources: ['secrets'] }] },
    { level: bodies ? 'Request' : 'Metadata', verbs: WRITES },
    { level: 'Metadata', verbs: ['list', 'watch', 'get'], resources: [{ group: 'vbs.dev' }] },
  ],
});

export const isWrite = ({ verb, stage }: AuditEvent): boolean =>
  stage === 'ResponseComplete' && WRITES.includes(verb);

const conditionsIn = ({ requestObject }: AuditEvent): readonly Condition[] =>
  (requestObject?.status as { readonly conditions?: readonly Condition[] } | undefined)?.conditions ?? [];

/** What Ready says in this write; undefined when it says nothing about it. */
export const readyIn = (event: AuditEvent): string | undefined =>
  findCondition(conditionsIn(event), 'Ready')?.reason;

const isTelling = (event: AuditEvent): boolean =>
  infoOf(readyIn(event) ?? '')?.passesMs !== undefined &&
  Object.keys(event.requestObject?.status ?? {}).every((field) =>
    ['conditions', 'observedGeneration'].includes(field),
  );

/**
 * On a slow machine a step lasts long enough to be told: writes that say nothing else, longer after the teller's own write before
 * (or, where there is none, after the operation began) than a step may go untold, and for each of them one write of another
 * program that lost its compare-and-swap to it. Needs bodies.
 */
export function slownessIn(written: readonly AuditEvent[], beganMs: number): readonly AuditEvent[] {
  const timeOf = (event: AuditEvent) => Date.parse(event.requestReceivedTimestamp);
  const isSame = (a: AuditEvent, b: AuditEvent) =>
    a.objectRef.resource === b.objectRef.resource && a.objectRef.name === b.objectRef.name;
  const told = written.filter((event, index) => {
    const before = written
      .slice(0, index)
      .findLast((other) => isSame(event, other) && programOf(event) === programOf(other));
    const since = before === undefined ? beganMs : timeOf(before);
    return isTelling(event) && timeOf(event) - since >= STEP_MS;
  });
  const lost = told.flatMap((event) => {
    const after = written.slice(written.indexOf(event) + 1);
    return after.find((other) => isSame(event, other) && isConflict(other)) ?? [];
  });
  return [...told, ...new Set(lost)];
}

/** One that lost a compare-and-swap changed nothing. */
export const isConflict = (event: AuditEvent): boolean => event.responseStatus?.code === 409;

/** The whole of a kind, or of a selection: a list, or a watch that begins with one. */
export const isList = ({ verb, stage, requestURI }: AuditEvent): boolean =>
  (verb === 'list' && stage === 'ResponseComplete') ||
  (verb === 'watch' && stage === 'ResponseStarted' && requestURI.includes('sendInitialEvents=true'));

/** The program: `vbs-controller`, or a host's name; undefined for all others. */
export function programOf({ user }: AuditEvent): string | undefined {
  const [namespace = '', account] = user.username.replace('system:serviceaccount:', '').split(':');
  if (!user.username.startsWith('system:serviceaccount:vbs-')) {
    return undefined;
  }
  return account === 'vbs-agent' ? namespace.replace('vbs-host-', '') : account;
}

export class AuditLog {
  readonly #dir: string;
  readonly #file: string;
  #forget: () => void = () => {};

  private constructor(dir: string) {
    this.#dir = dir;
    this.#file = path.join(dir, 'audit.log');
  }

  /** The API server needs the policy before anything has a directory. */
  static async make({ bodies }: { readonly bodies: boolean }): Promise<AuditLog> {
    const log = new AuditLog(path.join(os.tmpdir(), `vbs-audit-${process.pid}-${Date.now()}`));
    await mkdir(log.#dir, { mode: 0o700 });
    log.#forget = onEarlyEnd(() => log.remove());
    await writeFile(path.join(log.#dir, 'policy.json'), JSON.stringify(policyOf(bodies)));
    return log;
  }

  /** Flags for the API server: an event is in the file before its answer is given. */
  get apiServerArgs(): readonly string[] {
    return [
      `--audit-policy-file=${path.join(this.#dir, 'policy.json')}`,
      `--audit-log-path=${this.#file}`,
      '--audit-log-mode=blocking-strict',
      // One file for the whole run.
      '--audit-log-maxsize=2000',
    ];
  }

  /** Where the log ends now, in bytes; what is asked later lies behind it. */
  async end(): Promise<number> {
    return (await stat(this.#file)).size;
  }

  /** What our programs asked between two ends of the log. */
  async between(from: number, to?: number): Promise<readonly AuditEvent[]> {
    const handle = await open(this.#file, 'r');
    try {
      const length = (to ?? (await handle.stat()).size) - from;
      const buffer = Buffer.alloc(length);
      const { bytesRead } = await handle.read(buffer, 0, length, from);
      return buffer
        .subarray(0, bytesRead)
        .toString()
        .split('\n')
        .filter((line) => line.includes('system:serviceaccount:vbs-') && line.endsWith('}'))
        .map((line) => JSON.parse(line) as AuditEvent)
        .filter((event) => programOf(event) !== undefined);
    } finally {
      await handle.close();
    }
  }

  /** Until no program of ours has written for so long: late writes count too. */
  async quiet(ms: number, timeoutMs = 60_000): Promise<void> {
    let [from, since] = [await this.end(), Date.now()];
    const what = `${ms / 1000} s without a write`;
    await waitFor({ what, timeoutMs, intervalMs: 200 }, async () => {
      const to = await this.end();
      if ((await this.between(from, to)).some(isWrite)) {
        since = Date.now();
      }
      from = to;
      return Date.now() - since > ms;
    });
  }

  async remove(): Promise<void> {
    this.#forget();
    await rm(this.#dir, { recursive: true, force: true });
  }
}
