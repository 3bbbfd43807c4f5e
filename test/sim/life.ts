// One process of the simulated world, from its start to its death. Whatever it does to the world passes here, is counted, and is where it
// can be struck. What is dead never goes on: its waits have no end.
import { type Clock, sleeping } from '../../runtime/clock.ts';
import { type CommandFault, isCommandFault } from './command-faults.ts';
import { STATE } from './host.ts';
import type { World } from './world.ts';

/** It dies before the act, in its midst, or after it and before it hears of it; its host loses its power then; or the command is a bad one. */
export type Blow = 'dies before' | 'dies in the midst' | 'dies after' | 'loses power after' | CommandFault;

/** A blow at the act of that number, counted from 0. */
export interface Strike {
  readonly at: number;
  readonly how: Blow;
}

/** An act that may be done by halves, or as a bad command does it; what cannot does all of it. */
export type Act<T> = (how: 'half' | CommandFault | undefined) => T | Promise<T>;

/** Also words to a person, which nobody waits for. */
export const isHeartbeat = (what: string): boolean =>
  /^\w+ (?:leases|events) /.test(what) || what === `writeAtomic ${STATE}/host/lease.json`;

const never = (): Promise<never> => new Promise(() => {});

export class Life {
  readonly name: string;
  readonly clock: Clock;
  readonly stop = new AbortController();
  /** What it did to the world, in order. */
  readonly acts: string[] = [];
  strike: Strike | undefined;
  readonly #world: World;
  readonly #onDeath: () => void;
  #isAlive = true;

  constructor(world: World, name: string, onDeath: () => void) {
    this.#world = world;
    this.name = name;
    this.#onDeath = onDeath;
    const { clock } = world;
    const after: Clock['after'] = (ms, run) =>
      clock.after(ms, () => {
        if (this.#isAlive) {
          run();
        }
      });
    this.clock = {
      now: () => new Date(clock.now().getTime() + world.skewMs(name)),
      monotonicMs: () => clock.monotonicMs(),
      after,
      sleep: sleeping(after),
    };
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  kill(): void {
    if (this.#isAlive) {
      this.#isAlive = false;
      this.#world.tell(`${this.name} is killed`);
      this.#onDeath();
    }
  }

  /** A look at the world: it takes a moment, and changes nothing. */
  async look<T>(look: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.moment(signal);
    const seen = await look();
    return this.#isAlive ? seen : never();
  }

  /** Changes the world. */
  async act<T>(what: string, act: Act<T>, signal?: AbortSignal): Promise<T> {
    await this.moment(signal);
    const number = this.acts.push(what) - 1;
    const how = this.strike?.at === number ? this.strike.how : undefined;
    if (!isHeartbeat(what)) {
      this.#world.acted();
    }
    if (!isHeartbeat(what) || how !== undefined) {
      this.#world.tell(`${this.name}: ${what}${how === undefined ? '' : ` (${how})`}`);
    }
    if (how === 'dies before') {
      this.kill();
      return never();
    }
    const outcome = await Promise.resolve()
      .then(() =>
        (this.#isAlive ? act : never)(
          how === 'dies in the midst' ? 'half' : isCommandFault(how) ? how : undefined,
        ),
      )
      .finally(() => {
        this.#world.look();
        this.#end(how);
      });
    if (!this.#isAlive) {
      return never();
    }
    await this.moment(signal);
    return outcome;
  }

  #end(how: Blow | undefined): void {
    if (how === 'loses power after') {
      this.#world.powerCycle(this.name);
    } else if (how === 'dies in the midst' || how === 'dies after') {
      this.kill();
    }
  }

  /** What anything takes. Others act meanwhile. */
  async moment(signal?: AbortSignal): Promise<void> {
    await this.clock.sleep(this.#world.random.between(0, 12), signal);
    if (!this.#isAlive) {
      await never();
    }
  }
}
