// What a host says of itself when it must not act at all: only the problem is new, the facts stay as they were last seen.
import type { Hypervisor, VolumeServer } from '../../api/hosts.ts';
import { MANAGERS } from '../../api/names.ts';
import { HYPERVISORS, VOLUME_SERVERS } from '../../api/resources.ts';
import type { Api } from '../../runtime/api.ts';
import type { AgentConfig } from '../config.ts';
import type { WrongCluster } from '../identity.ts';
import type { Problem } from '../volume/plan.ts';
import { HostReporter } from './report.ts';

export interface Refusing {
  readonly api: Api;
  readonly config: AgentConfig;
  readonly bootID: string;
  readonly version: string;
}

/** HostSafe=False follows from it. Throws what the API server throws. */
export async function tellProblem(
  { api, config, bootID, version }: Refusing,
  error: WrongCluster,
): Promise<void> {
  const { signal } = new AbortController();
  const problems = [{ reason: 'WrongCluster', message: error.message } satisfies Problem];
  const bare = { bootID, version, clusterID: error.clusterID };
  const common = { api, name: config.host };
  if (config.volumeServer !== undefined) {
    const facts = (before: VolumeServer | undefined) => ({ ...before?.status?.agent, ...bare, problems });
    await new HostReporter<VolumeServer>().report(
      { ...common, resource: VOLUME_SERVERS, fieldManager: MANAGERS.server, facts },
      signal,
    );
  }
  if (config.hypervisor !== undefined) {
    const facts = (before: Hypervisor | undefined) => ({ ...before?.status?.agent, ...bare, problems });
    await new HostReporter<Hypervisor>().report(
      { ...common, resource: HYPERVISORS, fieldManager: MANAGERS.hypervisor, facts },
      signal,
    );
  }
}
