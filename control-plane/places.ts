// Where everything of the control plane stands on this machine. The unit files name the same places.
import path from 'node:path';

export interface Places {
  /** The administrator's: one file. */
  readonly configFile: string;
  readonly adminKubeconfig: string;
  /** Keys and certificates. */
  readonly pki: string;
  /** What is made from the configuration, and the store. */
  readonly state: string;
  readonly store: string;
  /** What etcd writes first, and looks for: where it is empty, etcd begins with an empty store. */
  readonly storeLog: string;
  /** A folder that is there only while a backup is put in the place of what is here, or when that was ended in its midst: then nothing may start. */
  readonly restoring: string;
  readonly apiServerEnvironment: string;
  readonly controllerConfig: string;
  readonly controllerKubeconfig: string;
  readonly controllerManagerKubeconfig: string;
  /** Of which version everything is that runs here, and that the API server was given: written when all of that is done. */
  readonly appliedVersion: string;
  readonly etcdSocket: string;
  /** etcd, kube-apiserver, kubectl and the others. */
  readonly programs: string;
  readonly manifests: string;
  /** Held by whichever command changes something here. */
  readonly lock: string;
}

/** Below another root than the machine's in tests. */
export function placesUnder(root = '/'): Places {
  const at = (...parts: string[]) => path.join(root, ...parts);
  const state = at('var/lib/vbs-control-plane');
  return {
    configFile: at('etc/vbs/control-plane.yaml'),
    adminKubeconfig: at('etc/vbs/admin.kubeconfig'),
    pki: at('etc/vbs/pki'),
    state,
    store: path.join(state, 'etcd'),
    storeLog: path.join(state, 'etcd/member/wal'),
    restoring: path.join(state, 'restoring'),
    apiServerEnvironment: path.join(state, 'apiserver.env'),
    controllerConfig: path.join(state, 'controller.yaml'),
    controllerKubeconfig: path.join(state, 'controller.kubeconfig'),
    controllerManagerKubeconfig: path.join(state, 'controller-manager.kubeconfig'),
    appliedVersion: path.join(state, 'applied-version'),
    etcdSocket: at('run/vbs-control-plane/etcd.sock'),
    programs: at('usr/lib/vbs'),
    manifests: at('usr/share/vbs'),
    lock: at('run/vbs-control-plane-lock'),
  };
}

/** The names of the files in `pki`. Of these nothing can be made again: without them hosts, tokens or Secrets are lost. */
export const KEEPSAKES = {
  caKey: 'ca.key',
  caCertificate: 'ca.crt',
  serviceAccountKey: 'service-account.key',
  encryption: 'encryption.yaml',
} as const;
