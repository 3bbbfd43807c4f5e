// CHAP keys as this host sees them: Secrets in its own namespace, and their copies on disk for when the API is away.
import { type Chap, chapFor } from '../api/ids.ts';
import { chapSecretName, hostNamespace } from '../api/names.ts';
import type { KubeObject } from '../api/object.ts';
import { SECRETS } from '../api/resources.ts';
import type { Api } from '../runtime/api.ts';
import { ReportedProblem } from './problems.ts';
import type { RecordStore } from './store.ts';

export interface ChapSecret extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export interface ChapGrant {
  readonly server: string;
  readonly hypervisor: string;
  readonly volumeID: string;
  readonly epoch: number;
}

export type ChapOf = (grant: ChapGrant, signal: AbortSignal) => Promise<Chap>;

/** @throws ReportedProblem when there is no key; the controller makes it before it grants. */
export function chapSource(api: Pick<Api, 'get'>, host: string, copies: RecordStore<string>): ChapOf {
  return async ({ server, hypervisor, volumeID, epoch }, signal) => {
    const name = chapSecretName(server, hypervisor);
    let key = copies.get(name);
    if (key === undefined) {
      const secret = await api.get<ChapSecret>(SECRETS, { name, namespace: hostNamespace(host) }, { signal });
      key = secret?.data?.key;
      if (key === undefined) {
        throw new ReportedProblem(
          'ChapKeyMissing',
          `Secret ${name} is not in namespace ${hostNamespace(host)}`,
        );
      }
      await copies.put(name, key);
    }
    return chapFor(Buffer.from(key, 'base64'), volumeID, epoch);
  };
}
