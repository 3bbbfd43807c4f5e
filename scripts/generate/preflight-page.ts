// The page on what a host must be like, from the checks of the shipped profiles.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';
import { ARGV_CHECK, TOOL_CHECK, VERSION_CHECK } from '../../node-agent/preflight/checks.ts';
import { POOL_CHECK } from '../../node-agent/preflight/pool-check.ts';
import type { CheckFormat, ProfileFormat } from '../../node-agent/profiles/format.ts';

const SHIPPED = path.join(import.meta.dirname, '../../node-agent/profiles/shipped');

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll(/\s*\n\s*/g, ' ');
const row = (...cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
const unbraced = (text: string): string => text.trim().replaceAll('{{', '{').replaceAll('}}', '}');
const code = (text: string): string => `\`${unbraced(text)}\``;

function remedyOf({ setting, rule, file, put, run }: CheckFormat): string {
  if (put === undefined) {
    return run === undefined ? '' : code(run);
  }
  const lvm = rule === undefined ? undefined : 'section `devices` of `/etc/lvm/lvm.conf`';
  const places = [setting?.file ?? file ?? []].flat();
  return `${code(put)} in ${lvm ?? places.map(code).join(' or ')}`;
}

const stands = ({ severity = 'fail', live, reason = 'HostUnsafe' }: CheckFormat): string =>
  severity === 'warn' ? 'warning' : `failure${live === true ? '' : `, \`${reason}\``}`;

const checkRow = (profile: string, check: CheckFormat): string =>
  row(profile, check.check, stands(check), check.why, remedyOf(check));

const HEAD: readonly string[] = [
  '<!-- generated from the checks of node-agent/profiles/shipped/ by scripts/generate.ts, do not edit -->',
  '# What a host must be like',
  '',
  'Before an agent is installed on a host, its configuration is enough to tell what of the host must be changed first. Neither an API',
  'server nor the kubeconfig is needed, and nothing is changed:',
  '',
  '```',
  '$ vbs-node-agent check --config /etc/vbs/agent.yaml',
  'ok   open-iscsi: the tool answers (2.1.8)',
  'FAIL open-iscsi: the LVM of the host leaves iSCSI disks alone',
  '     devices/global_filter lets an iSCSI disk in, as /dev/sda: [ "a|.*|" ]',
  '     why: it would activate what guests keep on their disks, hold the disks open and mix up groups of one name; …',
  '     add after /etc/lvm/lvm.conf:193',
  '         global_filter = [ "a|^/dev/vda|", "r|.*|" ]',
  '…',
  'N passed, N warnings, N failed',
  '```',
  '',
  'Run it as root, as the agent will run: what it may not read it cannot tell (`cannot be told`, a warning). It exits with 0 when nothing',
  'failed, 1 when something did, and 2 when the configuration or a profile is wrong.',
  '',
  'A **failure** is what puts data, or the disks of running VMs, in danger, or makes the role impossible. A **warning** is what is better',
  'otherwise, or could not be looked at. The running agent makes the checks that can fail again at its start, every five minutes, and',
  'every 20 seconds while one of them fails. Then the host has `HostSafe=False` with the reason below, and the same file, line and text in the',
  'message: nothing new is placed there or granted to it. What is there goes on: no volume, target or disk is touched for it. Failures without a',
  'reason are told by the command only; the agent sees them at once and tells them in its own way (`TargetUnavailable`, `VmmUnavailable`, `PoolMissing`).',
  '',
  '## The checks',
  '',
  'Those of the profiles which the configuration names are made, with the settings it gives them (`{name}`). A profile of your own may have',
  '[checks](profiles.md#checks) too.',
  '',
];

const NOTES: readonly string[] = [
  '',
  '## Notes',
  '',
  '**LVM on a hypervisor.** What counts is LVM’s own view of its settings (`lvmconfig`), and what that makes of an iSCSI disk: under each name',
  'which the kernel may give it (`sda`, `sdb`, … but those of disks that are the host’s own), alone and with all links of udev. To refuse the links',
  '(`r|/dev/disk/by-path/.*-iscsi-|`) is not enough: when udev tells LVM of a new disk there are none yet. `filter` does not count, since commands',
  'may override it; `global_filter` does, and so does a devices file (`use_devicesfile = 1`, with the file there). The filter that is shown',
  'accepts the disks which the host has now. Look through it before you write it: **a disk with a volume group of the host itself that is missing',
  'there is not found at the next boot**. Where the root file system is on LVM, run `update-initramfs -u` (Debian) afterwards.',
  '',
  '**LVM on a volume server.** With `scan_lvs = 0`, LVM’s default, no logical volume is looked into. The agent’s own LVM commands say so by',
  'themselves; the check is about everybody else’s. A physical volume which `pvs` shows on a volume counts whatever the settings are.',
  '',
  '**safe_logout** is a warning only. iscsid then refuses to log out of a disk which this host has mounted or swaps to; it does not see a disk that',
  'a VM holds. What does take all disks away at once is `iscsiadm --logoutall`, as `open-iscsi.service` does when it is stopped: disable it',
  'where the host has no iSCSI disks of its own. Its socket, `iscsid.socket`, is all that VBS needs.',
  '',
  '**tgt** is judged by what it fixes: upstream’s 1.0.93 has the fix of CVE-2024-45751, and so have Debian 12’s',
  '`1:1.0.85-1+deb12u1` and whatever package names it in its changelog (which must be installed: images often leave `/usr/share/doc` out).',
  '',
  '**hidepid.** After the change of `/etc/fstab`: `mount -o remount,hidepid=invisible /proc`. On a host where only its administrators log in the',
  'warning may stay.',
  '',
];

async function shippedProfiles(): Promise<readonly ProfileFormat[]> {
  const files = (await readdir(SHIPPED)).filter((name) => name.endsWith('.yaml')).sort();
  return Promise.all(
    files.map(async (name) => parse(await readFile(path.join(SHIPPED, name), 'utf8'), { merge: true })),
  );
}

export async function preflightPage(): Promise<string> {
  const profiles = await shippedProfiles();
  const secrets = profiles.filter(({ verbs }) => JSON.stringify(verbs).includes('"secretInArgv":true'));
  const versions = profiles.filter(({ versions }) => versions !== undefined);
  const names = (some: readonly ProfileFormat[]): string => some.map(({ name }) => `\`${name}\``).join(', ');
  return [
    ...HEAD,
    row('profile', 'what should be so', 'else', 'why', 'remedy'),
    row('---', '---', '---', '---', '---'),
    row('each', TOOL_CHECK.check, 'failure', TOOL_CHECK.why, 'install it, or start it'),
    row(
      names(versions),
      VERSION_CHECK.check,
      'failure, `FaultyTool`; the agent does not start with one',
      VERSION_CHECK.why,
      'another version',
    ),
    row(
      'each pool',
      POOL_CHECK.check,
      'failure',
      POOL_CHECK.why,
      'mount or make it; then `vbs-node-agent prepare-pools`. A thin pool must be made with `--zero y`',
    ),
    checkRow(names(secrets), ARGV_CHECK),
    ...profiles.flatMap(({ name, checks = [] }) => checks.map((check) => checkRow(`\`${name}\``, check))),
    ...NOTES,
  ].join('\n');
}
