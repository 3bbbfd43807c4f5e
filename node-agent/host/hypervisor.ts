// Looks at a hypervisor as a whole: reports it, and wakes the Attachments which a change concerns.
import { exportAt } from '../../api/attachment.ts';
import { sameJson } from '../../api/equal.ts';
import type { Hypervisor } from '../../api/hosts.ts';
import { MANAGERS } from '../../api/names.ts';
import { keyOf } from '../../api/object.ts';
import { HYPERVISORS } from '../../api/resources.ts';
import type { Reconcile } from '../../runtime/loop.ts';
import type { WorkQueue } from '../../runtime/workqueue.ts';
import { profileFacts } from '../bindings.ts';
import { type HypervisorDeps, initiatorOf } from '../connection/visit.ts';
import type { Checkup } from '../preflight/checkup.ts';
import { problemOf } from '../problems.ts';
import type { BoundProfile } from '../profiles/bind.ts';
import type { Program } from '../program.ts';
import { InstanceNotFound, InstanceNotRunning } from '../roles/errors.ts';
import { mayHoldDisks } from '../roles/instances.ts';
import type { Instance } from '../roles/vmm.ts';
import type { Problem } from '../volume/plan.ts';
import { hypervisorFacts, type ProfileFact } from './facts.ts';
import { countLeftovers } from './leftovers.ts';
import { HostReporter } from './report.ts';
import { residueWatcher } from './residue.ts';

export interface HypervisorWork {
  readonly program: Program;
  readonly deps: HypervisorDeps;
  readonly queue: WorkQueue;
  readonly bound: readonly (readonly [string, BoundProfile])[];
  readonly checkup: Checkup;
}

interface SeenDisks {
  readonly disks: readonly { readonly volumeID: string; readonly instance: string }[];
  /** VMs that could not be looked into: their disks are the last ones seen. */
  readonly unseen: readonly string[];
}

interface SeenHost extends SeenDisks {
  /** Absent until the VMM has answered once. */
  readonly instances?: readonly Instance[];
  readonly problem?: Problem;
}

/** One visit of the host; its key says nothing. */
export function hypervisorVisitor(work: HypervisorWork): Reconcile {
  const { program, deps, bound, checkup } = work;
  const { api, config } = program;
  const reporter = new HostReporter<Hypervisor>();
  let profiles: readonly ProfileFact[] | undefined;
  let before: SeenHost | undefined;
  const woken = new Set<string>();
  const lookForResidue = residueWatcher(deps);
  return async (_key, { signal }) => {
    profiles ??= await profileFacts(bound, signal);
    const seen = await seeHost(work, before, signal);
    wake(work, woken, before !== undefined && !sameJson(before, seen));
    before = seen;
    const accounted = accountedFor(deps, seen);
    const problems = [
      ...(seen.problem === undefined ? [] : [seen.problem]),
      ...(await connectionProblems(deps, signal)),
      ...(await checkup.problems(signal)),
    ];
    const residue = await lookForResidue(signal);
    const factsAfter = (host: Hypervisor | undefined) =>
      hypervisorFacts({
        bootID: program.bootID,
        version: program.version,
        clusterID: program.clusterID,
        profiles: profiles ?? [],
        problems,
        initiator: initiatorOf(deps),
        ...(seen.instances === undefined ? {} : { instances: seen.instances }),
        unidentified: deps.vmm.unidentified(),
        disks: seen.disks,
        accounted,
        residue,
        fenced: host?.status?.fencedBootID === program.bootID,
        isSeen: seen.problem === undefined && seen.unseen.length === 0,
      });
    await reporter.report(
      {
        api,
        resource: HYPERVISORS,
        name: config.host,
        fieldManager: MANAGERS.hypervisor,
        facts: factsAfter,
      },
      signal,
    );
    countLeftovers(program.metrics, 'Hypervisor', reporter.told);
    return { requeueAfterMs: config.observeSeconds * 1000 };
  };
}

/** All Attachments after a change of the host; one that is remembered and no longer shown also when that is new. */
function wake({ deps, queue }: HypervisorWork, woken: Set<string>, changed: boolean): void {
  const shown = deps.attachments.list();
  const uids = new Set(shown.map(({ metadata }) => metadata.uid));
  const memories = deps.attachments.hasSynced ? deps.memories.list() : [];
  const hidden = memories.filter(({ attachmentUID }) => !uids.has(attachmentUID));
  for (const key of changed ? shown.map(keyOf) : []) {
    queue.add(key);
  }
  for (const { attachmentUID, namespace, name } of hidden) {
    if (changed || !woken.has(attachmentUID)) {
      queue.add(`${namespace}/${name}`);
    }
  }
  woken.clear();
  for (const { attachmentUID } of hidden) {
    woken.add(attachmentUID);
  }
}

/** Before the objects are known nothing can be called left over. */
function accountedFor({ attachments }: HypervisorDeps, { disks }: SeenHost): ReadonlySet<string> {
  const named = attachments.list().flatMap(({ status }) => status?.volumeID ?? []);
  return new Set(attachments.hasSynced ? named : [...named, ...disks.map(({ volumeID }) => volumeID)]);
}

/** A look that fails is told by the Attachments which need it. */
async function connectionProblems(
  { initiator, attachments }: HypervisorDeps,
  signal: AbortSignal,
): Promise<readonly Problem[]> {
  const isLetIn = (volumeID: string): boolean =>
    attachments.list().some((attachment) => {
      const { volumeID: its, epoch = 0 } = attachment.status ?? {};
      return its === volumeID && exportAt(attachment, epoch)?.state === 'Exported';
    });
  try {
    const message = await initiator.tend?.(isLetIn, signal);
    return message === undefined ? [] : [{ reason: 'FaultyTool', message }];
  } catch (error) {
    if (problemOf(error) === undefined) {
      throw error;
    }
    return [];
  }
}

/** While the VMM does not answer, what was last seen stays said, with the problem beside it. */
async function seeHost(
  work: HypervisorWork,
  before: SeenHost | undefined,
  signal: AbortSignal,
): Promise<SeenHost> {
  try {
    const instances = await work.deps.lookAtInstances();
    return { instances, ...(await ourDisks(work, instances, { before, signal })) };
  } catch (error) {
    const problem = problemOf(error);
    if (problem === undefined) {
      throw error;
    }
    const message = `the VMM does not answer: ${problem.message}`;
    return { disks: [], unseen: [], ...before, problem: { reason: 'VmmUnavailable', message } };
  }
}

/** One VM that cannot be looked into says nothing about the others, nor about the host. */
async function ourDisks(
  { deps: { vmm }, program: { log } }: HypervisorWork,
  instances: readonly Instance[],
  { before, signal }: { readonly before: SeenHost | undefined; readonly signal: AbortSignal },
): Promise<SeenDisks> {
  const disks: SeenDisks['disks'][number][] = [];
  const unseen: string[] = [];
  const holders = await vmm.holders(instances, signal);
  for (const instance of holders.filter((one) => mayHoldDisks(vmm, one))) {
    const { name } = instance;
    try {
      const shown = await vmm.disks(instance, signal);
      disks.push(
        ...shown.flatMap(({ volumeID }) => (volumeID === undefined ? [] : { volumeID, instance: name })),
      );
    } catch (error) {
      if (error instanceof InstanceNotRunning || error instanceof InstanceNotFound) {
        continue;
      }
      signal.throwIfAborted();
      unseen.push(name);
      disks.push(...(before?.disks.filter((disk) => disk.instance === name) ?? []));
      if (before?.unseen.includes(name) !== true) {
        log.warn({ instance: name, err: error }, 'Cannot look at the disks of a VM');
      }
    }
  }
  return { disks, unseen };
}
