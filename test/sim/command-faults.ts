// Commands that lie, fail, or do not come back.
import { type Command, CommandError, type CommandOutput } from '../../node-agent/exec/command.ts';
import type { Act, Life } from './life.ts';
import type { World } from './world.ts';

export const COMMAND_FAULTS = [
  'fails and does it',
  'fails and does nothing',
  'says ok and does nothing',
  'hangs and does it',
  'hangs and does nothing',
] as const;
export type CommandFault = (typeof COMMAND_FAULTS)[number];

export const isCommandFault = (how: string | undefined): how is CommandFault =>
  COMMAND_FAULTS.some((fault) => fault === how);

const FAILED: CommandOutput = { exitCode: 1, stdout: '', stderr: 'something went wrong\n' };
const FINE: CommandOutput = { exitCode: 0, stdout: '', stderr: '' };

export interface Carried {
  readonly whole: () => Promise<CommandOutput>;
  readonly half: () => Promise<CommandOutput>;
}

export class CommandFaults {
  /** The share of commands that are struck. */
  share = 0;
  /** Commands that hang. */
  hanging = 0;
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  carryOut({ file, timeoutMs }: Command, life: Life, { whole, half }: Carried): Act<CommandOutput> {
    return async (how) => {
      if (how === 'half') {
        return await half();
      }
      const { random } = this.#world;
      const fault =
        how ?? (this.share > 0 && random.chance(this.share) ? random.pick(COMMAND_FAULTS) : undefined);
      if (fault === undefined) {
        return await whole();
      }
      this.#world.tell(`${life.name}: ${file} ${fault}`);
      if (fault.endsWith('does it')) {
        await whole();
      }
      if (fault.startsWith('hangs')) {
        await this.#hang(timeoutMs);
        throw new CommandError(file, `no end after ${timeoutMs} ms`);
      }
      return fault.startsWith('says ok') ? FINE : FAILED;
    };
  }

  async #hang(ms: number): Promise<void> {
    this.hanging += 1;
    await this.#world.clock.sleep(ms);
    this.hanging -= 1;
  }
}
