// LIO and open-iscsi themselves as rigs for the checks of targets and initiators: logical volumes of one machine, exported by its kernel,
// and another machine (or the same) that logs in. Both have a prefix of names, a backstore directory and an interface record of their own.

import { join } from 'node:path';
import type { Files } from '../../../node-agent/exec/files.ts';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import { profiledTarget } from '../../../node-agent/roles/profiled-target.ts';
import type { Chap, Target } from '../../../node-agent/roles/target.ts';
import { systemClock } from '../../../runtime/clock.ts';
import { signal, Transcript, volumeID } from '../check.ts';
import type { InitiatorRig } from '../initiator.ts';
import type { SeenDisk, TargetRig } from '../target.ts';
import { GROUP, makeGroup } from './pool.ts';
import { openFiles, type Shell, shellRun, succeed, word } from './shell.ts';

const SHIPPED = join(import.meta.dirname, '../../../node-agent/profiles/shipped');
const MIB = 1024 * 1024;
const PREFIX = 'iqn.2026-11.dev.vbs.tools';
const HBA = 78;
const ROOT = '/sys/kernel/config/target';
const PORT = 3260;
const IFACE = 'vbstools';
const LINKS = '/dev/vbs-tools';
const SIZE_MIB = 8;
const GROUP_EXTENTS = 16;
const LVS = ['first', 'second'] as const;

export interface Machines {
  readonly server: Shell;
  readonly client: Shell;
  /** Of the server, as the client reaches it. */
  readonly address: string;
}

/** Whatever is exported under our prefix goes, and so do our backstores. */
const CLEAR_EXPORTS = `cd ${ROOT} && for t in iscsi/${PREFIX}:*; do
  [ -d "$t" ] || continue
  g=$t/tpgt_1
  if [ -d $g ]; then
    echo 0 >$g/enable 2>/dev/null
    find $g/acls $g/lun -type l -exec rm {} +
    for d in $g/acls/*/lun_* $g/acls/* $g/lun/lun_* $g/np/*; do [ ! -d "$d" ] || rmdir "$d" || exit; done
    rmdir $g || exit
  fi
  rmdir "$t" || exit
done
for b in core/iblock_${HBA}/*/enable; do [ ! -e "$b" ] || rmdir "\${b%/enable}" || exit; done
[ ! -d core/iblock_${HBA} ] || rmdir core/iblock_${HBA}`;

/** Sessions, records and interface of ours go, and our links. Sessions that are cut off go at once, not after their patience. */
const CLEAR_SESSIONS = `for s in /sys/class/iscsi_session/*; do
  [ -e "$s/targetname" ] && grep -q '^${PREFIX}:' "$s/targetname" || continue
  echo 1 >"$s/recovery_tmo"
  iscsiadm -m session -r "\${s##*/session}" --logout >/dev/null || exit
done
iscsiadm -m node 2>/dev/null | sed -n 's/^\\([^ ,]*\\),[0-9]* \\(${PREFIX.replaceAll('.', '\\.')}:.*\\)$/\\1 \\2/p' | while read -r p t; do
  iscsiadm -m node -T "$t" -p "$p" --op delete || exit
done
! iscsiadm -m iface -I ${IFACE} >/dev/null 2>&1 || iscsiadm -m iface -I ${IFACE} --op delete >/dev/null || exit
rm -rf ${LINKS}`;

const makeVolumes = LVS.map(
  (lv) =>
    `{ ! lvs ${GROUP}/${lv} >/dev/null 2>&1 || lvremove -q -f -y ${GROUP}/${lv}; } && lvcreate -q -y -Wn -L ${SIZE_MIB}M -n ${lv} ${GROUP}`,
).join(' && ');

interface Site {
  readonly devices: readonly [string, string];
  /** Everything as at the beginning. */
  reset(): Promise<void>;
  close(): Promise<void>;
  grow(): Promise<bigint>;
}

const makeSite = async ({ server, client }: Machines): Promise<Site> => {
  const clear = async (): Promise<void> => {
    await succeed(client, CLEAR_SESSIONS);
    await succeed(server, CLEAR_EXPORTS);
  };
  await succeed(server, 'modprobe -a target_core_mod target_core_iblock iscsi_target_mod');
  await clear();
  const removeGroup = await makeGroup(server, GROUP_EXTENTS);
  return {
    devices: [`/dev/${GROUP}/${LVS[0]}`, `/dev/${GROUP}/${LVS[1]}`],
    reset: async () => {
      await clear();
      await succeed(server, makeVolumes);
    },
    close: async () => {
      await clear();
      await removeGroup();
    },
    grow: async () => {
      await succeed(server, `lvextend -q -y -L ${2 * SIZE_MIB}M ${GROUP}/${LVS[0]}`);
      return BigInt(2 * SIZE_MIB * MIB);
    },
  };
};

/** As an administrator would log in, by hand. Prints serial, size and whether the disk is read-only. */
const loginCommand = (iqn: string, address: string, initiator: string, chap: Chap): string => {
  const record = `iscsiadm -m node -T ${iqn} -p ${address}:${PORT}`;
  const settings = {
    'node.session.auth.authmethod': 'CHAP',
    'node.session.auth.username': chap.user,
    'node.session.auth.password': chap.password,
    'node.session.initial_login_retry_max': '1',
    'node.conn[0].timeo.login_timeout': '5',
  };
  const updates = Object.entries(settings).map(([name, value]) => `-n ${word(name)} -v ${word(value)}`);
  return `{ iscsiadm -m iface -I ${IFACE} >/dev/null 2>&1 || iscsiadm -m iface -I ${IFACE} --op new >/dev/null; } &&
iscsiadm -m iface -I ${IFACE} --op update -n iface.initiatorname -v ${initiator} >/dev/null &&
${record} -I ${IFACE} --op new >/dev/null && ${record} --op update ${updates.join(' ')} || exit 99
${record} -I ${IFACE} --login >/dev/null || exit 98
for s in /sys/class/iscsi_session/*; do grep -qx ${iqn} $s/targetname && break; done
for i in $(seq 100); do
  d=$(ls -d $s/device/target*/*:1/block/* 2>/dev/null) && [ -b /dev/\${d##*/} ] && break
  sleep 0.1
done
echo $(tail -c +5 $s/device/target*/*:1/vpd_pg80 | tr -d '\\0 ') $(blockdev --getsize64 /dev/\${d##*/}) $(cat $d/ro)`;
};

/** By its number, and with the record: nothing of it is to come back by itself. */
const logoutCommand = (iqn: string): string => `for s in /sys/class/iscsi_session/*; do
  [ -e "$s/targetname" ] && grep -qx ${iqn} "$s/targetname" || continue
  echo 1 >"$s/recovery_tmo"
  iscsiadm -m session -r "\${s##*/session}" --logout >/dev/null || exit
done
iscsiadm -m node -T ${iqn} --op delete 2>/dev/null || [ $? -eq 21 ]`;

const NO_LOGIN = 98;

export const realLio = async (machines: Machines): Promise<TargetRig> => {
  const { server, client, address } = machines;
  const profile = await loadProfile(join(SHIPPED, 'lio.yaml'), 'target');
  const transcript = new Transcript();
  const site = await makeSite(machines);
  const { files, close: closeFiles } = openFiles(server);
  return {
    transcript,
    profile: bind(profile, {
      run: transcript.run(shellRun(server)),
      files: transcript.files(files),
      params: { hba: HBA },
    }),
    iqnPrefix: PREFIX,
    portals: [`${address}:${PORT}`],
    devices: site.devices,
    sizeBytes: BigInt(SIZE_MIB * MIB),
    grow: site.grow,
    login: async (iqn, initiator, chap): Promise<SeenDisk | undefined> => {
      const answer = await client.run(loginCommand(iqn, address, initiator, chap), { timeoutMs: 300_000 });
      transcript.add(`login of ${initiator}  # ${answer.exitCode} ${answer.stderr} ${answer.stdout}`);
      if (answer.exitCode === NO_LOGIN) {
        await succeed(client, logoutCommand(iqn));
        return undefined;
      }
      const [serial = '', size = '', readOnly] = answer.stdout.trim().split(' ');
      if (answer.exitCode !== 0 || size === '') {
        throw new Error(`a login came to nothing: ${answer.exitCode} ${answer.stderr} ${answer.stdout}`);
      }
      return { serial, sizeBytes: BigInt(size), isReadOnly: readOnly === '1' };
    },
    logout: async (iqn) => {
      await succeed(client, logoutCommand(iqn));
    },
    reset: site.reset,
    close: async () => {
      closeFiles();
      await site.close();
    },
  };
};

const ID = volumeID(0x301);
const HOST = `${PREFIX}:host.h1`;
const FIRST: Chap = { user: 'grant-1', password: 'the-first-secret' };

/** What the initiator logs in to. */
const targetAt = async ({ server, address }: Machines, files: Files): Promise<Target> => {
  const profile = await loadProfile(join(SHIPPED, 'lio.yaml'), 'target');
  const bound = bind(profile, { run: shellRun(server), files, params: { hba: HBA } });
  return profiledTarget(bound, { portals: [`${address}:${PORT}`], iqnPrefix: PREFIX });
};

export const realOpenIscsi = async (machines: Machines): Promise<InitiatorRig> => {
  const { server, client, address } = machines;
  const profile = await loadProfile(join(SHIPPED, 'open-iscsi.yaml'), 'initiator');
  const transcript = new Transcript();
  const site = await makeSite(machines);
  const atServer = openFiles(server);
  const atClient = openFiles(client);
  const target = await targetAt(machines, atServer.files);
  let granted: Chap | undefined;
  const grant = async (chap: Chap): Promise<void> => {
    await target.deny(ID, HOST, granted?.user ?? '', signal);
    await target.cut(ID, HOST, signal);
    await target.allow(ID, HOST, chap, signal);
    granted = chap;
  };
  const sizeBytes = BigInt(SIZE_MIB * MIB);
  const holder = `${IFACE}-holder`;
  return {
    transcript,
    profile: bind(profile, {
      run: transcript.run(shellRun(client)),
      files: transcript.files(atClient.files),
      params: { iface: IFACE, links: LINKS },
    }),
    iqnPrefix: PREFIX,
    links: LINKS,
    clock: systemClock,
    connection: {
      volumeID: ID,
      grantUUID: '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a1111',
      iqn: `${PREFIX}:${ID}`,
      lun: 1,
      portal: `${address}:${PORT}`,
      initiator: HOST,
      chap: FIRST,
    },
    sizeBytes,
    away: `${address}:3999`,
    grant,
    grow: site.grow,
    hold: async (device) => {
      await succeed(
        client,
        `modprobe dm_mod; dmsetup create ${holder} --table "0 $(blockdev --getsz ${device}) linear ${device} 0"`,
      );
      return async () => {
        await succeed(client, `dmsetup remove --retry ${holder}`);
      };
    },
    reset: async () => {
      await succeed(client, `! dmsetup info ${holder} >/dev/null 2>&1 || dmsetup remove --retry ${holder}`);
      await site.reset();
      const spec = { path: site.devices[0], serial: ID, sizeBytes, readOnly: false };
      await target.open(ID, spec, signal);
      granted = undefined;
      await grant(FIRST);
    },
    close: async () => {
      atServer.close();
      atClient.close();
      await site.close();
    },
  };
};
