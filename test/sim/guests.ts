// Guests that write to their disks and flush, and remember what was acknowledged: what a disk shows must be that, or something whose
// answer is still out.
import type { PluggedDisk } from '../fakes/machines.ts';
import { type Device, MIB } from '../fakes/tree.ts';
import type { World } from './world.ts';

interface Block {
  /** What the guest was told is on the disk; empty before its first write. */
  acknowledged: string;
  /** Written, and not answered. */
  readonly open: Set<string>;
  /** All that it ever held. */
  readonly ever: Set<string>;
}

interface Write {
  readonly at: number;
  readonly word: string;
}

/** What has been written to a volume, by mebibyte. */
export class Journal {
  readonly blocks = new Map<number, Block>();

  block(at: number): Block {
    const known = this.blocks.get(at) ?? { acknowledged: '', open: new Set(), ever: new Set(['']) };
    this.blocks.set(at, known);
    return known;
  }

  mayShow(at: number, word: string): boolean {
    const block = this.blocks.get(at);
    return block === undefined ? word === '' : block.acknowledged === word || block.open.has(word);
  }

  /** Whether its volume has ever looked so, as far as each mebibyte is concerned. */
  wasOnce(words: readonly string[]): boolean {
    return words.every((word, at) => this.blocks.get(at)?.ever.has(word) ?? word === '');
  }

  /** What it begins with. */
  holds(words: readonly string[]): void {
    for (const [at, word] of words.entries()) {
      const block = this.block(at);
      block.acknowledged = word;
      block.ever.add(word);
    }
  }
}

export interface Disk extends PluggedDisk {
  readonly host: string;
}

export class Guests {
  /** By volumeID. */
  readonly journals = new Map<string, Journal>();
  isWriting = true;
  /** Acknowledged writes so far. */
  written = 0;
  readonly #world: World;
  /** By host, life of the VM and device: what waits for its target. */
  readonly #waiting = new Map<string, Write[]>();
  #words = 0;

  constructor(world: World) {
    this.#world = world;
  }

  journal(volumeID: string): Journal {
    const known = this.journals.get(volumeID) ?? new Journal();
    this.journals.set(volumeID, known);
    return known;
  }

  /** Disks of ours in all VMs. */
  get disks(): readonly Disk[] {
    return this.#world.hypervisors.flatMap(({ name: host, isUp, machines }) =>
      (isUp ? machines.plugged : []).map((disk) => ({ ...disk, host })),
    );
  }

  /** The host's VMs are others now: what their last lives had open is gone. */
  booted(host: string): void {
    for (const key of [...this.#waiting.keys()]) {
      if (key.startsWith(`${host} `)) {
        this.#waiting.delete(key);
      }
    }
  }

  /** A second in the life of all guests. */
  tick(): void {
    const alive = new Set<string>();
    for (const disk of this.disks.filter(({ isClosing }) => !isClosing)) {
      const key = `${disk.host} ${disk.life} ${disk.device} ${disk.volumeID}`;
      alive.add(key);
      const { backing } = disk;
      if (backing === undefined) {
        continue;
      }
      const waiting = this.#waiting.get(key) ?? [];
      this.#waiting.set(key, waiting);
      const mebibytes = Number(backing.sizeBytes / MIB);
      if (this.isWriting && waiting.length === 0 && mebibytes > 0) {
        this.#words += 1;
        const write = {
          at: this.#world.random.between(0, mebibytes - 1),
          word: `${disk.volumeID.slice(-4)}#${this.#words}`,
        };
        const block = this.journal(disk.volumeID).block(write.at);
        block.open.add(write.word);
        block.ever.add(write.word);
        waiting.push(write);
      }
      this.#send(disk, backing, waiting);
    }
    for (const key of [...this.#waiting.keys()].filter((one) => !alive.has(one))) {
      this.#waiting.delete(key);
    }
  }

  #send({ volumeID, vm, host }: Disk, device: Device, waiting: Write[]): void {
    const journal = this.journal(volumeID);
    for (let write = waiting[0]; write !== undefined; write = waiting[0]) {
      try {
        device.write(write.at, write.word);
      } catch {
        // The kernel holds it back and sends it when the target is there again.
        return;
      }
      waiting.shift();
      const block = journal.block(write.at);
      block.acknowledged = write.word;
      block.open.clear();
      this.written += 1;
      const read = device.read(write.at);
      if (read !== write.word) {
        this.#world.break(
          `P3: ${vm} of ${host} reads ${read || 'nothing'} where it has just written ${write.word}`,
        );
      }
    }
  }
}
