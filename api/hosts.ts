import type {
  HypervisorSpec,
  HypervisorStatus,
  VolumeServerSpec,
  VolumeServerStatus,
} from './generated/v1alpha1.ts';
import type { KubeObject } from './object.ts';

export interface VolumeServer extends KubeObject {
  readonly spec?: VolumeServerSpec;
  readonly status?: VolumeServerStatus;
}

export interface Hypervisor extends KubeObject {
  readonly spec?: HypervisorSpec;
  readonly status?: HypervisorStatus;
}

export type ServerAgent = NonNullable<VolumeServerStatus['agent']>;
export type HypervisorAgent = NonNullable<HypervisorStatus['agent']>;
export type PoolFact = NonNullable<ServerAgent['pools']>[number];
export type InstanceFact = NonNullable<HypervisorAgent['instances']>[number];

/** What a server last said of a pool. */
export const poolOf = (server: VolumeServer | undefined, name: string | undefined): PoolFact | undefined =>
  server?.status?.agent?.pools?.find((pool) => pool.name === name);

/** A host's Lease as judged by our own clock: no comparison of times between machines. */
export type Freshness = 'fresh' | 'stale' | 'unknown';

/** Declared lost by an administrator, and silent: it will never say anything again. */
export const isLost = (view: HostView<VolumeServer> | undefined): boolean =>
  view?.host.spec?.lost === true && view.freshness === 'stale';

/** What the host last said of itself and whether it is still heard. */
export interface HostView<T> {
  readonly host: T;
  readonly freshness: Freshness;
}
