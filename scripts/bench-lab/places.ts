/** Where the guest's disk may be: each place makes one, plugs it in and takes it away again. */

import type { LabGuest } from '../../test/harness/lab/guest.ts';
import { type HostName, type Lab, LIO_SERVER, POOLS, TGT_SERVER } from '../../test/harness/lab/lab.ts';
import { XEN_HOST } from '../../test/harness/lab/machines.ts';
import { LabStory, volume } from '../../test/harness/lab/story.ts';

const SIZE_MIB = 256;
export const OVER_LIO = 'VBS-LVM, LIO';
/** What VBS gives away begins with xvdb. */
const GUEST_DEVICE = 'xvdp';
const LOCAL_VG = 'local';
const LOCAL_DISK = '/dev/vdb';
const AOE_DEVICE = '/dev/etherd/e0.1';
/** The machines' card in the network between them. */
const AOE_CARD = 'eth1';

/** Commands of the server for a volume of its thin pool. */
export const thinVolume = (name: string) => {
  const { vg, thinpool } = POOLS.thin;
  return {
    device: `/dev/${vg}/${name}`,
    make: `lvcreate -q -y -V ${SIZE_MIB}M -T ${vg}/${thinpool} -n ${name}`,
    remove: `lvremove -q -y ${vg}/${name}`,
  };
};

/** What was in use a moment ago is let go of a moment later. */
const soon = (command: string): string =>
  `for i in $(seq 50); do ${command} && exit 0; sleep 0.2; done; exit 1`;

export interface Opened {
  /** In the guest. */
  readonly device: string;
  /** The same disk in Dom0, where it comes over the network. */
  readonly host?: string;
}

export interface Place {
  readonly name: string;
  open(): Promise<Opened>;
  close(): Promise<void>;
}

interface Hosts {
  readonly dom0: (command: string) => Promise<string>;
  readonly server: (command: string) => Promise<string>;
  /** Answers the guest's name for it. */
  readonly plug: (target: string) => Promise<string>;
  readonly unplug: () => Promise<void>;
}

const hostsOf = (lab: Lab, guest: LabGuest): Hosts => {
  const shell =
    (host: typeof XEN_HOST | typeof LIO_SERVER) =>
    (command: string): Promise<string> =>
      lab.machine(host).ssh.succeed(command, { timeoutMs: 600_000 });
  const dom0 = shell(XEN_HOST);
  return {
    dom0,
    server: shell(LIO_SERVER),
    plug: async (target) => {
      const disk = `format=raw,vdev=${GUEST_DEVICE},access=w,target=${target}`;
      await dom0(`xl block-attach ${guest.name} '${disk}'`);
      return GUEST_DEVICE;
    },
    unplug: async () => {
      await dom0(`xl block-detach ${guest.name} ${GUEST_DEVICE}`);
    },
  };
};

const localVolume = ({ dom0, plug, unplug }: Hosts): Place => ({
  name: 'local LV',
  open: async () => {
    await dom0(
      `pvcreate -q -f -y ${LOCAL_DISK} && vgcreate -q ${LOCAL_VG} ${LOCAL_DISK} && lvcreate -q -y -L ${SIZE_MIB}M -n disk ${LOCAL_VG}`,
    );
    return { device: await plug(`/dev/${LOCAL_VG}/disk`) };
  },
  close: async () => {
    await unplug();
    await dom0(`vgremove -q -f -y ${LOCAL_VG} && pvremove -q -y ${LOCAL_DISK}`);
  },
});

const localImage = ({ dom0, plug, unplug }: Hosts): Place => ({
  name: 'local image',
  open: async () => {
    await dom0(
      `mke2fs -q -F -t ext4 ${LOCAL_DISK} && mkdir -p /images && mount ${LOCAL_DISK} /images && dd if=/dev/zero of=/images/disk.img bs=1M count=${SIZE_MIB} conv=fsync status=none`,
    );
    const loop = await dom0('losetup -f --show --direct-io=on /images/disk.img');
    return { device: await plug(loop.trim()) };
  },
  close: async () => {
    await unplug();
    await dom0(`losetup -D; ${soon('umount /images')}`);
  },
});

const AOE = thinVolume('aoe');

/** With a thin volume of the server, as ours are. */
const aoe = ({ dom0, server, plug, unplug }: Hosts): Place => ({
  name: 'AoE-LVM',
  open: async () => {
    await server(
      `${AOE.make} && { setsid vblade -d 0 1 ${AOE_CARD} ${AOE.device} </dev/null >/run/vblade.log 2>&1 & echo $! >/run/vblade.pid; }`,
    );
    await dom0(
      `modprobe aoe aoe_iflist=${AOE_CARD} && for i in $(seq 60); do aoe-discover; [ -b ${AOE_DEVICE} ] && break; sleep 1; done; [ -b ${AOE_DEVICE} ]`,
    );
    return { device: await plug(AOE_DEVICE), host: AOE_DEVICE };
  },
  close: async () => {
    await unplug();
    await dom0(soon('rmmod aoe'));
    await server(`kill $(cat /run/vblade.pid); ${soon(AOE.remove)}`);
  },
});

const ours = (
  lab: Lab,
  guest: LabGuest,
  { name, volumeServer }: { readonly name: string; readonly volumeServer: HostName },
): Place => {
  const story = new LabStory(lab);
  const object = `bench-${volumeServer}`;
  return {
    name,
    open: async () => {
      await story.apply(volume(object, { volumeServer, size: `${SIZE_MIB}Mi` }));
      await story.ready(`vbsvol/${object}`);
      const [device = ''] = await story.plugIn(guest, object);
      const link = `ls -d /dev/vbs/${await story.idOf(object)}.*`;
      return { device, host: (await lab.machine(XEN_HOST).ssh.succeed(link)).trim() };
    },
    close: async () => {
      await story.unplug(guest, object);
      await story.delete(`vbsvol/${object}`);
    },
  };
};

export const placesOf = (lab: Lab, guest: LabGuest): readonly Place[] => {
  const hosts = hostsOf(lab, guest);
  return [
    localVolume(hosts),
    localImage(hosts),
    aoe(hosts),
    ours(lab, guest, { name: OVER_LIO, volumeServer: LIO_SERVER }),
    ours(lab, guest, { name: 'VBS-LVM, tgt', volumeServer: TGT_SERVER }),
  ];
};
