// A program in a guest that writes and flushes without end, so that it can be told afterwards whether anything that was
// acknowledged is lost.

import * as assert from 'uvu/assert';
import { waitFor } from '../process.ts';
import type { LabGuest } from './guest.ts';

const SLOTS = 64;
/** Blocks of 4 KiB at the start of the disk, which it leaves alone. */
const FIRST = 16;
const PROGRESS_LIMIT_MS = 1_800_000;

/** Each block holds the number of its write; a number is acknowledged when fsync(2) has returned. */
const program = (device: string): string => `
cd /run && rm -f ${device}.stop ${device}.acked ${device}.errors
(
  n=0
  while [ ! -e ${device}.stop ]; do
    n=$((n + 1))
    if printf '%-4095d\\n' $n |
      dd of=/dev/${device} bs=4096 count=1 seek=$((n % ${SLOTS} + ${FIRST})) iflag=fullblock conv=notrunc,fsync 2>${device}.dd
    then echo $n >${device}.new && mv ${device}.new ${device}.acked
    else echo "$n: $(cat ${device}.dd)" >>${device}.errors; sleep 1
    fi
  done
  touch ${device}.ended
) &`;

export class GuestLoad {
  readonly #guest: LabGuest;
  readonly #device: string;

  private constructor(guest: LabGuest, device: string) {
    this.#guest = guest;
    this.#device = device;
  }

  /** Returns when the first write is acknowledged. */
  static async start(guest: LabGuest, device: string): Promise<GuestLoad> {
    await guest.run(program(device));
    const load = new GuestLoad(guest, device);
    await load.goesOn();
    return load;
  }

  /** The number of the last write that was acknowledged; 0: none. */
  async acknowledged(): Promise<number> {
    return Number(await this.#guest.run(`cat /run/${this.#device}.acked 2>/dev/null || echo 0`));
  }

  /** What failed, as the guest's kernel said it. */
  async errors(): Promise<string> {
    return (await this.#guest.run(`cat /run/${this.#device}.errors 2>/dev/null || true`)).trim();
  }

  /** Waits for a write that begins after now to be acknowledged. */
  async goesOn(): Promise<void> {
    const before = await this.acknowledged();
    const limits = {
      what: `writes in ${this.#guest.name} to go on`,
      timeoutMs: PROGRESS_LIMIT_MS,
      intervalMs: 500,
    };
    await waitFor(limits, async () => (await this.acknowledged()) > before + 1);
  }

  /** Ends it with the write that is under way, whatever becomes of that. Answers the number of the last write that was acknowledged. */
  async abandon(): Promise<number> {
    await this.#guest.run(`touch /run/${this.#device}.stop`);
    return await this.acknowledged();
  }

  /** Ends it; every write that was acknowledged is there, and none failed. Answers how many there were. */
  async verify(): Promise<number> {
    const { name } = this.#guest;
    const file = `/run/${this.#device}`;
    await this.#guest.run(`touch ${file}.stop`);
    const limits = { what: `the writes in ${name} to end`, timeoutMs: PROGRESS_LIMIT_MS, intervalMs: 500 };
    await waitFor(limits, async () => (await this.#guest.run(`ls ${file}.ended 2>/dev/null || true`)) !== '');
    await this.#guest.run(`rm ${file}.ended`);
    assert.is(await this.errors(), '', `no write failed in ${name}`);
    const acknowledged = await this.acknowledged();
    await checkWrites(this.#guest, this.#device, acknowledged);
    return acknowledged;
  }
}

/** Reads all blocks from the disk itself: each holds its last acknowledged write, or one that came after. */
export const checkWrites = async (guest: LabGuest, device: string, acknowledged: number): Promise<void> => {
  const text = await guest.run(
    `dd if=/dev/${device} bs=4096 skip=${FIRST} count=${SLOTS} iflag=direct 2>/dev/null | tr -d '\\0' | sed 's/ *$//'`,
  );
  const found = text.trim().split('\n').map(Number);
  const numbers = Array.from({ length: Math.min(acknowledged, SLOTS) }, (_, back) => acknowledged - back);
  const lost = numbers.filter(
    (number) => !found.some((one) => one >= number && one % SLOTS === number % SLOTS),
  );
  assert.equal(lost, [], `all acknowledged writes are on ${device} of ${guest.name}`);
};
