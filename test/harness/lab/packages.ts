// Debian packages: what this machine needs for emulating others, and what stands in the emulated ones.

/** On the machine that runs the tests. */
export const emulationPackages: readonly string[] = [
  'qemu-system-x86',
  'qemu-utils',
  'mmdebstrap',
  'busybox-static',
  'cpio',
  'e2fsprogs',
  'openssh-client',
  'openssl',
];

/** In the image, beyond Debian's minimal system. */
export const imagePackages: readonly string[] = [
  'systemd-sysv',
  'dbus',
  'udev',
  'kmod',
  'procps',
  'iproute2',
  'openssh-server',
  'lvm2',
  'thin-provisioning-tools',
  'tgt',
  'open-iscsi',
  'xen-utils-4.17',
  'libvirt-daemon-system',
  'libvirt-clients',
  'qemu-system-x86',
  'e2fsprogs',
  'fio',
  'bonnie++',
  'vblade',
  'aoetools',
];

export const KERNEL_PACKAGE = 'linux-image-amd64';
export const XEN_PACKAGE = 'xen-hypervisor-4.17-amd64';
