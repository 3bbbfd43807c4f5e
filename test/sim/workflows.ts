// What users and administrators do, step by step; each step ends when what was wanted is there and nobody does anything any more.

import type { Attachment } from '../../api/attachment.ts';
import { findCondition } from '../../api/conditions.ts';
import type { ServerAgent, VolumeServer } from '../../api/hosts.ts';
import { uuidFrom } from '../../api/ids.ts';
import { CONTINUES_CLUSTER } from '../../api/names.ts';
import type { KubeObject, Resource } from '../../api/object.ts';
import {
  API_VERSION,
  ATTACHMENTS,
  HYPERVISORS,
  SNAPSHOTS,
  VOLUME_CLASSES,
  VOLUME_SERVERS,
  VOLUMES,
} from '../../api/resources.ts';
import type { Volume } from '../../api/volume.ts';
import { isReady, readyOf } from './judge.ts';
import type { Kit } from './kit.ts';
import type { World } from './world.ts';

export const NAMESPACE = 'team';
const SIZE_MIB = 16;
/** Longer than a guest is given before it is asked again. */
const KEEPS_MS = 25_000;
/** Longer than any blow keeps a person from having it back. */
const TTL_SECONDS = 400;
/** The class with trash. */
const KEPT = 'kept';
type Retained = NonNullable<ServerAgent['retained']>[number] & { readonly volumeServer: string };

export interface Step {
  readonly what: string;
  readonly do: (world: World) => void;
  readonly isDone: (world: World) => boolean;
}

export interface Workflow {
  readonly name: string;
  /** What has happened before, without a fault. */
  readonly before?: readonly Step[];
  /** What is not named is as usual. */
  readonly kit?: Partial<Kit>;
  readonly steps: readonly Step[];
}

const at = (name: string) => ({ name, namespace: NAMESPACE });
export const make = (world: World, resource: Resource, name: string, spec: object): void => {
  world.tell(`user: makes ${resource.kind} ${name} ${JSON.stringify(spec)}`);
  const metadata = resource.namespaced ? at(name) : { name };
  world.api.create(resource, { apiVersion: API_VERSION, kind: resource.kind, metadata, spec } as never);
};
export const change = (world: World, resource: Resource, name: string, spec: object): void => {
  world.tell(`user: changes ${resource.kind} ${name} ${JSON.stringify(spec)}`);
  world.api.patch(resource, resource.namespaced ? at(name) : { name }, { spec });
};
export const remove = (world: World, resource: Resource, name: string): void => {
  world.tell(`user: deletes ${resource.kind} ${name}`);
  world.api.remove(resource, at(name));
};
/** Deleted and its finalizers taken off by hand, in either order, so that it is really gone. */
export const strip = (world: World, resource: Resource, name: string): void => {
  const bare = { metadata: { finalizers: [] } };
  const [strips, deletes] = [
    () => find(world, resource, name) && world.api.patch(resource, at(name), bare),
    () => world.api.remove(resource, at(name)),
  ];
  const isSeenDeleted = world.random.chance(0.5);
  world.tell(
    `administrator: ${isSeenDeleted ? 'deletes and strips' : 'strips and deletes'} ${resource.kind} ${name}`,
  );
  for (const step of isSeenDeleted ? [deletes, strips] : [strips, deletes]) {
    step();
  }
};
export const find = (world: World, resource: Resource, name: string): KubeObject | undefined =>
  world.api.find(resource, at(name));
const ready = (resource: Resource, name: string) => (world: World) => isReady(find(world, resource, name));
const gone = (resource: Resource, name: string) => (world: World) =>
  find(world, resource, name) === undefined;

export const create = (name: string, spec: object = { size: `${SIZE_MIB}Mi` }): Step => ({
  what: `create ${name}`,
  do: (world) => make(world, VOLUMES, name, spec),
  isDone: ready(VOLUMES, name),
});
/** With some writes. */
export const attach = (volume: string, vm: string): Step => {
  let before = 0;
  return {
    what: `attach ${volume} to ${vm}`,
    do: (world) => {
      before = world.guests.written;
      make(world, ATTACHMENTS, `${volume}-${vm}`, { volumeRef: { name: volume }, instance: { name: vm } });
    },
    isDone: (world) => ready(ATTACHMENTS, `${volume}-${vm}`)(world) && world.guests.written > before + 3,
  };
};
export const detach = (volume: string, vm: string): Step => ({
  what: `detach ${volume} from ${vm}`,
  do: (world) => remove(world, ATTACHMENTS, `${volume}-${vm}`),
  isDone: gone(ATTACHMENTS, `${volume}-${vm}`),
});
/** Its guest keeps the disk for a while. */
export const detachLate = (volume: string, vm: string): Step => ({
  ...detach(volume, vm),
  what: `detach ${volume} from ${vm}, which keeps it at first`,
  do: (world) => {
    world.keepDisks(vm, KEEPS_MS);
    remove(world, ATTACHMENTS, `${volume}-${vm}`);
  },
});
/** It gets its disks again, and goes on writing. */
export const restart = (vm: string): Step => {
  let before = 0;
  return {
    what: `restart ${vm}`,
    do: (world) => {
      world.restartVm(vm);
      before = world.guests.written;
    },
    isDone: (world) => world.lie() === undefined && world.guests.written > before + 3,
  };
};
export const snapshot = (volume: string, name: string): Step => ({
  what: `snapshot ${volume}`,
  do: (world) => make(world, SNAPSHOTS, name, { volumeRef: { name: volume } }),
  isDone: ready(SNAPSHOTS, name),
});
export const grow = (volume: string, mebibytes: number): Step => ({
  what: `grow ${volume}`,
  do: (world) => change(world, VOLUMES, volume, { size: `${mebibytes}Mi` }),
  isDone: (world) => {
    const found = world.api.find<Volume>(VOLUMES, at(volume));
    const isShown = findCondition(found?.status?.conditions, 'Resized')?.status !== 'False';
    return isReady(found) && found?.status?.capacity === `${mebibytes}Mi` && isShown;
  },
});
export const removeVolume = (name: string): Step => ({
  what: `delete ${name}`,
  do: (world) => remove(world, VOLUMES, name),
  isDone: gone(VOLUMES, name),
});
export const removeSnapshot = (name: string): Step => ({
  what: `delete snapshot ${name}`,
  do: (world) => remove(world, SNAPSHOTS, name),
  isDone: gone(SNAPSHOTS, name),
});
/** Its data stays for this time when it is deleted. */
export const offerTrash = (ttlSeconds: number): Step => ({
  what: `offer a class with ${ttlSeconds} s of trash`,
  do: (world) =>
    make(world, VOLUME_CLASSES, KEPT, { poolSelector: { profile: 'lvm-thick' }, trash: { ttlSeconds } }),
  isDone: () => true,
});
export const createKept = (name: string): Step => create(name, { size: `${SIZE_MIB}Mi`, className: KEPT });
/** What all servers tell of retained data. */
export const retainedIn = (world: World): readonly Retained[] =>
  world.api
    .all<VolumeServer>(VOLUME_SERVERS)
    .flatMap(({ metadata, status }) =>
      (status?.agent?.retained ?? []).map((one) => ({ ...one, volumeServer: metadata.name })),
    );
/** Of what had an owner of that name. */
export const retainedOf = (world: World, name: string): Retained | undefined =>
  retainedIn(world).find((one) => one.name === name);
export const trashVolume = (name: string): Step => ({
  what: `delete ${name} to the trash`,
  do: (world) => remove(world, VOLUMES, name),
  isDone: (world) => gone(VOLUMES, name)(world) && retainedOf(world, name)?.trash !== undefined,
});
export const existing = ({ volumeServer, id }: Retained): object => ({
  className: KEPT,
  source: { existing: { volumeServer, id } },
});
export const undelete = (name: string, as: string): Step => ({
  what: `have ${name} back as ${as}`,
  do: (world) => {
    const found = retainedOf(world, name);
    make(world, VOLUMES, as, found === undefined ? {} : existing(found));
  },
  isDone: (world) => ready(VOLUMES, as)(world) && retainedOf(world, name) === undefined,
});
export const trashExpires: Step = {
  what: 'the time in the trash passes',
  do: () => {},
  isDone: (world) => world.leftOver() === undefined,
};
/** Several at once. */
export const together = (...steps: readonly Step[]): Step => ({
  what: steps.map(({ what }) => what).join(' and '),
  do: (world) => {
    for (const step of steps) {
      step.do(world);
    }
  },
  isDone: (world) => steps.every((step) => step.isDone(world)),
});

/** The store is lost; a cluster in its place has nothing but its hosts, and then what they hold. */
const losing = (): { readonly lose: Step; readonly apply: Step } => {
  let held: readonly (readonly [Resource, string, object])[] = [];
  return {
    lose: {
      what: 'lose the store',
      do: (world) => {
        held = [
          ...world.api.all<Volume>(VOLUMES).map(({ metadata, spec, status }) => {
            const source = { existing: { volumeServer: status?.server, id: status?.volumeID } };
            return [VOLUMES, metadata.name, { ...spec, source }] as const;
          }),
          ...world.api
            .all<Attachment>(ATTACHMENTS)
            .map(({ metadata, spec }) => [ATTACHMENTS, metadata.name, spec] as const),
        ];
        world.api.startAnew(uuidFrom('new cluster'), { [CONTINUES_CLUSTER]: uuidFrom('cluster') });
        makeClass(world);
      },
      isDone: (world) => hostsAreReady(world),
    },
    apply: {
      what: 'apply what the hosts hold',
      do: (world) => {
        for (const [resource, name, spec] of held) {
          make(world, resource, name, spec);
        }
      },
      isDone: (world) =>
        [VOLUMES, ATTACHMENTS].every((resource) =>
          world.api.all(resource).every((object) => isReady(object)),
        ),
    },
  };
};
const loss = losing();

const MOVE: readonly Step[] = [
  create('db'),
  attach('db', 'vm-a'),
  detach('db', 'vm-a'),
  attach('db', 'vm-b'),
  together(detach('db', 'vm-b'), removeVolume('db')),
];

export const WORKFLOWS: readonly Workflow[] = [
  {
    name: 'volumes of a store that was lost',
    before: [create('db'), attach('db', 'vm-a'), create('idle'), loss.lose],
    steps: [loss.apply, together(detach('db', 'vm-a'), removeVolume('db'), removeVolume('idle'))],
  },
  {
    name: 'a volume that moves',
    steps: MOVE,
  },
  {
    name: 'a volume of tgt that moves',
    kit: { target: 'tgt' },
    steps: MOVE,
  },
  {
    name: 'a volume of tgt that moves between machines which log in themselves',
    kit: { target: 'tgt', vmm: 'libvirt', initiator: 'qemu' },
    steps: MOVE,
  },
  {
    name: 'a volume of tgt that moves between machines of libvirt',
    kit: { target: 'tgt', vmm: 'libvirt' },
    steps: MOVE,
  },
  {
    name: 'a thin volume of LIO that grows in a machine of libvirt which is restarted',
    kit: { pool: 'lvm-thin', vmm: 'libvirt' },
    steps: [
      create('db'),
      attach('db', 'vm-a'),
      grow('db', 24),
      restart('vm-a'),
      together(detach('db', 'vm-a'), removeVolume('db')),
    ],
  },
  {
    name: 'a machine that logs in itself is restarted, and lets go late',
    kit: { target: 'tgt', vmm: 'libvirt', initiator: 'qemu' },
    steps: [
      together(create('db'), attach('db', 'vm-a')),
      restart('vm-a'),
      detachLate('db', 'vm-a'),
      attach('db', 'vm-a'),
      together(removeVolume('db'), detach('db', 'vm-a')),
    ],
  },
  {
    name: 'a volume and its first Attachment applied at once, and deleted at once',
    steps: [together(attach('db', 'vm-a'), create('db')), together(removeVolume('db'), detach('db', 'vm-a'))],
  },
  {
    name: 'a snapshot of a volume in use, and a volume made of it',
    steps: [
      create('db'),
      attach('db', 'vm-a'),
      snapshot('db', 'monday'),
      create('copy', { source: { snapshotRef: { name: 'monday' } } }),
      attach('copy', 'vm-b'),
      together(detach('copy', 'vm-b'), removeVolume('copy')),
      removeSnapshot('monday'),
      together(detach('db', 'vm-a'), removeVolume('db')),
    ],
  },
  {
    name: 'a volume that grows',
    steps: [
      create('db'),
      attach('db', 'vm-a'),
      detach('db', 'vm-a'),
      grow('db', 24),
      attach('db', 'vm-a'),
      together(detach('db', 'vm-a'), removeVolume('db')),
    ],
  },
  {
    name: 'a volume that is deleted to the trash, had back, and gone when its time is over',
    steps: [
      offerTrash(TTL_SECONDS),
      createKept('db'),
      attach('db', 'vm-a'),
      detach('db', 'vm-a'),
      trashVolume('db'),
      undelete('db', 'again'),
      attach('again', 'vm-b'),
      together(detach('again', 'vm-b'), removeVolume('again')),
      trashExpires,
    ],
  },
  {
    name: 'thin snapshots of volumes in use, what is made of them, and all of it deleted in any order',
    kit: { pool: 'lvm-thin' },
    steps: [
      create('db'),
      attach('db', 'vm-a'),
      snapshot('db', 'monday'),
      create('copy', { source: { snapshotRef: { name: 'monday' } } }),
      together(attach('copy', 'vm-b'), removeSnapshot('monday')),
      snapshot('copy', 'tuesday'),
      // It is copied once it is attached nowhere.
      together(detach('copy', 'vm-b'), create('twin', { source: { volumeRef: { name: 'copy' } } })),
      removeVolume('copy'),
      create('late', { source: { snapshotRef: { name: 'tuesday' } }, size: '20Mi' }),
      together(removeSnapshot('tuesday'), removeVolume('twin'), attach('late', 'vm-b')),
      together(detach('late', 'vm-b'), removeVolume('late'), detach('db', 'vm-a'), removeVolume('db')),
    ],
  },
  {
    name: 'a thin volume that grows while it is in use, with a snapshot',
    kit: { pool: 'lvm-thin' },
    steps: [
      create('db'),
      attach('db', 'vm-a'),
      snapshot('db', 'monday'),
      grow('db', 24),
      together(detach('db', 'vm-a'), removeVolume('db')),
      create('old', { source: { snapshotRef: { name: 'monday' } } }),
      together(removeSnapshot('monday'), removeVolume('old')),
    ],
  },
];

export const makeClass = (world: World): void =>
  make(world, VOLUME_CLASSES, 'standard', { default: true, poolSelector: { profile: world.kit.pool } });

/** Hosts are there, and a class. */
export const begin = async (world: World): Promise<void> => {
  await world.start();
  makeClass(world);
  await world.until('all hosts are Ready', () => hostsAreReady(world));
};

const hostsAreReady = (world: World): boolean => {
  const hosts = [...world.api.all(HYPERVISORS), ...world.api.all(VOLUME_SERVERS)];
  return hosts.length === world.hosts.length && hosts.every((host) => isReady(host));
};

/** A controller that has just started waits for a sign of life from each host. */
export const isHeard = (world: World): boolean =>
  [VOLUMES, SNAPSHOTS, ATTACHMENTS].every((resource) =>
    world.api.all(resource).every((object) => readyOf(object)?.status !== 'Unknown'),
  );

export const perform = async (world: World, { what, do: act, isDone }: Step): Promise<void> => {
  act(world);
  await world.until(what, () => isDone(world) && world.isCalm() && world.isQuiet() && isHeard(world));
};

/** Up to where the workflow begins; the world is one with its kit. */
export const prepare = async (world: World, { before = [] }: Workflow): Promise<void> => {
  await begin(world);
  for (const step of before) {
    await perform(world, step);
  }
};
