// What a world has come to, in a form that can be compared: everything but times, numbers of changes and what follows from them.

import type { KubeObject } from '../../api/object.ts';
import { ATTACHMENTS, SNAPSHOTS, VOLUMES } from '../../api/resources.ts';
import { isDeleting } from '../../api/volume.ts';
import type { World } from './world.ts';

interface Said extends KubeObject {
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason: string;
    }[];
    readonly server?: string;
    readonly hypervisor?: string;
    readonly capacity?: string;
    readonly order?: string;
  };
}

const shown = (object: Said): string => {
  const { conditions = [], server, hypervisor, capacity, order } = object.status ?? {};
  const said = conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`).toSorted();
  const facts = JSON.stringify({ server, hypervisor, capacity, order });
  return `${object.kind} ${object.metadata.name}${isDeleting(object) ? ' (deleted)' : ''}: ${said.join(', ')} ${facts}`;
};

/** Where targets and backstores are, which stays when there are none. */
const isEmptyPlace = (path: string): boolean => /^(?:iscsi|core\/iblock_\d+)$/.test(path);

/** One line for each thing; but for a secret that its agent could not remove at once, which goes with its grant. */
export const fingerprint = ({ api, servers, hypervisors, guests }: World): readonly string[] =>
  [
    ...[VOLUMES, SNAPSHOTS, ATTACHMENTS].flatMap((resource) => api.all<Said>(resource)).map(shown),
    ...servers.flatMap(({ name, lvm, exporter }) => [
      ...lvm.lvs.map((lv) => `${name}: LV ${lv.name} ${lv.bytes} ${lv.tags.toSorted().join(',')}`),
      ...exporter.left().flatMap((thing) => (isEmptyPlace(thing) ? [] : [`${name}: ${thing}`])),
      ...exporter.targets.flatMap((iqn) =>
        [...new Set(exporter.sessions(iqn))].map((initiator) => `${name}: ${initiator} at ${iqn}`),
      ),
    ]),
    ...hypervisors.flatMap(({ name, iscsi, sessions }) => [
      ...sessions.map(({ iqn }) => `${name}: session ${iqn}`),
      ...iscsi.records.map(({ iqn, portal }) => `${name}: record ${iqn} ${portal}`),
    ]),
    ...guests.disks.map(({ host, vm, device, volumeID }) => `${host}: ${device} of ${vm} is ${volumeID}`),
  ].toSorted();
