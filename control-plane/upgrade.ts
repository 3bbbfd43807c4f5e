// `vbs-control-plane upgrade`: after the package was replaced, everything that runs, and what the API server was given, is of its version.
import { ConfigError } from '../runtime/errors.ts';
import { backUp } from './backup.ts';
import { apiServerReady, kubectlOf, recordedVersion } from './cluster.ts';
import type { ControlPlaneConfig } from './config.ts';
import { finish, prepare, refuseUnusable } from './init.ts';
import type { Surroundings } from './surroundings.ts';
import {
  API_SERVER_UNIT,
  CONTROLLER_MANAGER_UNIT,
  CONTROLLER_UNIT,
  ETCD,
  SERVICES,
  TARGET,
  TIMERS,
} from './units.ts';
import { isNewer, VERSION } from './version.ts';

export async function upgrade(surroundings: Surroundings, config: ControlPlaneConfig): Promise<void> {
  const { units, tell } = surroundings;
  await refuseUnusable(surroundings, config);
  await refuseOlder(surroundings);
  if ((await units.stateOf(ETCD)).isActive) {
    await backUp(surroundings, config);
  }
  await prepare(surroundings, config);
  await units.reload();
  await units.enable([TARGET, ...TIMERS]);
  // While the API server answers it gives its Lease back, and the new one need not wait for that to run out.
  await units.stop(CONTROLLER_UNIT);
  await units.restart(ETCD);
  await units.restart(API_SERVER_UNIT);
  await apiServerReady(surroundings, kubectlOf(surroundings, config));
  await units.restart(CONTROLLER_MANAGER_UNIT);
  await finish(surroundings, config);
  tell(
    `all of the control plane is of version ${VERSION}; the agents of the hosts are upgraded next, one after the other`,
  );
}

/** A store of a newer etcd or Kubernetes is not promised to be read by an older one. */
async function refuseOlder(surroundings: Surroundings): Promise<void> {
  const applied = (await recordedVersion(surroundings)) ?? VERSION;
  if (isNewer(applied, VERSION)) {
    throw new ConfigError(
      `what is here is of version ${applied}, and this is ${VERSION}: install that one again, or go back with a backup from before it: systemctl stop ${SERVICES.join(' ')}; vbs-control-plane restore FILE --replace`,
    );
  }
}
