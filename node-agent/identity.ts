// Who this host is: its machine, its boot, and the cluster it belongs to.
import { CONTINUES_CLUSTER } from '../api/names.ts';
import { NAMESPACES } from '../api/resources.ts';
import type { Api } from '../runtime/api.ts';
import type { AgentConfig } from './config.ts';
import type { Files } from './exec/files.ts';
import type { RecordStore } from './store.ts';

export interface Identity {
  readonly bootID: string;
  /** machine-id and bootID: the holder of the host's Lease. Two hosts cloned from one image have different boots. */
  readonly holder: string;
}

export async function readIdentity(files: Files, config: AgentConfig): Promise<Identity> {
  const machineID = (await files.read(config.machineIDFile)).trim();
  const bootID = (await files.read(config.bootIDFile)).trim();
  if (machineID === '' || bootID === '') {
    throw new Error(`${config.machineIDFile} or ${config.bootIDFile} is empty; a host needs both`);
  }
  return { bootID, holder: `${machineID}/${bootID}` };
}

const UID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * The UID of the `kube-system` namespace, or of that of the lost cluster which this one continues by an administrator's word; read
 * live. Throws when the API server cannot be asked, or that word is no UID.
 */
export async function liveClusterID(api: Pick<Api, 'get'>, signal: AbortSignal): Promise<string> {
  const namespace = await api.get(NAMESPACES, { name: 'kube-system' }, { signal });
  if (namespace === undefined) {
    throw new Error('the API server has no namespace kube-system; it is no Kubernetes');
  }
  const { uid, annotations = {} } = namespace.metadata;
  const continued = annotations[CONTINUES_CLUSTER] ?? uid;
  if (!UID.test(continued)) {
    throw new Error(
      `annotation ${CONTINUES_CLUSTER} of namespace kube-system is ${JSON.stringify(continued.slice(0, 64))}, and must be the UID of a cluster, as vbs-node-agent adopt tells it`,
    );
  }
  return continued;
}

/** The host belongs to another cluster than the one which its kubeconfig points to: nothing may be touched. */
export class WrongCluster extends Error {
  override readonly name = 'WrongCluster';
  readonly clusterID: string;
  constructor(known: string, found: string) {
    super(
      `this host belongs to cluster ${known}, and its kubeconfig points to cluster ${found}; correct the kubeconfig, or give the host a new state directory once nothing of the old cluster is on it. If the old cluster is lost for good and this one takes its place: kubectl annotate namespace kube-system ${CONTINUES_CLUSTER}=${known}`,
    );
    this.clusterID = known;
  }
}

/** Joins the cluster at the first start; afterwards only tells whether it is still the same. Throws WrongCluster. */
export async function belongTo(records: RecordStore<string>, found: string): Promise<void> {
  const known = records.get('cluster');
  if (known === undefined) {
    await records.put('cluster', found);
  } else if (known !== found) {
    throw new WrongCluster(known, found);
  }
}
