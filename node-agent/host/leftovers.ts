// How many leftovers of each kind a host has, for its metrics.
import type { Metrics } from '../../runtime/metrics.ts';
import type { Leftover } from './facts.ts';

/** All kinds that a host object lists. */
const KINDS = {
  VolumeServer: ['Backing', 'Export', 'Record'],
  Hypervisor: ['Disk', 'Session', 'Secret', 'Record'],
} as const;

/** As the host object tells them; nothing is counted while it could not be told. */
export function countLeftovers(
  metrics: { readonly leftOver: (...told: Parameters<Metrics['leftOver']>) => unknown },
  role: keyof typeof KINDS,
  told: { readonly leftovers?: readonly Leftover[] } | undefined,
): void {
  if (told !== undefined) {
    const { leftovers = [] } = told;
    const countOf = (kind: string): number => leftovers.filter((one) => one.kind === kind).length;
    metrics.leftOver(role, Object.fromEntries(KINDS[role].map((kind) => [kind, countOf(kind)])));
  }
}
