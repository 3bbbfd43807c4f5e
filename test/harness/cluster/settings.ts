// What containerd and kubelet are told.
import path from 'node:path';
import { DNS_ADDRESS, NODE_ADDRESS, POD_RANGE } from './addresses.ts';
import { groupOf } from './groups.ts';

export interface NodePlace {
  /** The work directory. */
  readonly dir: string;
  /** The folder of the node in it. */
  readonly nodeDir: string;
  readonly socket: string;
}

/** As GKE has it: a pod has one of the two highest priorities only where a quota speaks of it. */
export const admissionConfiguration: object = {
  apiVersion: 'apiserver.config.k8s.io/v1',
  kind: 'AdmissionConfiguration',
  plugins: [
    {
      name: 'ResourceQuota',
      configuration: {
        apiVersion: 'apiserver.config.k8s.io/v1',
        kind: 'ResourceQuotaConfiguration',
        limitedResources: [
          {
            resource: 'pods',
            matchScopes: [
              {
                scopeName: 'PriorityClass',
                operator: 'In',
                values: ['system-cluster-critical', 'system-node-critical'],
              },
            ],
          },
        ],
      },
    },
  ],
};

/** Pods get a port of a bridge, and find everything else behind it. */
export const cniConfiguration: object = {
  cniVersion: '0.4.0',
  name: 'pods',
  plugins: [
    {
      type: 'bridge',
      bridge: 'pods',
      isDefaultGateway: true,
      ipam: { type: 'host-local', ranges: [[{ subnet: POD_RANGE }]] },
    },
  ],
};

export const containerdConfiguration = ({ nodeDir, socket }: NodePlace, pauseImage: string): string => {
  const folder = (name: string) => JSON.stringify(path.join(nodeDir, name));
  return `version = 2
root = ${folder('containerd/root')}
state = ${folder('containerd/state')}
[grpc]
  address = ${JSON.stringify(socket)}
[plugins."io.containerd.internal.v1.opt"]
  path = ${folder('containerd/opt')}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  disable_apparmor = true
  # A machine may not have the capability to make its processes less likely to be killed.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = ${folder('cni')}
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`;
};

export const kubeletConfiguration = ({ dir, nodeDir, socket }: NodePlace, clientCAFile: string): object => ({
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  address: NODE_ADDRESS,
  healthzPort: 0,
  authentication: {
    anonymous: { enabled: false },
    webhook: { enabled: true },
    x509: { clientCAFile },
  },
  authorization: { mode: 'Webhook' },
  containerRuntimeEndpoint: `unix://${socket}`,
  cgroupDriver: 'cgroupfs',
  cgroupRoot: `/${groupOf(dir)}`,
  failCgroupV1: false,
  failSwapOn: false,
  enforceNodeAllocatable: [],
  // A full disk of the machine is not what is tested.
  evictionHard: { 'nodefs.available': '0%', 'imagefs.available': '0%', 'memory.available': '1Mi' },
  imageGCHighThresholdPercent: 100,
  volumePluginDir: path.join(nodeDir, 'volume-plugins'),
  // There are no names to look up, and nobody to ask.
  resolvConf: '/dev/null',
  clusterDNS: [DNS_ADDRESS],
});
