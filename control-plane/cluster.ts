// What the API server is asked and given, by the kubectl that comes with it.
import path from 'node:path';
import { hostOfNamespace } from '../api/names.ts';
import { type Kubectl, OperationError, succeed } from './command.ts';
import { type ControlPlaneConfig, localServer } from './config.ts';
import { leaderOf, leads } from './leader.ts';
import { secretRights } from './pki/authority.ts';
import type { Surroundings } from './surroundings.ts';
import { VERSION } from './version.ts';

export type HostRole = 'volumeServer' | 'hypervisor';
/** The bindings in deploy/host.yaml which only a host with that role has. */
const BINDINGS: Readonly<Record<HostRole, string>> = {
  volumeServer: 'vbs-volume-server-HOST',
  hypervisor: 'vbs-hypervisor-HOST',
};
export const HOST_ROLES = Object.keys(BINDINGS) as readonly HostRole[];
const READY_LIMIT_MS = 600_000;
const RETRY_MS = 300;

export const kubectlArguments = (
  { places }: Pick<Surroundings, 'places'>,
  config: ControlPlaneConfig,
): readonly string[] => [`--kubeconfig=${places.adminKubeconfig}`, `--server=${localServer(config)}`];

export const kubectlOf = (
  surroundings: Pick<Surroundings, 'places' | 'run'>,
  config: ControlPlaneConfig,
): Kubectl => {
  const program = path.join(surroundings.places.programs, 'kubectl');
  const cache = path.join(surroundings.places.state, 'kubectl-cache');
  const own = [...kubectlArguments(surroundings, config), `--cache-dir=${cache}`];
  return async (args, stdin) =>
    await succeed(surroundings.run, program, [...own, ...args], stdin === undefined ? {} : { stdin });
};

/** Asks again until it holds. Throws with the last answer. */
export async function until(
  { clock }: Pick<Surroundings, 'clock'>,
  what: string,
  holds: () => Promise<unknown>,
): Promise<void> {
  const giveUpMs = clock.monotonicMs() + READY_LIMIT_MS;
  for (;;) {
    try {
      await holds();
      return;
    } catch (error) {
      if (clock.monotonicMs() > giveUpMs) {
        throw new OperationError(`waited ${READY_LIMIT_MS / 1000} s in vain for ${what}`, { cause: error });
      }
      await clock.sleep(RETRY_MS);
    }
  }
}

export const apiServerReady = async (
  surroundings: Pick<Surroundings, 'clock'>,
  kubectl: Kubectl,
): Promise<void> =>
  await until(surroundings, 'the API server (journalctl -u vbs-apiserver -n 50)', async () => {
    await kubectl(['get', '--raw=/readyz']);
    await kubectl(['get', 'namespace', 'kube-system', 'default']);
  });

export const controllerLeads = async (
  surroundings: Pick<Surroundings, 'clock'>,
  kubectl: Kubectl,
): Promise<void> =>
  await until(surroundings, 'the controller to lead (journalctl -u vbs-controller -n 50)', async () => {
    if (!leads(await leaderOf(kubectl), surroundings.clock.now())) {
      throw new Error('nobody holds its Lease');
    }
  });

/** Applies as one who owns what it applied last: what a new version leaves out goes. */
const APPLY = ['apply', '--server-side', '--force-conflicts', '--field-manager=vbs-control-plane'];

/** Definitions, rights, also those of each host, and policies of this version. */
export async function applyAll(surroundings: Surroundings, kubectl: Kubectl): Promise<void> {
  await applyManifests(surroundings, kubectl);
  await applyHosts(surroundings, kubectl, await enrolledHosts(kubectl));
  surroundings.tell(`the definitions, rights and policies of version ${VERSION} are applied`);
}

/** When nothing is left to do: until then an upgrade has to go on. */
export const recordVersion = async (surroundings: Surroundings): Promise<void> =>
  await surroundings.disk.write(
    surroundings.places.appliedVersion,
    `${VERSION}\n`,
    secretRights(surroundings),
  );

/** What was recorded last, if anything. */
export const recordedVersion = async ({
  places,
  disk,
}: Pick<Surroundings, 'places' | 'disk'>): Promise<string | undefined> =>
  (await disk.read(places.appliedVersion))?.trim();

async function applyManifests(surroundings: Surroundings, kubectl: Kubectl): Promise<void> {
  const { places } = surroundings;
  const [crds, deploy] = [path.join(places.manifests, 'crds'), path.join(places.manifests, 'deploy')];
  await kubectl([...APPLY, `--filename=${crds}`]);
  await kubectl(['wait', '--for=condition=Established', '--timeout=300s', `--filename=${crds}`]);
  const parts = ['controller.yaml', 'agents.yaml', 'users.yaml', 'admission'];
  await kubectl([...APPLY, ...parts.map((part) => `--filename=${path.join(deploy, part)}`)]);
}

/** The manifests of one host's identity, with the bindings of these roles only. */
export const hostManifests = (template: string, host: string, roles: readonly HostRole[]): string => {
  const left = HOST_ROLES.filter((role) => !roles.includes(role)).map((role) => `name: ${BINDINGS[role]}\n`);
  return template
    .split(/^---\n/m)
    .filter((part) => !left.some((name) => part.includes(name)))
    .join('---\n')
    .replaceAll('HOST', host);
};

export interface EnrolledHost {
  readonly host: string;
  readonly roles: readonly HostRole[];
}

/** The identity of each, and no role but these. */
export async function applyHosts(
  { places, disk }: Pick<Surroundings, 'places' | 'disk'>,
  kubectl: Kubectl,
  hosts: readonly EnrolledHost[],
): Promise<void> {
  if (hosts.length === 0) {
    return;
  }
  const file = path.join(places.manifests, 'deploy/host.yaml');
  const template = await disk.read(file);
  if (template === undefined) {
    throw new OperationError(`${file} is missing: install the package again`);
  }
  const manifests = hosts.map(({ host, roles }) => hostManifests(template, host, roles));
  await kubectl([...APPLY, '--filename=-'], manifests.join('\n---\n'));
  const bindings = hosts.flatMap(({ host, roles }) =>
    HOST_ROLES.filter((role) => !roles.includes(role)).map((role) => BINDINGS[role].replace('HOST', host)),
  );
  if (bindings.length > 0) {
    await kubectl(['delete', 'clusterrolebinding', '--ignore-not-found', ...bindings]);
  }
}

/** Every host that has an identity, with its roles. */
export async function enrolledHosts(kubectl: Kubectl): Promise<readonly EnrolledHost[]> {
  const namesOf = async (kind: string) =>
    (await kubectl(['get', kind, '--output=name'])).split('\n').map((line) => line.split('/')[1] ?? '');
  const bindings = new Set(await namesOf('clusterrolebinding'));
  return (await namesOf('namespace'))
    .flatMap((namespace) => hostOfNamespace(namespace) ?? [])
    .map((host) => ({
      host,
      roles: HOST_ROLES.filter((role) => bindings.has(BINDINGS[role].replace('HOST', host))),
    }));
}
