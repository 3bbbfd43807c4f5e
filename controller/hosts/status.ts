// What a person reads on a VolumeServer or Hypervisor.
import type { Claim } from '../../api/conditions.ts';
import type { Freshness, Hypervisor, VolumeServer } from '../../api/hosts.ts';
import { no, told, unsure, yes } from '../claims.ts';

export interface HostScene {
  readonly host: Hypervisor | VolumeServer;
  readonly freshness: Freshness;
}

function safe({ host, freshness }: HostScene): Claim {
  const { agent } = host.status ?? {};
  if (isDeclaredLost(host) && freshness === 'fresh') {
    const message = `spec.lost is set, but ${host.metadata.name} answers: take it back, or stop its agent for good first`;
    return no('HostSafe', 'LostRefused', message);
  }
  const [problem] = agent?.problems ?? [];
  if (agent === undefined) {
    return unsure(
      'HostSafe',
      'NotReported',
      'the agent has not reported yet; if it lasts, see its log (journalctl -u vbs-node-agent)',
    );
  }
  return problem === undefined
    ? yes('HostSafe', 'Safe', 'nothing stands against using this host')
    : { type: 'HostSafe', status: 'False', ...told(problem) };
}

const isDeclaredLost = ({ spec }: Hypervisor | VolumeServer): boolean =>
  spec !== undefined && 'lost' in spec && spec.lost === true;

export function hostClaims(scene: HostScene): readonly Claim[] {
  const { host, freshness } = scene;
  const safety = safe(scene);
  if (freshness === 'unknown') {
    const message = `waiting for the next heartbeat of ${host.metadata.name}`;
    return [unsure('Ready', 'WaitingForHeartbeat', message), safety];
  }
  if (freshness === 'stale' && isDeclaredLost(host)) {
    const message = `${host.metadata.name} is lost (spec.lost): what it held may be deleted`;
    return [no('Ready', 'Lost', message), safety];
  }
  if (freshness === 'stale') {
    const message = `no heartbeat from ${host.metadata.name}; start its agent, or see whether the host is up`;
    return [unsure('Ready', 'HostSilent', message), safety];
  }
  return [
    safety.status === 'True' ? yes('Ready', 'Heard', 'the agent answers') : { ...safety, type: 'Ready' },
    safety,
  ];
}

/**
 * Remembers the boot in which a hypervisor was fenced, until it reports another boot or no disk of ours. Undefined: nothing to remember.
 */
export function fencedBootID(host: Hypervisor): string | undefined {
  const { agent, fencedBootID: before } = host.status ?? {};
  if (host.spec?.fenced === true) {
    return agent?.bootID ?? before;
  }
  const still = before !== undefined && agent?.bootID === before && agent.disks !== 0;
  return still ? before : undefined;
}
