// What of ours is in the machines, asked of the tools themselves and not of the agents. A question that fails is an error, not
// "nothing".

import { STATE_DIR } from './agent.ts';
import type { Ssh } from './ssh.ts';

interface Question {
  readonly what: string;
  readonly command: string;
}

interface Pools {
  readonly thin: { readonly vg: string; readonly thinpool: string };
  readonly thick: { readonly vg: string };
}

const RECORDS = ['volumes', 'attachments', 'copies-volumes', 'copies-exports', 'copies-attachments'];

const records: Question = {
  what: 'record of the agent',
  command: `cd ${STATE_DIR} 2>/dev/null || exit 0; for d in ${RECORDS.join(' ')}; do [ ! -d $d ] || find $d -type f; done`,
};

const onServer = (target: string, pools: Pools): readonly Question[] => [
  {
    what: 'logical volume',
    command: `lvs --noheadings -o vg_name,lv_name,lv_tags -S 'lv_name!="${pools.thin.thinpool}"' ${pools.thin.vg} ${pools.thick.vg}`,
  },
  {
    what: 'device-mapper device of a volume',
    command: `dmsetup info -c --noheadings -o name | { grep -E -- '-(vol|snap)' || true; }`,
  },
  ...(target === 'lio' ? lio : tgt),
  records,
];

const lio: readonly Question[] = [
  {
    what: 'LIO target',
    command: `cd /sys/kernel/config/target && { [ ! -d iscsi ] || find iscsi -mindepth 1 -maxdepth 1 -name 'iqn*'; }`,
  },
  {
    what: 'LIO backstore',
    command: `cd /sys/kernel/config/target/core && find . -mindepth 2 -maxdepth 2 -type d -not -path '*/alua*'`,
  },
];

const tgt: readonly Question[] = [
  { what: 'tgt target', command: 'tgtadm --lld iscsi --mode target --op show' },
  {
    what: 'tgt account',
    command: `tgtadm --lld iscsi --mode account --op show | { grep -v '^Account list:$' || true; }`,
  },
];

/** iscsiadm(8): 21 says that there are none. */
const NONE = '[ $? -eq 21 ]';

const xen = (guest: string): readonly Question[] => [
  {
    what: 'disk of a guest',
    command: `id=$(xl domid ${guest}) && xl block-list "$id" | tail -n +2`,
  },
  {
    what: 'virtual disk in xenstore',
    command: `xenstore-ls -f /local/domain/0/backend | { grep -E '^/local/domain/0/backend/vbd/[0-9]+/[0-9]+ ' || true; }`,
  },
];

const libvirt = (guest: string): readonly Question[] => [
  { what: 'disk of a guest', command: `virsh -q -c qemu:///system domblklist ${guest}` },
  { what: 'secret', command: 'virsh -q -c qemu:///system secret-list' },
];

const onHypervisor = (kind: 'xen' | 'libvirt', guest: string): readonly Question[] => [
  { what: 'iSCSI session', command: `iscsiadm -m session 2>/dev/null || ${NONE}` },
  { what: 'iSCSI node record', command: `iscsiadm -m node 2>/dev/null || ${NONE}` },
  {
    what: 'SCSI disk',
    command: `find /sys/block -name 'sd*'`,
  },
  ...(kind === 'xen' ? xen(guest) : libvirt(guest)),
  { what: 'link to a device', command: `[ ! -d /dev/vbs ] || find /dev/vbs -mindepth 1` },
  records,
];

const ask = async (ssh: Ssh, questions: readonly Question[]): Promise<readonly string[]> => {
  const found: string[] = [];
  for (const { what, command } of questions) {
    const lines = (await ssh.succeed(command)).split('\n').map((line) => line.trim());
    const name = ssh.name;
    found.push(...lines.filter((line) => line !== '').map((line) => `${name}: ${what}: ${line}`));
  }
  return found;
};

export const remainsOnServer = async (ssh: Ssh, target: string, pools: Pools): Promise<readonly string[]> =>
  await ask(ssh, onServer(target, pools));

export const remainsOnHypervisor = async (
  ssh: Ssh,
  kind: 'xen' | 'libvirt',
  guest: string,
): Promise<readonly string[]> => await ask(ssh, onHypervisor(kind, guest));
