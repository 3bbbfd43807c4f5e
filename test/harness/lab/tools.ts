// The machines of the lab without anything of ours on them, for what is asked of their tools alone.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { makeWorkdir } from '../workdir.ts';
import type { Machine } from './machine.ts';
import { openMachines } from './machines.ts';
import { log } from './stories.ts';

export interface ToolMachines {
  get(name: string): Machine;
  /** The last suite of the file: what the suites before it made is gone, and the machines are let go. */
  readonly afterwards: { readonly run: () => void };
}

/** Prints a line for each thing that is left of what the rigs make. */
const LEFT = `for l in /dev/loop6 /dev/loop7; do losetup $l 2>/dev/null; done
ls -d /var/tmp/vbs-tools* /dev/vbs-tools /etc/iscsi/ifaces/vbstools /etc/lvm/lvmlocal.conf.before-tools /sys/kernel/config/target/core/iblock_7[78] /sys/kernel/config/target/iscsi/*vbs.tools* /dev/mapper/vbstools* 2>/dev/null
grep -ls 'vbs.tools' /sys/class/iscsi_session/*/targetname
iscsiadm -m node 2>/dev/null | grep vbs.tools
true`;

/** They are those that are up, or new ones. */
export const openTools = async (): Promise<ToolMachines> => {
  const workdir = await makeWorkdir(log);
  const machines = await openMachines({
    dir: workdir.dir,
    keep: process.env.VBS_LAB_KEEP === '1',
    log,
  }).catch(async (error: unknown) => {
    workdir.keep();
    await workdir.remove();
    throw error;
  });
  const afterwards = suite('afterwards');
  afterwards('nothing is left in the machines', async () => {
    for (const { ssh, name } of machines.all) {
      assert.is(await ssh.succeed(LEFT), '', `left on ${name}`);
    }
  });
  afterwards.after(async () => {
    // Each command and its answer stand in its logs.
    workdir.keep();
    await machines.close();
    await workdir.remove();
  });
  return { get: (name) => machines.get(name), afterwards: { run: () => afterwards.run() } };
};
