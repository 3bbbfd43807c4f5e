// The hypervisor role of an agent, put together.
import type { Attachment } from '../api/attachment.ts';
import { keyOf } from '../api/object.ts';
import { ATTACHMENTS } from '../api/resources.ts';
import { ConfigError } from '../runtime/errors.ts';
import { Reflector } from '../runtime/reflector.ts';
import { coalesced } from './coalesce.ts';
import type { AgentConfig } from './config.ts';
import type { ConnectionMemory } from './connection/memory.ts';
import { connectionReconciler } from './connection/reconcile.ts';
import type { HypervisorDeps } from './connection/visit.ts';
import { keepCopies } from './copies.ts';
import { hypervisorVisitor } from './host/hypervisor.ts';
import { checksOf } from './preflight/checks.ts';
import { hostCheckup } from './preflight/checkup.ts';
import type { BoundProfile } from './profiles/bind.ts';
import { agentQueue, type Program, type Role, roleOf } from './program.ts';
import type { Initiator } from './roles/initiator.ts';
import { profiledVmm } from './roles/profiled-vmm.ts';
import { sessionInitiator } from './roles/session-initiator.ts';
import type { Vmm } from './roles/vmm.ts';
import { vmmInitiator } from './roles/vmm-initiator.ts';
import { RecordStore } from './store.ts';

type HypervisorConfig = NonNullable<AgentConfig['hypervisor']>;

export async function hypervisorRole(program: Program, config: HypervisorConfig): Promise<Role> {
  const { api, clock, log, metrics, files, bootID } = program;
  const { host, stateDir, iqnPrefix, resyncSeconds } = program.config;
  const { vmm, initiator, bound } = await bindHypervisor(program, config);
  const attachments = new Reflector<Attachment>({
    api,
    clock,
    log,
    metrics,
    resource: ATTACHMENTS,
    fieldSelector: `status.hypervisor=${host}`,
  });
  const queue = agentQueue(program, 'connection');
  const hostQueue = agentQueue(program, 'hypervisor');
  attachments.onChange(({ key }) => queue.add(key));
  keepCopies(attachments, await RecordStore.open<Attachment>(files, `${stateDir}/copies-attachments`), log);
  const deps: HypervisorDeps = {
    api,
    host,
    bootID,
    iqnPrefix,
    attachments,
    memories: await RecordStore.open<ConnectionMemory>(files, `${stateDir}/attachments`),
    vmm,
    lookAtInstances: coalesced((signal) => vmm.instances(signal), { subject: 'the instances', clock }),
    initiator,
    chapOf: program.chapOf,
    clock,
    resyncMs: resyncSeconds * 1000,
    askedAtMs: new Map(),
    connectingSinceMs: new Map(),
    resizedAtMs: new Map(),
    seenBytes: new Map(),
  };
  const subjects = bound.map(([, profile]) => ({ name: profile.name, bound: profile }));
  const checkup = hostCheckup({ checks: checksOf(subjects, program.config), clock, log });
  return roleOf(program, {
    name: 'hypervisor',
    caches: [attachments],
    start: () => {
      for (const attachment of attachments.list()) {
        queue.add(keyOf(attachment));
      }
      hostQueue.add(host);
    },
    loops: [
      { name: 'connection', queue, reconcile: connectionReconciler(deps), concurrency: 8 },
      {
        name: 'hypervisor',
        queue: hostQueue,
        reconcile: hypervisorVisitor({ program, deps, queue, bound, checkup }),
        concurrency: 1,
      },
    ],
  });
}

interface BoundRoles {
  readonly vmm: Vmm;
  readonly initiator: Initiator;
  readonly bound: readonly (readonly [string, BoundProfile])[];
}

/** Throws ConfigError when the VMM does not take what the initiator provides. */
export async function bindHypervisor(
  program: Pick<Program, 'bindRole' | 'config' | 'clock' | 'reach'>,
  config: HypervisorConfig,
): Promise<BoundRoles> {
  const { clock, reach } = program;
  const boundVmm = await program.bindRole('vmm', config.vmm);
  const boundInitiator = await program.bindRole('initiator', config.initiator);
  const vmm = profiledVmm(boundVmm);
  const initiator =
    boundInitiator.profile.format.provides === 'block'
      ? sessionInitiator(boundInitiator, { iqnPrefix: program.config.iqnPrefix, clock, reach })
      : vmmInitiator(boundInitiator);
  if (!vmm.accepts.includes(initiator.kind)) {
    throw new ConfigError(
      `profile ${boundVmm.name} does not take what profile ${boundInitiator.name} provides (${initiator.kind}); it takes ${vmm.accepts.join(', ')}`,
    );
  }
  return {
    vmm,
    initiator,
    bound: [
      ['vmm', boundVmm],
      ['initiator', boundInitiator],
    ],
  };
}
