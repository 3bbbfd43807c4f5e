// The keys which nothing can replace, and the CA: made once, kept for ever, never written over.
import { createPrivateKey, createPublicKey, randomBytes, X509Certificate } from 'node:crypto';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import { ConfigError } from '../../runtime/errors.ts';
import type { FileRights } from '../files.ts';
import { KEEPSAKES } from '../places.ts';
import type { Surroundings } from '../surroundings.ts';
import { type Issuer, makeCaCertificate, makeKey, type Validity } from './certificate.ts';
import { caValidity, wrongTime } from './plan.ts';

export interface Authority extends Issuer {
  readonly validity: Validity;
}

type Home = Pick<
  Surroundings,
  'places' | 'disk' | 'clock' | 'builtAt' | 'rootOwner' | 'serviceOwner' | 'tell'
>;

/** For root, and for the services, which may read and not write. */
export const sharedRights = ({
  rootOwner,
  serviceOwner,
}: Pick<Home, 'rootOwner' | 'serviceOwner'>): FileRights => ({
  mode: 0o640,
  owner: { uid: rootOwner.uid, gid: serviceOwner.gid },
});
export const secretRights = ({ rootOwner }: Pick<Home, 'rootOwner'>): FileRights => ({
  mode: 0o600,
  owner: rootOwner,
});
const publicRights = ({ rootOwner }: Pick<Home, 'rootOwner'>): FileRights => ({
  mode: 0o644,
  owner: rootOwner,
});
export const directoryRights = (home: Pick<Home, 'rootOwner' | 'serviceOwner'>): FileRights => ({
  ...sharedRights(home),
  mode: 0o750,
});

/** Makes what is missing. Throws ConfigError where that would make what is in the store unreadable, or a key is damaged. */
export async function ensureAuthority(home: Home): Promise<Authority> {
  const { places, disk } = home;
  await refuseStoreWithoutKeys(home);
  await disk.makeDirectory(places.pki, directoryRights(home));
  const key = await ensureKey(home, KEEPSAKES.caKey, secretRights(home));
  const authority = await ensureCertificate(home, key);
  await ensureKey(home, KEEPSAKES.serviceAccountKey, sharedRights(home));
  await ensureEncryption(home);
  return authority;
}

/** The CA that is here. Throws ConfigError where there is none. */
export async function readAuthority({ places, disk }: Pick<Home, 'places' | 'disk'>): Promise<Authority> {
  const key = await disk.read(path.join(places.pki, KEEPSAKES.caKey));
  const certificate = await disk.read(path.join(places.pki, KEEPSAKES.caCertificate));
  if (key === undefined || certificate === undefined) {
    throw new ConfigError(
      `there is no CA in ${places.pki}; make the control plane first: vbs-control-plane init`,
    );
  }
  return { key, certificate, validity: validityOf(new X509Certificate(certificate)) };
}

/** The same key and name under a new certificate: what the old one signed is good under both. */
export async function renewAuthority(home: Home): Promise<Authority> {
  const { key } = await readAuthority(home);
  return await makeCertificate(home, key);
}

async function refuseStoreWithoutKeys({ places, disk }: Home): Promise<void> {
  const stored = (await disk.list(places.store)) ?? [];
  if (stored.length === 0) {
    return;
  }
  for (const name of [KEEPSAKES.caKey, KEEPSAKES.serviceAccountKey, KEEPSAKES.encryption]) {
    const file = path.join(places.pki, name);
    if ((await disk.read(file)) === undefined) {
      throw new ConfigError(
        `${file} is missing, and there is a store in ${places.store} that was made with it: a new one would lock out every host or lose every Secret. Take it from a backup: tar -xzf BACKUP -C ${path.dirname(places.pki)} pki/${name}. To begin anew instead, move ${places.store} away`,
      );
    }
  }
}

async function ensureKey(home: Home, name: string, rights: FileRights): Promise<string> {
  const file = path.join(home.places.pki, name);
  const found = await home.disk.read(file);
  if (found === undefined) {
    const key = makeKey();
    await home.disk.write(file, key, rights);
    return key;
  }
  try {
    createPrivateKey(found);
  } catch (error) {
    throw new ConfigError(damaged(file), { cause: error });
  }
  // It may be from a backup, where everything is for root only.
  await home.disk.setRights(file, rights);
  return found;
}

const damaged = (file: string): string =>
  `${file} is damaged, and is not replaced: take it from a backup (tar -xzf BACKUP -C ${path.dirname(path.dirname(file))} pki/${path.basename(file)}), or move it away if nothing was ever made with it`;

async function ensureCertificate(home: Home, key: string): Promise<Authority> {
  const file = path.join(home.places.pki, KEEPSAKES.caCertificate);
  const found = await home.disk.read(file);
  if (found === undefined) {
    return await makeCertificate(home, key);
  }
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(found);
  } catch (error) {
    throw new ConfigError(damaged(file), { cause: error });
  }
  if (!certificate.verify(createPublicKey(key))) {
    throw new ConfigError(
      `${file} is not of the key beside it, ${KEEPSAKES.caKey}: one of them is of another control plane; take both from a backup`,
    );
  }
  await home.disk.setRights(file, publicRights(home));
  return { key, certificate: found, validity: validityOf(certificate) };
}

async function makeCertificate(home: Home, key: string): Promise<Authority> {
  const now = home.clock.now();
  const wrong = wrongTime(now, home);
  if (wrong !== undefined) {
    throw new ConfigError(wrong);
  }
  const validity = caValidity(now, home.builtAt);
  const certificate = makeCaCertificate(key, 'vbs-ca', validity);
  await home.disk.write(path.join(home.places.pki, KEEPSAKES.caCertificate), certificate, publicRights(home));
  home.tell(`made the CA, which lasts until ${validity.notAfter.toISOString().slice(0, 10)}`);
  return { key, certificate, validity };
}

export const validityOf = (certificate: X509Certificate): Validity => ({
  notBefore: certificate.validFromDate,
  notAfter: certificate.validToDate,
});

/** By which the API server encrypts Secrets in its store, and with them the CHAP keys. */
async function ensureEncryption(home: Home): Promise<void> {
  const file = path.join(home.places.pki, KEEPSAKES.encryption);
  const found = await home.disk.read(file);
  if (found === undefined) {
    await home.disk.write(file, encryptionText(randomBytes(32)), sharedRights(home));
    return;
  }
  if (!isEncryption(found)) {
    throw new ConfigError(damaged(file));
  }
  await home.disk.setRights(file, sharedRights(home));
}

const encryptionText = (key: Buffer): string =>
  stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [
      {
        resources: ['secrets'],
        providers: [
          { secretbox: { keys: [{ name: 'vbs', secret: key.toString('base64') }] } },
          { identity: {} },
        ],
      },
    ],
  });

/** What an administrator has changed in it, such as a second key, is the administrator's. */
function isEncryption(text: string): boolean {
  try {
    return (parse(text) as { kind?: unknown } | null)?.kind === 'EncryptionConfiguration';
  } catch {
    return false;
  }
}
