// Which controller leads, as its Lease says.
import { LEADER_LEASE, SYSTEM_NAMESPACE } from '../api/names.ts';
import type { Kubectl } from './command.ts';

export interface Leader {
  readonly holder: string;
  readonly renewedAt: Date;
  readonly leaseSeconds: number;
}

interface Lease {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly renewTime?: string;
    readonly leaseDurationSeconds?: number;
  };
}

export async function leaderOf(kubectl: Kubectl): Promise<Leader> {
  const args = ['get', 'lease', LEADER_LEASE, `--namespace=${SYSTEM_NAMESPACE}`, '--output=json'];
  const { spec } = JSON.parse(await kubectl(args)) as Lease;
  const { holderIdentity = '', renewTime = '', leaseDurationSeconds = 0 } = spec ?? {};
  return { holder: holderIdentity, renewedAt: new Date(renewTime), leaseSeconds: leaseDurationSeconds };
}

/** The controller runs on this machine, and reads the same clock. A restored Lease is of one that is gone. */
export const leads = ({ holder, renewedAt, leaseSeconds }: Leader, now: Date): boolean =>
  holder !== '' && now.getTime() - renewedAt.getTime() <= leaseSeconds * 1000;
