// LVM itself, in a volume group of its own on a loop device, as a rig for the checks of pools. Its loop device is let in by LVM's filter
// for as long as the rig is there.

import { join } from 'node:path';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import { Transcript } from '../check.ts';
import { EXTENTS, type PoolRig } from '../pool.ts';
import { type Shell, shellRun, succeed, word } from './shell.ts';

const SHIPPED = join(import.meta.dirname, '../../../node-agent/profiles/shipped');
export const GROUP = 'vbstools';
const THIN_POOL = 'pool0';
export const LOOP = '/dev/loop7';
const FILE = '/var/tmp/vbs-tools.disk';
const SETTINGS = '/etc/lvm/lvmlocal.conf';
/** In a target of the kernel that no agent uses. */
const HOLDERS = '/sys/kernel/config/target/core/iblock_77';
const EXTENT_MIB = 4;
const NOBODY = 65_534;

/** An empty volume group on the loop device. Answers how all of it goes. */
export const makeGroup = async (shell: Shell, extents: number): Promise<() => Promise<void>> => {
  const remove = async (): Promise<void> => {
    await succeed(
      shell,
      [
        `for h in ${HOLDERS}/*/enable; do [ ! -e "$h" ] || rmdir "\${h%/enable}"; done; [ ! -d ${HOLDERS} ] || rmdir ${HOLDERS}`,
        `{ ! vgs ${GROUP} >/dev/null 2>&1 || vgremove -q -f -y ${GROUP}; }`,
        `{ ! losetup ${LOOP} >/dev/null 2>&1 || losetup -d ${LOOP}; }`,
        `rm -f ${FILE}`,
        `{ [ ! -e ${SETTINGS}.before-tools ] || mv ${SETTINGS}.before-tools ${SETTINGS}; }`,
      ].join(' && '),
    );
  };
  await remove();
  await succeed(
    shell,
    [
      `cp ${SETTINGS} ${SETTINGS}.before-tools`,
      `sed -i 's#global_filter *= *\\[#global_filter = [ "a|^${LOOP}$|",#' ${SETTINGS}`,
      `grep -q '${LOOP}' ${SETTINGS}`,
      `modprobe -a loop dm_snapshot dm_thin_pool target_core_iblock`,
      `truncate -s ${(extents + 1) * EXTENT_MIB}M ${FILE}`,
      `losetup ${LOOP} ${FILE}`,
      `vgcreate -q -y -s ${EXTENT_MIB}M ${GROUP} ${LOOP}`,
      // One extent of the file is for LVM's own, which takes less: none but ours are counted.
      `{ [ $(vgs --noheadings -o vg_extent_count ${GROUP}) -eq ${extents} ] || { echo 'another size than was meant'; exit 1; }; }`,
    ].join(' && '),
  );
  return remove;
};

const makeThinPool = `lvcreate -q -y --type thin-pool -Z y -L ${(EXTENTS / 2) * EXTENT_MIB}M --poolmetadatasize 4M -n ${THIN_POOL} ${GROUP}`;

/** The words of one mebibyte after another, a line each. */
const READ = `size=$(($(blockdev --getsize64 "$d") / 1048576)); i=0
while [ $i -lt $size ]; do
  dd if="$d" bs=1M skip=$i count=1 iflag=direct status=none | tr -d '\\0' | head -c 64 | { read -r w rest; echo "$w $rest"; }; i=$((i + 1))
done`;

export const realPool = async (name: 'lvm-thick' | 'lvm-thin', shell: Shell): Promise<PoolRig> => {
  const profile = await loadProfile(join(SHIPPED, `${name}.yaml`), 'pool');
  const isThin = name === 'lvm-thin';
  const transcript = new Transcript();
  const close = await makeGroup(shell, EXTENTS);
  const params = isThin ? { vg: GROUP, thinpool: THIN_POOL } : { vg: GROUP };
  const bound = (more: object, uid?: number) =>
    bind(profile, {
      run: transcript.run(shellRun(shell, uid === undefined ? {} : { uid })),
      files: hostFiles,
      params: { ...params, ...more },
    });
  const run = (command: string): Promise<string> => succeed(shell, command);
  const device = (lv: string): string => `/dev/${GROUP}/${lv}`;
  const names = async (): Promise<readonly string[]> =>
    (await run(`lvs --noheadings -o lv_name ${GROUP}`))
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && line !== THIN_POOL);
  return {
    transcript,
    profile: bound({}),
    nowhere: [bound({ vg: 'nowhere' }), ...(isThin ? [bound({ thinpool: 'nopool' })] : [])],
    denied: bound({}, NOBODY),
    directory: `/dev/${GROUP}`,
    names,
    tagsOf: async (lv) =>
      (await run(`lvs --noheadings -o lv_tags ${GROUP}/${lv}`)).trim().split(',').filter(Boolean),
    makeOthers: async (lv, extents) => {
      const size = `${extents * EXTENT_MIB}M`;
      const kind = isThin ? `-V ${size} --thinpool ${THIN_POOL}` : `-L ${size} -Wn -Zn`;
      await run(`lvcreate -q -y ${kind} -n ${lv} ${GROUP}`);
    },
    hold: async (lv) => {
      const holder = `${HOLDERS}/${lv}`;
      await run(
        `mkdir -p ${holder} && echo udev_path=${device(lv)} >${holder}/control && echo 1 >${holder}/enable`,
      );
      return async () => {
        await run(`rmdir ${holder}`);
      };
    },
    soil: async () => {
      const all = isThin
        ? `-V ${(EXTENTS / 2) * EXTENT_MIB}M --thinpool ${THIN_POOL}`
        : '-l 100%FREE -Wn -Zn';
      await run(
        `lvcreate -q -y ${all} -n soil ${GROUP} && { yes old | dd of=${device('soil')} bs=1M iflag=fullblock oflag=direct status=none 2>/dev/null; lvremove -q -y ${GROUP}/soil; }`,
      );
    },
    write: async (lv, { mebibyte, count = 1 }, text) => {
      const one = `printf '%-1048575s\\n' ${word(text)} | dd of=${device(lv)} bs=1M count=1 seek=$i iflag=fullblock oflag=direct conv=notrunc,fsync status=none`;
      await run(`for i in $(seq ${mebibyte} ${mebibyte + count - 1}); do ${one} || exit; done`);
    },
    words: async (lv) =>
      (await run(`d=${device(lv)}; ${READ}`))
        .split('\n')
        .slice(0, -1)
        .map((line) => line.trim()),
    deactivate: async (lv) => {
      await run(`lvchange -an ${GROUP}/${lv}`);
    },
    reduce: async (lv, extents) => {
      await run(`lvreduce -q -f -y -L ${extents * EXTENT_MIB}M ${GROUP}/${lv}`);
    },
    reset: async () => {
      await run(
        [
          `for h in ${HOLDERS}/*/enable; do [ ! -e "$h" ] || rmdir "\${h%/enable}"; done`,
          `n=$(lvs --noheadings -o lv_name ${GROUP}) && { [ -z "$n" ] || lvremove -q -f -y ${GROUP}; }`,
          `for t in $(vgs --noheadings -o vg_tags ${GROUP} | tr , ' '); do vgchange -q --deltag "$t" ${GROUP} || exit; done`,
          ...(isThin ? [makeThinPool] : []),
        ].join(' && '),
      );
    },
    close,
  };
};
