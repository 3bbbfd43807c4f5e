// One volume group with one thin pool, in memory, that answers lvs, lvcreate and the others as LVM 2.03.16 does: 5 for every error, the
// meaning in the words alone, valid JSON also when it failed.
import type { Command, CommandOutput, RunCommand } from '../../node-agent/exec/command.ts';

export interface FakeLv {
  readonly name: string;
  bytes: number;
  /** Percent of its size that has blocks of the pool; undefined while it is inactive. */
  percent: number | undefined;
  readonly tags: string[];
  readonly pool: string;
  open: boolean;
  /** It has a thick snapshot. */
  thickOrigin: boolean;
}

const EXTENT = 4 * 1024 * 1024;
export const VG = 'vbs';
export const THIN_POOL = 'thin0';

const done = (stdout = ''): CommandOutput => ({ exitCode: 0, stdout, stderr: '' });
const refused = (words: string): CommandOutput => ({ exitCode: 5, stdout: '', stderr: `  ${words}\n` });

export class FakeLvm {
  lvs: FakeLv[] = [];
  /** False: the volume group is not there. */
  present = true;
  poolBytes = 64 * EXTENT;
  poolTags: string[] = [];
  poolPercent = '0.00';
  metadataPercent = '11.04';
  poolAttr = 'twi-aotz--';
  /** Printed into the midst of each report. */
  note = '';
  /** Called before each command; may change the world or throw. */
  before: (command: string, args: readonly string[]) => void = () => undefined;
  commands: string[] = [];
  argvs: (readonly string[])[] = [];

  readonly run: RunCommand = async ({ file, args }: Command) => {
    this.before(file, args);
    this.commands.push(file);
    this.argvs.push(args);
    if (args[0] !== '--config' || args[1]?.includes('scan_lvs=0') !== true) {
      return { exitCode: 3, stdout: '', stderr: '  no --config\n' };
    }
    return this.#answer(file, args.slice(2));
  };

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
      ...more,
    };
    this.lvs.push(lv);
    return lv;
  }

  #answer(file: string, args: readonly string[]): CommandOutput {
    const last = args.at(-1) ?? '';
    if (!this.present) {
      const failed = refused(`Volume group "${VG}" not found\n  Cannot process volume group ${VG}`);
      return file === 'lvs' ? { ...failed, stdout: this.#report([]) } : failed;
    }
    const option = (name: string) => args[args.indexOf(name) + 1] ?? '';
    switch (file) {
      case 'lvs':
        return this.#lvs(args, last);
      case 'lvcreate':
        return this.#create(args, last, option);
      case 'lvrename':
        return this.#rename(args.at(-2) ?? '', last);
      case 'lvchange':
        return this.#change(args, last, option);
      case 'lvextend': {
        const lv = this.lv(last.replace(`${VG}/`, ''));
        if (lv === undefined) {
          return refused(`Failed to find logical volume "${last}"`);
        }
        const bytes = Math.ceil(Number.parseInt(option('--size'), 10) / EXTENT) * EXTENT;
        if (bytes === lv.bytes) {
          return refused('New size (1 extents) matches existing size (1 extents).');
        }
        lv.bytes = bytes;
        return done();
      }
      case 'lvremove': {
        const lv = this.lv(last.replace(`${VG}/`, ''));
        if (lv === undefined) {
          return refused(`Failed to find logical volume "${last}"`);
        }
        if (lv.open) {
          return refused(`Logical volume ${last} in use.`);
        }
        this.lvs = this.lvs.filter((one) => one !== lv);
        return done();
      }
      default:
        return { exitCode: 3, stdout: '', stderr: '  No such command.\n' };
    }
  }

  #report(rows: readonly object[]): string {
    const lines = rows.map((row) => `                  ${JSON.stringify(row)}`).join(',\n');
    return `  {\n      "report": [\n          {\n${this.note}              "lv": [\n${lines}\n              ]\n          }\n      ]\n  }\n`;
  }

  #lvs(args: readonly string[], last: string): CommandOutput {
    const wanted = (args[args.indexOf('-o') + 1] ?? 'lv_name').split(',');
    const pick = (all: Readonly<Record<string, string>>) =>
      Object.fromEntries(wanted.map((name) => [name, all[name] ?? '']));
    const name = last.startsWith(`${VG}/`) ? last.slice(VG.length + 1) : undefined;
    if (name === undefined) {
      const selected = this.lvs.filter(({ pool }) => args.includes(`pool_lv="${pool}"`));
      return done(this.#report(selected.map((lv) => pick(shown(lv)))));
    }
    const lv = this.lv(name);
    if (lv === undefined && name !== THIN_POOL) {
      return { ...refused(`Failed to find logical volume "${last}"`), stdout: this.#report([]) };
    }
    if (args.includes('--noheadings')) {
      return done(`  ${lv === undefined ? this.poolAttr : attr(lv)}\n`);
    }
    return done(this.#report([pick(lv === undefined ? this.#shownPool() : shown(lv))]));
  }

  #shownPool(): Readonly<Record<string, string>> {
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

  #create(args: readonly string[], last: string, option: (name: string) => string): CommandOutput {
    const name = option('--name');
    const tags = args.flatMap((arg, at) => (arg === '--addtag' ? [args[at + 1] ?? ''] : []));
    if (args.includes('--zero')) {
      return { exitCode: 3, stdout: '', stderr: '  --zero is supported only with thin pool creation.\n' };
    }
    if (this.lv(name) !== undefined) {
      return refused(`Logical Volume "${name}" already exists in volume group "${VG}"`);
    }
    if (args.includes('--snapshot')) {
      const origin = this.lv(last.replace(`${VG}/`, ''));
      if (origin === undefined) {
        return refused(`Failed to find logical volume "${last}"`);
      }
      this.add(name, { bytes: origin.bytes, percent: origin.percent, tags });
      return done();
    }
    const bytes = Math.ceil(Number.parseInt(option('--virtualsize'), 10) / EXTENT) * EXTENT;
    this.add(name, { bytes, tags, pool: option('--thinpool') });
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
    this.lvs = this.lvs.map((one) => (one === lv ? { ...lv, name: to } : one));
    return done();
  }

  #change(args: readonly string[], last: string, option: (name: string) => string): CommandOutput {
    const name = last.replace(`${VG}/`, '');
    const tags = name === THIN_POOL ? this.poolTags : this.lv(name)?.tags;
    if (tags === undefined) {
      return refused(`Failed to find logical volume "${last}"`);
    }
    if (args.includes('--addtag')) {
      tags.push(option('--addtag'));
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
    lv.percent ??= 0;
    return done();
  }
}

const attr = ({ percent, open, thickOrigin }: FakeLv): string =>
  `${thickOrigin ? 'o' : 'V'}wi-${percent === undefined ? '-' : 'a'}${open ? 'o' : '-'}tz--`;

const shown = (lv: FakeLv): Readonly<Record<string, string>> => ({
  lv_name: lv.name,
  lv_size: String(lv.bytes),
  lv_path: `/dev/${VG}/${lv.name}`,
  lv_attr: attr(lv),
  lv_tags: lv.tags.join(','),
  data_percent: lv.percent === undefined ? '' : lv.percent.toFixed(2),
});
