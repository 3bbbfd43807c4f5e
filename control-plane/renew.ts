// `vbs-control-plane renew`, once a day: certificates that are about to end are made anew. The services read theirs again by themselves, so
// that none of them is restarted.
import type { ControlPlaneConfig } from './config.ts';
import { readAuthority, renewAuthority } from './pki/authority.ts';
import { ensureLeaves } from './pki/leaves.ts';
import { caWarning } from './pki/plan.ts';
import type { Surroundings } from './surroundings.ts';

export async function renew(
  surroundings: Surroundings,
  config: ControlPlaneConfig,
  { ca: alsoCa }: { readonly ca: boolean },
): Promise<void> {
  const { clock, tell } = surroundings;
  const authority = alsoCa ? await renewAuthority(surroundings) : await readAuthority(surroundings);
  const made = await ensureLeaves(surroundings, config, authority);
  if (made.length === 0) {
    tell('no certificate is about to end');
  }
  if (alsoCa) {
    tell(
      'hosts go on with the old certificate of the CA until that ends; enrol each of them again before: vbs-control-plane enroll HOST',
    );
  }
  const warning = caWarning(authority.validity, clock.now());
  if (warning !== undefined) {
    tell(`warning: ${warning}`);
  }
}
