// The Debian package of the node agent, as a host installs it.

import path from 'node:path';
import type { BundledPackage } from './bundle.ts';
import {
  changelog,
  copyright,
  folder,
  from,
  maintainerScripts,
  type Recipe,
  type TreeEntry,
  text,
} from './tree.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const DEBIAN = path.join(import.meta.dirname, 'debian/node-agent');
export const PROFILES = path.join(ROOT, 'node-agent/profiles/shipped');
const NAME = 'vbs-node-agent';
const DOC = `usr/share/doc/${NAME}`;

const tree = async (bundled: readonly BundledPackage[]): Promise<readonly TreeEntry[]> => {
  const installed = [
    await from(path.join(DEBIAN, 'vbs-node-agent.service'), 'usr/lib/systemd/system/vbs-node-agent.service'),
    await from(path.join(DEBIAN, 'agent.yaml'), 'etc/vbs/agent.yaml'),
    ...(await folder(PROFILES, 'etc/vbs/profiles')),
    await from(path.join(DEBIAN, 'README.md'), `${DOC}/README.md`),
    await changelog(NAME),
    text(`${DOC}/copyright`, await copyright(NAME, bundled)),
  ];
  const conffiles = installed.filter(({ path }) => path.startsWith('etc/')).map(({ path }) => `/${path}\n`);
  return [...installed, text('DEBIAN/conffiles', conffiles.join('')), ...(await maintainerScripts(DEBIAN))];
};

export const NODE_AGENT: Recipe = {
  name: NAME,
  executable: { program: NAME, path: `usr/bin/${NAME}` },
  tree,
  // The tools depend on what the host is: a hypervisor needs no target, and nothing may come with the agent that changes the data
  // path. The version of Node needs glibc 2.28 and libstdc++ of GCC 8.
  control: `Depends: libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 8), init-system-helpers (>= 1.52)
Suggests: lvm2, thin-provisioning-tools, tgt, open-iscsi, libiscsi-bin, libvirt-clients, qemu-utils, xen-utils
Section: admin
Priority: optional
Description: Virtual Block Store - agent on volume servers and hypervisors
 Makes volumes on this host and exports them over iSCSI, or plugs exported volumes
 into its virtual machines, as objects in a Kubernetes API want it. The host need
 not be a node of the cluster. Data goes through the kernel, the target and the
 hypervisor only, never through the agent.
`,
};
