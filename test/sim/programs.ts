// The real programs in the simulated world: what they ask of a host or of the API server goes through the life of their process.
import path from 'node:path';
import { createController } from '../../controller/controller.ts';
import { tellHoldings } from '../../node-agent/adopt/command.ts';
import type { AgentConfig } from '../../node-agent/config.ts';
import { CommandError, type RunCommand } from '../../node-agent/exec/command.ts';
import type { Files } from '../../node-agent/exec/files.ts';
import { createLocks } from '../../node-agent/exec/locks.ts';
import { bind } from '../../node-agent/profiles/bind.ts';
import { loadProfile, type Profile } from '../../node-agent/profiles/load.ts';
import type { RoleName } from '../../node-agent/profiles/vocabulary.ts';
import { runHost } from '../../node-agent/run.ts';
import { ApiError } from '../../runtime/errors.ts';
import { silentLog as log } from '../../runtime/log.ts';
import { Metrics } from '../../runtime/metrics.ts';
import { THIN_POOL, VG } from '../fakes/lvm.ts';
import type { Line } from './api-server.ts';
import { BOOT_ID, type Host, MACHINE_ID, STATE } from './host.ts';
import { HypervisorHost } from './hypervisor-host.ts';
import type { Kit } from './kit.ts';
import type { Life } from './life.ts';
import { ServerHost } from './server-host.ts';
import type { World } from './world.ts';

const SHIPPED = path.join(import.meta.dirname, '../../node-agent/profiles/shipped');
const IQN_PREFIX = 'iqn.2026-11.dev.vbs';
/** What a request takes that gets no answer. */
const NO_ANSWER_MS = 15_000;

const ship = (name: string, role: RoleName): Promise<Profile> =>
  loadProfile(path.join(SHIPPED, `${name}.yaml`), role);
const SHIPPED_PROFILES: { readonly [Part in keyof Kit]: Readonly<Record<Kit[Part], Profile>> } = {
  pool: { 'lvm-thick': await ship('lvm-thick', 'pool'), 'lvm-thin': await ship('lvm-thin', 'pool') },
  target: { lio: await ship('lio', 'target'), tgt: await ship('tgt', 'target') },
  initiator: { 'open-iscsi': await ship('open-iscsi', 'initiator'), qemu: await ship('qemu', 'initiator') },
  vmm: { xen: await ship('xen-xl', 'vmm'), libvirt: await ship('libvirt-virsh', 'vmm') },
};
/** A role's profile on that host, and what it is given there. */
const roleOn = ({ kit }: Host, role: RoleName) => {
  const thinpool: Readonly<Record<string, string>> = kit.pool === 'lvm-thin' ? { thinpool: THIN_POOL } : {};
  const profiles: Readonly<Record<string, Profile>> = SHIPPED_PROFILES[role];
  const profile = profiles[kit[role]];
  if (profile === undefined) {
    throw new TypeError(`no profile of ${role} ${kit[role]}`);
  }
  return { profile, params: role === 'pool' ? { vg: VG, ...thinpool } : {} };
};

const unanswered = (what: string): ApiError =>
  new ApiError(`${what}: no answer`, { status: 0, reason: 'Unreachable' });

/** A process's way to the API server. */
const lineOf = (life: Life, world: World, host?: string): Line => {
  const isUp = (): boolean => world.isApiUp && !world.isCutFromApi(host);
  const expectUp = async (what: string, signal?: AbortSignal): Promise<void> => {
    if (!isUp()) {
      await life.clock.sleep(world.isApiUp ? NO_ANSWER_MS : 5, signal);
      throw unanswered(what);
    }
  };
  return {
    clock: life.clock,
    isUp,
    lagMs: () => world.watchLagMs(life.name),
    read: async (what, answer, signal) => {
      await expectUp(what, signal);
      return await life.look(answer, signal);
    },
    write: async (what, answer, signal) => {
      await expectUp(what, signal);
      const written = await life.act(what, answer, signal);
      if (world.losesAnswer()) {
        throw unanswered(what);
      }
      return written;
    },
  };
};

/** Commands that only look. */
const LOOKS = new RegExp(
  `^(?:${[
    'lvs|lvm|lvmconfig|modprobe|dpkg-query|systemctl is-',
    'xl (?:list|info)|xenstore-ls',
    'virsh -c \\S+ (?:version|list|dumpxml|domblkerror|domblkinfo|secret-list)',
    'tgtadm (?:--version|.*-o show )',
    'iscsid|iscsiadm (?:--version|-m node$|-m iface -I \\S+$)|iscsi-inq|iscsi-readcapacity16',
  ].join('|')})`,
);

const runOn = (host: Host, life: Life, world: World): RunCommand => {
  return async (command, signal) => {
    const line = [command.file, ...command.args].join(' ');
    if (!host.isUp) {
      throw new CommandError(command.file, 'the host is off');
    }
    const whole = () => host.run(command, signal);
    if (LOOKS.test(line)) {
      return await life.look(whole, signal);
    }
    const shown = line
      .replaceAll(/ --config .*?list_item_separator=\S+/g, '')
      .replaceAll(/node\.session\.auth\.password -v \S+|(?<=^tgtadm .*)-p \S+/g, '…');
    const half = () => host.runHalf(command, signal);
    const act = world.commandFaults.carryOut(command, life, { whole, half });
    return await life.act(shown.slice(0, 200), act, signal);
  };
};

const CHANGES = [
  'write',
  'writeAtomic',
  'mkdir',
  'rmdir',
  'rename',
  'unlink',
  'symlink',
  'copyRange',
] as const;

const filesOn = (host: Host, life: Life): Files => {
  const { files } = host;
  const changing = (name: (typeof CHANGES)[number]) =>
    (async (...args: readonly unknown[]) => {
      const change = files[name] as (...given: readonly unknown[]) => Promise<unknown>;
      const where = args.slice(0, name === 'rename' || name === 'symlink' || name === 'copyRange' ? 2 : 1);
      return await life.act(`${name} ${where.join(' ')}`, () => change(...args));
    }) as never;
  return { ...files, ...Object.fromEntries(CHANGES.map((name) => [name, changing(name)])) };
};

const configFor = (host: Host): AgentConfig => {
  const role = (name: RoleName) => {
    const { profile, params } = roleOn(host, name);
    return { profile: profile.name, params };
  };
  return {
    host: host.identity,
    kubeconfig: '',
    stateDir: STATE,
    profileDirectories: [],
    machineIDFile: MACHINE_ID,
    bootIDFile: BOOT_ID,
    logLevel: 'debug',
    iqnPrefix: IQN_PREFIX,
    heartbeat: { leaseSeconds: 40, renewSeconds: 30, retrySeconds: 8 },
    observeSeconds: 5,
    resyncSeconds: 60,
    offlineAfterSeconds: 30,
    ...(host instanceof ServerHost
      ? {
          volumeServer: {
            pools: [{ name: 'main', ...role('pool') }],
            target: { ...role('target'), portals: [host.portal] },
          },
        }
      : {}),
    ...(host instanceof HypervisorHost
      ? { hypervisor: { initiator: role('initiator'), vmm: role('vmm') } }
      : {}),
  };
};

/** Ends when it is told to stop; what is dead never ends. */
export const agentOn = async (host: Host, life: Life, world: World): Promise<void> => {
  const files = filesOn(host, life);
  const run = runOn(host, life, world);
  const locks = createLocks();
  const around = {
    config: configFor(host),
    api: world.api.door(lineOf(life, world, host.name)),
    clock: life.clock,
    log,
    metrics: new Metrics(),
    files,
    bindRole: async (role: RoleName) => {
      const { profile, params } = roleOn(host, role);
      return bind(profile, { run, files, params, locks, directory: `${STATE}/tmp` });
    },
    reach: async (address: string) => await life.look(() => world.isReachable(host.name, address)),
  };
  await runHost(around, life.stop.signal);
};

/** What `vbs-node-agent adopt` prints there; the agent does not run. */
export const holdingsOf = async (host: Host): Promise<string> => {
  const { files } = host;
  const locks = createLocks();
  const run: RunCommand = async (command, signal) => await host.run(command, signal);
  const bindRole = async (role: RoleName) => {
    const { profile, params } = roleOn(host, role);
    return bind(profile, { run, files, params, locks, directory: `${STATE}/tmp` });
  };
  const { signal } = new AbortController();
  return await tellHoldings({ config: configFor(host), files, bindRole, signal });
};

export const controllerIn = async (life: Life, world: World): Promise<void> => {
  const { run } = createController({
    config: {
      // Each has a Lease of its own, so that two of them both lead: as where the election is broken.
      namespace: `vbs-${life.name}`,
      logLevel: 'debug',
      http: { host: '', port: 0 },
      leaderElection: { leaseSeconds: 15, renewSeconds: 10, retrySeconds: 2 },
      workers: 8,
      resyncSeconds: 300,
      watchSilenceSeconds: 90,
    },
    api: world.api.door(lineOf(life, world)),
    clock: life.clock,
    log,
    metrics: new Metrics(),
    instance: life.name,
  });
  await run(life.stop.signal);
};
