// The promises of design, as statements about what is really there: on disks, at targets, in VMs, and in what the status says of it.
import type { Attachment } from '../../api/attachment.ts';
import { type Condition, findCondition } from '../../api/conditions.ts';
import type { KubeObject } from '../../api/object.ts';
import {
  ATTACHMENTS,
  HYPERVISORS,
  SNAPSHOTS,
  VOLUME_CLASSES,
  VOLUME_SERVERS,
  VOLUMES,
} from '../../api/resources.ts';
import { isDeleting, type Snapshot, type Volume, type VolumeClass } from '../../api/volume.ts';
import type { Disk } from './guests.ts';
import { STATE } from './host.ts';
import type { ServerHost } from './server-host.ts';
import type { World } from './world.ts';

const IQN = /:(?:vol|snap)[0-9a-f]+$/;
/** What a target needs and is no part of it: a backstore, an account. */
const BESIDE = /^(?:core\/iblock_\d+\/(?:vol|snap)[0-9a-f]+|an account)$/;
const FINAL = /^(?:vol[0-9a-f]{17}|snap[0-9a-f]{16})$/;
const OURS = /^(?:vol|snap)[0-9a-f]/;
/** What LVM's disks hold before anybody writes to them. */
const OLD = 'old';

export const readyOf = (object: KubeObject | undefined): Condition | undefined =>
  findCondition((object as WithConditions | undefined)?.status?.conditions, 'Ready');

interface WithConditions {
  readonly status?: { readonly conditions?: readonly Condition[] };
}

export const isReady = (object: KubeObject | undefined): boolean => readyOf(object)?.status === 'True';

export class Judge {
  readonly #world: World;
  /** What has been seen under its final name. */
  readonly #whole = new Set<string>();
  /** Since when each has been seen put aside. */
  readonly #aside = new Map<string, number>();

  constructor(world: World) {
    this.#world = world;
  }

  /** What must never be. */
  violation(): string | undefined {
    for (const server of this.#world.servers) {
      const wrong =
        twoWriters(server) ??
        unguarded(server) ??
        oldBytes(server) ??
        this.#torn(server) ??
        this.#lostBytes(server) ??
        this.#tooEarly(server);
      if (wrong !== undefined) {
        return wrong;
      }
    }
    return this.#twoConnections() ?? this.#twoDisks();
  }

  /** In two VMs, with a way to its bytes from both; also of one host, whose initiator is one. */
  #twoDisks(): string | undefined {
    const { guests } = this.#world;
    const alive = guests.disks.filter(canRead);
    const twice = alive.find(
      (disk, index) => alive.findIndex(({ volumeID }) => volumeID === disk.volumeID) < index,
    );
    return twice === undefined
      ? undefined
      : `P1: ${twice.volumeID} is in two VMs at once, ${twice.vm} is one of them`;
  }

  /** One grant lets one machine in, also where another one has its name and its keys. */
  #twoConnections(): string | undefined {
    const machines = new Map<string, string>();
    for (const { name, sessions } of this.#world.hypervisors) {
      for (const { iqn, user } of sessions) {
        const other = machines.get(`${iqn} ${user}`) ?? name;
        if (other !== name) {
          return `P1: ${other} and ${name} are connected to ${iqn} under one grant`;
        }
        machines.set(`${iqn} ${user}`, name);
      }
    }
    return undefined;
  }

  /** What shows under a final name is whole from the beginning: nothing, or what its source has once held. */
  #torn(server: ServerHost): string | undefined {
    const { guests } = this.#world;
    for (const { name: id } of server.lvm.lvs.filter((lv) => FINAL.test(lv.name))) {
      const sourceID = this.#world.sourceOf(id);
      const words = server.lvm.read(id);
      const source = sourceID === undefined ? undefined : guests.journal(sourceID);
      if (!this.#whole.has(id)) {
        this.#whole.add(id);
        if (source?.wasOnce(words.slice(0, server.words(sourceID ?? '')?.length)) === false) {
          return `P3: ${id} is called complete and does not hold what ${sourceID} held`;
        }
        if (source !== undefined) {
          guests.journal(id).holds(words);
        }
      }
    }
    return undefined;
  }

  #lostBytes(server: ServerHost): string | undefined {
    for (const [id, journal] of this.#world.guests.journals) {
      if (!this.#world.isWanted(id, server.name)) {
        continue;
      }
      const isAside = (name: string) => this.#world.api.wasRestored && name === `${id}.retained`;
      const stored = server.lvm.lvs.filter(
        ({ name }) => name === id || name.startsWith(`${id}.grow`) || isAside(name),
      );
      const [lv] = stored;
      if (lv === undefined || stored.length > 1) {
        return `P3: ${id}, which nobody deleted, is stored ${stored.length} times`;
      }
      const words = server.lvm.read(lv.name);
      const at = [...journal.blocks.keys()].find((one) => !journal.mayShow(one, words[one] ?? ''));
      if (at !== undefined) {
        return `P3: mebibyte ${at} of ${id} holds ${words[at] || 'nothing'}, and ${journal.block(at).acknowledged || 'nothing'} was acknowledged`;
      }
      const foreign = words.find((word, one) => word !== OLD && !journal.mayShow(one, word));
      if (foreign !== undefined) {
        return `P2: ${id} holds ${foreign}`;
      }
    }
    return undefined;
  }

  /** What was put aside goes only from the trash, and only after its time. What is adopted has another name by then. */
  #tooEarly({ name: host, lvm }: ServerHost): string | undefined {
    const nowMs = this.#world.clock.monotonicMs();
    const states = new Map(
      lvm.lvs.flatMap(({ name }): (readonly [string, string])[] => {
        const [id = '', state = ''] = name.split('.');
        return OURS.test(id) ? [[id, state]] : [];
      }),
    );
    for (const [id, state] of states) {
      const key = `${id} on ${host}`;
      const seconds = (nowMs - (this.#aside.get(key) ?? nowMs)) / 1_000;
      if (state === 'dying' && this.#aside.has(key) && seconds < this.#leastSeconds()) {
        return `P3: ${key} was put aside and is removed after ${seconds} s`;
      }
      if (state !== 'retained') {
        this.#aside.delete(key);
      } else if (!this.#aside.has(key)) {
        this.#aside.set(key, nowMs);
      }
    }
    return undefined;
  }

  /** How long any class keeps what is deleted. */
  #leastSeconds(): number {
    const classes = this.#world.api.all<VolumeClass>(VOLUME_CLASSES);
    return Math.min(...classes.map(({ spec }) => spec.trash?.ttlSeconds ?? Number.POSITIVE_INFINITY));
  }

  /** Once nothing is left to do: does the status say what is there? */
  lie(): string | undefined {
    const { api } = this.#world;
    const lies = [
      ...api.all<Volume>(VOLUMES).map((volume) => this.#lieOfVolume(volume)),
      ...api.all<Attachment>(ATTACHMENTS).map((attachment) => this.#lieOfAttachment(attachment)),
    ];
    return lies.find((lie) => lie !== undefined);
  }

  #lieOfVolume(volume: Volume): string | undefined {
    const { volumeID = '', server } = volume.status ?? {};
    const words = this.#world.servers.find(({ name }) => name === server)?.words(volumeID);
    return isReady(volume) && words === undefined
      ? `${volume.metadata.name} is Ready, and there is no ${volumeID} on ${server}`
      : undefined;
  }

  #lieOfAttachment(attachment: Attachment): string | undefined {
    const { volumeID, hypervisor } = attachment.status ?? {};
    const { name } = attachment.metadata;
    const disk = this.#world.guests.disks.find(
      (one) => one.volumeID === volumeID && this.#world.host(one.host).identity === hypervisor,
    );
    const works = disk !== undefined && canRead(disk);
    return isReady(attachment) === works
      ? undefined
      : `${name} is ${works ? 'not Ready, and' : 'Ready, and no'} disk of it works in a VM of ${hypervisor}`;
  }

  /** What is left of ours although no object is. */
  leftOver(): string | undefined {
    const { api, servers, hypervisors } = this.#world;
    const objects = [VOLUMES, SNAPSHOTS, ATTACHMENTS].flatMap((resource) => api.all(resource));
    const left = [
      ...objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`),
      ...servers.flatMap(({ name, lvm, exporter, tree }) => [
        ...lvm.lvs.filter((lv) => OURS.test(lv.name)).map((lv) => `${lv.name} on ${name}`),
        ...exporter.targets.filter((iqn) => IQN.test(iqn)).map((iqn) => `${iqn} on ${name}`),
        ...exporter
          .left()
          .filter((thing) => BESIDE.test(thing))
          .map((thing) => `${thing} on ${name}`),
        ...tree.list(`${STATE}/volumes`).map((record) => `${record} remembered by ${name}`),
        ...tree.list(`${STATE}/trash`).map((record) => `${record} in the trash of ${name}`),
      ]),
      ...hypervisors.flatMap(({ name, iscsi, machines, sessions, tree }) => [
        ...sessions.map(({ iqn }) => `a session to ${iqn} on ${name}`),
        ...iscsi.records.map(({ iqn }) => `a record of ${iqn} on ${name}`),
        ...machines.kept.map((what) => `${what} on ${name}`),
        ...(tree.has('/dev/vbs') ? tree.list('/dev/vbs') : []).map((link) => `${link} on ${name}`),
        ...tree.list(`${STATE}/attachments`).map((record) => `${record} remembered by ${name}`),
      ]),
      ...this.#world.guests.disks.map(({ vm, device }) => `${device} in ${vm}`),
    ];
    return left.length === 0 ? undefined : `left over: ${left.join(', ')}`;
  }

  /** All that is said of all objects, for a person. */
  describe(): string {
    const { api } = this.#world;
    return [VOLUMES, SNAPSHOTS, ATTACHMENTS, VOLUME_SERVERS, HYPERVISORS]
      .flatMap((resource) => api.all<Volume | Snapshot>(resource))
      .map((object) => {
        const { conditions = [], ...status } = (object.status ?? {}) as {
          readonly conditions?: readonly Condition[];
        };
        const said = conditions.map(
          ({ type, status: is, reason, message }) => `${type}=${is} ${reason} (${message})`,
        );
        return `${object.kind} ${object.metadata.name}${isDeleting(object) ? ' (deleted)' : ''}\n    ${said.join('\n    ')}\n    ${JSON.stringify(status)}`;
      })
      .join('\n');
  }
}

const canRead = ({ backing }: Disk): boolean => {
  try {
    return backing?.read(0) !== undefined;
  } catch {
    return false;
  }
};

const twoWriters = ({ exporter }: ServerHost): string | undefined => {
  for (const iqn of exporter.targets) {
    const allowed = new Set([...exporter.allowed(iqn), ...exporter.sessions(iqn)]);
    if (allowed.size > 1) {
      return `P1: ${[...allowed].join(' and ')} may write to ${iqn} at once`;
    }
  }
  return undefined;
};

const unguarded = ({ name, exporter }: ServerHost): string | undefined => {
  const [open] = exporter.unguarded;
  return open === undefined ? undefined : `P2: ${open} of ${name} asks nobody for a password`;
};

const oldBytes = ({ name, lvm }: ServerHost): string | undefined => {
  const dirty = lvm.lvs.find(
    (lv) => FINAL.test(lv.name) && !lv.overflowed && lvm.read(lv.name).includes(OLD),
  );
  return dirty === undefined ? undefined : `P2: ${dirty.name} on ${name} shows what others left`;
};
