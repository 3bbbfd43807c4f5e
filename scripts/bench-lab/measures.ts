/** What is measured: Bonnie++ in a file system, fio on a device, and what their answers say. Pure but for the shell it is given. */

/** Runs a shell command where the disk is, and answers what it says. */
export type Shell = (command: string, timeoutMs: number) => Promise<string>;

export interface Figure {
  readonly value: number;
  readonly unit: 'MB/s' | '/s';
}
/** By the name of the operation. */
export type Figures = ReadonlyMap<string, Figure>;

interface Job {
  readonly name: string;
  readonly side: 'read' | 'write';
  readonly unit: Figure['unit'];
  readonly args: string;
}

const SECONDS = 5;
const FILE_MIB = 96;
const LIMIT_MS = 1_800_000;

/** Each past the caches of the system that runs it. */
export const JOBS: readonly Job[] = [
  { name: 'sequential write, 1 MiB', side: 'write', unit: 'MB/s', args: '--rw=write --bs=1M --iodepth=4' },
  { name: 'sequential read, 1 MiB', side: 'read', unit: 'MB/s', args: '--rw=read --bs=1M --iodepth=4' },
  { name: 'random write, 4 KiB', side: 'write', unit: '/s', args: '--rw=randwrite --bs=4k --iodepth=16' },
  { name: 'random read, 4 KiB', side: 'read', unit: '/s', args: '--rw=randread --bs=4k --iodepth=16' },
  {
    name: 'write and flush, 4 KiB',
    side: 'write',
    unit: '/s',
    args: '--rw=randwrite --bs=4k --iodepth=1 --fsync=1',
  },
];

const FIO = `fio --name=x --direct=1 --ioengine=libaio --thread --time_based --runtime=${SECONDS} --ramp_time=1 --size=${FILE_MIB}M --output-format=json`;

/** What stands before the object are warnings. `bw_bytes` are bytes in a second (fio(1), JSON OUTPUT). */
export const readFio = (text: string, { side, unit }: Pick<Job, 'side' | 'unit'>): Figure => {
  const found = JSON.parse(text.slice(text.indexOf('{'))) as {
    readonly jobs: readonly Record<Job['side'], { readonly bw_bytes: number; readonly iops: number }>[];
  };
  const ran = found.jobs[0]?.[side];
  if (ran === undefined || ran.iops === 0) {
    throw new Error(`fio measured nothing:\n${text.slice(0, 2000)}`);
  }
  return { unit, value: unit === 'MB/s' ? ran.bw_bytes / 1e6 : ran.iops };
};

/** On a device whose first FILE_MIB were written before: what was never written is read without a disk. */
export const fioOn = async (shell: Shell, device: string, jobs = JOBS): Promise<Figures> => {
  const figures = new Map<string, Figure>();
  for (const job of jobs) {
    const text = await shell(`${FIO} --filename=${device} ${job.args}`, LIMIT_MS);
    figures.set(job.name, readFio(text, job));
  }
  return figures;
};

export const fill = async (shell: Shell, device: string): Promise<void> => {
  await shell(`dd if=/dev/urandom of=${device} bs=1M count=${FILE_MIB} oflag=direct 2>&1`, LIMIT_MS);
};

/** Fields of a line of bonnie++'s in its format 1.98 (as bon_csv2html reads it): KiB/s, and operations per second. */
const BONNIE: readonly (readonly [string, number, Figure['unit']])[] = [
  ['block write', 11, 'MB/s'],
  ['rewrite', 13, 'MB/s'],
  ['block read', 17, 'MB/s'],
  ['seeks', 19, '/s'],
  ['file create', 26, '/s'],
  ['file delete', 30, '/s'],
];

export const BONNIE_OPERATIONS = BONNIE.map(([name]) => name);

/** What took too little time to be measured is "+++++" there, and left out here. */
export const readBonnie = (text: string): Figures => {
  const line = text.split('\n').find((one) => one.startsWith('1.98,'));
  if (line === undefined) {
    throw new Error(`bonnie++ gave no line of results:\n${text.slice(-2000)}`);
  }
  const fields = line.split(',');
  return new Map(
    BONNIE.flatMap(([name, index, unit]) => {
      const value = Number(fields[index]);
      return Number.isFinite(value) && fields[index] !== ''
        ? [[name, { unit, value: unit === 'MB/s' ? (value * 1024) / 1e6 : value }] as const]
        : [];
    }),
  );
};

/**
 * In a directory of a file system. Bulk I/O goes past the guest's cache (-D), so that files need not be larger than its memory. Single
 * characters are left out (-f): Bonnie++ 2.00 makes a system call for each, which tells of the processor alone.
 */
export const bonnieIn = async (shell: Shell, dir: string): Promise<Figures> =>
  readBonnie(
    await shell(`bonnie++ -q -D -f -u 0:0 -d ${dir} -r ${FILE_MIB / 2} -s ${FILE_MIB} -n 1 2>&1`, LIMIT_MS),
  );
