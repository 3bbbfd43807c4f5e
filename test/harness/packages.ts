// Debian packages that the quickstart and the integration tests need.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { onEarlyEnd } from './early-end.ts';
import { type Log, runCommand } from './process.ts';

/** What a private libvirt, QEMU, iSCSI target, guest and control plane need. */
export const labPackages: readonly string[] = [
  'libvirt-daemon-system',
  'libvirt-clients',
  'libvirt-daemon-driver-qemu',
  'qemu-system-x86',
  'qemu-block-extra',
  'qemu-utils',
  'tgt',
  'libiscsi-bin',
  'busybox-static',
  'cpio',
  'openssl',
  'xfsprogs',
];

const policyFile = '/usr/sbin/policy-rc.d';

/**
 * Installs what is missing with apt-get; does nothing, and needs no right, when all is there.
 * The services of new packages are not started: nobody asked for them.
 *
 * @throws Error with the command to type when this is no Debian or we are not root.
 */
export const ensurePackages = async (names: readonly string[], log: Log): Promise<void> => {
  const missing = await findMissing(names);
  if (missing.length === 0) {
    return;
  }
  const install = `apt-get install -y --no-install-recommends ${missing.join(' ')}`;
  if (process.getuid?.() !== 0) {
    throw new Error(`Debian packages are missing and only root can install them. Type:\n  sudo ${install}`);
  }
  log(`installing Debian packages: ${missing.join(' ')}`);
  const startedAt = Date.now();
  await withoutServiceStarts(async () => {
    await apt(['update'], log);
    await apt(['install', '-y', '--no-install-recommends', ...missing], log);
  });
  log(`installed in ${Math.round((Date.now() - startedAt) / 1000)} s`);
};

const findMissing = async (names: readonly string[]): Promise<string[]> => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders
  const known = await query(['-W', '-f', '${Package} ${db:Status-Status}\\n']);
  const installed = new Set(known.split('\n').filter((line) => line.endsWith(' installed')));
  return names.filter((name) => !installed.has(`${name} installed`));
};

const query = async (args: readonly string[]): Promise<string> =>
  await runCommand('dpkg-query', args).catch((error: unknown) => {
    throw new Error('This machine has no dpkg: the system runs on Debian 12 or newer.', { cause: error });
  });

// Debian asks policy-rc.d before it starts a service; 101 means "not allowed". A file
// that is there already is the administrator's and stays.
const withoutServiceStarts = async (work: () => Promise<void>): Promise<void> => {
  const isOurs = await writeFile(policyFile, '#!/bin/sh\nexit 101\n', { mode: 0o755, flag: 'wx' }).then(
    () => true,
    () => false,
  );
  const remove = async (): Promise<void> => {
    if (isOurs) {
      await rm(policyFile, { force: true });
    }
  };
  const forget = onEarlyEnd(remove);
  try {
    await work();
  } finally {
    await remove();
    forget();
  }
};

const apt = async (args: readonly string[], log: Log): Promise<void> => {
  const child = spawn('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=120', ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const collect = (text: Buffer): void => {
    output += text.toString();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const ticker = setInterval(() => log(`apt-get ${args[0]}: ${output.trimEnd().split('\n').at(-1)}`), 10_000);
  try {
    const [code] = await once(child, 'close');
    if (code !== 0) {
      const last = output.trimEnd().split('\n').slice(-15).join('\n');
      throw new Error(`apt-get ${args.join(' ')} failed (exit code ${code}):\n${last}`);
    }
  } finally {
    clearInterval(ticker);
  }
};
