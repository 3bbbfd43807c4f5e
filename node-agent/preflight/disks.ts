// The disks of a host, its own apart from those that come by iSCSI.
import { errorCode, type Files } from '../exec/files.ts';

export interface HostDisks {
  /** Patterns, after `/dev/`, of what may carry the host's own volume groups. */
  readonly own: readonly string[];
  /** Names which the kernel has given to disks that are not ours. */
  readonly taken: ReadonlySet<string>;
}

const LETTERS = [...'abcdefghijklmnopqrstuvwxyz'];

/** In the order in which the kernel gives them: sda to sdz, then sdaa to sdzz. */
export const DISK_NAMES: readonly string[] = [
  ...LETTERS,
  ...LETTERS.flatMap((first) => LETTERS.map((second) => first + second)),
].map((letters) => `sd${letters}`);

/** Links to a disk of ours: of udev, by way, vendor and serial, and our own. */
export const namesOfIscsiDisk = (iqnPrefix: string): readonly string[] => [
  `/dev/disk/by-path/ip-192.0.2.1:3260-iscsi-${iqnPrefix}:vol00000000000000000-lun-1`,
  '/dev/disk/by-id/scsi-SLIO-ORG_IBLOCK_vol00000000000000000',
  '/dev/disk/by-id/scsi-SIET_VIRTUAL-DISK_vol00000000000000000',
  '/dev/disk/by-id/scsi-36001405000000000000000000000000f',
  '/dev/disk/by-id/wwn-0x6001405000000000000000000000000f',
  '/dev/vbs/vol00000000000000000.00000000-0000-0000-0000-000000000000',
];

/** Disks whose names are theirs alone; virtio, NVMe, MMC, Xen, DASD and software RAID. */
const OTHER = /^(vd[a-z]+|xvd[a-z]+|nvme\d+n\d+|mmcblk\d+|dasd[a-z]+|md\d+)$/;

const linkOf = async (files: Files, path: string): Promise<string> => {
  try {
    return await files.readlink(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') {
      return '';
    }
    throw error;
  }
};

/** A device of the device mapper below LVM, such as an encrypted disk; undefined for a logical volume. */
async function mappedBelowLvm(files: Files, directory: string): Promise<string | undefined> {
  const uuid = (await files.read(`${directory}/uuid`)).trim();
  return uuid === '' || uuid.startsWith('LVM-') ? undefined : (await files.read(`${directory}/name`)).trim();
}

export async function lookAtDisks(files: Files, sys: string): Promise<HostDisks> {
  const own: string[] = [];
  const taken = new Set<string>();
  for (const name of (await files.list(`${sys}/block`)).toSorted()) {
    if (OTHER.test(name)) {
      own.push(name);
    } else if (
      /^sd[a-z]+$/.test(name) &&
      !(await linkOf(files, `${sys}/block/${name}`)).includes('/session')
    ) {
      taken.add(name);
      // sda must not let sdaa in.
      own.push(`${name}[0-9]*$`);
    } else if (/^dm-\d+$/.test(name)) {
      const mapped = await mappedBelowLvm(files, `${sys}/block/${name}/dm`);
      own.push(...(mapped === undefined ? [] : [`mapper/${mapped}$`]));
    }
  }
  return { own, taken };
}
