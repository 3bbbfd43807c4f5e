// Visits every reachable state, breadth first, and judges each.
import { type Move, movesOf } from './moves.ts';
import { unfinished, violation } from './promises.ts';
import type { Rules } from './rules.ts';
import { keyOf, type State } from './state.ts';

export interface Verdict {
  readonly states: number;
  readonly steps: number;
  readonly ends: number;
  /** Undefined when every promise holds in every state; else what broke and the moves that lead there. */
  readonly failure?: { readonly what: string; readonly story: readonly string[] };
}

class Explorer {
  readonly #ids = new Map<string, number>();
  /** For each state: how it was reached first, and what follows without users and faults. */
  readonly #cameFrom: number[] = [];
  readonly #cameBy: string[] = [];
  readonly #onward: number[][] = [];
  readonly #ends: number[] = [];
  #queue: { readonly id: number; readonly state: State }[] = [];
  #steps = 0;
  readonly #rules: Rules;
  readonly #limit: number;

  constructor(rules: Rules, limit: number) {
    this.#rules = rules;
    this.#limit = limit;
  }

  run(start: State): Verdict {
    this.#reach(start, -1, 'start');
    while (this.#queue.length > 0) {
      const batch = this.#queue;
      this.#queue = [];
      for (const { id, state } of batch) {
        const what = violation(state) ?? this.#expand(id, state);
        if (what !== undefined) {
          return this.#verdict(what, id);
        }
      }
      if (this.#ids.size > this.#limit) {
        throw new Error(`more than ${this.#limit} states: bound the scenario`);
      }
    }
    const stuck = this.#stuck();
    return stuck === undefined ? this.#verdict() : this.#verdict('P4: from here nothing ever settles', stuck);
  }

  #reach(state: State, from: number, by: string): number {
    const key = keyOf(state);
    const known = this.#ids.get(key);
    if (known !== undefined) {
      return known;
    }
    const id = this.#ids.size;
    this.#ids.set(key, id);
    this.#cameFrom.push(from);
    this.#cameBy.push(by);
    this.#onward.push([]);
    this.#queue.push({ id, state });
    return id;
  }

  #expand(id: number, state: State): string | undefined {
    const moves: Move[] = movesOf(state, this.#rules);
    this.#steps += moves.length;
    let progress = false;
    for (const { name, next, fault } of moves) {
      const to = this.#reach(next, id, name);
      if (to !== id && fault !== true) {
        progress = true;
        this.#onward[id]?.push(to);
      }
    }
    if (progress) {
      return undefined;
    }
    this.#ends.push(id);
    return unfinished(state);
  }

  /** A state from which no end can be reached any more. */
  #stuck(): number | undefined {
    const before: number[][] = this.#onward.map(() => []);
    for (const [from, list] of this.#onward.entries()) {
      for (const to of list) {
        before[to]?.push(from);
      }
    }
    const good = new Uint8Array(this.#onward.length);
    const todo = [...this.#ends];
    for (let id = todo.pop(); id !== undefined; id = todo.pop()) {
      if (good[id] === 0) {
        good[id] = 1;
        todo.push(...(before[id] ?? []));
      }
    }
    const index = good.indexOf(0);
    return index === -1 ? undefined : index;
  }

  #verdict(what?: string, at = -1): Verdict {
    const story: string[] = [];
    for (let id = at; id > 0; id = this.#cameFrom[id] ?? -1) {
      story.unshift(this.#cameBy[id] ?? '');
    }
    const totals = { states: this.#ids.size, steps: this.#steps, ends: this.#ends.length };
    return what === undefined ? totals : { ...totals, failure: { what, story } };
  }
}

export const explore = (start: State, rules: Rules, limit = 3_000_000): Verdict =>
  new Explorer(rules, limit).run(start);
