// What an administrator may have on the same hosts, and is none of ours: volume groups, logical volumes in our volume group and in our
// thin pool (also one of a name like ours), targets beside ours, a session and a record beside ours.

import { type HostName, type Lab, LIO_SERVER, POOLS, TGT_SERVER } from './lab.ts';
import { XEN_HOST } from './machines.ts';

interface Kept {
  readonly host: HostName;
  readonly make: readonly string[];
  /** What is told must stay the same. */
  readonly look: readonly string[];
  readonly remove: readonly string[];
}

export interface Others {
  make(): Promise<void>;
  look(): Promise<readonly string[]>;
  remove(): Promise<void>;
}

const { thin } = POOLS;
const IQN = 'iqn.2003-01.org.others:disk';
const FILE = '/root/others.disk';
const TEXT = 'text of others';
const LOOKALIKE = 'vol00000000000000000';
const TID = 77;
const PORT = 3260;
const direct = (device: string): string =>
  `dd if=${device} bs=4096 count=1 iflag=direct status=none | sha256sum`;
const write = (device: string): string =>
  `printf '%-4095s\\n' '${TEXT}' | dd of=${device} bs=4096 count=1 iflag=fullblock oflag=direct conv=notrunc status=none`;

/** For LVM's commands: also devices which the host's own filter leaves out, as a loop device. */
export const UNFILTERED = `--config 'devices/global_filter=["a|.*|"] devices/use_devicesfile=0 devices/scan_lvs=0'`;
const groups: Kept = {
  host: LIO_SERVER,
  make: [
    `truncate -s 32M ${FILE}.group`,
    `loop=$(losetup -f --show ${FILE}.group)`,
    `vgcreate -q ${UNFILTERED} others $loop`,
    `lvcreate -q -y ${UNFILTERED} -L 8M -n others others`,
    `lvcreate -q -y -L 8M -n others ${thin.vg}`,
    `lvcreate -q -y -V 16M -T ${thin.vg}/${thin.thinpool} -n thin-others`,
    `lvcreate -q -y -V 16M -T ${thin.vg}/${thin.thinpool} -n ${LOOKALIKE}`,
    ...['others', 'thin-others', LOOKALIKE].map((name) => write(`/dev/${thin.vg}/${name}`)),
  ],
  look: [
    `vgs ${UNFILTERED} --noheadings -o vg_uuid,vg_seqno,vg_tags others`,
    `lvs --noheadings -o lv_name,lv_uuid,lv_attr,lv_tags -S 'lv_name=~others$ || lv_name=${LOOKALIKE}' ${thin.vg}`,
    ...['others', 'thin-others', LOOKALIKE].map((name) => direct(`/dev/${thin.vg}/${name}`)),
  ],
  remove: [
    `lvremove -q -y ${['others', 'thin-others', LOOKALIKE].map((name) => `${thin.vg}/${name}`).join(' ')}`,
    `vgremove -q -f -y ${UNFILTERED} others`,
    `losetup -D`,
    `rm ${FILE}.group`,
  ],
};

const lioAt = (address: string): Kept => {
  const core = 'core/fileio_99/others';
  const group = `iscsi/${IQN}/tpgt_1`;
  const portal = `${group}/np/${address}:${PORT}`;
  return {
    host: LIO_SERVER,
    make: [
      'modprobe target_core_file && cd /sys/kernel/config/target',
      `truncate -s 8M ${FILE}`,
      `mkdir -p ${core} && echo fd_dev_name=${FILE},fd_dev_size=8388608 >${core}/control && echo 1 >${core}/enable`,
      `mkdir -p ${group}/lun/lun_0 && ln -s ${core} ${group}/lun/lun_0/others`,
      `mkdir ${portal} && echo 1 >${group}/enable`,
    ],
    look: [
      `cd /sys/kernel/config/target && find iscsi/${IQN} core/fileio_99 -not -path '*statistics*' | sort | sha256sum`,
      `cat /sys/kernel/config/target/${group}/enable`,
    ],
    remove: [
      `cd /sys/kernel/config/target && echo 0 >${group}/enable && rmdir ${portal}`,
      `rm ${group}/lun/lun_0/others && rmdir ${group}/lun/lun_0 ${group} iscsi/${IQN} ${core} core/fileio_99 && rm ${FILE}`,
    ],
  };
};

const tgtadm = (mode: string, op: string, more: string): string =>
  `tgtadm --lld iscsi --mode ${mode} --op ${op} --tid ${TID} ${more}`;
const tgt: Kept = {
  host: TGT_SERVER,
  make: [
    `truncate -s 8M ${FILE}`,
    tgtadm('target', 'new', `-T ${IQN}`),
    tgtadm('logicalunit', 'new', `--lun 1 -b ${FILE}`),
    tgtadm('target', 'bind', '-I ALL'),
  ],
  look: [
    `tgtadm --lld iscsi --mode target --op show | awk '/^Target /{ of = /^Target ${TID}:/ } of'`,
    `head -c 4096 ${FILE} | sha256sum`,
  ],
  remove: [tgtadm('target', 'delete', '--force'), `rm ${FILE}`],
};

const sessionAt = (address: string): Kept => {
  const record = `iscsiadm -m node -T ${IQN} -p ${address}:${PORT}`;
  const disk = `$(for s in /sys/class/iscsi_session/*; do grep -qx ${IQN} $s/targetname && ls -d $s/device/target*/*:1/block/* | sed 's|.*/|/dev/|'; done)`;
  return {
    host: XEN_HOST,
    make: [
      `${record} --op new >/dev/null`,
      `${record} --login >/dev/null`,
      `for i in $(seq 100); do [ -b "${disk}" ] && break; sleep 0.2; done`,
      write(disk),
    ],
    look: [
      `iscsiadm -m session | grep ${IQN}`,
      `iscsiadm -m node | grep ${IQN}`,
      `iscsiadm -m iface -I default`,
      direct(disk),
    ],
    remove: [`${record} --logout >/dev/null`, `${record} --op delete`],
  };
};

export const others = (lab: Lab): Others => {
  const addressOf = (host: HostName): string => lab.machine(host).plan.address;
  const all = [groups, lioAt(addressOf(LIO_SERVER)), tgt, sessionAt(addressOf(TGT_SERVER))];
  const run = (host: HostName, commands: readonly string[]): Promise<string> =>
    lab.machine(host).ssh.succeed(commands.join(' &&\n'));
  return {
    make: async () => {
      for (const { host, make } of all) {
        await run(host, make);
      }
    },
    look: async () => await Promise.all(all.map(async ({ host, look }) => await run(host, look))),
    remove: async () => {
      for (const { host, remove } of all.toReversed()) {
        await run(host, remove);
      }
    },
  };
};
