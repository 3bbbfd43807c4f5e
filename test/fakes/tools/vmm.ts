// A hypervisor whose running machines log in to played targets themselves, and the tool that asks a disk who it is.
import type { Outcome } from '../../../node-agent/profiles/vocabulary.ts';
import type { Given, Tool } from './played.ts';
import type { Disk, Login, PlayedTargets } from './target.ts';

interface PlugIn {
  readonly volumeID: string;
  readonly iqn: string;
  readonly grant: string;
  readonly session: number;
}

interface Machine {
  readonly name: string;
  readonly uuid: string;
  readonly disks: Map<string, PlugIn>;
}

/** Finds a target anywhere in the played network. */
export type Find = (iqn: string) => PlayedTargets | undefined;

export interface PlayedVmm {
  readonly vmm: Tool;
  readonly initiator: Tool;
  /** Disks of ours in all machines. */
  readonly disks: () => number;
}

export interface VmmWorld {
  readonly find: Find;
  /** Told when two initiators have sessions on one target at once. */
  readonly onTwoWriters: (iqn: string) => void;
}

const loginOf = (given: Given, password: string): Login => ({
  iqn: given('iqn'),
  lun: given('lun'),
  initiator: given('initiator'),
  user: given('chap.user'),
  password,
});

export function playedVmm(names: readonly string[], { find, onTwoWriters }: VmmWorld): PlayedVmm {
  const machines = new Map<string, Machine>(
    names.map((name) => {
      const uuid = crypto.randomUUID();
      return [uuid, { name, uuid, disks: new Map() }];
    }),
  );
  const secrets = new Map<string, string>();
  const on = (work: (machine: Machine, given: Given) => Outcome | undefined) => (given: Given) => {
    const machine = machines.get(given('instance.uuid'));
    return machine === undefined ? 'absent' : work(machine, given);
  };
  const ask = (say: (disk: Disk) => Readonly<Record<string, string>>) => (given: Given) => {
    const answer = find(given('iqn'))?.ask(loginOf(given, given('chap.password'))) ?? 'denied';
    return typeof answer === 'string' ? answer : [say(answer)];
  };
  const plugIn = (machine: Machine, given: Given): Outcome | undefined => {
    const [iqn, device, grant] = [given('iqn'), given('device'), given('grant.uuid')];
    const targets = find(iqn);
    const session = targets?.open(loginOf(given, secrets.get(grant) ?? ''));
    if (machine.disks.has(device) || session === undefined) {
      return machine.disks.has(device) ? 'exists' : 'denied';
    }
    if ((targets?.initiatorsOf(iqn).size ?? 0) > 1) {
      onTwoWriters(iqn);
    }
    machine.disks.set(device, { volumeID: given('volume.id'), iqn, grant, session });
    return undefined;
  };
  const vmm: Tool = {
    instances: () => [...machines.values()].map(({ name, uuid }) => ({ name, uuid, state: 'Running' })),
    disks: (given) => {
      const machine = machines.get(given('instance.uuid'));
      return machine === undefined
        ? 'absent'
        : [
            { kind: 'instance', uuid: machine.uuid, live: '1' },
            ...[...machine.disks].map(([device, { volumeID, iqn, grant }]) => ({
              kind: 'disk',
              device,
              serial: volumeID,
              alias: `ua-vbs-${volumeID}`,
              source: `${iqn}/1`,
              grant,
            })),
          ];
    },
    settled: () => [],
    defineSecret: (given) => {
      secrets.set(given('grant.uuid'), given('chap.password'));
      return undefined;
    },
    removeSecret: (given) => {
      secrets.delete(given('grant.uuid'));
      return undefined;
    },
    secrets: () => [...secrets.keys()].map((grant) => ({ grant })),
    'attach.iscsi': on(plugIn),
    detach: on((machine, given) => {
      const disk = machine.disks.get(given('device'));
      if (disk !== undefined) {
        find(disk.iqn)?.end(disk.iqn, disk.session);
        machine.disks.delete(given('device'));
      }
      return undefined;
    }),
  };
  return {
    vmm,
    initiator: {
      serial: ask(({ serial }) => ({ serial })),
      capacity: ask(({ sizeBytes }) => ({ size: String(sizeBytes) })),
    },
    disks: () => [...machines.values()].reduce((sum, { disks }) => sum + disks.size, 0),
  };
}
