// One random CHAP key for each pair of hosts, in a Secret in each of the two hosts' own namespaces. The volume server's
// copy is the truth: it is made first, and the hypervisor's follows it.
import { randomBytes } from 'node:crypto';
import { chapSecretName, hostNamespace, MANAGERS } from '../api/names.ts';
import type { KubeObject } from '../api/object.ts';
import { SECRETS } from '../api/resources.ts';
import type { Api } from '../runtime/api.ts';
import { ApiError } from '../runtime/errors.ts';

interface Secret extends KubeObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

export type EnsureChapKey = (server: string, hypervisor: string, signal: AbortSignal) => Promise<void>;

/** Safe to repeat. Looks each time: grants are rare, and a namespace may have been made anew. */
export function chapKeys(api: Pick<Api, 'get' | 'create' | 'patch'>): EnsureChapKey {
  return async (server, hypervisor, signal) => {
    const name = chapSecretName(server, hypervisor);
    const fresh = randomBytes(32).toString('base64');
    const truth = await ensure(api, { name, namespace: hostNamespace(server) }, fresh, signal);
    const copy = await ensure(api, { name, namespace: hostNamespace(hypervisor) }, truth, signal);
    if (copy !== truth) {
      await write(api, { name, namespace: hostNamespace(hypervisor) }, truth, signal);
    }
  };
}

interface Ref {
  readonly name: string;
  readonly namespace: string;
}

async function write(api: Pick<Api, 'patch'>, ref: Ref, key: string, signal: AbortSignal): Promise<string> {
  await api.patch(SECRETS, ref, { data: { key } }, { fieldManager: MANAGERS.controller, signal });
  return key;
}

/** The key in the Secret, made with the given one when there is none. */
async function ensure(
  api: Pick<Api, 'get' | 'create' | 'patch'>,
  ref: Ref,
  key: string,
  signal: AbortSignal,
): Promise<string> {
  const found = await api.get<Secret>(SECRETS, ref, { signal });
  if (found !== undefined) {
    // A Secret without the key is as good as none, but for its name.
    return found.data?.key ?? (await write(api, ref, key, signal));
  }
  const draft = { apiVersion: 'v1', kind: 'Secret', metadata: ref, type: 'vbs.dev/chap-key', data: { key } };
  try {
    await api.create<Secret>(SECRETS, draft, { fieldManager: MANAGERS.controller, signal });
    return key;
  } catch (error) {
    if (error instanceof ApiError && error.isAlreadyExists) {
      return ensure(api, ref, key, signal);
    }
    throw error;
  }
}
