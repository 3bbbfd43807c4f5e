// Why a host cannot be enrolled, said to the person who can cure it.
import { ApiError, ConfigError } from '../../runtime/errors.ts';
import { claimsOf } from './token.ts';

export interface Attempt {
  readonly server: string;
  readonly ca: { readonly file: string } | { readonly pem: string };
  readonly token: string;
  readonly host: string;
  readonly now: Date;
}

const FOREIGN_CA = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_SIGNATURE_FAILURE',
]);
const OUT_OF_DATE = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);

const newJoin = 'make a new join text: vbs-control-plane enroll';

/** Errors that no person at this host can cure come back as they are. */
export function explained(error: unknown, attempt: Attempt): unknown {
  const message = error instanceof ApiError ? complaintOf(error, attempt) : undefined;
  return message === undefined ? error : new ConfigError(message, { cause: error });
}

function complaintOf(error: ApiError, attempt: Attempt): string | undefined {
  switch (error.status) {
    case 0:
      return unanswered(error, attempt);
    case 401:
      return refusedToken(attempt);
    case 403:
      return `this host may not request tokens of its own account; as an administrator of the cluster, apply deploy/host.yaml of this version again: sed s/HOST/${attempt.host}/g deploy/host.yaml | kubectl apply -f - (${error.message})`;
    default:
      return `${attempt.server} refused: ${error.message}`;
  }
}

function unanswered(error: ApiError, { server, ca, now }: Attempt): string {
  const { code, message } = innermost(error);
  if (FOREIGN_CA.has(code)) {
    if ('pem' in ca) {
      return `the certificate of ${server} is not signed by the CA in the join text: another control plane is at that address, or it was made anew; ${newJoin}`;
    }
    return `the certificate of ${server} is not signed by what is in ${ca.file}; give the CA of this cluster with --ca-file: kubectl config view --raw --minify --flatten -o 'jsonpath={.clusters[0].cluster.certificate-authority-data}' | base64 -d`;
  }
  if (OUT_OF_DATE.has(code)) {
    return `the certificate of ${server} is not valid at ${now.toISOString()}, which is the time on this host; if that is wrong, set the clock (timedatectl), else renew the certificate`;
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `the certificate of ${server} is for other names; give one of them with --server: ${message}`;
  }
  if (code === 'EPROTO' || code.startsWith('ERR_SSL')) {
    return `${server} does not speak TLS as an API server does; check --server (${message})`;
  }
  return `${server} cannot be reached from this host; check --server, and routes and firewalls on the way (${code === '' ? error.message : code})`;
}

function refusedToken({ server, ca, token, host, now }: Attempt): string {
  const { subject, expires } = claimsOf(token);
  const remedy =
    'pem' in ca
      ? newJoin
      : `make a new one: kubectl create token vbs-agent -n vbs-host-${host} --duration=1h`;
  if (subject === undefined) {
    return `${server} does not accept the token, which is none of a ServiceAccount; ${remedy}`;
  }
  if (expires !== undefined && expires <= now) {
    return `the token expired at ${expires.toISOString()}, and it is ${now.toISOString()} on this host; ${remedy}`;
  }
  return `${server} does not accept the token of ${subject}: it is of another cluster, its account was deleted, or it expired and the clock of this host (${now.toISOString()}) is behind; ${remedy}`;
}

/** The failure of the connection is the cause of the cause. */
function innermost(error: Error): { readonly code: string; readonly message: string } {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') {
      return { code: at.code, message: at.message };
    }
  }
  return { code: '', message: error.message };
}
