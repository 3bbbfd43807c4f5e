// The one image of all emulated machines: Debian with LVM, LIO, tgt, open-iscsi, Xen and libvirt, made once into the cache.

import { createHash } from 'node:crypto';
import {
  chmod,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { cacheRoot, ensureCached } from '../cache.ts';
import { type Log, runCommand } from '../process.ts';
import { bootstrap, newestOf, ownRelease, ownSources, unpackPackage } from './debian.ts';
import { packInitramfs } from './initramfs.ts';
import { imagePackages, KERNEL_PACKAGE, XEN_PACKAGE } from './packages.ts';

/** Absolute paths. */
export interface LabImage {
  /** A raw ext4 root file system; machines write to overlays of it. */
  readonly disk: string;
  readonly kernel: string;
  readonly initrd: string;
  /** Xen's own kernel. */
  readonly xen: string;
}

/** In the machines: the kernel of a guest below Xen, and an initramfs that is the whole of it. */
export const GUEST_FILES = { kernel: '/boot/guest-kernel', initramfs: '/boot/guest.gz' };

const OWN_FILES = path.join(import.meta.dirname, 'image');
const GUEST_INIT = path.join(import.meta.dirname, '..', 'guest', 'init.sh');
const BUSYBOX = '/bin/busybox';
const DISK_BYTES = 3 * 1024 ** 3;
const EXT4_MODULES = ['crc32c_generic', 'jbd2', 'mbcache', 'crc16', 'ext4'];
/** In the order of their dependencies. */
const INITRD_MODULES = [
  ...['virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci', 'virtio_blk'],
  ...['failover', 'net_failover', 'virtio_net', ...EXT4_MODULES],
];
const GUEST_MODULES = [
  ...['virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci'],
  ...['virtio_console', 'virtio_blk', 'xen-blkfront', ...EXT4_MODULES],
];
/** What nobody waits for here, or what would act by itself on disks and targets that are the agents'. */
const MASKED_UNITS = [
  ...[
    'apt-daily.timer',
    'apt-daily-upgrade.timer',
    'dpkg-db-backup.timer',
    'e2scrub_all.timer',
    'fstrim.timer',
  ],
  ...['e2scrub_reap.service', 'systemd-journal-flush.service', 'systemd-logind.service'],
  ...['systemd-networkd-wait-online.service', 'systemd-update-utmp.service', 'systemd-random-seed.service'],
  ...[
    'systemd-timesyncd.service',
    'getty@tty1.service',
    'serial-getty@ttyS0.service',
    'serial-getty@hvc0.service',
  ],
  ...['open-iscsi.service', 'xendomains.service', 'xen-watchdog.service', 'lvm2-monitor.service'],
  'libvirt-guests.service',
];
/** Started where the role of a machine wants them. */
const DISABLED_UNITS = [
  ...['tgt.service', 'libvirtd.service', 'libvirtd.socket', 'libvirtd-ro.socket', 'libvirtd-admin.socket'],
  ...['virtlogd.socket', 'virtlogd-admin.socket', 'virtlockd.socket', 'virtlockd-admin.socket'],
];

/** Makes the image unless it is cached (about three minutes). Needs root. */
export const ensureLabImage = async (log: Log): Promise<LabImage> => {
  const target = path.join(cacheRoot(), 'lab', await hashOfImage());
  const dir = await ensureCached({ target, log, build: async (folder) => await build(folder, log) });
  return {
    disk: path.join(dir, 'disk.ext4'),
    kernel: path.join(dir, 'vmlinuz'),
    initrd: path.join(dir, 'initrd.gz'),
    xen: path.join(dir, 'xen'),
  };
};

const hashOfImage = async (): Promise<string> => {
  const hash = createHash('sha256').update(await ownRelease());
  const units = [MASKED_UNITS, DISABLED_UNITS];
  const lists = [imagePackages, INITRD_MODULES, GUEST_MODULES, ...units, [KERNEL_PACKAGE, XEN_PACKAGE]];
  hash.update(JSON.stringify(lists));
  const own = (await readdir(OWN_FILES)).sort().map((name) => path.join(OWN_FILES, name));
  for (const file of [...own, GUEST_INIT, import.meta.filename]) {
    hash.update(await readFile(file));
  }
  return hash.digest('hex').slice(0, 16);
};

/** Debian with all packages but the kernels, as an archive: the long part, which a change of our own files does not repeat. */
const ensureDebian = async (log: Log): Promise<string> => {
  const hash = createHash('sha256')
    .update(await ownRelease())
    .update(JSON.stringify(imagePackages));
  const target = path.join(cacheRoot(), 'lab', `debian-${hash.digest('hex').slice(0, 16)}`);
  const build = async (dir: string): Promise<void> => {
    await bootstrap(path.join(dir, 'root.tar'), imagePackages, await ownSources(log));
  };
  return path.join(await ensureCached({ target, log, build }), 'root.tar');
};

const build = async (dir: string, log: Log): Promise<void> => {
  log('making the image of the emulated machines (once, a few minutes)');
  const root = path.join(dir, 'root');
  await mkdir(root);
  await runCommand('tar', ['-x', '--numeric-owner', '-C', root, '-f', await ensureDebian(log)], {
    timeoutMs: 5 * 60_000,
  });
  const version = await addKernels(dir, root);
  await runCommand('chroot', [root, 'depmod', version], { timeoutMs: 5 * 60_000 });
  await settle(root);
  await copyFile(path.join(root, 'boot', `vmlinuz-${version}`), path.join(dir, 'vmlinuz'));
  await rename(path.join(root, 'boot', `vmlinuz-${version}`), path.join(root, GUEST_FILES.kernel));
  // QEMU boots Xen as an ELF file and unpacks none.
  await writeFile(path.join(dir, 'xen'), gunzipSync(await readFile(await hypervisorIn(root))));
  const moduleDir = path.join(root, 'lib', 'modules', version);
  const initrd = {
    moduleDir,
    busybox: BUSYBOX,
    modules: INITRD_MODULES,
    init: path.join(OWN_FILES, 'initrd.sh'),
  };
  await packInitramfs({ ...initrd, archive: path.join(dir, 'initrd.gz') });
  const guest = { moduleDir, busybox: BUSYBOX, modules: GUEST_MODULES, init: GUEST_INIT };
  await packInitramfs({ ...guest, archive: path.join(root, GUEST_FILES.initramfs) });
  await makeFileSystem(root, path.join(dir, 'disk.ext4'), DISK_BYTES);
  await rm(root, { recursive: true });
};

/**
 * Linux, its modules and Xen, unpacked and not installed: installing a kernel would make an initrd that nobody uses, for half a
 * minute. Unpacked beside the system, whose /lib is a link and must stay one. Answers the version of Linux.
 */
const addKernels = async (dir: string, root: string): Promise<string> => {
  const unpacked = path.join(dir, 'unpacked');
  await unpackPackage(await newestOf(KERNEL_PACKAGE), dir, unpacked);
  await unpackPackage(XEN_PACKAGE, dir, unpacked);
  await rename(path.join(unpacked, 'lib', 'modules'), path.join(root, 'usr', 'lib', 'modules'));
  for (const name of await readdir(path.join(unpacked, 'boot'))) {
    await rename(path.join(unpacked, 'boot', name), path.join(root, 'boot', name));
  }
  await rm(unpacked, { recursive: true });
  return await kernelOf(root);
};

const kernelOf = async (root: string): Promise<string> => {
  const [version] = await readdir(path.join(root, 'lib', 'modules'));
  if (version === undefined) {
    throw new Error(`the kernel package holds no modules`);
  }
  return version;
};

const hypervisorIn = async (root: string): Promise<string> => {
  const boot = path.join(root, 'boot');
  const [name] = (await readdir(boot)).filter((entry) => /^xen-.*\.gz$/.test(entry));
  if (name === undefined) {
    throw new Error(`the Xen package holds no /boot/xen-*.gz`);
  }
  return path.join(boot, name);
};

/** Our own unit and settings in an unpacked system. */
const settle = async (root: string): Promise<void> => {
  await runCommand('chroot', [root, 'systemctl', 'disable', ...DISABLED_UNITS]);
  const units = path.join(root, 'etc', 'systemd', 'system');
  for (const unit of MASKED_UNITS) {
    const file = path.join(units, unit);
    await rm(file, { force: true });
    await symlink('/dev/null', file);
  }
  const script = path.join(root, 'usr', 'local', 'sbin', 'vbs-machine');
  await copyFile(path.join(OWN_FILES, 'machine.sh'), script);
  await chmod(script, 0o755);
  await copyFile(path.join(OWN_FILES, 'machine.service'), path.join(units, 'vbs-machine.service'));
  await mkdir(path.join(units, 'multi-user.target.wants'), { recursive: true });
  await symlink(
    '/etc/systemd/system/vbs-machine.service',
    path.join(units, 'multi-user.target.wants', 'vbs-machine.service'),
  );
  const etc = (name: string): string => path.join(root, 'etc', name);
  await writeFile(etc('machine-id'), ''); // from the command line at boot
  await writeFile(etc('fstab'), '/dev/vda / ext4 rw,noatime 0 0\n');
  await writeFile(etc('hosts'), '127.0.0.1 localhost\n');
  // A connection carries all commands of a test, many at once; no name service is there to ask.
  await writeFile(etc('ssh/sshd_config.d/vbs.conf'), 'MaxSessions 64\nUseDNS no\nUsePAM no\n');
  // Only the disks made for it are ever LVM's: what the guests write, and what comes by iSCSI, is not looked into.
  const lvm = [
    'devices {',
    '  use_devicesfile = 0',
    '  global_filter = [ "a|^/dev/vd[bc]$|", "r|.*|" ]',
    '}',
    '',
  ];
  await writeFile(etc('lvm/lvmlocal.conf'), lvm.join('\n'));
};

/**
 * An ext4 file system with the contents of a folder, made without mounting anything. With a journal: without one a power cut leaves names of one
 * file on another, which no program can be asked to survive.
 */
export const makeFileSystem = async (folder: string, file: string, bytes: number): Promise<void> => {
  await writeFile(file, '');
  await truncate(file, bytes);
  const options = ['-q', '-t', 'ext4', '-O', '^metadata_csum', '-J', 'size=16', '-m', '0', '-d', folder];
  await runCommand('mke2fs', [...options, file], { timeoutMs: 5 * 60_000 });
};
