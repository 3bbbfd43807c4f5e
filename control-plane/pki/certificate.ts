// X.509 certificates over P-256 keys. The shapes are the library's; keys and signatures are Node's.
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
import { isIP } from 'node:net';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import * as asn from '@peculiar/asn1-x509';

export interface Subject {
  readonly commonName: string;
  /** How Kubernetes calls the groups of a user. */
  readonly organizations?: readonly string[];
}

/** PEM. */
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

const COMMON_NAME = '2.5.4.3';
const ORGANIZATION = '2.5.4.10';
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
const USAGES = { server: asn.id_kp_serverAuth, client: asn.id_kp_clientAuth } as const;

/** A new private key, PEM, as the API server reads it for tokens too. */
export const makeKey = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    type: 'sec1',
    format: 'pem',
  }) as string;

/** PEM, signed by itself. */
export function makeCaCertificate(key: string, commonName: string, validity: Validity): string {
  const subject = nameOf({ commonName });
  const publicKey = createPublicKey(key);
  const { keyCertSign, cRLSign } = asn.KeyUsageFlags;
  const extensions = [
    extension(asn.id_ce_basicConstraints, new asn.BasicConstraints({ cA: true }), true),
    extension(asn.id_ce_keyUsage, new asn.KeyUsage(keyCertSign | cRLSign), true),
    extension(asn.id_ce_subjectKeyIdentifier, new asn.SubjectKeyIdentifier(keyId(publicKey))),
  ];
  return signed({ subject, issuer: subject, publicKey, validity, extensions }, key);
}

/** PEM. */
export function makeLeafCertificate(request: LeafRequest, issuer: Issuer): string {
  const { subject, usage, names, key, ...validity } = request;
  const publicKey = createPublicKey(key);
  const keyIdentifier = new asn.KeyIdentifier(keyId(createPublicKey(issuer.key)));
  const alternatives = new asn.SubjectAlternativeName(names.map(alternativeName));
  const extensions = [
    extension(asn.id_ce_basicConstraints, new asn.BasicConstraints(), true),
    extension(asn.id_ce_keyUsage, new asn.KeyUsage(asn.KeyUsageFlags.digitalSignature), true),
    extension(asn.id_ce_extKeyUsage, new asn.ExtendedKeyUsage([USAGES[usage]])),
    extension(asn.id_ce_subjectKeyIdentifier, new asn.SubjectKeyIdentifier(keyId(publicKey))),
    extension(asn.id_ce_authorityKeyIdentifier, new asn.AuthorityKeyIdentifier({ keyIdentifier })),
    ...(names.length === 0 ? [] : [extension(asn.id_ce_subjectAltName, alternatives)]),
  ];
  const parts = { subject: nameOf(subject), issuer: subjectIn(issuer.certificate), publicKey };
  return signed({ ...parts, validity, extensions }, issuer.key);
}

interface Parts {
  readonly subject: asn.Name;
  readonly issuer: asn.Name;
  readonly publicKey: KeyObject;
  readonly validity: Validity;
  readonly extensions: asn.Extension[];
}

function signed({ publicKey, validity, extensions, ...names }: Parts, key: string): string {
  const signatureAlgorithm = new asn.AlgorithmIdentifier({ algorithm: ECDSA_WITH_SHA256 });
  const tbsCertificate = new asn.TBSCertificate({
    ...names,
    version: asn.Version.v3,
    serialNumber: bytes(serialNumber()),
    signature: signatureAlgorithm,
    validity: new asn.Validity(validity),
    subjectPublicKeyInfo: AsnConvert.parse(spki(publicKey), asn.SubjectPublicKeyInfo),
    extensions: new asn.Extensions(extensions),
  });
  const content = Buffer.from(AsnConvert.serialize(tbsCertificate));
  const signatureValue = bytes(sign('sha256', content, createPrivateKey(key)));
  const certificate = new asn.Certificate({ tbsCertificate, signatureAlgorithm, signatureValue });
  return new X509Certificate(Buffer.from(AsnConvert.serialize(certificate))).toString();
}

const extension = (extnID: string, value: object, critical = false): asn.Extension =>
  new asn.Extension({ extnID, critical, extnValue: new OctetString(AsnConvert.serialize(value)) });

const nameOf = ({ commonName, organizations = [] }: Subject): asn.Name => {
  const part = (type: string, utf8String: string) =>
    new asn.RelativeDistinguishedName([
      new asn.AttributeTypeAndValue({ type, value: new asn.AttributeValue({ utf8String }) }),
    ]);
  return new asn.Name([
    ...organizations.map((one) => part(ORGANIZATION, one)),
    part(COMMON_NAME, commonName),
  ]);
};

const subjectIn = (certificate: string): asn.Name =>
  AsnConvert.parse(new X509Certificate(certificate).raw, asn.Certificate).tbsCertificate.subject;

const alternativeName = (name: string): asn.GeneralName =>
  new asn.GeneralName(isIP(name) === 0 ? { dNSName: name } : { iPAddress: name });

/** Positive, and as long as any other. */
const serialNumber = (): Buffer => {
  const serial = randomBytes(16);
  serial.writeUInt8((serial.readUInt8(0) & 0x7f) | 0x40, 0);
  return serial;
};

const spki = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' });

/** RFC 5280 4.2.1.2 takes the SHA-1 of the key's bits, or any other short digest that names the key. */
const keyId = (key: KeyObject): Uint8Array => createHash('sha256').update(spki(key)).digest().subarray(0, 20);

const bytes = (buffer: Buffer): ArrayBuffer => new Uint8Array(buffer).buffer;
