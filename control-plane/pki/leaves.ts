// The certificates that end every year, each in one file with its key, so that the two are never of different days.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import path from 'node:path';
import { ConfigError } from '../../runtime/errors.ts';
import { kubeconfigText } from '../../runtime/kubeconfig.ts';
import { type ControlPlaneConfig, localServer, publicServer, servedNames } from '../config.ts';
import type { FileRights } from '../files.ts';
import type { Surroundings } from '../surroundings.ts';
import { type Authority, secretRights, sharedRights } from './authority.ts';
import { makeKey, makeLeafCertificate } from './certificate.ts';
import {
  ADMIN,
  API_SERVER,
  CONTROLLER,
  CONTROLLER_MANAGER,
  type Leaf,
  type LeafSeen,
  leafValidity,
  leavesFor,
  whyDue,
  wrongTime,
} from './plan.ts';

type Home = Pick<
  Surroundings,
  'places' | 'disk' | 'clock' | 'builtAt' | 'rootOwner' | 'serviceOwner' | 'tell'
>;

export const wantedLeaves = (config: ControlPlaneConfig): readonly Leaf[] => leavesFor(servedNames(config));

/** Makes what is missing, about to end or for other names, and answers the names of those. */
export async function ensureLeaves(
  home: Home,
  config: ControlPlaneConfig,
  authority: Authority,
): Promise<readonly string[]> {
  const made: string[] = [];
  for (const leaf of wantedLeaves(config)) {
    const file = leafFile(home, leaf.name);
    const text = await home.disk.read(file);
    const why = whyDue(leaf, seenIn(text, leaf, authority), home.clock.now());
    if (why === undefined) {
      await home.disk.setRights(file, leafRights(home, leaf));
    } else {
      await makeLeaf(home, leaf, authority);
      home.tell(`made the certificate of ${leaf.what}: ${why}`);
      made.push(leaf.name);
    }
  }
  await writeKubeconfigs(home, config, authority);
  return made;
}

export const leafFile = ({ places }: Pick<Home, 'places'>, name: string): string =>
  path.join(places.pki, `${name}.pem`);

/** What stands in the file of a leaf; undefined where that is nothing which can be used. */
export function seenIn(
  text: string | undefined,
  { names }: Leaf,
  authority: Authority,
): LeafSeen | undefined {
  if (text === undefined) {
    return undefined;
  }
  try {
    const certificate = new X509Certificate(text);
    const ca = new X509Certificate(authority.certificate);
    return {
      commonName: /^CN=(.*)$/m.exec(certificate.subject)?.[1] ?? '',
      lacks: names.filter((name) => !isFor(certificate, name)),
      notBefore: certificate.validFromDate,
      notAfter: certificate.validToDate,
      isOurs: certificate.verify(ca.publicKey) && certificate.checkPrivateKey(createPrivateKey(text)),
    };
  } catch {
    return undefined;
  }
}

const isFor = (certificate: X509Certificate, name: string): boolean =>
  (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined;

async function makeLeaf(home: Home, leaf: Leaf, authority: Authority): Promise<void> {
  const now = home.clock.now();
  const wrong = wrongTime(now, { builtAt: home.builtAt, ca: authority.validity });
  if (wrong !== undefined) {
    throw new ConfigError(wrong);
  }
  const key = makeKey();
  const certificate = makeLeafCertificate(
    { ...leaf, ...leafValidity(authority.validity, now), key },
    authority,
  );
  await home.disk.write(leafFile(home, leaf.name), certificate + key, leafRights(home, leaf));
}

/** Two of the services read their own, and read them again when they are renewed. */
const leafRights = (home: Home, { name }: Leaf): FileRights =>
  name === API_SERVER || name === CONTROLLER_MANAGER ? sharedRights(home) : secretRights(home);

/** The administrator's may be carried elsewhere; those of the services are for this machine. */
async function writeKubeconfigs(home: Home, config: ControlPlaneConfig, authority: Authority): Promise<void> {
  const { places, disk } = home;
  const embedded = async (name: string) => pairIn((await disk.read(leafFile(home, name))) ?? '');
  const here = { server: localServer(config), ca: authority.certificate, namespace: 'default' };
  const managersFile = leafFile(home, CONTROLLER_MANAGER);
  const wanted = [
    {
      file: places.adminKubeconfig,
      rights: secretRights(home),
      content: { ...here, server: publicServer(config), user: await embedded(ADMIN) },
    },
    {
      file: places.controllerKubeconfig,
      rights: sharedRights(home),
      content: { ...here, user: await embedded(CONTROLLER) },
    },
    {
      file: places.controllerManagerKubeconfig,
      rights: sharedRights(home),
      content: { ...here, user: { certificateFile: managersFile, keyFile: managersFile } },
    },
  ];
  for (const { file, rights, content } of wanted) {
    await writeIfOther(home, { file, rights }, kubeconfigText(content));
  }
}

const pairIn = (text: string) => {
  const [certificate = '', key = ''] = text.split(/(?=-----BEGIN EC PRIVATE KEY)/);
  return { certificate, key };
};

interface Target {
  readonly file: string;
  readonly rights: FileRights;
}

/** With these rights, in any case. */
export async function writeIfOther(
  { disk }: Pick<Home, 'disk'>,
  { file, rights }: Target,
  text: string,
): Promise<void> {
  if ((await disk.read(file)) === text) {
    await disk.setRights(file, rights);
  } else {
    await disk.write(file, text, rights);
  }
}
