// Which hypervisor runs the VM that an Attachment names. Pure: decides from what the hosts last said.
import { type Attachment, instanceLabel } from '../api/attachment.ts';
import { isTrue } from '../api/conditions.ts';
import type { HostView, Hypervisor, InstanceFact } from '../api/hosts.ts';
import type { Reason } from '../api/reasons.ts';

export type HypervisorView = HostView<Hypervisor>;

export type Binding =
  | { readonly kind: 'bound'; readonly hypervisor: HypervisorView; readonly instance: InstanceFact }
  | { readonly kind: 'waiting'; readonly reason: Reason; readonly message: string };

const waiting = (reason: Reason, message: string): Binding => ({ kind: 'waiting', reason, message });

/** The VM on this hypervisor, as it last said; undefined when it runs no such VM. */
export function instanceOn(hypervisor: Hypervisor, attachment: Attachment): InstanceFact | undefined {
  const { name, uuid, vmid } = attachment.spec.instance;
  return hypervisor.status?.agent?.instances?.find((instance) => {
    if (uuid !== undefined) {
      return instance.uuid === uuid;
    }
    return vmid === undefined ? instance.name === name : instance.vmid === vmid;
  });
}

/** Why this hypervisor may get no new grant now; undefined when it may. */
export function refusalOf({ host, freshness }: HypervisorView): Binding | undefined {
  const { name } = host.metadata;
  if (host.spec?.fenced === true) {
    return waiting(
      'HypervisorFenced',
      `hypervisor ${name} is fenced (spec.fenced), and nothing is attached there; set it to false once that host is in order`,
    );
  }
  if (host.spec?.cordoned === true) {
    return waiting(
      'HypervisorCordoned',
      `hypervisor ${name} is cordoned (spec.cordoned), and nothing new is attached there; set it to false when its maintenance is over`,
    );
  }
  if (freshness !== 'fresh') {
    return waiting(
      'HypervisorSilent',
      `hypervisor ${name} does not answer; start its agent, or see whether the host is up`,
    );
  }
  const { agent, fencedBootID } = host.status ?? {};
  if (agent === undefined || !isTrue(host.status?.conditions, 'HostSafe')) {
    return waiting('HypervisorUnsafe', `hypervisor ${name} is not safe to use; see its HostSafe condition`);
  }
  if (fencedBootID !== undefined && fencedBootID === agent.bootID && agent.disks !== 0) {
    return waiting(
      'HypervisorFenced',
      `hypervisor ${name} was fenced and has not said that it holds no disk any more; restart it, or the VMs which hold disks`,
    );
  }
  return undefined;
}

/** A VM may be there and not be usable. */
function hintOf(hypervisors: readonly HypervisorView[]): string {
  const names = hypervisors.flatMap(({ host, freshness }) =>
    freshness !== 'fresh' || (host.status?.agent?.unidentified ?? []).length === 0
      ? []
      : [host.metadata.name],
  );
  return names.length === 0
    ? ''
    : `; VMs without a UUID cannot be used, see status.agent.unidentified of hypervisor ${names.join(', ')}`;
}

function findByInstance(attachment: Attachment, hypervisors: readonly HypervisorView[]): Binding {
  const label = instanceLabel(attachment);
  const found = hypervisors.flatMap((hypervisor) => {
    const instance = hypervisor.freshness === 'fresh' ? instanceOn(hypervisor.host, attachment) : undefined;
    return instance === undefined ? [] : [{ kind: 'bound', hypervisor, instance } as const];
  });
  const running = found.filter(({ instance }) => instance.state === 'Running');
  const [only, ...more] = found.length > 1 && running.length === 1 ? running : found;
  if (only === undefined) {
    return waiting(
      'InstanceNotFound',
      `no hypervisor which answers has an instance ${label}; define it, or start the agent of its host${hintOf(hypervisors)}`,
    );
  }
  if (more.length > 0) {
    const names = found.map(({ hypervisor }) => hypervisor.host.metadata.name).join(', ');
    return waiting('InstanceAmbiguous', `instance ${label} is on ${names}; name one in spec.hypervisor`);
  }
  return only;
}

/** The hypervisor that spec.hypervisor or the instance points to, without regard to whether it may get a grant. */
export function findHypervisor(attachment: Attachment, hypervisors: readonly HypervisorView[]): Binding {
  const wanted = attachment.spec.hypervisor;
  if (wanted === undefined) {
    return findByInstance(attachment, hypervisors);
  }
  const hypervisor = hypervisors.find(({ host }) => host.metadata.name === wanted);
  if (hypervisor === undefined) {
    return waiting(
      'HypervisorNotFound',
      `there is no hypervisor ${wanted} (spec.hypervisor); start the agent of that host, or make the Attachment anew`,
    );
  }
  const instance = instanceOn(hypervisor.host, attachment);
  return instance === undefined
    ? waiting(
        'InstanceNotFound',
        `hypervisor ${wanted} has no instance ${instanceLabel(attachment)}; define it there, or delete the Attachment${hintOf([hypervisor])}`,
      )
    : { kind: 'bound', hypervisor, instance };
}

/** Where a new grant may go, or what it waits for. */
export function bind(attachment: Attachment, hypervisors: readonly HypervisorView[]): Binding {
  const binding = findHypervisor(attachment, hypervisors);
  if (binding.kind === 'waiting') {
    return binding;
  }
  return refusalOf(binding.hypervisor) ?? binding;
}
