/** The machines of a hypervisor and their disks: the looks of the vmm role. */

import type { BoundProfile } from '../profiles/bind.ts';
import type { Row } from '../profiles/row.ts';
import { CannotLook, InstanceAmbiguous, InstanceNotFound, InstanceNotRunning } from './errors.ts';
import type { Instance, InstanceRef, InstanceState, VmDisk } from './vmm.ts';

const STATES: readonly string[] = [
  'Running',
  'Stopped',
  'Paused',
  'Unknown',
] satisfies readonly InstanceState[];
const isState = (text: string | undefined): text is InstanceState => STATES.includes(text ?? '');

const OURS = /^(?:ua-vbs-)?(vol[0-9a-f]{17})$/;

/** The machine an Attachment means. A name is only ever compared with names, a UUID with UUIDs. */
export const findInstance = (instances: readonly Instance[], ref: InstanceRef): Instance => {
  const wanted = ref.uuid?.toLowerCase();
  const matches = instances.filter(({ name, uuid }) =>
    wanted === undefined ? name === ref.name : uuid.toLowerCase() === wanted,
  );
  const [first] = matches;
  const shown = ref.name ?? ref.uuid;
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

/** A machine may be seen in two states when it changed between the questions; then its state is Unknown. */
export const mergeInstances = (rows: readonly Row[]): readonly Instance[] => {
  const merged = new Map<string, Instance>();
  for (const { uuid = '', name = '', state } of rows) {
    if (!isState(state)) {
      throw new CannotLook('instances', `${uuid} has the unknown state ${state}`);
    }
    const known = merged.get(uuid)?.state ?? 'Unknown';
    const agreed = known === 'Unknown' || state === 'Unknown' || known === state;
    const better = known === 'Unknown' ? state : known;
    merged.set(uuid, { uuid, name, state: agreed ? better : 'Unknown' });
  }
  return [...merged.values()];
};

const diskOf = ({ device = '', alias, serial, source, grant }: Row): VmDisk => {
  const volumeID = OURS.exec(alias ?? '')?.[1] ?? OURS.exec(serial ?? '')?.[1];
  const iqn = /^(iqn\.[^/]+)\/\d+$/.exec(source ?? '')?.[1];
  return {
    device,
    ...(volumeID === undefined ? {} : { volumeID }),
    ...(iqn === undefined ? {} : { iqn }),
    ...(grant === undefined || grant === '' ? {} : { grantUUID: grant }),
  };
};

export const disksOf = async (
  profile: BoundProfile,
  instance: Instance,
  signal: AbortSignal,
): Promise<readonly VmDisk[]> => {
  const { outcome, rows } = await profile.call('disks', { 'instance.uuid': instance.uuid }, signal);
  if (outcome === 'absent') {
    throw new InstanceNotFound(instance.name);
  }
  const shown = rows.find(({ kind }) => kind === 'instance');
  if (outcome === 'notRunning' || (shown !== undefined && (shown.live ?? '') === '')) {
    throw new InstanceNotRunning(instance.name, 'not running');
  }
  if (shown?.uuid?.toLowerCase() !== instance.uuid.toLowerCase()) {
    throw new CannotLook(instance.name, `asked for ${instance.uuid} and was shown ${shown?.uuid ?? 'none'}`);
  }
  return rows.filter(({ kind }) => kind === 'disk').map(diskOf);
};
