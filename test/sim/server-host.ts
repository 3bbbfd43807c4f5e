// A volume server of the simulated world: logical volumes of one volume group, thick or thin, exported by the kernel's target or by tgtd.
import type { RunCommand } from '../../node-agent/exec/command.ts';
import { FakeConfigfs } from '../fakes/configfs.ts';
import type { Exporter } from '../fakes/iscsi.ts';
import { type FakeLv, FakeLvm, VG } from '../fakes/lvm.ts';
import { FakeTgt } from '../fakes/tgt.ts';
import { type Device, failure, MemoryTree } from '../fakes/tree.ts';
import { bootOn, type Host, notInstalled, STATE, said } from './host.ts';
import { type Kit, kitOf } from './kit.ts';

const DEV = `/dev/${VG}`;
const POOL_ID = '11111111-2222-4333-8444-555555555555';

export class ServerHost implements Host {
  readonly name: string;
  readonly identity: string;
  readonly kit: Kit;
  /** In the network of the hosts. */
  readonly address: string;
  /** As its configuration has it. */
  readonly portal: string;
  readonly tree: MemoryTree;
  readonly lvm = new FakeLvm();
  readonly lio: FakeConfigfs;
  readonly tgt: FakeTgt;
  /** The one of the two that exports. */
  readonly exporter: Exporter;
  boots = 0;
  isUp = false;
  readonly #devices = new Map<FakeLv, Device>();

  constructor(
    name: string,
    address: string,
    {
      now,
      kit,
      original,
    }: { readonly now: () => Date; readonly kit?: Partial<Kit>; readonly original?: ServerHost },
  ) {
    this.name = name;
    this.identity = original?.identity ?? name;
    this.portal = `${original?.address ?? address}:3260`;
    this.address = address;
    this.tree = new MemoryTree(now);
    this.lio = new FakeConfigfs(this.tree);
    this.tgt = new FakeTgt((path) => this.tree.device(path));
    this.kit = original?.kit ?? kitOf(kit);
    this.exporter = this.kit.target === 'lio' ? this.lio : this.tgt;
    this.lvm.thin = this.kit.pool === 'lvm-thin';
    this.lvm[this.lvm.thin ? 'poolTags' : 'vgTags'] = [`vbs.pool=${POOL_ID}`];
    this.tree.mount(DEV, (lv) => {
      const found = this.lvm.lv(lv);
      return found?.active === true ? this.#deviceOf(found) : undefined;
    });
    this.tree.put('/usr/sbin/thin_check', '');
    for (const module of ['dm_snapshot', 'dm_thin_pool', 'iscsi_target_mod', 'target_core_iblock']) {
      this.tree.makeDirectory(`/sys/module/${module}`);
    }
    if (original !== undefined) {
      this.tree.copy(original.tree, STATE);
      this.lvm.copy(original.lvm);
    }
    this.boot();
  }

  get files() {
    return this.lio.files;
  }

  boot(): void {
    bootOn(this);
    this.lio.load();
    this.tgt.start();
    this.#follow();
  }

  /** Whatever is in the kernel's memory is gone. */
  powerOff(): void {
    this.isUp = false;
    this.lio.forget();
    this.tgt.kill();
  }

  /** The command does all of its work, or half of it where that leaves something behind, and is killed. */
  readonly runHalf: RunCommand = async (command, signal) => {
    this.lvm.isKilled = () => true;
    try {
      return await this.run(command, signal);
    } finally {
      this.lvm.isKilled = () => false;
    }
  };

  readonly run: RunCommand = (command, signal) => {
    switch (command.file) {
      case 'lvmconfig':
        return said('scan_lvs=0\nglobal_filter=["a|^/dev/vdb$|","r|.*|"]\n');
      case 'modprobe':
        return said('');
      case 'systemctl':
        return said('disabled\n');
      case 'tgtadm':
        return this.tgt.run(command);
      case 'dpkg-query':
        return said('1:1.0.85-1+deb12u1');
      case 'blkdiscard':
        return this.#onVolumes(() => this.lvm.run(command, signal));
      default:
        return /^(?:lv|vg)/.test(command.file)
          ? this.#onVolumes(() => this.lvm.run(command, signal))
          : notInstalled(command);
    }
  };

  /** Words of a volume under that name; undefined when there is none. */
  words(name: string): readonly string[] | undefined {
    return this.lvm.lv(name) === undefined ? undefined : this.lvm.read(name);
  }

  #onVolumes<T>(work: () => Promise<T>): Promise<T> {
    for (const lv of this.lvm.lvs) {
      lv.open = this.exporter.isHeld(this.#deviceOf(lv));
    }
    const answer = work();
    this.#follow();
    return answer;
  }

  /** The device nodes of the volumes there are. */
  #follow(): void {
    this.lio.devices.clear();
    for (const lv of this.lvm.lvs) {
      if (lv.active) {
        this.lio.setDevice(`${DEV}/${lv.name}`, this.#deviceOf(lv));
      }
    }
  }

  #deviceOf(lv: FakeLv): Device {
    const known = this.#devices.get(lv);
    if (known !== undefined) {
      return known;
    }
    const { lvm } = this;
    const expectThere = (): void => {
      if (!lvm.lvs.includes(lv)) {
        throw failure('EIO', lv.name);
      }
    };
    const device: Device = {
      get sizeBytes() {
        return BigInt(lv.origin === undefined ? lv.bytes : lv.origin.bytes);
      },
      read: (at) => {
        expectThere();
        return lvm.read(lv.name)[at] ?? '';
      },
      write: (at, word) => {
        expectThere();
        lvm.write(lv.name, at, word);
      },
    };
    this.#devices.set(lv, device);
    return device;
  }
}
