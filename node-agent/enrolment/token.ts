// The tokens of a host's ServiceAccount: what they say of themselves, and how a host gets the next one.
import { AGENT_ACCOUNT, hostNamespace } from '../../api/names.ts';
import type { KubeObject } from '../../api/object.ts';
import { SERVICE_ACCOUNTS } from '../../api/resources.ts';
import type { Api } from '../../runtime/api.ts';

/** A host that was off for longer has to be enrolled again. */
export const LIFETIME_SECONDS = 30 * 24 * 3600;

export interface Claims {
  /** The user name the API server gives its bearer. */
  readonly subject?: string;
  readonly expires?: Date;
}

/** What a token says of itself; nothing of it is proven. Empty for a token that is none of a ServiceAccount. */
export function claimsOf(token: string): Claims {
  try {
    const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8');
    const { sub, exp } = JSON.parse(payload) as { readonly sub?: unknown; readonly exp?: unknown };
    return {
      ...(typeof sub === 'string' ? { subject: sub } : {}),
      ...(typeof exp === 'number' ? { expires: new Date(exp * 1000) } : {}),
    };
  } catch {
    return {};
  }
}

/** How the API server calls the agent of a host. */
export const userNameOf = (host: string): string =>
  `system:serviceaccount:${hostNamespace(host)}:${AGENT_ACCOUNT}`;

export interface Token {
  readonly text: string;
  /** By the server's clock. */
  readonly issued: Date;
  readonly expires: Date;
}

interface TokenRequest extends KubeObject {
  readonly spec: { readonly expirationSeconds: number };
  readonly status?: { readonly token: string; readonly expirationTimestamp: string };
}

export interface TokenWish {
  readonly host: string;
  /** The server may grant less. */
  readonly lifetimeSeconds?: number;
  readonly signal?: AbortSignal;
}

/** A new token of the host's account. Whoever asks must be that account, or an administrator. */
export async function requestToken(api: Pick<Api, 'create'>, wish: TokenWish): Promise<Token> {
  const { host, lifetimeSeconds = LIFETIME_SECONDS, signal } = wish;
  const { metadata, spec, status } = await api.create<TokenRequest>(
    SERVICE_ACCOUNTS,
    {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      metadata: { name: AGENT_ACCOUNT, namespace: hostNamespace(host) },
      spec: { expirationSeconds: lifetimeSeconds },
    },
    { subresource: 'token', ...(signal === undefined ? {} : { signal }) },
  );
  if (status === undefined || status.token === '') {
    throw new Error('the API server answered a TokenRequest without a token');
  }
  const expires = new Date(status.expirationTimestamp);
  const issued = new Date(metadata.creationTimestamp ?? expires.getTime() - spec.expirationSeconds * 1000);
  return { text: status.token, issued, expires };
}
