// The smallest guest: Debian's cloud kernel and a busybox initramfs, made once into the cache.

import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { cacheRoot, ensureCached, exists } from './cache.ts';
import { type Log, runCommand } from './process.ts';

/** What a guest is started from; absolute paths. */
export interface GuestImage {
  readonly kernel: string;
  readonly initramfs: string;
  /** `kvm` where it truly boots this kernel, else `qemu` (emulation): libvirt's domain types. */
  readonly domainType: 'kvm' | 'qemu';
}

const initScript = path.join(import.meta.dirname, 'guest', 'init.sh');
const kernelPackage = 'linux-image-cloud-amd64';
const busybox = '/bin/busybox';
// In the order of their dependencies.
const modules = [
  'virtio_ring',
  'virtio',
  'virtio_pci_modern_dev',
  'virtio_pci_legacy_dev',
  'virtio_pci',
  'virtio_blk',
];

/** Makes the image unless it is cached. Needs apt's package lists the first time, and root for none of it. */
export const ensureGuestImage = async (log: Log): Promise<GuestImage> => {
  const hash = createHash('sha256').update(modules.join());
  hash.update(await readFile(initScript)).update(await readFile(busybox));
  const target = path.join(cacheRoot(), 'guest', hash.digest('hex').slice(0, 16));
  const dir = await ensureCached({ target, log, build: async (folder) => await build(folder, log) });
  const image = { kernel: path.join(dir, 'vmlinuz'), initramfs: path.join(dir, 'initramfs.gz') };
  return { ...image, domainType: await chooseDomainType(dir, image, log) };
};

const build = async (dir: string, log: Log): Promise<void> => {
  const unpacked = path.join(dir, 'unpacked');
  await unpackKernel(dir, unpacked, log);
  const [kernel] = (await readdir(path.join(unpacked, 'boot'))).filter((name) => name.startsWith('vmlinuz-'));
  if (!kernel) {
    throw new Error(`the kernel package holds no /boot/vmlinuz-*`);
  }
  await copyFile(path.join(unpacked, 'boot', kernel), path.join(dir, 'vmlinuz'));
  await packInitramfs(dir, unpacked);
  await rm(unpacked, { recursive: true });
};

const unpackKernel = async (dir: string, unpacked: string, log: Log): Promise<void> => {
  const name = await findKernelPackage(log);
  log(`fetching the guest's kernel, ${name}`);
  const options = { cwd: dir, timeoutMs: 5 * 60_000 };
  // As ourselves: apt's own user may not write into this folder.
  await runCommand('apt-get', ['-q', '-o', 'APT::Sandbox::User=root', 'download', name], options);
  const [file] = (await readdir(dir)).filter((entry) => entry.endsWith('.deb'));
  if (!file) {
    throw new Error(`apt-get download ${name} left no file`);
  }
  await runCommand('dpkg-deb', ['-x', file, unpacked], options);
  await rm(path.join(dir, file));
};

// The kernel's own package has its version in its name; this one only depends on the newest.
const findKernelPackage = async (log: Log): Promise<string> => {
  const find = async (): Promise<string | undefined> => {
    const depends = await runCommand('apt-cache', ['depends', kernelPackage]).catch(() => '');
    return /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  };
  const known = await find();
  if (known) {
    return known;
  }
  log('apt-get update (no package lists are here)');
  await runCommand('apt-get', ['-q', 'update'], { timeoutMs: 5 * 60_000 });
  const found = await find();
  if (!found) {
    throw new Error(`apt knows no ${kernelPackage}: the guest is made from Debian's cloud kernel`);
  }
  return found;
};

const packInitramfs = async (dir: string, unpacked: string): Promise<void> => {
  const root = path.join(unpacked, 'initramfs');
  for (const folder of ['bin', 'dev', 'modules', 'proc', 'run', 'sys']) {
    await mkdir(path.join(root, folder), { recursive: true });
  }
  await copyFile(busybox, path.join(root, 'bin', 'busybox'));
  await symlink('busybox', path.join(root, 'bin', 'sh'));
  await copyFile(initScript, path.join(root, 'init'));
  await chmod(path.join(root, 'init'), 0o755);
  const files = await readdir(path.join(unpacked, 'lib', 'modules'), { recursive: true });
  for (const module of modules) {
    const file = files.find((entry) => path.basename(entry) === `${module}.ko`);
    if (!file) {
      throw new Error(`the kernel package holds no ${module}.ko`);
    }
    await copyFile(path.join(unpacked, 'lib', 'modules', file), path.join(root, 'modules', `${module}.ko`));
  }
  await writeFile(path.join(root, 'modules', 'order'), modules.map((module) => `${module}.ko\n`).join(''));
  const archive = path.join(dir, 'initramfs.gz');
  const pack = `find . | cpio --quiet -o -H newc -R 0:0 | gzip -9 >"$1"`;
  await runCommand('sh', ['-c', pack, 'sh', archive], { cwd: root });
};

// That /dev/kvm opens says little where this machine is itself a guest: only a boot tells.
// The answer holds until the machine's next boot.
const chooseDomainType = async (
  dir: string,
  image: Pick<GuestImage, 'kernel' | 'initramfs'>,
  log: Log,
): Promise<'kvm' | 'qemu'> => {
  if (!(await exists('/dev/kvm'))) {
    return 'qemu';
  }
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const answerFile = path.join(dir, 'domain-type');
  const [knownBoot, known] = (await readFile(answerFile, 'utf8').catch(() => '')).split(' ');
  if (knownBoot === bootId && (known === 'kvm' || known === 'qemu')) {
    return known;
  }
  const answer = (await bootsUnderKvm(image)) ? 'kvm' : 'qemu';
  log(
    answer === 'kvm' ? 'guests run under KVM' : '/dev/kvm does not boot a kernel here: guests are emulated',
  );
  await writeFile(answerFile, `${bootId} ${answer}`);
  return answer;
};

const bootsUnderKvm = async ({
  kernel,
  initramfs,
}: Pick<GuestImage, 'kernel' | 'initramfs'>): Promise<boolean> => {
  const machine = [
    '-machine',
    'q35,accel=kvm',
    '-cpu',
    'host',
    '-m',
    '128',
    '-display',
    'none',
    '-nodefaults',
  ];
  const boot = ['-kernel', kernel, '-initrd', initramfs, '-append', 'console=ttyS0 vbs.probe panic=-1'];
  const args = [...machine, ...boot, '-serial', 'stdio', '-no-reboot'];
  const output = await runCommand('qemu-system-x86_64', args, { timeoutMs: 10_000 }).catch(() => '');
  return output.includes('VBS-PROBE-OK');
};
