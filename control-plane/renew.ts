// `vbs-control-plane renew`, once a day: certificates that are about to end are made anew. The services read theirs again by themselves; only
// the certificate of the CA is read once, by the controller manager, which is restarted for another one.
import type { ControlPlaneConfig } from './config.ts';
import { restartIfOutdated } from './init.ts';
import { readAuthority, renewAuthority } from './pki/authority.ts';
import { ensureLeaves } from './pki/leaves.ts';
import { caWarning } from './pki/plan.ts';
import type { Surroundings } from './surroundings.ts';
import { CONTROLLER_MANAGER_UNIT } from './units.ts';

export async function renew(
  surroundings: Surroundings,
  config: ControlPlaneConfig,
  { ca: alsoCa }: { readonly ca: boolean },
): Promise<void> {
  const { places, clock, tell } = surroundings;
  const authority = alsoCa ? await renewAuthority(surroundings) : await readAuthority(surroundings);
  const made = await ensureLeaves(surroundings, config, authority);
  await restartIfOutdated(surroundings, CONTROLLER_MANAGER_UNIT, places.controllerManagerKubeconfig);
  if (made.length === 0) {
    tell('no certificate is about to end');
  }
  if (alsoCa) {
    tell(
      'hosts go on with the old certificate of the CA until that ends; before it does, for each of them: vbs-control-plane enroll HOST',
    );
  }
  const warning = caWarning(authority.validity, clock.now());
  if (warning !== undefined) {
    tell(`warning: ${warning}`);
  }
}
