// X.509 certificates (RFC 5280) over P-256 keys: what openssl would make, without another program, and with the dates that are wanted.
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';
import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import * as der from './der.ts';

export interface Subject {
  readonly commonName: string;
  /** How Kubernetes calls the groups of a user. */
  readonly organizations?: readonly string[];
}

export interface Issuer {
  readonly certificate: string;
  readonly key: string;
}

export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface LeafRequest extends Validity {
  readonly subject: Subject;
  readonly usage: 'server' | 'client';
  /** Host names and IP addresses. */
  readonly names: readonly string[];
  /** PEM. */
  readonly key: string;
}

const OIDS = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  server: '1.3.6.1.5.5.7.3.1',
  client: '1.3.6.1.5.5.7.3.2',
} as const;
const KEY_USAGE = { digitalSignature: 0, keyCertSign: 5, crlSign: 6 } as const;

/** A new private key, PEM, as the API server reads it for tokens too. */
export const makeKey = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    type: 'sec1',
    format: 'pem',
  }) as string;

/** PEM, signed by itself. */
export function makeCaCertificate(key: string, commonName: string, validity: Validity): string {
  const name = nameOf({ commonName });
  const id = keyId(createPublicKey(key));
  const extensions = [
    extension(OIDS.basicConstraints, der.sequence(der.yes), true),
    extension(OIDS.keyUsage, der.flags(KEY_USAGE.keyCertSign, KEY_USAGE.crlSign), true),
    extension(OIDS.subjectKeyIdentifier, der.octets(id)),
  ];
  return signed({ subject: name, issuer: name, publicKey: createPublicKey(key), validity, extensions }, key);
}

/** PEM. */
export function makeLeafCertificate(request: LeafRequest, issuer: Issuer): string {
  const { subject, usage, names, key } = request;
  const publicKey = createPublicKey(key);
  const issuerId = keyId(createPublicKey(issuer.key));
  const extensions = [
    extension(OIDS.basicConstraints, der.sequence(), true),
    extension(OIDS.keyUsage, der.flags(KEY_USAGE.digitalSignature), true),
    extension(OIDS.extendedKeyUsage, der.sequence(der.oid(OIDS[usage]))),
    extension(OIDS.subjectKeyIdentifier, der.octets(keyId(publicKey))),
    extension(OIDS.authorityKeyIdentifier, der.sequence(der.tagged(0x80, issuerId))),
    ...(names.length === 0
      ? []
      : [extension(OIDS.subjectAltName, der.sequence(...names.map(alternativeName)))]),
  ];
  const parts = {
    subject: nameOf(subject),
    issuer: nameOf({ commonName: commonNameOf(issuer.certificate) }),
    publicKey,
    validity: request,
    extensions,
  };
  return signed(parts, issuer.key);
}

interface Parts {
  readonly subject: der.Der;
  readonly issuer: der.Der;
  readonly publicKey: KeyObject;
  readonly validity: Validity;
  readonly extensions: readonly der.Der[];
}

function signed({ subject, issuer, publicKey, validity, extensions }: Parts, key: string): string {
  const algorithm = der.sequence(der.oid(OIDS.ecdsaWithSha256));
  const serial = randomBytes(16);
  serial.writeUInt8((serial.readUInt8(0) & 0x7f) | 0x40, 0);
  const content = der.sequence(
    der.context(0, der.integer(Buffer.from([2]))),
    der.integer(serial),
    algorithm,
    issuer,
    der.sequence(der.time(validity.notBefore), der.time(validity.notAfter)),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    der.context(3, der.sequence(...extensions)),
  );
  const signature = sign('sha256', content, createPrivateKey(key));
  return pem(der.sequence(content, algorithm, der.bits(signature)));
}

const pem = (bytes: Buffer): string => {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
};

const extension = (id: string, value: der.Der, isCritical = false): der.Der =>
  der.sequence(der.oid(id), ...(isCritical ? [der.yes] : []), der.octets(value));

const nameOf = ({ commonName, organizations = [] }: Subject): der.Der => {
  const attribute = (id: string, value: string) => der.set(der.sequence(der.oid(id), der.utf8(value)));
  return der.sequence(
    ...organizations.map((one) => attribute(OIDS.organization, one)),
    attribute(OIDS.commonName, commonName),
  );
};

const commonNameOf = (certificate: string): string =>
  /^CN=(.*)$/m.exec(new X509Certificate(certificate).subject)?.[1] ?? '';

/** RFC 5280 4.2.1.2 (1) takes the SHA-1 of the key's bits; any other short digest names the key as well. */
const keyId = (key: KeyObject): Buffer =>
  createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest()
    .subarray(0, 20);

const alternativeName = (name: string): der.Der =>
  isIPv4(name) || isIPv6(name)
    ? der.tagged(0x87, addressBytes(name))
    : der.tagged(0x82, Buffer.from(name, 'latin1'));

function addressBytes(address: string): Buffer {
  if (isIPv4(address)) {
    return Buffer.from(address.split('.').map(Number));
  }
  const [head = '', tail] = plainIPv6(address).split('::');
  const words = (text: string) => text.split(':').filter((word) => word !== '');
  const [left, right] = [words(head), words(tail ?? '')];
  const zeroes = Array.from({ length: 8 - left.length - right.length }, () => '0');
  return Buffer.from([...left, ...zeroes, ...right].map((word) => word.padStart(4, '0')).join(''), 'hex');
}

/** In one way of writing, which ends with no IPv4 address. */
export function plainIPv6(address: string): string {
  const { address: plain } = new SocketAddress({ address, family: 'ipv6' });
  const [, head, ...four] = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(plain) ?? [];
  const bytes = Buffer.from(four.map(Number));
  return head === undefined
    ? plain
    : `${head}${bytes.readUInt16BE(0).toString(16)}:${bytes.readUInt16BE(2).toString(16)}`;
}

/** The names in a certificate, written as they would be in a configuration. */
export const namesIn = (certificate: X509Certificate): readonly string[] =>
  (certificate.subjectAltName ?? '')
    .split(', ')
    .flatMap((entry) => /^(?:DNS|IP Address):(.+)$/.exec(entry)?.[1] ?? [])
    .map((name) => (isIPv6(name) ? plainIPv6(name) : name))
    .sort();
