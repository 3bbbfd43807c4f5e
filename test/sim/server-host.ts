// A volume server of the simulated world: logical volumes of one volume group, exported by the kernel's target.
import type { RunCommand } from '../../node-agent/exec/command.ts';
import { FakeConfigfs } from '../fakes/configfs.ts';
import { type FakeLv, FakeLvm, VG } from '../fakes/lvm.ts';
import { type Device, failure, MemoryTree } from '../fakes/tree.ts';
import { bootOn, type Host, notInstalled, said } from './host.ts';

const DEV = `/dev/${VG}`;
const POOL_ID = '11111111-2222-4333-8444-555555555555';

export class ServerHost implements Host {
  readonly name: string;
  /** In the network of the hosts. */
  readonly address: string;
  readonly tree: MemoryTree;
  readonly lvm = new FakeLvm();
  readonly lio: FakeConfigfs;
  boots = 0;
  isUp = false;
  readonly #devices = new Map<FakeLv, Device>();

  constructor(name: string, address: string, now: () => Date) {
    this.name = name;
    this.address = address;
    this.tree = new MemoryTree(now);
    this.lio = new FakeConfigfs(this.tree);
    this.lvm.thin = false;
    this.lvm.vgTags = [`vbs.pool=${POOL_ID}`];
    this.tree.mount(DEV, (lv) => {
      const found = this.lvm.lv(lv);
      return found?.active === true ? this.#deviceOf(found) : undefined;
    });
    for (const module of ['dm_snapshot', 'iscsi_target_mod', 'target_core_iblock']) {
      this.tree.makeDirectory(`/sys/module/${module}`);
    }
    this.boot();
  }

  get files() {
    return this.lio.files;
  }

  boot(): void {
    bootOn(this);
    this.lio.load();
    this.#follow();
  }

  /** Whatever is in the kernel's memory is gone. */
  powerOff(): void {
    this.isUp = false;
    this.lio.forget();
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
      lv.open = this.lio.isHeld(this.#deviceOf(lv));
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
