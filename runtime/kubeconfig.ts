import path from 'node:path';
import { parse, stringify } from 'yaml';

interface Entry<T> {
  readonly name?: string;
  readonly user?: T;
  readonly context?: T;
}

interface Kubeconfig {
  readonly 'current-context'?: string;
  readonly contexts?: readonly Entry<{ readonly user?: string }>[];
  readonly users?: readonly Entry<{ readonly tokenFile?: string }>[];
}

/**
 * The `tokenFile` of the current user, absolute: kubectl knows it, and the client library does not. Undefined: its token is elsewhere, or
 * it has none.
 * @param file where the text is from: a relative name is below its folder.
 */
export function tokenFileOf(text: string, file: string): string | undefined {
  const config = (parse(text, { strict: false, uniqueKeys: false }) ?? {}) as Kubeconfig;
  const context = config.contexts?.find(({ name }) => name === config['current-context'])?.context;
  const user = config.users?.find(({ name }) => name === context?.user)?.user;
  return user?.tokenFile === undefined ? undefined : path.resolve(path.dirname(file), user.tokenFile);
}

export interface KubeconfigContent {
  readonly server: string;
  /** PEM. */
  readonly ca: string;
  readonly namespace: string;
  readonly user: { readonly token: string } | { readonly tokenFile: string };
}

/** A kubeconfig of one cluster and one user. */
export function kubeconfigText({ server, ca, namespace, user }: KubeconfigContent): string {
  const name = 'vbs';
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name, cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') } },
    ],
    users: [{ name, user }],
    contexts: [{ name, context: { cluster: name, user: name, namespace } }],
    'current-context': name,
  });
}
