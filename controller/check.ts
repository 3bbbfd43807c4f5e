// `vbs-controller check`: whether an installation works, told to a person, and by its exit code to `helm test`. Changes nothing.
import { isTrue } from '../api/conditions.ts';
import type { Hypervisor, VolumeServer } from '../api/hosts.ts';
import { LEADER_LEASE } from '../api/names.ts';
import type { KubeObject, Resource } from '../api/object.ts';
import { HYPERVISORS, LEASES, OUR_KINDS, VOLUME_CLASSES, VOLUME_SERVERS } from '../api/resources.ts';
import type { VolumeClass } from '../api/volume.ts';
import type { Api } from '../runtime/api.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Lease } from '../runtime/lease.ts';

interface CheckCommand {
  readonly api: Pick<Api, 'get' | 'list'>;
  readonly clock: Pick<Clock, 'now'>;
  /** Of the controller. */
  readonly namespace: string;
  readonly write: (line: string) => void;
  readonly signal: AbortSignal;
}

/** `todo`: it works, and something is to be done before anybody has a volume. */
interface Finding {
  readonly state: 'ok' | 'todo' | 'FAIL';
  readonly text: string;
}

/** Answers the exit code. */
export async function checkInstallation(command: CheckCommand): Promise<0 | 1> {
  const findings: Finding[] = [];
  for (const resource of OUR_KINDS) {
    findings.push(await kindFinding(command, resource));
  }
  if (findings.every(({ state }) => state === 'ok')) {
    findings.push(await leaderFinding(command), await classFinding(command));
    findings.push(await hostFinding<VolumeServer>(command, VOLUME_SERVERS, 'volume server'));
    findings.push(await hostFinding<Hypervisor>(command, HYPERVISORS, 'hypervisor'));
  }
  for (const { state, text } of findings) {
    command.write(`${state.padEnd(4)} ${text}`);
  }
  const failed = findings.filter(({ state }) => state === 'FAIL').length;
  const open = findings.filter(({ state }) => state === 'todo').length;
  command.write(`${findings.length - failed - open} passed, ${open} to do, ${failed} failed`);
  return failed > 0 ? 1 : 0;
}

const saidBy = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const listed = async <T extends KubeObject>(
  { api, signal }: CheckCommand,
  resource: Resource,
): Promise<readonly T[]> => (await api.list<T>(resource, {}, { signal })).items;

async function kindFinding(command: CheckCommand, resource: Resource): Promise<Finding> {
  const { plural, group } = resource;
  try {
    const objects = await listed(command, resource);
    return { state: 'ok', text: `${plural}.${group} can be read (${objects.length})` };
  } catch (error) {
    command.signal.throwIfAborted();
    const text = `${plural}.${group} cannot be read: ${saidBy(error)}; install the chart vbs-crds, or kubectl apply -f crds, of this version`;
    return { state: 'FAIL', text };
  }
}

async function leaderFinding({ api, clock, namespace, signal }: CheckCommand): Promise<Finding> {
  const lease = await api.get<Lease>(LEASES, { name: LEADER_LEASE, namespace }, { signal });
  const { holderIdentity = '', renewTime, leaseDurationSeconds = 0 } = lease?.spec ?? {};
  const ageSeconds = (clock.now().getTime() - Date.parse(renewTime ?? '')) / 1_000;
  if (holderIdentity === '' || !(ageSeconds <= leaseDurationSeconds)) {
    const last = holderIdentity === '' ? 'nobody holds it' : `${holderIdentity} renewed it ${renewTime}`;
    const text = `no controller leads: Lease ${namespace}/${LEADER_LEASE}: ${last}; see kubectl -n ${namespace} logs deployment/vbs-controller`;
    return { state: 'FAIL', text };
  }
  return { state: 'ok', text: `controller ${holderIdentity} leads` };
}

async function classFinding(command: CheckCommand): Promise<Finding> {
  const classes = await listed<VolumeClass>(command, VOLUME_CLASSES);
  const defaults = classes.filter(({ spec }) => spec.default === true).map(({ metadata }) => metadata.name);
  if (classes.length === 0) {
    return { state: 'todo', text: 'there is no VolumeClass: apply one, such as examples/volumeclass.yaml' };
  }
  return defaults.length > 1
    ? { state: 'FAIL', text: `${defaults.join(' and ')} are both default VolumeClasses: leave one` }
    : { state: 'ok', text: `${classes.length} VolumeClasses, default: ${defaults[0] ?? 'none'}` };
}

async function hostFinding<T extends VolumeServer | Hypervisor>(
  command: CheckCommand,
  resource: Resource,
  what: string,
): Promise<Finding> {
  const hosts = await listed<T>(command, resource);
  const others = hosts.filter(({ status }) => !isTrue(status?.conditions, 'Ready'));
  const names = others.map(({ metadata }) => metadata.name).join(', ');
  if (hosts.length === 0) {
    return { state: 'todo', text: `no ${what} has enrolled yet (docs/hosts/agent.md)` };
  }
  return others.length === 0
    ? { state: 'ok', text: `${hosts.length} ${what}s, all Ready` }
    : { state: 'todo', text: `${what} ${names} not Ready: kubectl describe ${resource.plural}` };
}
