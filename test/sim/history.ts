// Histories: users and faults in an order that follows from a seed. Whatever happens, no promise breaks meanwhile; once the faults are over,
// everything comes to its end without a person; and once everything is deleted, nothing is left.

import type { Attachment } from '../../api/attachment.ts';
import type { KubeObject, Resource } from '../../api/object.ts';
import { ATTACHMENTS, HYPERVISORS, SNAPSHOTS, VOLUMES } from '../../api/resources.ts';
import { isDeleting, type Volume } from '../../api/volume.ts';
import { attendTo } from './administrator.ts';
import { isReady } from './judge.ts';
import { type Kit, kitOf } from './kit.ts';
import { Random } from './random.ts';
import { begin, change, find, isHeard, make, NAMESPACE, remove } from './workflows.ts';
import { Broken, LEAST_LAG_MS, World } from './world.ts';

/** Something that happens at a time. */
export interface Happening {
  readonly atMs: number;
  readonly what: string;
  readonly happen: (world: World) => void;
}

const HYPERVISORS_OF_WORLD = { h1: ['vm-a', 'vm-c'], h2: ['vm-b'] } as const;
const SERVERS = ['s1', 's2'] as const;
const HOSTS = ['s1', 's2', 'h1', 'h2'] as const;
const VMS = ['vm-a', 'vm-b', 'vm-c'] as const;
const VOLUME_NAMES = ['db', 'web'] as const;
const LENGTH_MS = 180_000;
/** For whatever is still to be done when all faults are over: a look that hung, a lease that runs out, a session that is given up. */
const CONVERGE_MS = 30 * 60_000;

/** What is so once stays so. */
const STAYS_MS = 10_000;

const has = (world: World, resource: Resource, name: string): boolean =>
  find(world, resource, name) !== undefined;
const unless = (world: World, resource: Resource, name: string, spec: object): void => {
  if (!has(world, resource, name)) {
    make(world, resource, name, spec);
  }
};
const gone = (world: World, resource: Resource, name: string): void => {
  if (has(world, resource, name)) {
    remove(world, resource, name);
  }
};

type Maker = (random: Random) => Pick<Happening, 'what' | 'happen'>;

const USERS: readonly [Maker, ...Maker[]] = [
  (random) => {
    const name = random.pick(VOLUME_NAMES);
    return { what: `make ${name}`, happen: (world) => unless(world, VOLUMES, name, { size: '12Mi' }) };
  },
  (random) => {
    const [volume, vm] = [random.pick(VOLUME_NAMES), random.pick(VMS)];
    const spec = { volumeRef: { name: volume }, instance: { name: vm } };
    return {
      what: `attach ${volume} to ${vm}`,
      happen: (world) => unless(world, ATTACHMENTS, `${volume}-${vm}`, spec),
    };
  },
  (random) => {
    const [volume, vm] = [random.pick(VOLUME_NAMES), random.pick(VMS)];
    return {
      what: `detach ${volume} from ${vm}`,
      happen: (world) => gone(world, ATTACHMENTS, `${volume}-${vm}`),
    };
  },
  (random) => {
    const volume = random.pick(VOLUME_NAMES);
    const spec = { volumeRef: { name: volume } };
    return {
      what: `snapshot ${volume}`,
      happen: (world) => unless(world, SNAPSHOTS, `${volume}-snap`, spec),
    };
  },
  (random) => {
    const volume = random.pick(VOLUME_NAMES);
    return {
      what: `delete the snapshot of ${volume}`,
      happen: (world) => gone(world, SNAPSHOTS, `${volume}-snap`),
    };
  },
  (random) => {
    const volume = random.pick(VOLUME_NAMES);
    const source = random.chance(0.7)
      ? { snapshotRef: { name: `${volume}-snap` } }
      : { volumeRef: { name: volume } };
    return {
      what: `copy ${volume}`,
      happen: (world) => unless(world, VOLUMES, `${volume}-copy`, { source }),
    };
  },
  (random) => {
    const volume = `${random.pick(VOLUME_NAMES)}${random.chance(0.4) ? '-copy' : ''}`;
    return { what: `delete ${volume}`, happen: (world) => gone(world, VOLUMES, volume) };
  },
  (random) => {
    const volume = random.pick(VOLUME_NAMES);
    return {
      what: `grow ${volume}`,
      happen: (world) => {
        if (has(world, VOLUMES, volume)) {
          change(world, VOLUMES, volume, { size: '20Mi' });
        }
      },
    };
  },
];

/** Begins, and ends by itself. */
const lasting = (
  what: string,
  ms: number,
  [begins, ends]: readonly [(world: World) => void, (world: World) => void],
): ReturnType<Maker> => ({
  what: `${what} for ${ms} ms`,
  happen: (world) => {
    begins(world);
    world.clock.after(ms, () => ends(world));
  },
});

const FAULTS: readonly [Maker, ...Maker[]] = [
  (random) => {
    const process = random.pick(['controller', ...HOSTS] as const);
    return { what: `kill ${process}`, happen: (world) => world.kill(process) };
  },
  (random) => {
    const process = random.pick(HOSTS);
    const [ahead, how] = [
      random.between(0, 25),
      random.pick(['dies before', 'dies in the midst', 'dies after', 'loses power after'] as const),
    ];
    return {
      what: `${process} ${how} an act, ${ahead} ahead`,
      happen: (world) => world.strike(process, { at: (world.life(process)?.acts.length ?? 0) + ahead, how }),
    };
  },
  (random) => {
    const [host, ms] = [random.pick(HOSTS), random.between(2_000, 90_000)];
    return {
      what: `${host} is off for ${ms} ms`,
      happen: (world) => {
        if (world.host(host).isUp) {
          world.powerOff(host);
          world.clock.after(ms, () => world.powerOn(host));
        }
      },
    };
  },
  (random) => {
    const [host, ms] = [random.pick(HOSTS), random.between(2_000, 120_000)];
    const cut = (isCut: boolean) => (world: World) => world.cutFromApi(host, isCut);
    return lasting(`${host} does not reach the API server`, ms, [cut(true), cut(false)]);
  },
  (random) => {
    const [server, hypervisor, ms] = [
      random.pick(SERVERS),
      random.pick(['h1', 'h2'] as const),
      random.between(2_000, 120_000),
    ];
    const cut = (isCut: boolean) => (world: World) => world.cut(hypervisor, server, isCut);
    return lasting(`no wire between ${hypervisor} and ${server}`, ms, [cut(true), cut(false)]);
  },
  (random) => {
    const ms = random.between(1_000, 90_000);
    const turn = (isUp: boolean) => (world: World) => world.turnApi(isUp);
    return lasting('the API server is down', ms, [turn(false), turn(true)]);
  },
  () => ({ what: 'all watches break', happen: (world) => world.api.breakWatches() }),
  () => ({ what: 'all watches fall silent', happen: (world) => world.api.freezeWatches() }),
  () => ({ what: 'all watches expire', happen: (world) => world.api.compact() }),
  (random) => {
    const [lag, ms] = [random.between(500, 20_000), random.between(5_000, 60_000)];
    const set = (mostLagMs: number) => (world: World) => void Object.assign(world, { mostLagMs });
    return lasting(`watches are up to ${lag} ms late`, ms, [set(lag), set(LEAST_LAG_MS)]);
  },
  (random) => {
    const ms = random.between(2_000, 30_000);
    const set = (lostAnswers: number) => (world: World) => void Object.assign(world, { lostAnswers });
    return lasting('a third of the answers to writes is lost', ms, [set(1 / 3), set(0)]);
  },
  (random) => {
    const [share, ms] = [random.pick([0.05, 0.2, 0.5] as const), random.between(2_000, 30_000)];
    const set = (struck: number) => (world: World) =>
      void Object.assign(world.commandFaults, { share: struck });
    return lasting(`${share * 100} % of the commands lie, fail or hang`, ms, [set(share), set(0)]);
  },
  (random) => {
    const [host, ms] = [random.pick(['h1', 'h2'] as const), random.between(10_000, 120_000)];
    return {
      what: `${host} is fenced for ${ms} ms`,
      happen: (world) => {
        if (world.api.find(HYPERVISORS, { name: host }) !== undefined) {
          change(world, HYPERVISORS, host, { fenced: true });
          world.clock.after(ms, () => change(world, HYPERVISORS, host, { fenced: false }));
        }
      },
    };
  },
  (random) => {
    const vm = random.pick(VMS);
    return { what: `${vm} restarts`, happen: (world) => world.restartVm(vm) };
  },
];

/** tgtd ends, and is there again with nothing in it. */
const TGT_FAULTS: readonly Maker[] = [
  (random) => {
    const [server, ms] = [random.pick(SERVERS), random.between(500, 40_000)];
    return {
      what: `tgtd of ${server} is killed, and away for ${ms} ms`,
      happen: (world) => world.restartTgt(server, ms),
    };
  },
  (random) => {
    const server = random.pick(SERVERS);
    return { what: `tgtd of ${server} dies while it is asked`, happen: (world) => world.restartTgt(server) };
  },
];

const LIBVIRT_FAULTS: readonly Maker[] = [
  (random) => {
    const [host, ms] = [random.pick(['h1', 'h2'] as const), random.between(500, 40_000)];
    return {
      what: `libvirtd of ${host} is away for ${ms} ms`,
      happen: (world) => world.restartLibvirtd(host, ms),
    };
  },
  (random) => {
    const [vm, ms] = [random.pick(VMS), random.between(5_000, 120_000)];
    return {
      what: `the guest of ${vm} lets no disk go for ${ms} ms`,
      happen: (world) => world.keepDisks(vm, ms),
    };
  },
];

const faultsOf = ({ target, vmm }: Kit): readonly [Maker, ...Maker[]] => [
  ...FAULTS,
  ...(target === 'tgt' ? TGT_FAULTS : []),
  ...(vmm === 'libvirt' ? LIBVIRT_FAULTS : []),
];

/** What happens, from the seed and what its hosts work with. */
export const historyOf = (seed: number, part: Partial<Kit> = {}): readonly Happening[] => {
  const faults = faultsOf(kitOf(part));
  const random = new Random(seed);
  const count = random.between(6, 26);
  const happenings = Array.from({ length: count }, (): Happening => {
    const maker = random.pick(random.chance(0.45) ? faults : USERS);
    return { atMs: random.between(0, LENGTH_MS), ...maker(random) };
  });
  return [...beginningOf(random), ...happenings].toSorted((one, other) => one.atMs - other.atMs);
};

/** A volume that is in use, in most of them. */
const beginningOf = (random: Random): readonly Happening[] => {
  const vm = random.pick(VMS);
  const spec = { volumeRef: { name: 'db' }, instance: { name: vm } };
  const attached: readonly Happening[] = [
    { atMs: 0, what: 'make db', happen: (world) => unless(world, VOLUMES, 'db', { size: '12Mi' }) },
    { atMs: 0, what: `attach db to ${vm}`, happen: (world) => unless(world, ATTACHMENTS, `db-${vm}`, spec) },
  ];
  return random.chance(0.8) ? attached : [];
};

export interface Told {
  readonly wrong: string;
  readonly story: readonly string[];
}

export interface PlayOptions {
  readonly kit?: Partial<Kit> | undefined;
  readonly onLine?: (line: string) => void;
}

/** Undefined when all promises were kept. */
export const play = async (
  seed: number,
  happenings: readonly Happening[],
  { kit, onLine = () => {} }: PlayOptions = {},
): Promise<Told | undefined> => {
  const world = new World({ seed, servers: SERVERS, hypervisors: HYPERVISORS_OF_WORLD, kit, onLine });
  try {
    await begin(world);
    const startMs = world.clock.monotonicMs();
    for (const { atMs, happen } of happenings) {
      await world.pass(Math.max(0, startMs + atMs - world.clock.monotonicMs()));
      happen(world);
    }
    world.spare();
    if (world.kit.initiator === 'qemu') {
      attendTo(world);
    }
    const isOver = () => world.isCalm() && world.isQuiet() && isHeard(world);
    await world.until(
      'all is as it was wanted, and the status says so',
      () => isOver() && isSettled(world) && world.lie() === undefined,
      CONVERGE_MS,
    );
    await world.pass(STAYS_MS);
    world.expectTruth();
    await clear(world);
    return undefined;
  } catch (error) {
    return {
      wrong: error instanceof Broken ? error.message : String((error as Error).stack),
      story: world.story,
    };
  } finally {
    await world.end();
  }
};

/** Each volume that is wanted is Ready, and so is one of the Attachments that want it. */
const isSettled = (world: World): boolean => {
  const volumes = world.api.all<Volume>(VOLUMES);
  const attachments = world.api.all<Attachment>(ATTACHMENTS).filter((one) => !isDeleting(one));
  const isServed = ({ metadata }: KubeObject): boolean => {
    const wanting = attachments.filter(({ spec }) => spec.volumeRef.name === metadata.name);
    return wanting.length === 0 || wanting.filter((one) => isReady(one)).length === 1;
  };
  return (
    volumes.every(
      (volume) => isDeleting(volume) || hasNoSource(volume) || (isReady(volume) && isServed(volume)),
    ) && world.api.all<Attachment>(ATTACHMENTS).every((one) => !isDeleting(one))
  );
};

/** It waits for a source that nobody has made, or that is in use for good. */
const hasNoSource = ({ spec, status }: Volume): boolean =>
  spec.source !== undefined && status?.backend?.everProvisioned !== true;

const clear = async (world: World): Promise<void> => {
  for (const resource of [ATTACHMENTS, SNAPSHOTS, VOLUMES]) {
    for (const { metadata } of world.api
      .all(resource)
      .filter(({ metadata: { namespace } }) => namespace === NAMESPACE)) {
      remove(world, resource, metadata.name);
    }
  }
  await world.untilNothingLeft(CONVERGE_MS);
};

/** Leaves out what the failure does not need. */
export const shrink = async (
  seed: number,
  happenings: readonly Happening[],
  { kit, limit = 60 }: Pick<PlayOptions, 'kit'> & { readonly limit?: number } = {},
): Promise<readonly Happening[]> => {
  let smallest = happenings;
  let tries = 0;
  for (let size = Math.ceil(smallest.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < smallest.length && tries < limit; ) {
      const fewer = [...smallest.slice(0, from), ...smallest.slice(from + size)];
      tries += 1;
      if ((await play(seed, fewer, { kit })) === undefined) {
        from += size;
      } else {
        smallest = fewer;
      }
    }
  }
  return smallest;
};
