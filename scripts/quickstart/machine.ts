// Whether the quickstart can run on this machine, and if not, what to do about it.
import { readFile } from 'node:fs/promises';
import { runCommand } from '../../test/harness/process.ts';

export interface MachineFacts {
  readonly uid: number;
  readonly arch: string;
  /** The text of /etc/os-release. */
  readonly osRelease: string;
  /** Whether a mount namespace can be made, which a container without rights cannot. */
  readonly canUnshare: boolean;
}

const OLDEST_DEBIAN = 12;

export async function lookAtMachine(): Promise<MachineFacts> {
  return {
    uid: process.getuid?.() ?? -1,
    arch: process.arch,
    osRelease: await readFile('/etc/os-release', 'utf8').catch(() => ''),
    canUnshare: await runCommand('unshare', ['--mount', '--propagation', 'private', 'true']).then(
      () => true,
      () => false,
    ),
  };
}

/** Why the quickstart cannot run there, with the remedy; undefined when it can. */
export function objectionTo({ uid, arch, osRelease, canUnshare }: MachineFacts): string | undefined {
  const value = (key: string) => new RegExp(`^${key}="?([^"\\n]*)"?$`, 'm').exec(osRelease)?.[1] ?? '';
  const version = Number(value('VERSION_ID') || Number.POSITIVE_INFINITY); // testing and sid have none
  if (value('ID') !== 'debian' || version < OLDEST_DEBIAN) {
    const found = value('PRETTY_NAME') || 'something else';
    return `The quickstart runs on Debian ${OLDEST_DEBIAN} or newer; this is ${found}. Run it in a Debian virtual machine.`;
  }
  if (arch !== 'x64') {
    return `The quickstart starts x86-64 virtual machines and runs on x86-64 only; this is ${arch}.`;
  }
  if (uid !== 0) {
    return 'The quickstart starts libvirt, QEMU and an iSCSI target, which only root may do. Type: sudo npm run quickstart';
  }
  if (!canUnshare) {
    return 'The quickstart gives libvirt a mount namespace of its own, which is forbidden here. In a container, start that with --privileged.';
  }
  return undefined;
}
