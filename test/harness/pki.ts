// The certificates of a throw-away control plane: keys by Node, certificates by openssl.

import { generateKeyPairSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { runCommand } from './process.ts';

/** Absolute paths of PEM files. */
export interface KeyPair {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface Pki {
  readonly ca: KeyPair;
  /** Serving certificate for 127.0.0.1, localhost and the extra names. */
  readonly server: KeyPair;
  /** Client certificate of `system:masters`. */
  readonly admin: KeyPair;
  /** Signs service account tokens; the API server derives the public half. */
  readonly serviceAccountKeyFile: string;
}

const days = '30';

/** Makes everything anew in `dir`. `names` are openssl's, such as `IP:127.0.0.1` or `DNS:localhost`. */
export const makePki = async (dir: string, names: readonly string[]): Promise<Pki> => {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const ca = await makeCertificate({ dir, name: 'ca', subject: '/CN=vbs-test-ca' });
  const server = await makeCertificate({
    dir,
    name: 'server',
    subject: '/CN=kube-apiserver',
    issuer: ca,
    extensions: [`subjectAltName=${names.join(',')}`, 'extendedKeyUsage=serverAuth'],
  });
  const admin = await makeCertificate({
    dir,
    name: 'admin',
    subject: '/O=system:masters/CN=admin',
    issuer: ca,
    extensions: ['extendedKeyUsage=clientAuth'],
  });
  const serviceAccountKeyFile = path.join(dir, 'service-account.key');
  await writeKey(serviceAccountKeyFile);
  return { ca, server, admin, serviceAccountKeyFile };
};

interface CertificateRequest {
  readonly dir: string;
  readonly name: string;
  readonly subject: string;
  /** Absent: signed by itself. */
  readonly issuer?: KeyPair;
  readonly extensions?: readonly string[];
}

/** A key, and a certificate for it, in `dir`. */
export const makeCertificate = async (request: CertificateRequest): Promise<KeyPair> => {
  const { dir, name, subject, issuer, extensions = [] } = request;
  const pair = { certFile: path.join(dir, `${name}.crt`), keyFile: path.join(dir, `${name}.key`) };
  await writeKey(pair.keyFile);
  // An empty configuration file: the machine's own must not add extensions of its own.
  const base = ['req', '-x509', '-new', '-config', '/dev/null', '-subj', subject, '-days', days];
  const signer = issuer ? ['-CA', issuer.certFile, '-CAkey', issuer.keyFile] : [];
  const added = [`basicConstraints=critical,CA:${issuer ? 'FALSE' : 'TRUE'}`, ...extensions];
  const files = ['-key', pair.keyFile, '-out', pair.certFile];
  await runCommand('openssl', [...base, ...signer, ...files, ...added.flatMap((line) => ['-addext', line])]);
  return pair;
};

const writeKey = async (file: string): Promise<void> => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await writeFile(file, privateKey.export({ type: 'sec1', format: 'pem' }), { mode: 0o600 });
};
