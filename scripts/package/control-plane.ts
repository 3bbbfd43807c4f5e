// The Debian package of a control plane on one machine: etcd and Kubernetes' API server beside our controller.

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { buildStandalone, STANDALONE_PROGRAMS } from '../control-plane/build.ts';
import type { BundledPackage } from './bundle.ts';
import {
  changelog,
  copyright,
  folder,
  from,
  maintainerScripts,
  program,
  type Recipe,
  type TreeEntry,
  text,
} from './tree.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
/** Also for tests, which run what stands in the units. */
export const CONTROL_PLANE_SOURCES = path.join(import.meta.dirname, 'debian/control-plane');
const NAME = 'vbs-control-plane';
const DOC = `usr/share/doc/${NAME}`;
const LIB = 'usr/lib/vbs';
/** etcd, Kubernetes and their tools; links are the names by which it is called. */
const ONE_FILE = 'control-plane';
const SHARE = 'usr/share/vbs';

const units = async (): Promise<readonly TreeEntry[]> =>
  (await folder(CONTROL_PLANE_SOURCES, 'usr/lib/systemd/system')).filter(({ path }) =>
    /\.(service|timer|target)$/.test(path),
  );

/** What the API server is given, and what a person may give it. */
export const manifests = async (place: string): Promise<readonly TreeEntry[]> => [
  ...(await folder(path.join(ROOT, 'crds'), `${place}/crds`)),
  ...(await folder(path.join(ROOT, 'deploy'), `${place}/deploy`)),
  ...(await folder(path.join(ROOT, 'deploy/admission'), `${place}/deploy/admission`)),
  ...(await folder(path.join(ROOT, 'examples'), `${place}/examples`)),
];

const tree = async (
  bundled: readonly BundledPackage[],
  log: (line: string) => unknown,
): Promise<readonly TreeEntry[]> => {
  const { file, licensesFile } = await buildStandalone(log);
  const terms = [await copyright(NAME, bundled), await readFile(licensesFile, 'utf8')];
  return [
    program(`${LIB}/${ONE_FILE}`, await readFile(file)),
    ...STANDALONE_PROGRAMS.map((name) => ({ path: `${LIB}/${name}`, target: ONE_FILE })),
    { path: `${LIB}/vbs-controller`, target: `../../bin/${NAME}` },
    ...(await units()),
    await from(
      path.join(CONTROL_PLANE_SOURCES, 'vbs-control-plane.conf'),
      'usr/lib/sysusers.d/vbs-control-plane.conf',
    ),
    ...(await manifests(SHARE)),
    await from(path.join(CONTROL_PLANE_SOURCES, 'README.md'), `${DOC}/README.md`),
    await changelog(NAME),
    text(`${DOC}/copyright`, terms.join('\n')),
    ...(await maintainerScripts(CONTROL_PLANE_SOURCES)),
  ];
};

export const CONTROL_PLANE: Recipe = {
  name: NAME,
  executable: { program: NAME, path: `usr/bin/${NAME}` },
  tree,
  control: `Depends: libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 8), systemd (>= 248)
Section: admin
Priority: optional
Description: Virtual Block Store - control plane without a Kubernetes cluster
 etcd, the Kubernetes API server and the controller of the Virtual Block Store as
 services of one machine, with their certificates, daily backups and one program
 to make, look at, back up and restore all of it. For shops with Xen, libvirt or
 Proxmox hosts which have no Kubernetes. Data never passes through it.
`,
};
