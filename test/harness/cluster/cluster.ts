// A whole cluster of one node for the charts, in a box: API server, controllers and kubelet, images in its containerd, a target daemon and a libvirt on the node
// itself, and Helm. What stands in `values` is what an administrator would write for such a node.
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { buildNode } from '../../../scripts/control-plane/build.ts';
import { buildImage, type Image, imageOf } from '../../../scripts/image/image.ts';
import { ensureGuestImage } from '../guest-image.ts';
import { type Helm, helmFor, resolveHelm } from '../helm.ts';
import type { Log } from '../process.ts';
import { type FoundRelease, unpackRelease } from '../release.ts';
import { Story } from '../story.ts';
import { ROOT, System } from '../system.ts';
import { API_ADDRESS, NODE_ADDRESS, SERVICE_RANGE } from './addresses.ts';
import { PAUSE_TAG, pauseImage, releasedController } from './images.ts';
import { type Node, REGISTRY, startNode } from './node.ts';
import { admissionConfiguration } from './settings.ts';

export const NODE = 'node-1';
/** The tag of the images of these sources. */
export const CURRENT = 'current';

export interface Cluster {
  readonly story: Story;
  readonly node: Node;
  readonly helm: Helm;
  /** The file with the values for the chart vbs. */
  readonly values: string;
  /** The tag of the images to upgrade from: the version of the release, or another name of the same ones where there is none. */
  readonly previous: string;
}

export const chart = (name: string): string => path.join(ROOT, 'charts', name);

/** What may need the network of this machine: programs that are made once, and the images, of these sources and of the controller of a release. */
export async function prepareCluster(dir: string, log: Log, release: FoundRelease): Promise<void> {
  await buildNode(log);
  await resolveHelm(log);
  await ensureGuestImage(log);
  const build = async (name: string, image: Image): Promise<void> => {
    const archive = path.join(dir, 'images', `${name}_${image.tag}.oci.tar`);
    const startedAt = Date.now();
    await buildImage(image, archive, log);
    log(`image ${name}:${image.tag} built in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
  };
  const released =
    release.kind === 'found'
      ? [releasedController(await unpackRelease(release, dir, log), release.version)]
      : [];
  await Promise.all([
    build('pause', pauseImage(PAUSE_TAG)),
    build('vbs-controller', imageOf('vbs-controller', CURRENT)),
    build('vbs-node-agent', imageOf('vbs-node-agent', CURRENT)),
    ...released.map((image) => build('vbs-controller', image)),
  ]);
}

/** In the box, in a work directory that is prepared. Everything ends with the box. */
export async function openCluster(dir: string, log: Log, release: FoundRelease): Promise<Cluster> {
  await writeFile(admissionFile(dir), stringify(admissionConfiguration));
  const system = new System({ dir, log, servers: [NODE], ...apiServer(dir) });
  await system.startParts();
  const { controlPlane } = system;
  const node = await startNode({ dir, log, name: NODE, controlPlane });
  await loadImages(node, path.join(dir, 'images'));
  const previous = release.kind === 'found' ? release.version : 'previous';
  // No earlier agent ran in a pod.
  for (const name of ['vbs-node-agent', ...(release.kind === 'found' ? [] : ['vbs-controller'])]) {
    await node.tagImage(name, CURRENT, previous);
  }
  await node.waitReady();
  const values = path.join(dir, 'values.yaml');
  await writeFile(values, stringify(valuesFor(system)));
  await mkdir(system.poolDir, { mode: 0o700 });
  const workdir = { dir, keep: () => {}, remove: async () => {} };
  return {
    story: new Story(system, workdir, log),
    node,
    helm: await helmFor(controlPlane, { dir, log }),
    values,
    previous,
  };
}

const admissionFile = (dir: string): string => path.join(dir, 'admission.yaml');

/** Pods reach it, and it reaches kubelet. */
const apiServer = (dir: string) => ({
  apiServer: { port: 443, alternativeNames: [`IP:${API_ADDRESS}`] },
  apiServerArgs: [
    '--bind-address=0.0.0.0',
    `--advertise-address=${NODE_ADDRESS}`,
    `--service-cluster-ip-range=${SERVICE_RANGE}`,
    '--enable-admission-plugins=NodeRestriction',
    `--admission-control-config-file=${admissionFile(dir)}`,
    `--kubelet-client-certificate=${path.join(dir, 'control-plane/pki/admin.crt')}`,
    `--kubelet-client-key=${path.join(dir, 'control-plane/pki/admin.key')}`,
    '--kubelet-preferred-address-types=InternalIP',
  ],
});

/** Archives are called like their images, with their tags. */
async function loadImages(node: Node, dir: string): Promise<void> {
  for (const file of await readdir(dir)) {
    const [name = ''] = file.split('_');
    await node.loadImage(name, path.join(dir, file));
  }
}

const valuesFor = ({ poolDir, dir, tgtd, libvirtd }: System): object => ({
  imageRepository: REGISTRY,
  image: { tag: CURRENT, pullPolicy: 'Never' },
  hosts: [{ name: NODE, roles: ['volumeServer', 'hypervisor'], node: true }],
  volumeClasses: { standard: { default: true, poolSelector: { profile: 'file' } } },
  nodeAgent: {
    enabled: true,
    stateDir: path.join(dir, 'state'),
    volumeServer: {
      pools: [{ name: 'main', profile: 'file', params: { dir: poolDir } }],
      target: { profile: 'tgt', params: { controlPort: tgtd.controlPort }, portals: [tgtd.portal] },
    },
    hypervisor: {
      initiator: { profile: 'qemu' },
      vmm: { profile: 'libvirt-virsh', params: { uri: libvirtd.uri } },
    },
  },
});
