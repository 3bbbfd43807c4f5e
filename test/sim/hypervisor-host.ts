// A hypervisor of the simulated world: what runs its machines, and the kernel's initiator.
import { uuidFrom } from '../../api/ids.ts';
import type { Command, CommandOutput, RunCommand } from '../../node-agent/exec/command.ts';
import type { Reach } from '../fakes/iscsi.ts';
import { askByIscsi } from '../fakes/libvirt/libiscsi.ts';
import { LibvirtHost } from '../fakes/libvirt/virsh.ts';
import type { Machines } from '../fakes/machines.ts';
import { FakeOpenIscsi } from '../fakes/open-iscsi.ts';
import { MemoryTree } from '../fakes/tree.ts';
import { XenHost } from '../fakes/xen/xl.ts';
import { bootOn, type Host, notInstalled, STATE, said } from './host.ts';
import { type Kit, kitOf } from './kit.ts';

export class HypervisorHost implements Host {
  readonly name: string;
  readonly identity: string;
  readonly tree: MemoryTree;
  readonly iscsi: FakeOpenIscsi;
  readonly machines: Machines;
  readonly kit: Kit;
  readonly vms: readonly string[];
  readonly #reach: Reach;
  #asked = 0;
  boots = 0;
  isUp = false;

  constructor(
    name: string,
    vms: readonly string[],
    {
      now,
      reach,
      kit,
      original,
    }: {
      readonly now: () => Date;
      readonly reach: Reach;
      readonly kit?: Partial<Kit>;
      readonly original?: HypervisorHost;
    },
  ) {
    this.name = name;
    this.identity = original?.identity ?? name;
    this.vms = vms;
    this.kit = original?.kit ?? kitOf(kit);
    this.tree = new MemoryTree(now);
    this.iscsi = new FakeOpenIscsi(this.tree);
    this.iscsi.reach = reach;
    this.#reach = reach;
    const open = (path: string) => this.tree.device(path);
    this.machines = this.kit.vmm === 'xen' ? new XenHost(open) : new LibvirtHost({ open, reach });
    if (this.kit.initiator === 'qemu') {
      this.tree.put('/usr/bin/iscsi-readcapacity16', '');
    }
    this.tree.makeDirectory('/sys/module/iscsi_tcp');
    this.tree.put(
      '/proc/net/unix',
      'Num RefCount Protocol Flags Type St Inode Path\n0: 2 0 10000 1 1 9 @ISCSIADM_ABSTRACT_NAMESPACE\n',
    );
    if (original !== undefined) {
      this.tree.copy(original.tree, STATE);
      this.iscsi.copyFiles(original.iscsi);
    }
    this.boot();
  }

  get files() {
    return this.tree.files;
  }

  boot(): void {
    bootOn(this);
    this.tree.remove('/dev/vbs');
    for (const vm of this.vms) {
      this.machines.add(vm, uuidFrom(`vm ${vm}`));
    }
  }

  /** Of the kernel and of machines. */
  get sessions(): readonly { readonly iqn: string; readonly user: string }[] {
    return this.isUp ? [...this.iscsi.sessions, ...this.machines.sessions] : [];
  }

  /** A second of whatever the kernel and the machines do by themselves. */
  tend(): void {
    this.iscsi.tend();
    this.machines.tend();
  }

  /** Sessions, domains and what is in /dev go; records stay, which are files. */
  powerOff(): void {
    this.isUp = false;
    this.machines.end();
    this.iscsi.forget();
  }

  /** None of these commands can be cut in two: they act through a daemon. */
  readonly runHalf: RunCommand = (command, signal) => this.run(command, signal);

  readonly run: RunCommand = (command, signal) => {
    switch (command.file) {
      case 'xl':
      case 'xenstore-ls':
      case 'virsh':
        return this.machines.run(command, signal);
      case 'iscsi-inq':
      case 'iscsi-readcapacity16':
        return this.#ask(command);
      case 'modprobe':
        return said('');
      case 'iscsid':
        return said('iscsid version 2.1.8\n');
      case 'lvmconfig':
        return said('scan_lvs=0\nglobal_filter=["a|^/dev/vda$|","r|.*|"]\n');
      case 'iscsiadm':
        return command.args[0] === '--version'
          ? said('iscsiadm version 2.1.8\n')
          : this.iscsi.run(command, signal);
      case 'systemctl':
        return command.args[0] === 'is-enabled' ? said('disabled\n') : this.iscsi.run(command, signal);
      case 'tee':
      case 'blockdev':
        return this.iscsi.run(command, signal);
      default:
        return notInstalled(command);
    }
  };

  async #ask(command: Command): Promise<CommandOutput> {
    this.#asked += 1;
    return askByIscsi(command, `asked ${this.#asked}`, this.#reach);
  }
}
