// A whole cluster of one node for the charts: API server, controllers and kubelet, images in its containerd, a target daemon and a libvirt on the node
// itself, and Helm. What stands in `values` is what an administrator would write for such a node.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { buildImage, type Image, imageOf } from '../../../scripts/image/image.ts';
import { type Helm, helmFor } from '../helm.ts';
import type { Log } from '../process.ts';
import { type FoundRelease, unpackRelease } from '../release.ts';
import { Story } from '../story.ts';
import { ROOT, System } from '../system.ts';
import { makeWorkdir } from '../workdir.ts';
import { pauseImage, releasedController } from './images.ts';
import { makeNetwork, type PodNetwork } from './network.ts';
import { type Node, PAUSE_TAG, REGISTRY, startNode } from './node.ts';

export const NODE = 'node-1';
/** The tag of the images of these sources. */
export const CURRENT = 'current';

export interface Cluster {
  readonly story: Story;
  readonly node: Node;
  readonly helm: Helm;
  /** The file with the values for the chart vbs. */
  readonly values: string;
  readonly close: () => Promise<void>;
}

/** `release`: the version of which the node has the controller too. */
export async function openCluster(log: Log, release: FoundRelease): Promise<Cluster> {
  const workdir = await makeWorkdir(log);
  const { dir } = workdir;
  const stops: (() => Promise<void>)[] = [];
  try {
    const network = await makeNetwork(dir);
    const system = new System({ dir, log, servers: [NODE], ...apiServer(dir, network) });
    stops.unshift(() => system.stop());
    await system.startParts();
    const { controlPlane } = system;
    const pause = await archiveOf('pause', pauseImage(PAUSE_TAG), { dir, log });
    const node = await startNode({ dir, log, name: NODE, controlPlane, network, pause });
    stops.unshift(() => node.stop());
    await loadImages(node, release, { dir, log });
    const values = path.join(dir, 'values.yaml');
    await writeFile(values, stringify(valuesFor(system)));
    await mkdir(system.poolDir, { mode: 0o700 });
    const helm = await helmFor(controlPlane, { dir, log });
    const story = new Story(system, workdir, log);
    const close = async (): Promise<void> => {
      await node.stop();
      await story.close();
    };
    return { story, node, helm, values, close };
  } catch (error) {
    for (const stop of stops) {
      await stop();
    }
    workdir.keep();
    await workdir.remove();
    throw error;
  }
}

/** Pods reach it, and it reaches kubelet. */
const apiServer = (dir: string, { apiAddress, serviceRange }: PodNetwork) => ({
  alternativeNames: [`IP:${apiAddress}`],
  apiServerArgs: [
    `--service-cluster-ip-range=${serviceRange}`,
    '--enable-admission-plugins=NodeRestriction',
    `--kubelet-client-certificate=${path.join(dir, 'control-plane/pki/admin.crt')}`,
    `--kubelet-client-key=${path.join(dir, 'control-plane/pki/admin.key')}`,
    '--kubelet-preferred-address-types=InternalIP',
  ],
});

interface Surroundings {
  readonly dir: string;
  readonly log: Log;
}

async function archiveOf(name: string, image: Image, { dir, log }: Surroundings): Promise<string> {
  const archive = path.join(dir, `${name}-${image.tag}.oci.tar`);
  const startedAt = Date.now();
  await buildImage(image, archive, log);
  log(`image ${name}:${image.tag} built in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
  return archive;
}

/** Those of these sources; and under the version of the release its controller, and an agent of these sources, since no earlier one ran in a pod. */
async function loadImages(node: Node, release: FoundRelease, around: Surroundings): Promise<void> {
  const load = async (name: string, image: Image): Promise<void> =>
    await node.loadImage(name, await archiveOf(name, image, around));
  await load('vbs-controller', imageOf('vbs-controller', CURRENT));
  await load('vbs-node-agent', imageOf('vbs-node-agent', CURRENT));
  if (release.kind === 'found') {
    const sources = await unpackRelease(release, around.dir, around.log);
    await load('vbs-controller', releasedController(sources, release.version));
    await node.tagImage('vbs-node-agent', CURRENT, release.version);
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

export const chart = (name: string): string => path.join(ROOT, 'charts', name);
