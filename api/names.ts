/** Names that both sides agree on. All of them are derived; a user types none of them. */

export const FINALIZER = 'vbs.dev/controller';
export const SYSTEM_NAMESPACE = 'vbs-system';
export const HOST_NAMESPACE_PREFIX = 'vbs-host-';
export const AGENT_ACCOUNT = 'vbs-agent';
export const HOST_LEASE = 'vbs-host';
export const HOST_LEASE_LABEL = 'vbs.dev/host';

/** Field managers: one for each writer of a block. */
export const MANAGERS = {
  controller: 'vbs-controller',
  server: 'vbs-volume-server',
  hypervisor: 'vbs-hypervisor',
} as const;

/** The namespace of a host's identity: its ServiceAccount, Lease and CHAP secrets. */
export const hostNamespace = (host: string): string => `${HOST_NAMESPACE_PREFIX}${host}`;

/** The host behind a namespace made by {@link hostNamespace}; undefined for any other namespace. */
export const hostOfNamespace = (namespace: string): string | undefined =>
  namespace.startsWith(HOST_NAMESPACE_PREFIX) ? namespace.slice(HOST_NAMESPACE_PREFIX.length) : undefined;

/** The Secret which holds the CHAP key of a pair of hosts, in the namespaces of both. */
export const chapSecretName = (server: string, hypervisor: string): string => `chap.${server}.${hypervisor}`;

export const IQN_PREFIX = 'iqn.2026-11.dev.vbs';

/** RFC 3720 3.2.6.3.1 iSCSI qualified name of a volume's target. */
export const targetName = (volumeID: string, prefix: string = IQN_PREFIX): string => `${prefix}:${volumeID}`;

/** The initiator name of a hypervisor: ours, never the distribution's shared one. */
export const initiatorName = (hypervisor: string, prefix: string = IQN_PREFIX): string =>
  `${prefix}:host.${hypervisor}`;

/** The initiator name under which a volume server reads what it copies, for one placement of one copy. */
export const copyInitiatorName = (copyID: string, epoch: number, prefix: string = IQN_PREFIX): string =>
  `${prefix}:copy.${copyID}.${epoch}`;

/** LUN 0 is tgt's controller device; disks start at 1, for every target alike. */
export const LUN = 1;

/**
 * On namespace `kube-system`, the word of an administrator: this cluster takes the place of the one of that UID (of its `kube-system`
 * namespace), which is lost for good. Hosts and data of that one are this one's.
 */
export const CONTINUES_CLUSTER = 'vbs.dev/continues-cluster';

/** By which one of several controllers leads; in the controller's namespace. */
export const LEADER_LEASE = 'vbs-controller';
