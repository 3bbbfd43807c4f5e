/** The measurements, one place after the other, and what is said of them. */

import { type Lab, LIO_SERVER } from '../../test/harness/lab/lab.ts';
import { XEN_HOST } from '../../test/harness/lab/machines.ts';
import {
  BONNIE_OPERATIONS,
  bonnieIn,
  type Figure,
  type Figures,
  fill,
  fioOn,
  JOBS,
  readFio,
  type Shell,
} from './measures.ts';
import { OVER_LIO, placesOf, thinVolume } from './places.ts';
import { type Column, chart, table } from './report.ts';

const GUEST = 'vm-a';
/** The machines' own system, for its programs; the guest has none but busybox. */
const TOOLS = { host: '/dev/vdc', guest: 'xvdz' };
const WIRE_PORT = 7999;
/** Scheduler, and commands under way at once, of the disk in Dom0. The first are those it has by itself. */
const SETTINGS = [
  ['mq-deadline', 32],
  ['none', 32],
  ['none', 8],
  ['none', 1],
] as const;
const FIO_OPERATIONS = JOBS.map(({ name }) => name);

const hostShell =
  (lab: Lab, host: typeof XEN_HOST | typeof LIO_SERVER): Shell =>
  (command, timeoutMs) =>
    lab.machine(host).ssh.succeed(command, { timeoutMs });

const toolsShell =
  (lab: Lab): Shell =>
  (command, timeoutMs) =>
    lab.guest(GUEST).run(`PATH=/usr/sbin:/usr/bin chroot /tools /bin/sh -c '${command}'`, timeoutMs);

const plugTools = async (lab: Lab): Promise<void> => {
  await lab
    .machine(XEN_HOST)
    .ssh.succeed(`xl block-attach ${GUEST} 'format=raw,vdev=${TOOLS.guest},access=r,target=${TOOLS.host}'`);
  const mounts = [
    'mkdir -p /tools',
    `for i in $(seq 100); do [ -b /dev/${TOOLS.guest} ] && break; usleep 100000; done`,
    `mount -t ext4 -o ro /dev/${TOOLS.guest} /tools`,
    'mount -t proc proc /tools/proc && mount -t sysfs sysfs /tools/sys && mount --bind /dev /tools/dev',
    'mount -t tmpfs tmpfs /tools/tmp',
  ];
  await lab.guest(GUEST).run(mounts.join(' && '));
};

/** A thin volume as the server itself sees it. */
const serversDevice = async (lab: Lab): Promise<Figures> => {
  const shell = hostShell(lab, LIO_SERVER);
  const { device, make, remove } = thinVolume('device');
  await shell(make, 600_000);
  await fill(shell, device);
  const figures = await fioOn(shell, device);
  await shell(remove, 600_000);
  return figures;
};

/** From the server to the hypervisor, and back, over one TCP connection. */
const wire = async (lab: Lab): Promise<{ readonly read: Figure; readonly write: Figure }> => {
  const [server, client] = [lab.machine(LIO_SERVER), lab.machine(XEN_HOST)];
  const run = async (from: typeof server, to: typeof client): Promise<Figure> => {
    const common = `--name=x --ioengine=net --thread --port=${WIRE_PORT} --bs=256k --size=96M --output-format=json`;
    const listening = to.ssh.succeed(`fio ${common} --rw=read --listen`, { timeoutMs: 600_000 });
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    // Its figures are the listener's, which may end and close a moment before it does (SIGPIPE).
    await from.ssh.run(`fio ${common} --rw=write --hostname=${to.plan.address} >/dev/null`, {
      timeoutMs: 600_000,
    });
    return readFio(await listening, { side: 'read', unit: 'MB/s' });
  };
  return { read: await run(server, client), write: await run(client, server) };
};

interface Measured {
  readonly bonnie: readonly Column[];
  readonly guest: readonly Column[];
  readonly dom0: readonly Column[];
  readonly settings: readonly Column[];
}

/** The settings that a kernel's disk has, on the raw device in Dom0; as they were afterwards. */
const trySettings = async (lab: Lab, link: string): Promise<readonly Column[]> => {
  const shell = hostShell(lab, XEN_HOST);
  const columns: Column[] = [];
  const device = (await shell(`basename $(readlink -f ${link})`, 60_000)).trim();
  const set = async (scheduler: string, depth: number): Promise<void> => {
    await shell(
      `echo ${scheduler} >/sys/block/${device}/queue/scheduler && echo ${depth} >/sys/block/${device}/device/queue_depth`,
      60_000,
    );
  };
  for (const [scheduler, depth] of SETTINGS) {
    await set(scheduler, depth);
    columns.push({ name: `${scheduler}, ${depth}`, figures: await fioOn(shell, link) });
  }
  await set(...SETTINGS[0]);
  return columns;
};

const measure = async (lab: Lab): Promise<Measured> => {
  const guest = lab.guest(GUEST);
  const inGuest = toolsShell(lab);
  const inDom0 = hostShell(lab, XEN_HOST);
  const measured = { bonnie: [], guest: [], dom0: [], settings: [] } as {
    [key in keyof Measured]: Column[];
  };
  for (const place of placesOf(lab, guest)) {
    const { name } = place;
    const { device, host } = await place.open();
    await fill(inGuest, `/dev/${device}`);
    if (host !== undefined) {
      measured.dom0.push({ name, figures: await fioOn(inDom0, host) });
      lab.log(`${name}: fio in Dom0 done`);
      if (name === OVER_LIO) {
        measured.settings.push(...(await trySettings(lab, host)));
      }
    }
    measured.guest.push({ name, figures: await fioOn(inGuest, `/dev/${device}`) });
    lab.log(`${name}: fio in the guest done`);
    await inGuest(`mke2fs -q -F -t ext4 -E nodiscard /dev/${device} && mount /dev/${device} /mnt`, 600_000);
    measured.bonnie.push({ name, figures: await bonnieIn(inGuest, '/mnt') });
    lab.log(`${name}: Bonnie++ done`);
    await guest.run('umount /tools/mnt');
    await place.close();
  }
  return measured;
};

const reportOf = (measured: Measured, device: Figures, between: Awaited<ReturnType<typeof wire>>): string => {
  const localOf = (columns: readonly Column[]) => (operation: string) => columns[0]?.figures.get(operation);
  const least = (operation: string): Figure | undefined => {
    const own = device.get(operation);
    const limit = operation.includes('read') ? between.read : between.write;
    return own?.unit === 'MB/s' && limit.value < own.value ? limit : own;
  };
  const dom0 = [{ name: "server's own device", figures: device }, ...measured.dom0];
  return [
    '### Bonnie++ in the guest (in brackets: the share of what a local LV gives)',
    table(BONNIE_OPERATIONS, measured.bonnie, localOf(measured.bonnie)),
    '### fio in the guest (in brackets: the share of what a local LV gives)',
    table(FIO_OPERATIONS, measured.guest, localOf(measured.guest)),
    "### fio in Dom0 (in brackets: the share of the lower of the wire and the server's own device)",
    `The wire: ${between.read.value.toFixed(1)} MB/s to the hypervisor, ${between.write.value.toFixed(1)} MB/s from it, as fio's own network engine fills it over one connection.`,
    table(FIO_OPERATIONS, dom0, least),
    '### Scheduler and queue depth of the disk in Dom0 (in brackets: the share of the first)',
    table(FIO_OPERATIONS, measured.settings, localOf(measured.settings)),
  ].join('\n\n');
};

export interface Outcome {
  /** Markdown. */
  readonly tables: string;
  /** SVG. */
  readonly picture: string;
}

export const bench = async (lab: Lab): Promise<Outcome> => {
  await plugTools(lab);
  const between = await wire(lab);
  lab.log(`the wire: ${between.read.value.toFixed(1)} and ${between.write.value.toFixed(1)} MB/s`);
  const device = await serversDevice(lab);
  const measured = await measure(lab);
  return {
    tables: reportOf(measured, device, between),
    picture: chart('Bonnie++ in a guest, as a share of a local LV', BONNIE_OPERATIONS, measured.bonnie),
  };
};
