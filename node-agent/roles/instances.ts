/** The machines of a hypervisor, as the rows of the `instances` look tell them. Pure. */

import type { Row } from '../profiles/row.ts';
import { CannotLook, InstanceAmbiguous, InstanceNotFound } from './errors.ts';
import type { Instance, InstanceRef, InstanceState, Vmm } from './vmm.ts';

const STATES: readonly string[] = [
  'Running',
  'Stopped',
  'Paused',
  'Unknown',
] satisfies readonly InstanceState[];
const isState = (text: string | undefined): text is InstanceState => STATES.includes(text ?? '');

/** With the ids by which a tool's commands know it now; none where they know its UUID. Ids are never kept. */
export interface Machine extends Instance {
  readonly ids: readonly string[];
}

export interface Machines {
  readonly machines: readonly Machine[];
  /** Machines without a UUID, by name and id: nothing tells them apart for good, so they take no disks. */
  readonly unidentified: readonly string[];
}

/** The machine an Attachment means. A name is only ever compared with names, a UUID with UUIDs, a number with numbers. */
export const findInstance = <T extends Instance>(instances: readonly T[], ref: InstanceRef): T => {
  const wanted = ref.uuid?.toLowerCase();
  const matches = instances.filter(({ name, uuid, vmid }) => {
    if (wanted !== undefined) {
      return uuid.toLowerCase() === wanted;
    }
    return ref.vmid === undefined ? name === ref.name : vmid === ref.vmid;
  });
  const [first] = matches;
  const shown = ref.name ?? ref.uuid ?? String(ref.vmid);
  if (first === undefined) {
    throw new InstanceNotFound(shown);
  }
  if (matches.length > 1) {
    throw new InstanceAmbiguous(
      shown,
      matches.map(({ uuid }) => uuid),
    );
  }
  return first;
};

/** May it hold a disk? A stopped one does where the hypervisor keeps disks in its saved configuration. */
export const mayHoldDisks = ({ can }: Pick<Vmm, 'can'>, { state }: Instance): boolean =>
  state !== 'Stopped' || can.keepsDisks;

const vmidOf = ({ vmid }: Row): { readonly vmid?: number } => {
  if (vmid === undefined) {
    return {};
  }
  if (!/^[1-9]\d{0,8}$/.test(vmid)) {
    throw new CannotLook('instances', `${vmid.slice(0, 40)} is no number of a machine`);
  }
  return { vmid: Number(vmid) };
};

const machineOf = (row: Row, uuid: string): Machine => {
  const { name = '', state, id } = row;
  if (!isState(state)) {
    throw new CannotLook('instances', `${uuid} has the unknown state ${state}`);
  }
  return { uuid, name, state, ...vmidOf(row), ids: id === undefined ? [] : [id] };
};

/** Two sights of one machine. It may have changed between the questions; then its state is Unknown. */
const sameMachine = (one: Machine, other: Machine): Machine => {
  const agreed = one.state === 'Unknown' || other.state === 'Unknown' || one.state === other.state;
  const better = one.state === 'Unknown' ? other : one;
  return { ...better, state: agreed ? better.state : 'Unknown' };
};

/**
 * Two ids under one UUID. While a machine restarts its old self may still be ending: the one whose state is known is meant, and
 * disks are looked for in both. Two that live are two machines with the same UUID: nothing is plugged in.
 */
const underOneUUID = (machines: readonly Machine[]): Machine => {
  const ids = machines.flatMap((machine) => machine.ids);
  const known = machines.filter(({ state }) => state !== 'Unknown');
  const [first] = known.length === 1 ? known : machines;
  if (first === undefined) {
    throw new TypeError('a UUID without a machine');
  }
  const { vmid: _, ...common } = first;
  return { ...common, ids, state: known.length === 1 ? first.state : 'Unknown' };
};

/** Rows of kind `uuid` tell the UUIDs of machines that the other rows name by id only. */
export const mergeInstances = (rows: readonly Row[]): Machines => {
  const uuids = new Map(
    rows.flatMap(({ kind, id = '', uuid = '' }) => (kind === 'uuid' ? [[id, uuid]] : [])),
  );
  const byUUID = new Map<string, Map<string, Machine>>();
  const unidentified: string[] = [];
  for (const row of rows.filter(({ kind }) => kind !== 'uuid')) {
    const uuid = (row.uuid ?? uuids.get(row.id ?? ''))?.toLowerCase();
    if (uuid === undefined) {
      unidentified.push(`${row.name} (${row.vmid ?? row.id})`);
      continue;
    }
    const seen = byUUID.get(uuid) ?? new Map<string, Machine>();
    const machine = machineOf(row, uuid);
    const known = seen.get(row.id ?? '');
    seen.set(row.id ?? '', known === undefined ? machine : sameMachine(known, machine));
    byUUID.set(uuid, seen);
  }
  const machines = [...byUUID.values()].map((seen) => {
    const [only, ...more] = seen.values();
    return only !== undefined && more.length === 0 ? only : underOneUUID([...seen.values()]);
  });
  return { machines, unidentified };
};
