// Does the host's own LVM keep away from the disks of guests? They hold volume groups of their own, which it would find on exported
// volumes and on disks that come by iSCSI, and activate.
import { type Command, CommandNotFound, DEFAULT_PATH, type RunCommand } from '../exec/command.ts';
import { errorCode, type Files } from '../exec/files.ts';
import { quote } from '../exec/redact.ts';
import type { BoundProfile } from '../profiles/bind.ts';
import { DISK_NAMES, type HostDisks, lookAtDisks, namesOfIscsiDisk } from './disks.ts';
import type { Remedy, Verdict } from './finding.ts';
import { type LvmFile, placeOf } from './lvm-config-file.ts';
import { isAccepted, type LvmSettings, readLvmSettings } from './lvm-filter.ts';
import type { Rule } from './rule.ts';

/** The strongest first. */
const FILES = ['/etc/lvm/lvmlocal.conf', '/etc/lvm/lvm.conf'];
const FRESH_FILE = '/etc/lvm/lvmlocal.conf';
const DEVICES_FILES = '/etc/lvm/devices';

interface Lvm {
  readonly settings: LvmSettings;
  readonly files: readonly LvmFile[];
  /** LVM sees what this file lists and nothing else. */
  readonly devicesFile?: string;
}

const command = (file: string, ...args: readonly string[]): Command => ({
  file,
  args,
  timeoutMs: 20_000,
  kill: 'term',
  path: DEFAULT_PATH,
});

async function readAll(files: Files): Promise<readonly LvmFile[]> {
  const found: LvmFile[] = [];
  for (const path of FILES) {
    try {
      found.push({ path, text: await files.read(path) });
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') {
        throw error;
      }
    }
  }
  return found;
}

/** Undefined: it is not installed. */
async function lookAtLvm(
  { run, files }: BoundProfile['host'],
  signal: AbortSignal,
): Promise<Lvm | undefined> {
  const read = await readAll(files);
  try {
    const { exitCode, stdout, stderr } = await run(
      command('lvmconfig', '--typeconfig', 'full', 'devices'),
      signal,
    );
    // Without any configuration file lvmconfig fails; then LVM's own defaults hold.
    if (exitCode !== 0 && read.length > 0) {
      throw new Error(`lvmconfig: ${quote(stderr)}`);
    }
    const settings = readLvmSettings(exitCode === 0 ? stdout : '');
    return { settings, files: read, ...(await devicesFileOf(files, settings)) };
  } catch (error) {
    if (error instanceof CommandNotFound) {
      return undefined;
    }
    throw error;
  }
}

/** One that is in use and not there is as good as none: LVM then looks at all devices. */
async function devicesFileOf(files: Files, settings: LvmSettings): Promise<Pick<Lvm, 'devicesFile'>> {
  const [isUsed = '0'] = settings.get('use_devicesfile') ?? [];
  const [name = 'system.devices'] = settings.get('devicesfile') ?? [];
  const path = `${DEVICES_FILES}/${name}`;
  if (isUsed !== '1') {
    return {};
  }
  try {
    await files.stat(path);
    return { devicesFile: path };
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') {
      throw error;
    }
    return {};
  }
}

const filterOf = ({ settings }: Lvm): readonly string[] => settings.get('global_filter') ?? ['a|.*|'];

function remedyFor({ files }: Lvm, key: string, value: string): Remedy {
  const { how, place, bare } = placeOf(files, `devices/${key}`, FRESH_FILE);
  const line = `${key} = ${value}`;
  return { how, place, text: bare ? `devices {\n    ${line}\n}` : line };
}

/** LVM's own spelling of an LV below /dev/mapper. */
const mapped = (vg: string): string => `/dev/mapper/${vg.replaceAll('-', '--')}-`;

/** All names of the logical volume of a volume, but those which only its UUID tells. */
const namesOfVolume = (vg: string): readonly string[] =>
  ['vol00000000000000000', 'snap0000000000000000'].flatMap((id) => [
    `/dev/${vg}/${id}`,
    `${mapped(vg)}${id}`,
    '/dev/dm-0',
  ]);

/** On a volume server: what guests keep in their volumes is not looked for. */
export const lvmLeavesVolumes: Rule = async (bound, _about, signal): Promise<Verdict> => {
  const vg = bound.setting('vg') ?? '';
  const lvm = await lookAtLvm(bound.host, signal);
  if (lvm === undefined) {
    return { kind: 'unclear', why: 'there is no lvmconfig' };
  }
  const scansVolumes = lvm.settings.get('scan_lvs')?.[0] === '1' && lvm.devicesFile === undefined;
  const remedy = remedyFor(lvm, 'scan_lvs', '0');
  if (scansVolumes && isAccepted(filterOf(lvm), namesOfVolume(vg))) {
    const wrong = `devices/scan_lvs is 1, and devices/global_filter lets /dev/${vg}/vol… in`;
    return { kind: 'wrong', wrong, remedy };
  }
  const seen = await physicalVolumesOn(bound.host.run, vg, signal);
  return seen === undefined
    ? { kind: 'ok' }
    : { kind: 'wrong', wrong: `LVM takes ${seen} for a disk of its own (pvs)`, remedy };
};

async function physicalVolumesOn(
  run: RunCommand,
  vg: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { exitCode, stdout, stderr } = await run(
    command('pvs', '--readonly', '--noheadings', '-o', 'pv_name'),
    signal,
  );
  if (exitCode !== 0) {
    throw new Error(`pvs: ${quote(stderr)}`);
  }
  return stdout
    .split('\n')
    .map((line) => line.trim())
    .find((name) => name.startsWith(`/dev/${vg}/`) || name.startsWith(mapped(vg)));
}

/** On a hypervisor: disks of guests that come by iSCSI are not looked into. */
export const lvmLeavesIscsi: Rule = async (bound, about, signal): Promise<Verdict> => {
  const lvm = await lookAtLvm(bound.host, signal);
  if (lvm === undefined) {
    return { kind: 'ok', note: 'there is no LVM' };
  }
  if (lvm.devicesFile !== undefined) {
    return { kind: 'ok', note: `only what ${lvm.devicesFile} lists` };
  }
  const disks = await lookAtDisks(bound.host.files, bound.setting('sys') ?? '/sys');
  const filter = filterOf(lvm);
  const seen = firstAccepted(filter, disks, about.iqnPrefix);
  if (seen === undefined) {
    return { kind: 'ok' };
  }
  const wrong = `devices/global_filter lets an iSCSI disk in, as ${seen}: [ ${filter.map((one) => `"${one}"`).join(', ')} ]`;
  const own = [...disks.own.map((name) => `"a|^/dev/${name}|"`), '"r|.*|"'];
  return { kind: 'wrong', wrong, remedy: remedyFor(lvm, 'global_filter', `[ ${own.join(', ')} ]`) };
};

/**
 * A name of the kernel under which an iSCSI disk would be let in. By that name alone it must be refused too: when udev tells LVM of a new
 * disk there are no links to it yet (lvm2, tools/pvscan.c: only filters that accept links are given all names).
 */
function firstAccepted(
  filter: readonly string[],
  { taken }: HostDisks,
  iqnPrefix: string,
): string | undefined {
  return DISK_NAMES.filter((name) => !taken.has(name))
    .map((name) => `/dev/${name}`)
    .find((name) => isAccepted(filter, [name]) || isAccepted(filter, [name, ...namesOfIscsiDisk(iqnPrefix)]));
}
