// A real Kubernetes API on 127.0.0.1: etcd and kube-apiserver, nothing else. There is no
// controller manager: no garbage collection, no namespace termination, no default ServiceAccounts.

import { once } from 'node:events';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request } from 'node:https';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { type ControlPlaneBinaries, resolveControlPlane } from '../../scripts/control-plane/resolve.ts';
import { type KeyPair, makeCertificate, makePki, type Pki } from './pki.ts';
import { freePort } from './ports.ts';
import { type Log, type RunningProcess, runCommand, startProcess, waitFor } from './process.ts';

export interface ControlPlaneOptions {
  /** A private work directory; everything is made in `<dir>/control-plane`. */
  readonly dir: string;
  readonly log: Log;
  /** Lets etcd skip fsync (default true): quicker, and safe against kill -9 but not against power loss. */
  readonly unsafeNoFsync?: boolean;
  /** More names for the serving certificate, as openssl writes them: `IP:10.0.2.2`. */
  readonly alternativeNames?: readonly string[];
  /** A free one when absent. */
  readonly port?: number;
  /** More flags for the API server. */
  readonly apiServerArgs?: readonly string[];
}

export interface KubeconfigRequest {
  readonly serviceAccount: string;
  readonly namespace: string;
  /** Names the file. */
  readonly name: string;
}

const startLimitMs = 90_000;
const tokenLifetime = '8760h';
// The API server does not exit for long while etcd is away, and waits for watchers when it is not.
const graceMs = 2000;

/** Starts etcd and the API server and returns when `/readyz` and the first namespaces are there. */
export const startControlPlane = async (options: ControlPlaneOptions): Promise<ControlPlane> => {
  const { log, alternativeNames = [] } = options;
  const dir = path.join(options.dir, 'control-plane');
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const binaries = await resolveControlPlane(log);
  const names = ['IP:127.0.0.1', 'DNS:localhost', 'DNS:kubernetes.default.svc', ...alternativeNames];
  const pki = await makePki(path.join(dir, 'pki'), names);
  const { port = await freePort() } = options;
  const setup = { ...options, dir, workdir: options.dir, binaries, pki, port };
  const controlPlane = new ControlPlane(setup);
  try {
    await controlPlane.startEtcd();
    await controlPlane.startApiServer();
    await controlPlane.writeAdminKubeconfig();
  } catch (error) {
    await controlPlane.stop();
    throw error;
  }
  log(`Kubernetes API ready at ${controlPlane.server} (${binaries.origin})`);
  return controlPlane;
};

interface Setup extends ControlPlaneOptions {
  readonly workdir: string;
  readonly binaries: ControlPlaneBinaries;
  readonly pki: Pki;
  readonly port: number;
}

export class ControlPlane {
  readonly server: string;
  readonly port: number;
  readonly caFile: string;
  /** A kubeconfig of `system:masters`, mode 0600. */
  readonly adminKubeconfig: string;
  readonly kubectlPath: string;
  readonly #setup: Setup;
  #etcd: RunningProcess | undefined;
  #apiServer: RunningProcess | undefined;

  constructor(setup: Setup) {
    this.#setup = setup;
    this.port = setup.port;
    this.server = `https://127.0.0.1:${setup.port}`;
    this.caFile = setup.pki.ca.certFile;
    this.adminKubeconfig = path.join(setup.dir, 'admin.kubeconfig');
    this.kubectlPath = setup.binaries.kubectl;
  }

  /** Its certificates and keys. */
  get pki(): Pki {
    return this.#setup.pki;
  }

  get apiServerPid(): number | undefined {
    return this.#apiServer?.pid;
  }

  get etcdPid(): number | undefined {
    return this.#etcd?.pid;
  }

  /**
   * Runs kubectl as administrator and returns its standard output; throws with its standard error. Its own --timeout, if it is to
   * come to that, must be shorter than `timeoutMs`.
   */
  async kubectl(args: readonly string[], stdin?: string, timeoutMs = 60_000): Promise<string> {
    const own = [
      '--kubeconfig',
      this.adminKubeconfig,
      '--cache-dir',
      path.join(this.#setup.dir, 'kubectl-cache'),
    ];
    return await runCommand(this.kubectlPath, [...own, ...args], {
      env: { ...process.env, KUBERC: 'off' },
      timeoutMs,
      ...(stdin === undefined ? {} : { stdin }),
    });
  }

  /**
   * Writes a kubeconfig (mode 0600) with a year-long token of an existing ServiceAccount
   * and returns its path. The signing key outlives restarts, so the token does too.
   */
  async kubeconfigFor({ serviceAccount, namespace, name }: KubeconfigRequest): Promise<string> {
    const args = ['create', 'token', serviceAccount, '--namespace', namespace, '--duration', tokenLifetime];
    const token = (await this.kubectl(args)).trim();
    const file = path.join(this.#setup.dir, `${name}.kubeconfig`);
    await this.#writeKubeconfig(file, { namespace, user: { token } });
    return file;
  }

  /** Writes a kubeconfig (mode 0600) with a certificate of that subject, such as `/O=system:nodes/CN=system:node:n`, and returns its path. */
  async certifiedKubeconfig(name: string, subject: string): Promise<string> {
    const { dir, pki } = this.#setup;
    const extensions = ['extendedKeyUsage=clientAuth'];
    const client = await makeCertificate({
      dir: path.join(dir, 'pki'),
      name,
      subject,
      issuer: pki.ca,
      extensions,
    });
    const file = path.join(dir, `${name}.kubeconfig`);
    await this.#writeKubeconfig(file, { namespace: 'default', user: await userOf(client) });
    return file;
  }

  /** Starts etcd over the data of its last run; nothing happens while it runs. */
  async startEtcd(): Promise<void> {
    if (this.#etcd?.isRunning()) {
      return;
    }
    const { dir, workdir, binaries, unsafeNoFsync = true } = this.#setup;
    const clients = this.#etcdUrl();
    const peers = `unix://${path.join(dir, 'peer.sock')}`;
    const args = [
      `--data-dir=${path.join(dir, 'etcd')}`,
      `--listen-client-urls=${clients}`,
      `--advertise-client-urls=${clients}`,
      `--listen-peer-urls=${peers}`,
      `--initial-advertise-peer-urls=${peers}`,
      `--initial-cluster=default=${peers}`,
      ...(unsafeNoFsync ? ['--unsafe-no-fsync'] : []),
    ];
    this.#etcd = await startProcess({ name: 'etcd', command: [binaries.etcd, ...args], dir: workdir });
  }

  /** Starts the API server on its port and data and waits until it is ready; nothing happens while it runs. */
  async startApiServer(): Promise<void> {
    if (this.#apiServer?.isRunning()) {
      return;
    }
    const { workdir, binaries } = this.#setup;
    const command = [binaries.kubeApiserver, ...this.#apiServerArgs()] as const;
    const apiServer = await startProcess({ name: 'kube-apiserver', command, dir: workdir });
    this.#apiServer = apiServer;
    const paths = ['/readyz', '/api/v1/namespaces/kube-system', '/api/v1/namespaces/default'];
    for (const resource of paths) {
      const what = `the API server to answer ${resource}`;
      await waitFor({ what, timeoutMs: startLimitMs, process: apiServer }, () => this.#answers(resource));
    }
  }

  /** Ends the API server at once (SIGKILL unless told otherwise) and waits until it is gone. */
  async killApiServer(signal?: NodeJS.Signals): Promise<void> {
    await this.#apiServer?.kill(signal);
  }

  /** Ends etcd at once (SIGKILL unless told otherwise) and waits until it is gone. */
  async killEtcd(signal?: NodeJS.Signals): Promise<void> {
    await this.#etcd?.kill(signal);
  }

  /** What a backup of etcd holds; both are down meanwhile. */
  async backUpStore(): Promise<void> {
    await this.#whileDown(async (etcd, backup) => {
      await rm(backup, { recursive: true, force: true });
      await cp(etcd, backup, { recursive: true });
    });
  }

  /** Puts the backup in the place of what there is. */
  async restoreStore(): Promise<void> {
    await this.#whileDown(async (etcd, backup) => {
      await rm(etcd, { recursive: true });
      await cp(backup, etcd, { recursive: true });
    });
  }

  /** As after a disk that died: both end, and start again over nothing. It is another cluster then, with the same certificates and keys. */
  async loseStore(): Promise<void> {
    await this.#whileDown(async (etcd) => await rm(etcd, { recursive: true }));
  }

  async #whileDown(work: (etcd: string, backup: string) => Promise<void>): Promise<void> {
    const { dir } = this.#setup;
    await this.killApiServer();
    await this.killEtcd('SIGTERM');
    await work(path.join(dir, 'etcd'), path.join(dir, 'etcd.backup'));
    await this.startEtcd();
    await this.startApiServer();
  }

  /** Makes etcd forget everything but what is now: a watch from an earlier revision cannot be served from etcd any more. */
  async compactEtcd(): Promise<void> {
    const { header } = (await this.#askEtcd('/v3/kv/range', { key: 'AA==' })) as {
      readonly header: { readonly revision: string };
    };
    await this.#askEtcd('/v3/kv/compaction', { revision: header.revision, physical: true });
  }

  /** etcd's own API as JSON. Throws when it refuses. */
  async #askEtcd(method: string, body: object): Promise<unknown> {
    const call = httpRequest({ socketPath: this.#etcdSocket, path: method, method: 'POST', timeout: 10_000 });
    call.end(JSON.stringify(body));
    const [response] = (await once(call, 'response')) as [IncomingMessage];
    const answer = await text(response);
    if (response.statusCode !== 200) {
      throw new Error(`etcd ${method}: ${response.statusCode} ${answer}`);
    }
    return JSON.parse(answer);
  }

  get #etcdSocket(): string {
    return path.join(this.#setup.dir, 'etcd.sock');
  }

  /** Ends both; safe to call twice. */
  async stop(): Promise<void> {
    await this.#apiServer?.stop(graceMs);
    await this.#etcd?.stop(graceMs);
  }

  /** Called once by `startControlPlane`. */
  async writeAdminKubeconfig(): Promise<void> {
    const user = await userOf(this.#setup.pki.admin);
    await this.#writeKubeconfig(this.adminKubeconfig, { namespace: 'default', user });
  }

  #etcdUrl(): string {
    return `unix://${this.#etcdSocket}`;
  }

  #apiServerArgs(): string[] {
    const { dir, pki, port, apiServerArgs = [] } = this.#setup;
    return [
      `--etcd-servers=${this.#etcdUrl()}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${port}`,
      `--cert-dir=${path.join(dir, 'pki')}`,
      `--tls-cert-file=${pki.server.certFile}`,
      `--tls-private-key-file=${pki.server.keyFile}`,
      `--client-ca-file=${pki.ca.certFile}`,
      `--service-account-key-file=${pki.serviceAccountKeyFile}`,
      `--service-account-signing-key-file=${pki.serviceAccountKeyFile}`,
      '--service-account-issuer=https://kubernetes.default.svc',
      '--service-cluster-ip-range=10.0.0.0/24',
      '--authorization-mode=Node,RBAC',
      '--allow-privileged=true',
      // A loopback address is no valid endpoint; without this the log fills with that complaint.
      '--endpoint-reconciler-type=none',
      ...apiServerArgs,
    ];
  }

  async #writeKubeconfig(file: string, entry: { namespace: string; user: object }): Promise<void> {
    const cluster = { server: this.server, 'certificate-authority-data': await base64Of(this.caFile) };
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'vbs', cluster }],
      users: [{ name: 'user', user: entry.user }],
      contexts: [{ name: 'vbs', context: { cluster: 'vbs', user: 'user', namespace: entry.namespace } }],
      'current-context': 'vbs',
    };
    await writeFile(file, JSON.stringify(config, undefined, 2), { mode: 0o600 });
  }

  async #answers(resource: string): Promise<boolean> {
    return (await getStatus(`${this.server}${resource}`, this.#setup.pki.ca, this.#setup.pki.admin)) === 200;
  }
}

const userOf = async ({ certFile, keyFile }: KeyPair): Promise<object> => ({
  'client-certificate-data': await base64Of(certFile),
  'client-key-data': await base64Of(keyFile),
});

const base64Of = async (file: string): Promise<string> => (await readFile(file)).toString('base64');

const getStatus = async (url: string, ca: KeyPair, client: KeyPair): Promise<number | undefined> => {
  const tls = {
    ca: await readFile(ca.certFile),
    cert: await readFile(client.certFile),
    key: await readFile(client.keyFile),
  };
  return await new Promise((resolve, reject) => {
    const call = request(url, { ...tls, agent: false, timeout: 5000 }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    call.on('timeout', () => call.destroy(new Error('no answer within 5 s')));
    call.on('error', reject);
    call.end();
  });
};
