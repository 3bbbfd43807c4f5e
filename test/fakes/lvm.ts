// One volume group, in memory, that answers lvs, lvcreate and the others as LVM 2.03.16 does: 5 for every error, the meaning in the
// words alone, valid JSON also when it failed. Every mebibyte of a volume holds a word: of an ordinary one, which has its place on a disk,
// "old" before anybody writes to it; of a thin one, zeroes.
import {
  type Command,
  CommandError,
  type CommandOutput,
  type RunCommand,
} from '../../node-agent/exec/command.ts';
import { ThinBlocks } from './thin-blocks.ts';

export interface FakeLv {
  name: string;
  bytes: number;
  /** Thin: percent of its size that has blocks of the pool; undefined while it is inactive. */
  percent: number | undefined;
  readonly tags: string[];
  /** The thin pool; empty for an ordinary volume. */
  readonly pool: string;
  open: boolean;
  /** It has a thick snapshot; of an ordinary one that is seen by itself. */
  thickOrigin: boolean;
  active: boolean;
  /** Ordinary: its extents on the disk. */
  readonly extents: number[];
  /** A thick snapshot: of what, as it was, and what of that is in its store. */
  origin: FakeLv | undefined;
  readonly frozen: readonly string[];
  readonly stored: Set<number>;
  overflowed: boolean;
  /** Thin: what was written to it, or to what it was copied from. */
  readonly blocks: ThinBlocks;
  /** Thin: its command was killed before the pool heard of it; it becomes a snapshot of that one with the next command that the pool hears of. */
  pending: FakeLv | undefined;
}

const MIB = 1024 * 1024;
const EXTENT = 4 * MIB;
const BLOCKS = EXTENT / MIB;
export const VG = 'vbs';
export const THIN_POOL = 'thin0';

const done = (stdout = ''): CommandOutput => ({ exitCode: 0, stdout, stderr: '' });
const refused = (words: string): CommandOutput => ({ exitCode: 5, stdout: '', stderr: `  ${words}\n` });
const misused = (words: string): CommandOutput => ({ exitCode: 3, stdout: '', stderr: `  ${words}\n` });

const extentsOf = (text: string): number => Math.ceil(Number.parseInt(text, 10) / EXTENT);
const SECTOR = 512;

const notASize = (args: readonly string[]): CommandOutput | undefined => {
  for (const option of ['--size', '--virtualsize'].filter((one) => args.includes(one))) {
    const text = args[args.indexOf(option) + 1] ?? '';
    const bytes = Number.parseInt(text, 10);
    if (bytes % SECTOR !== 0) {
      const below = Math.floor(bytes / SECTOR) * SECTOR;
      return misused(
        `Size is not a multiple of 512. Try using ${below} or ${below + SECTOR}.\n  Invalid argument for ${option}: ${text}\n  Error during parsing of command line.`,
      );
    }
  }
  return undefined;
};

const NOBODY = 'WARNING: Running as a non-root user. Functionality may be unavailable.';

export class FakeLvm {
  lvs: FakeLv[] = [];
  /** False: the volume group is not there. */
  present = true;
  /** False: it has no thin pool. */
  thin = true;
  poolBytes = 64 * EXTENT;
  poolTags: string[] = [];
  poolPercent = '0.00';
  metadataPercent = '11.04';
  poolAttr = 'twi-aotz--';
  vgExtents = 64;
  vgTags: string[] = [];
  vgAttr = 'wz--n-';
  readonly disk = new Map<number, string>();
  /** Printed into the midst of each report. */
  note = '';
  /** Called before each command; may change the world or throw. */
  before: (command: string, args: readonly string[]) => void = () => undefined;
  /** True: this command is killed when it has done as much as leaves the worst behind. */
  isKilled: (command: string) => boolean = () => false;
  commands: string[] = [];
  argvs: (readonly string[])[] = [];

  readonly run: RunCommand = async ({ file, args }: Command) => {
    this.before(file, args);
    this.commands.push(file);
    this.argvs.push(args);
    const killed = this.isKilled(file);
    const output = this.#carryOut(file, args, killed);
    if (killed) {
      throw new CommandError(file, 'ended by SIGKILL');
    }
    return output;
  };

  /** As somebody who is not root: what works is what needs neither the kernel nor the lock of the volume group, which is nothing here. */
  readonly runAsNobody: RunCommand = async ({ file, args }: Command) => {
    const path = args.at(-1) ?? '';
    if (file === 'blkdiscard') {
      return { exitCode: 1, stdout: '', stderr: `blkdiscard: cannot open ${path}: Permission denied\n` };
    }
    const group = groupOf(file, args);
    if (file === 'lvcreate') {
      return misused(
        `${NOBODY}\n  /dev/mapper/control: open failed: Permission denied\n  Failure to communicate with kernel device-mapper driver.`,
      );
    }
    const said = refused(
      `${NOBODY}\n  /run/lock/lvm/V_${group}:aux: open failed: Permission denied\n  Can't get lock for ${group}.\n  Cannot process volume group ${group}`,
    );
    return ['lvs', 'lvm'].includes(file) ? { ...said, stdout: this.#report({ lv: [] }) } : said;
  };

  /** It has no device node any more, nor has what is a snapshot of it. */
  deactivate(name: string): void {
    const lv = this.lv(name);
    for (const one of lv === undefined ? [] : [lv, ...this.#snapshotsOf(lv)]) {
      one.active = false;
      one.percent = undefined;
    }
  }

  /** All that another one's disks hold now. */
  copy(other: FakeLvm): void {
    const copies = new Map(
      other.lvs.map((lv) => [
        lv,
        {
          ...lv,
          open: false,
          tags: [...lv.tags],
          extents: [...lv.extents],
          stored: new Set(lv.stored),
          blocks: new ThinBlocks(lv.blocks),
        },
      ]),
    );
    this.lvs = [...copies].map(([{ origin, pending }, lv]) =>
      Object.assign(lv, { origin: origin && copies.get(origin), pending: pending && copies.get(pending) }),
    );
    for (const [at, word] of other.disk) {
      this.disk.set(at, word);
    }
  }

  lv(name: string): FakeLv | undefined {
    return this.lvs.find((one) => one.name === name);
  }

  add(name: string, more: Partial<FakeLv> = {}): FakeLv {
    const lv = {
      name,
      bytes: EXTENT,
      percent: 0,
      tags: [],
      pool: THIN_POOL,
      open: false,
      thickOrigin: false,
      active: true,
      extents: [],
      origin: undefined,
      frozen: [],
      stored: new Set<number>(),
      overflowed: false,
      blocks: new ThinBlocks(),
      pending: undefined,
      ...more,
    };
    this.lvs.push(lv);
    return lv;
  }

  /** An ordinary volume, on the first extents that are free. */
  addThick(name: string, extents: number, more: Partial<FakeLv> = {}): FakeLv {
    const lv = this.add(name, { pool: '', bytes: 0, ...more });
    this.#allocate(lv, extents);
    return lv;
  }

  /** What whoever opens it would read, mebibyte by mebibyte. */
  read(name: string): readonly string[] {
    const lv = this.lv(name);
    if (lv === undefined || lv.overflowed) {
      throw Object.assign(new Error(`EIO: ${name}`), { code: 'EIO' });
    }
    if (lv.pool !== '') {
      return Array.from({ length: lv.bytes / MIB }, (_, at) => lv.blocks.read(at));
    }
    return lv.origin === undefined ? this.#blocksOf(lv).map((at) => this.disk.get(at) ?? 'old') : lv.frozen;
  }

  write(name: string, block: number, word: string): void {
    const lv = this.lv(name);
    if (lv !== undefined && lv.pool !== '' && block < lv.bytes / MIB) {
      lv.blocks.write(block, word);
      lv.percent = (lv.blocks.size / (lv.bytes / MIB)) * 100;
      this.#countBlocks();
      return;
    }
    const at = lv && this.#blocksOf(lv)[block];
    if (lv === undefined || at === undefined) {
      throw Object.assign(new Error(`EINVAL: ${name}`), { code: 'EINVAL' });
    }
    this.disk.set(at, word);
    for (const snapshot of this.#snapshotsOf(lv)) {
      snapshot.stored.add(block);
      // Its store also has to hold a header, and records.
      snapshot.overflowed ||= snapshot.stored.size * MIB >= snapshot.bytes;
    }
  }

  #countBlocks(): void {
    const used = ThinBlocks.used(this.lvs.map(({ blocks }) => blocks));
    this.poolPercent = ((used / (this.poolBytes / MIB)) * 100).toFixed(2);
  }

  /** The pool hears of what was left unsaid by commands that were killed. */
  #tellPool(): void {
    for (const lv of this.lvs) {
      if (lv.pending !== undefined) {
        lv.blocks.share(lv.pending.blocks);
        lv.pending = undefined;
      }
    }
  }

  #blocksOf = ({ extents }: FakeLv): readonly number[] =>
    extents.flatMap((extent) => Array.from({ length: BLOCKS }, (_, index) => extent * BLOCKS + index));

  #snapshotsOf = (lv: FakeLv): readonly FakeLv[] => this.lvs.filter(({ origin }) => origin === lv);

  get #free(): readonly number[] {
    const used = new Set(this.lvs.flatMap(({ extents }) => extents));
    return Array.from({ length: this.vgExtents }, (_, index) => index).filter((index) => !used.has(index));
  }

  #allocate(lv: FakeLv, extents: number): void {
    lv.extents.push(...this.#free.slice(0, extents));
    lv.bytes = lv.extents.length * EXTENT;
  }

  #carryOut(file: string, args: readonly string[], killed: boolean): CommandOutput {
    if (file === 'blkdiscard') {
      return this.#zero(args, killed);
    }
    const rest = file === 'lvm' ? args.slice(1) : args;
    if (rest[0] !== '--config' || rest[1]?.includes('scan_lvs=0') !== true) {
      return misused('no --config');
    }
    return this.#answer(file, rest.slice(2), killed);
  }

  #zero(args: readonly string[], killed: boolean): CommandOutput {
    const path = args.at(-1) ?? '';
    const lv = this.lv(path.replace(`/dev/${VG}/`, ''));
    const failed = (words: string) => ({ exitCode: 1, stdout: '', stderr: `blkdiscard: ${words}\n` });
    if (lv === undefined || !lv.active) {
      return failed(`cannot open ${path}: No such file or directory`);
    }
    if (lv.open) {
      return failed(`cannot open ${path}: Device or resource busy`);
    }
    const option = (name: string) => Number(args[args.indexOf(name) + 1]);
    const odd = ['--offset', '--length'].find((name) => option(name) % SECTOR !== 0);
    if (odd !== undefined) {
      return failed(`${path}: ${odd.slice(2)} ${option(odd)} is not aligned to sector size ${SECTOR}`);
    }
    if (option('--offset') >= lv.bytes) {
      return failed(`${path}: offset is greater than device size`);
    }
    // A range that reaches beyond the end is cut off there, without a word.
    const [from, until] = [option('--offset'), Math.min(option('--offset') + option('--length'), lv.bytes)];
    if (lv.pool !== '') {
      return this.#unmap(lv, { from: from / MIB, until: until / MIB }, killed);
    }
    const blocks = this.#blocksOf(lv).slice(from / MIB, until / MIB);
    // A plain disk drops nothing without being told to write zeroes.
    for (const at of args.includes('--zeroout')
      ? killed
        ? blocks.slice(0, blocks.length / 2)
        : blocks
      : []) {
      this.disk.set(at, '');
    }
    return done();
  }

  #unmap(lv: FakeLv, { from, until }: { from: number; until: number }, killed: boolean): CommandOutput {
    lv.blocks.drop(from, killed ? from + (until - from) / 2 : until);
    lv.percent = (lv.blocks.size / (lv.bytes / MIB)) * 100;
    this.#countBlocks();
    return done();
  }

  #answer(file: string, args: readonly string[], killed: boolean): CommandOutput {
    const last = args.at(-1) ?? '';
    const group = groupOf(file, args);
    const noSize = notASize(args);
    if (noSize !== undefined) {
      return noSize;
    }
    if (!this.present || group !== VG) {
      const failed = refused(`Volume group "${group}" not found\n  Cannot process volume group ${group}`);
      return ['lvs', 'lvm'].includes(file) ? { ...failed, stdout: this.#report({ lv: [] }) } : failed;
    }
    const option = (name: string) => args[args.indexOf(name) + 1] ?? '';
    switch (file) {
      case 'lvs':
        return this.#lvs(args, last);
      case 'lvm':
        return this.#fullReport(args);
      case 'lvcreate':
        return args.includes('--thinpool') || this.#isThinSnapshot(args, last)
          ? this.#createThin(args, last, killed)
          : this.#createThick(args, last, killed);
      case 'lvrename':
        return this.#rename(args.at(-2) ?? '', last);
      case 'lvchange':
        return this.#change(args, last, option);
      case 'vgchange':
        addTag(this.vgTags, option('--addtag'));
        return done();
      case 'lvextend':
        return this.#extend(last, extentsOf(option('--size')));
      case 'lvremove':
        return this.#remove(last);
      default:
        return misused('No such command.');
    }
  }

  #isThinSnapshot = (args: readonly string[], last: string): boolean =>
    args.includes('--snapshot') && this.lv(last.replace(`${VG}/`, ''))?.pool !== '';

  #report(lists: Readonly<Record<string, readonly object[]>>): string {
    const listed = Object.entries(lists).map(([name, rows]) => {
      const lines = rows.map((row) => `                  ${JSON.stringify(row)}`).join(',\n');
      return `              "${name}": [\n${lines}\n              ]`;
    });
    const body = listed.join('\n              ,\n');
    return `  {\n      "report": [\n          {\n${this.note}${body}\n          }\n      ]\n  }\n`;
  }

  #lvs(args: readonly string[], last: string): CommandOutput {
    const pick = picker(args[args.indexOf('-o') + 1] ?? 'lv_name');
    const name = last.startsWith(`${VG}/`) ? last.slice(VG.length + 1) : undefined;
    if (name === undefined) {
      const rows = this.#selected(args.includes('-S') ? args[args.indexOf('-S') + 1] : undefined);
      return done(this.#report({ lv: rows.map(pick) }));
    }
    const lv = this.lv(name);
    if (lv === undefined && !(this.thin && name === THIN_POOL)) {
      return { ...refused(`Failed to find logical volume "${last}"`), stdout: this.#report({ lv: [] }) };
    }
    if (args.includes('--noheadings')) {
      return done(`  ${lv === undefined ? this.poolAttr : this.#attr(lv)}\n`);
    }
    return done(this.#report({ lv: [pick(lv === undefined ? this.#shownPool() : this.#shown(lv))] }));
  }

  #selected(selection: string | undefined): readonly Shown[] {
    const wanted = (column: string, value: string) =>
      selection === undefined || selection.includes(`${column}="${value}"`);
    const pool = this.thin && wanted('lv_name', THIN_POOL) ? [this.#shownPool()] : [];
    return [...pool, ...this.lvs.filter((lv) => wanted('pool_lv', lv.pool)).map((lv) => this.#shown(lv))];
  }

  #fullReport(args: readonly string[]): CommandOutput {
    const columns = (report: string) => args[args.indexOf(report) + 2] ?? '';
    const vg = {
      vg_attr: this.vgAttr,
      vg_tags: this.vgTags.join(','),
      vg_size: String(this.vgExtents * EXTENT),
      vg_free: String(this.#free.length * EXTENT),
      vg_extent_size: String(EXTENT),
    };
    return done(
      this.#report({
        vg: [picker(columns('vg'))(vg)],
        pv: [{ pv_name: '/dev/vdb', vg_name: VG }],
        lv: this.#selected(undefined).map(picker(columns('lv'))),
        seg: [],
      }),
    );
  }

  #shownPool(): Shown {
    return {
      lv_name: THIN_POOL,
      lv_size: String(this.poolBytes),
      lv_attr: this.poolAttr,
      lv_tags: this.poolTags.join(','),
      data_percent: this.poolPercent,
      metadata_percent: this.metadataPercent,
      vg_extent_size: String(EXTENT),
    };
  }

  #attr(lv: FakeLv): string {
    const { percent, open, thickOrigin, pool, active, origin, overflowed } = lv;
    if (pool !== '') {
      return `${thickOrigin ? 'o' : 'V'}wi-${percent === undefined ? '-' : 'a'}${open ? 'o' : '-'}tz--`;
    }
    const isOrigin = this.#snapshotsOf(lv).length > 0;
    const kind = isOrigin ? 'o' : origin === undefined ? '-' : 's';
    const state = active ? (overflowed ? 'I' : 'a') : '-';
    return `${kind}wi-${state}${open ? 'o' : '-'}${kind === '-' ? '-' : 's'}---`;
  }

  #shown(lv: FakeLv): Shown {
    const isOrigin = this.#snapshotsOf(lv).length > 0;
    return {
      lv_name: lv.name,
      lv_size: String(lv.bytes),
      lv_path: `/dev/${VG}/${lv.name}`,
      lv_attr: this.#attr(lv),
      lv_tags: lv.tags.join(','),
      data_percent: lv.pool === '' || lv.percent === undefined ? '' : lv.percent.toFixed(2),
      origin: lv.origin?.name ?? '',
      origin_size: lv.origin === undefined ? (isOrigin ? String(lv.bytes) : '') : String(lv.origin.bytes),
    };
  }

  /** Killed after its metadata is written: it is there, inactive, and the pool has not heard of it. */
  #createThin(args: readonly string[], last: string, killed: boolean): CommandOutput {
    const option = (name: string) => args[args.indexOf(name) + 1] ?? '';
    const name = option('--name');
    const tags = tagsIn(args);
    if (args.includes('--zero')) {
      return misused('--zero is supported only with thin pool creation.');
    }
    if (this.lv(name) !== undefined) {
      return refused(`Logical Volume "${name}" already exists in volume group "${VG}"`);
    }
    if (args.includes('--snapshot')) {
      const origin = this.lv(last.replace(`${VG}/`, ''));
      if (origin === undefined) {
        return refused(`Snapshot origin LV ${last.replace(`${VG}/`, '')} not found in Volume group ${VG}.`);
      }
      this.#tellPool();
      const percent = killed ? undefined : origin.percent;
      const pending = killed ? origin : undefined;
      const made = this.add(name, { bytes: origin.bytes, percent, tags, active: !killed, pending });
      if (!killed) {
        made.blocks.share(origin.blocks);
      }
      return done();
    }
    const pool = option('--thinpool');
    if (!this.thin || pool !== THIN_POOL) {
      return refused(`Pool ${pool} not found in Volume group ${VG}.`);
    }
    const bytes = extentsOf(option('--virtualsize')) * EXTENT;
    this.#tellPool();
    const state = killed ? { active: false, percent: undefined } : {};
    this.add(name, { bytes, tags, pool, ...state });
    return done();
  }

  /** A snapshot begins as an ordinary volume: killed in between, it stays one, with its name and tags. */
  #createThick(args: readonly string[], last: string, killed: boolean): CommandOutput {
    const option = (name: string) => args[args.indexOf(name) + 1] ?? '';
    const name = option('--name');
    if (this.lv(name) !== undefined) {
      return refused(`Logical Volume "${name}" already exists in volume group "${VG}"`);
    }
    const origin = args.includes('--snapshot') ? this.lv(last.replace(`${VG}/`, '')) : undefined;
    if (args.includes('--snapshot') && origin === undefined) {
      return refused(`Snapshot origin LV ${last.replace(`${VG}/`, '')} not found in Volume group ${VG}.`);
    }
    if (origin?.origin !== undefined) {
      return refused('Snapshots of snapshots are not supported.');
    }
    const useful = origin === undefined ? Number.POSITIVE_INFINITY : origin.extents.length + 1;
    const extents = Math.min(extentsOf(option('--size')), useful);
    if (extents > this.#free.length) {
      return refused(
        `Volume group "${VG}" has insufficient free space (${this.#free.length} extents): ${extents} required.`,
      );
    }
    const more = { tags: tagsIn(args), active: !killed, origin: killed ? undefined : origin };
    const frozen = origin === undefined ? [] : this.read(origin.name);
    this.addThick(name, extents, { ...more, frozen });
    return done();
  }

  #extend(last: string, extents: number): CommandOutput {
    const name = last.replace(`${VG}/`, '');
    const lv = this.lv(name);
    if (lv === undefined) {
      return refused(`Logical volume ${name} not found in volume group ${VG}.`);
    }
    const bytes = extents * EXTENT;
    const before = lv.bytes / EXTENT;
    if (extents === before) {
      return refused(`New size (${extents} extents) matches existing size (${before} extents).`);
    }
    if (extents < before) {
      return refused(`New size given (${extents} extents) not larger than existing size (${before} extents)`);
    }
    if (lv.pool !== '') {
      lv.bytes = bytes;
      return done();
    }
    if (this.#snapshotsOf(lv).length > 0 && lv.active) {
      return refused('Snapshot origin volumes can be resized only while inactive: try lvchange -an.');
    }
    const more = extents - lv.extents.length;
    if (more > this.#free.length) {
      return refused(
        `Insufficient free space: ${more} extents needed, but only ${this.#free.length} available`,
      );
    }
    this.#allocate(lv, more);
    return done();
  }

  /** It takes all thick snapshots of a volume along. */
  #remove(last: string): CommandOutput {
    const lv = this.lv(last.replace(`${VG}/`, ''));
    if (lv === undefined) {
      return refused(`Failed to find logical volume "${last}"`);
    }
    if (lv.open) {
      return refused(`Logical volume ${last} in use.`);
    }
    this.#tellPool();
    this.lvs = this.lvs.filter((one) => one !== lv && one.origin !== lv);
    if (lv.blocks.size > 0) {
      this.#countBlocks();
    }
    return done();
  }

  #rename(from: string, to: string): CommandOutput {
    const lv = this.lv(from);
    if (lv === undefined) {
      return refused(`Existing logical volume "${from}" not found in volume group "${VG}"`);
    }
    if (this.lv(to) !== undefined) {
      return refused(`Logical Volume "${to}" already exists in volume group "${VG}"`);
    }
    lv.name = to;
    return done();
  }

  #change(args: readonly string[], last: string, option: (name: string) => string): CommandOutput {
    const name = last.replace(`${VG}/`, '');
    const tags = name === THIN_POOL ? this.poolTags : this.lv(name)?.tags;
    if (tags === undefined) {
      return refused(`Failed to find logical volume "${last}"`);
    }
    if (args.includes('--addtag')) {
      addTag(tags, option('--addtag'));
      return done();
    }
    if (args.includes('--deltag')) {
      const at = tags.indexOf(option('--deltag'));
      tags.splice(at === -1 ? tags.length : at, 1);
      return done();
    }
    const lv = this.lv(name);
    if (lv === undefined) {
      return refused(`Failed to find logical volume "${last}"`);
    }
    this.#tellPool();
    lv.percent ??= 0;
    lv.active = true;
    return done();
  }
}

type Shown = Readonly<Record<string, string>>;

const picker = (columns: string) => (all: Shown) =>
  Object.fromEntries(columns.split(',').map((name) => [name, all[name] ?? '']));

/** A command names it alone, or before a volume in it; lvrename before both names. */
const groupOf = (file: string, args: readonly string[]): string =>
  (file === 'lvrename' ? args.at(-3) : args.at(-1)?.split('/')[0]) ?? '';

/** They are a set. */
const addTag = (tags: string[], tag: string): void => {
  if (!tags.includes(tag)) {
    tags.push(tag);
  }
};

const tagsIn = (args: readonly string[]): string[] =>
  args.flatMap((arg, at) => (arg === '--addtag' ? [args[at + 1] ?? ''] : []));
