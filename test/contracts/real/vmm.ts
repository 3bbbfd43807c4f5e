// Xen itself as a rig for the checks of hypervisors: a domain of its own, and two loop devices behind links as the initiator makes them.

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import { Transcript } from '../check.ts';
import { GRANTS, type GuestDisk, IDS, type VmmRig } from '../vmm.ts';
import { type Shell, shellRun, succeed } from './shell.ts';

const SHIPPED = join(import.meta.dirname, '../../../node-agent/profiles/shipped');
const SIZE_MIB = 8;
const MIB = 1024 * 1024;
const LOOPS = ['/dev/loop6', '/dev/loop7'] as const;
const DIRECTORY = '/dev/vbs';
const FILE = '/var/tmp/vbs-tools.vmm';

/** As LabGuest has it. */
export interface RealGuest {
  readonly name: string;
  readonly plan: { readonly uuid: string };
  start(): Promise<void>;
  destroy(): Promise<void>;
  run(command: string): Promise<string>;
}

const pathOf = (which: 0 | 1): string => `${DIRECTORY}/${IDS[which]}.${GRANTS[which]}`;

const makeDisks = ([0, 1] as const)
  .map((which) => {
    const [file, loop] = [`${FILE}${which}`, LOOPS[which]];
    return `rm -f ${file} && truncate -s ${SIZE_MIB}M ${file} && losetup ${loop} ${file} && ln -sfn ${loop} ${pathOf(which)}`;
  })
  .join(' && ');

/** A loop device goes when nobody has it open any more, which is a moment after its domain has ended. */
const removeDisks = ([0, 1] as const)
  .map(
    (which) => `rm -f ${pathOf(which)} ${FILE}${which}
for i in $(seq 150); do losetup ${LOOPS[which]} >/dev/null 2>&1 || break; losetup -d ${LOOPS[which]}; sleep 0.2; done
! losetup ${LOOPS[which]} 2>/dev/null`,
  )
  .join(' || exit\n');

export const realXen = async (shell: Shell, guest: RealGuest): Promise<VmmRig> => {
  const profile = await loadProfile(join(SHIPPED, 'xen-xl.yaml'), 'vmm');
  const transcript = new Transcript();
  const { name } = guest;
  const run = (command: string): Promise<string> => succeed(shell, command);
  const end = `! xl domid ${name} >/dev/null 2>&1 || xl destroy ${name}`;
  const disksOfDomain = async (): Promise<string> =>
    await run(`id=$(xl domid ${name}) && xl block-list "$id" | tail -n +2`);
  /** Its disks go in their own time: a domain that begins anew has none at once. */
  const restart = async (): Promise<void> => {
    await run(end);
    await guest.start();
  };
  await run(`modprobe loop && ${end}`);
  await run(removeDisks);
  await run(`mkdir -p ${DIRECTORY}`);
  await guest.start();
  return {
    transcript,
    profile: bind(profile, { run: transcript.run(shellRun(shell)), files: hostFiles }),
    instance: { name, uuid: guest.plan.uuid },
    locators: [
      { kind: 'block', path: pathOf(0) },
      { kind: 'block', path: pathOf(1) },
    ],
    sizeBytes: BigInt(SIZE_MIB * MIB),
    nowhere: { kind: 'block', path: `${DIRECTORY}/${IDS[0]}.${GRANTS[1]}` },
    restart,
    pause: async (isPaused) => {
      await run(`xl ${isPaused ? 'pause' : 'unpause'} ${name}`);
    },
    inGuest: async (device): Promise<GuestDisk | undefined> => {
      const said = await guest.run(
        `cat /sys/block/${device}/size /sys/block/${device}/ro 2>/dev/null || true`,
      );
      const [sectors, readOnly] = said.trim().split(/\s+/);
      return sectors === undefined || sectors === ''
        ? undefined
        : { sizeBytes: BigInt(sectors) * 512n, isReadOnly: readOnly === '1' };
    },
    grow: async () => {
      await run(`truncate -s ${2 * SIZE_MIB}M ${FILE}0 && losetup -c ${LOOPS[0]}`);
      return BigInt(2 * SIZE_MIB * MIB);
    },
    sleep: async (ms) => {
      await sleep(ms);
    },
    reset: async () => {
      await run(`xl unpause ${name}
id=$(xl domid ${name}) && for v in $(xl block-list "$id" | awk 'NR > 1 { print $1 }'); do xl block-detach "$id" "$v" >/dev/null 2>&1; done; true`);
      // What a guest does not let go goes with it.
      if ((await disksOfDomain()) !== '') {
        await restart();
      }
      await run(`${removeDisks} || exit\n${makeDisks}`);
    },
    close: async () => {
      await run(end);
      await run(removeDisks);
      await run(`rm -f /etc/xen/${name}.cfg; rmdir ${DIRECTORY} 2>/dev/null || true`);
    },
  };
};
