// CHAP keys as this host sees them: Secrets in its own namespace, and their copies on disk for when the API is away.
import { type Chap, chapFor } from '../api/ids.ts';
import { chapSecretName, hostNamespace } from '../api/names.ts';
import type { KubeObject } from '../api/object.ts';
import { SECRETS } from '../api/resources.ts';
import type { Api } from '../runtime/api.ts';
import { ApiError } from '../runtime/errors.ts';
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

/** Where a host remembers with which key it has opened a grant. */
export interface KeptKey {
  /** Undefined: with none yet. */
  readonly key: string | undefined;
  readonly keep: (key: string) => Promise<void>;
}

export type ChapOf = (grant: ChapGrant, signal: AbortSignal, kept?: KeptKey) => Promise<Chap>;

/**
 * Read live, so that a key that was made anew is used for the next grant; the copy on disk is for when the API server does not answer, or
 * somebody has deleted the Secret. A grant keeps its key: a session that is logged in comes back with what it knows.
 * @throws ReportedProblem when there is no key; the controller makes it before it grants.
 */
export function chapSource(api: Pick<Api, 'get'>, host: string, copies: RecordStore<string>): ChapOf {
  return async ({ server, hypervisor, volumeID, epoch }, signal, kept) => {
    if (kept?.key !== undefined) {
      return chapFor(Buffer.from(kept.key, 'base64'), volumeID, epoch);
    }
    const name = chapSecretName(server, hypervisor);
    const key = await liveKey(api, { name, namespace: hostNamespace(host) }, copies.get(name), signal);
    if (key === undefined) {
      throw new ReportedProblem(
        'ChapKeyMissing',
        `Secret ${name} is not in namespace ${hostNamespace(host)}; put it back from a backup, or, without one, restart the VM and delete the Attachment`,
      );
    }
    if (copies.get(name) !== key) {
      await copies.put(name, key);
    }
    await kept?.keep(key);
    return chapFor(Buffer.from(key, 'base64'), volumeID, epoch);
  };
}

async function liveKey(
  api: Pick<Api, 'get'>,
  ref: { readonly name: string; readonly namespace: string },
  copy: string | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    return (await api.get<ChapSecret>(SECRETS, ref, { signal }))?.data?.key ?? copy;
  } catch (error) {
    if (copy !== undefined && error instanceof ApiError && error.isUnanswered) {
      return copy;
    }
    throw error;
  }
}
