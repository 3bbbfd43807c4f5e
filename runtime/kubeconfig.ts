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
  readonly user: { readonly token: string } | { readonly tokenFile: string } | ClientCertificate;
}

/** PEM, or files of it, which are read again when they change. */
export type ClientCertificate =
  | { readonly certificate: string; readonly key: string }
  | { readonly certificateFile: string; readonly keyFile: string };

/** A kubeconfig of one cluster and one user. */
export function kubeconfigText({ server, ca, namespace, user }: KubeconfigContent): string {
  const name = 'vbs';
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server, 'certificate-authority-data': data(ca) } }],
    users: [{ name, user: credentialsOf(user) }],
    contexts: [{ name, context: { cluster: name, user: name, namespace } }],
    'current-context': name,
  });
}

const data = (pem: string): string => Buffer.from(pem).toString('base64');

function credentialsOf(user: KubeconfigContent['user']): object {
  if ('certificate' in user) {
    return { 'client-certificate-data': data(user.certificate), 'client-key-data': data(user.key) };
  }
  return 'certificateFile' in user
    ? { 'client-certificate': user.certificateFile, 'client-key': user.keyFile }
    : user;
}
