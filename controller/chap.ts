// One random CHAP key for each pair of hosts, in a Secret in each of the two hosts' own namespaces. The volume server's
// copy is the truth: it is made first, and the hypervisor's follows it.
import { randomBytes } from 'node:crypto';
import { chapSecretName, hostNamespace } from '../api/names.ts';
import type { KubeObject } from '../api/object.ts';
import { SECRETS } from '../api/resources.ts';
import type { Api } from '../runtime/api.ts';
import { ApiError } from '../runtime/errors.ts';

interface Secret extends KubeObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

export type EnsureChapKey = (server: string, hypervisor: string, signal: AbortSignal) => Promise<void>;

/** Safe to repeat; remembers the pairs it has seen complete. */
export function chapKeys(api: Pick<Api, 'get' | 'create' | 'patch'>): EnsureChapKey {
  const complete = new Set<string>();
  return async (server, hypervisor, signal) => {
    const name = chapSecretName(server, hypervisor);
    if (complete.has(name)) {
      return;
    }
    const truth = await ensure(
      api,
      { name, namespace: hostNamespace(server) },
      randomBytes(32).toString('base64'),
      signal,
    );
    const copy = await ensure(api, { name, namespace: hostNamespace(hypervisor) }, truth, signal);
    if (copy !== truth) {
      await api.patch(
        SECRETS,
        { name, namespace: hostNamespace(hypervisor) },
        { data: { key: truth } },
        { fieldManager: 'vbs-controller', signal },
      );
    }
    complete.add(name);
  };
}

/** The key in the Secret, made with the given one when there is none. */
async function ensure(
  api: Pick<Api, 'get' | 'create'>,
  ref: { readonly name: string; readonly namespace: string },
  key: string,
  signal: AbortSignal,
): Promise<string> {
  const found = await api.get<Secret>(SECRETS, ref, { signal });
  if (found !== undefined) {
    return found.data?.key ?? key;
  }
  const draft = { apiVersion: 'v1', kind: 'Secret', metadata: ref, type: 'vbs.dev/chap-key', data: { key } };
  try {
    await api.create<Secret>(SECRETS, draft, { fieldManager: 'vbs-controller', signal });
    return key;
  } catch (error) {
    if (error instanceof ApiError && error.isAlreadyExists) {
      return (await api.get<Secret>(SECRETS, ref, { signal }))?.data?.key ?? key;
    }
    throw error;
  }
}
