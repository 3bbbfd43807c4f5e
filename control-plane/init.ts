// `vbs-control-plane init`: from nothing, or from wherever an earlier run was ended, to a control plane that works.
import { createServer } from 'node:net';
import path from 'node:path';
import { stringify } from 'yaml';
import { ConfigError } from '../runtime/errors.ts';
import { ensureBackupDirectory } from './backup.ts';
import {
  apiServerReady,
  applyAll,
  controllerLeads,
  kubectlOf,
  recordedVersion,
  recordVersion,
} from './cluster.ts';
import {
  type ControlPlaneConfig,
  configFrom,
  configText,
  type InitOptions,
  isLoopback,
  isUnspecified,
  loadControlPlaneConfig,
  publicServer,
} from './config.ts';
import { type Authority, directoryRights, ensureAuthority, sharedRights } from './pki/authority.ts';
import { ensureLeaves, writeIfOther } from './pki/leaves.ts';
import { refuseUnsoundStore } from './store.ts';
import type { Surroundings } from './surroundings.ts';
import { API_SERVER_UNIT, CONTROLLER_MANAGER_UNIT, CONTROLLER_UNIT, ETCD, TARGET, TIMERS } from './units.ts';
import { VERSION } from './version.ts';

export interface InitCommand extends InitOptions {
  /** A VolumeClass for pools that are directories, as the default. */
  readonly exampleClass: boolean;
}

/** Throws ConfigError where a person has to decide or cure something. */
export async function init(surroundings: Surroundings, command: InitCommand): Promise<void> {
  const { tell } = surroundings;
  const config = await wantedConfig(surroundings, command);
  await refuseUnusable(surroundings, config);
  await refuseOtherVersion(surroundings);
  await ensureConfig(surroundings, config);
  await bringUp(surroundings, config);
  if (command.exampleClass) {
    const file = path.join(surroundings.places.manifests, 'examples/volumeclass.yaml');
    await kubectlOf(surroundings, config)(['apply', `--filename=${file}`]);
    tell('VolumeClass standard is there');
  }
  tell(`the control plane is ready: ${publicServer(config)}`);
  tell('for each host, next: vbs-control-plane enroll HOST --roles volumeServer,hypervisor');
  tell('at any time:         vbs-control-plane status; vbs-control-plane kubectl get volumes -A');
}

/** From whatever is here to all of it running. */
export async function bringUp(surroundings: Surroundings, config: ControlPlaneConfig): Promise<void> {
  await prepare(surroundings, config);
  await startAll(surroundings, config);
}

async function wantedConfig(
  { places, disk }: Surroundings,
  { addresses, listen }: InitCommand,
): Promise<ControlPlaneConfig> {
  const file = places.configFile;
  const isAsked = addresses.length > 0 || listen !== undefined;
  if ((await disk.read(file)) === undefined) {
    return configFrom({ addresses, listen });
  }
  const config = await loadControlPlaneConfig(file);
  if (isAsked && !isSame(config, configFrom({ addresses, listen }))) {
    throw new ConfigError(
      `${file} is there and says otherwise than --address and --listen: edit it, then vbs-control-plane init without these`,
    );
  }
  return config;
}

const isSame = (one: ControlPlaneConfig, other: ControlPlaneConfig): boolean =>
  JSON.stringify([one.address, one.alternativeAddresses, one.listen]) ===
  JSON.stringify([other.address, other.alternativeAddresses, other.listen]);

async function ensureConfig(
  { places, disk, rootOwner, tell }: Surroundings,
  config: ControlPlaneConfig,
): Promise<void> {
  const file = places.configFile;
  if ((await disk.read(file)) === undefined) {
    await disk.makeDirectory(path.dirname(file), { mode: 0o755, owner: rootOwner });
    await disk.write(file, configText(config), { mode: 0o644, owner: rootOwner });
    tell(`made ${file}`);
  }
}

/** Only an upgrade restarts what runs, and gives hosts the rights of its version. */
async function refuseOtherVersion(surroundings: Surroundings): Promise<void> {
  const applied = (await recordedVersion(surroundings)) ?? VERSION;
  if (applied !== VERSION) {
    throw new ConfigError(
      `what runs is of version ${applied}, and this is ${VERSION}: vbs-control-plane upgrade`,
    );
  }
}

/** Throws ConfigError where what is wanted cannot be on this machine. */
export async function refuseUnusable(
  surroundings: Pick<Surroundings, 'places' | 'disk' | 'units' | 'addresses'>,
  config: ControlPlaneConfig,
): Promise<void> {
  const { places, units, addresses } = surroundings;
  const { address, port } = config.listen;
  await refuseUnsoundStore(surroundings, config);
  if (!isUnspecified(address) && !isLoopback(address) && !addresses().includes(address)) {
    throw new ConfigError(
      `${places.configFile} or --listen: listen.address: ${address} is no address of this machine, which has ${addresses().join(', ')}; give one of them, or 0.0.0.0`,
    );
  }
  // Ours may listen before it says that it is ready.
  const { isOff } = await units.stateOf(API_SERVER_UNIT);
  if (isOff && !(await isFree(address, port))) {
    throw new ConfigError(
      `${places.configFile} or --listen: listen.port: something else listens on port ${port} (ss -ltnp 'sport = :${port}'); end it, or give another port`,
    );
  }
}

const isFree = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host, port }, () => server.close(() => resolve(true)));
  });

/** Everything on the disk before anything is started. */
export async function prepare(surroundings: Surroundings, config: ControlPlaneConfig): Promise<Authority> {
  const { places, disk, serviceOwner } = surroundings;
  const authority = await ensureAuthority(surroundings);
  await disk.makeDirectory(places.state, directoryRights(surroundings));
  await disk.makeDirectory(places.store, { mode: 0o700, owner: serviceOwner });
  await ensureBackupDirectory(surroundings, config);
  await ensureLeaves(surroundings, config, authority);
  const rights = sharedRights(surroundings);
  const { listen, controllerPort } = config;
  const environment = `VBS_LISTEN_ADDRESS=${listen.address}\nVBS_LISTEN_PORT=${listen.port}\n`;
  await writeIfOther(surroundings, { file: places.apiServerEnvironment, rights }, environment);
  const controller = stringify({ kubeconfig: places.controllerKubeconfig, http: { port: controllerPort } });
  await writeIfOther(surroundings, { file: places.controllerConfig, rights }, controller);
  return authority;
}

/** In their order, and anew where one runs with what is no longer so. */
async function startAll(surroundings: Surroundings, config: ControlPlaneConfig): Promise<void> {
  const { places, units } = surroundings;
  await units.reload();
  await units.enable([TARGET, ...TIMERS]);
  await units.start(ETCD);
  await startAsConfigured(surroundings, API_SERVER_UNIT, places.apiServerEnvironment);
  await apiServerReady(surroundings, kubectlOf(surroundings, config));
  await startAsConfigured(surroundings, CONTROLLER_MANAGER_UNIT, places.controllerManagerKubeconfig);
  await finish(surroundings, config);
}

/** What comes once the API server answers and the controller manager runs. */
export async function finish(surroundings: Surroundings, config: ControlPlaneConfig): Promise<void> {
  const { places, units } = surroundings;
  const kubectl = kubectlOf(surroundings, config);
  await applyAll(surroundings, kubectl);
  await startAsConfigured(surroundings, CONTROLLER_UNIT, places.controllerConfig);
  await controllerLeads(surroundings, kubectl);
  for (const unit of [TARGET, ...TIMERS]) {
    await units.start(unit);
  }
  await recordVersion(surroundings);
}

async function startAsConfigured(surroundings: Surroundings, unit: string, file: string): Promise<void> {
  await restartIfOutdated(surroundings, unit, file);
  await surroundings.units.start(unit);
}

/** Where it runs since before its file was changed. */
export async function restartIfOutdated(
  { disk, units }: Surroundings,
  unit: string,
  file: string,
): Promise<void> {
  const { isOff, since } = await units.stateOf(unit);
  const changedAt = await disk.changedAt(file);
  if (!isOff && since !== undefined && changedAt !== undefined && since < changedAt) {
    await units.restart(unit);
  }
}
