// Runs the steps one after another: title, what the step tells, its time. After a failure the others are not run.
import type { Screen } from './screen.ts';
import type { Outcome } from './summary.ts';

/** How a step speaks. */
export interface Telling {
  /** A line that stays. */
  note(line: string): void;
  /** A command line, before its output. */
  command(line: string): void;
  /** What is awaited now; shown with the seconds since the step began. */
  status(text: string): void;
}

export interface Step {
  readonly title: string;
  run(tell: Telling): Promise<void>;
  /** Also after a failure, as for taking things down. */
  readonly always?: boolean;
  /** Prints what helps to understand the failure of this step. */
  explain?(tell: Telling): Promise<void>;
}

export interface Failure {
  readonly title: string;
  readonly message: string;
}

const INDENT = '    ';
const TICK_MS = 200;
const SHOWN_AFTER_S = 0.5;

export class Course {
  readonly outcomes: Outcome[] = [];
  readonly #screen: Screen;
  #failure: Failure | undefined;
  #isEnding = false;

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  get failure(): Failure | undefined {
    return this.#failure;
  }

  /** From now on nothing is told and no step begins or ends: the run is being interrupted. */
  end(): void {
    this.#isEnding = true;
    this.#screen.clear();
  }

  async take(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      await this.#takeOne(step);
    }
  }

  async #takeOne(step: Step): Promise<void> {
    const { title } = step;
    if (this.#failure !== undefined && step.always !== true) {
      this.outcomes.push({ title, state: 'not run', seconds: 0 });
      return;
    }
    const screen = this.#screen;
    screen.print(`\n${screen.bold(`${String(this.outcomes.length + 1).padStart(2)}  ${title}`)}`);
    const startedAt = performance.now();
    const seconds = () => (performance.now() - startedAt) / 1000;
    const error = await this.#run(step, seconds);
    const time = `${seconds().toFixed(1)} s`;
    if (this.#isEnding) {
      await new Promise(() => {}); // the interruption ends the process
    }
    if (error === undefined) {
      this.outcomes.push({ title, state: 'passed', seconds: seconds() });
      screen.print(`${INDENT}${screen.green('ok')} ${screen.dim(time)}`);
      return;
    }
    this.outcomes.push({ title, state: 'failed', seconds: seconds() });
    this.#failure ??= { title, message: error };
    screen.print(`${INDENT}${screen.red('FAILED')} ${screen.dim(time)}`);
    screen.print(screen.red(error.replace(/^/gm, INDENT)));
    await step.explain?.(this.#telling(seconds)).catch(() => undefined);
  }

  /** The message of the error, if any. */
  async #run(step: Step, seconds: () => number): Promise<string | undefined> {
    let status = '';
    const show = () => {
      if (!this.#isEnding && seconds() >= SHOWN_AFTER_S) {
        this.#screen.live(`${INDENT}${seconds().toFixed(0).padStart(3)} s  ${status}`);
      }
    };
    const tell = {
      ...this.#telling(seconds),
      status: (text: string) => {
        status = text;
        show();
      },
    };
    const ticker = setInterval(show, TICK_MS);
    try {
      await step.run(tell);
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    } finally {
      clearInterval(ticker);
      this.#screen.clear();
    }
  }

  #telling(seconds: () => number): Telling {
    const note = (line: string): void => {
      if (!this.#isEnding) {
        this.#screen.print(line.replace(/^(?=.)/gm, INDENT));
      }
    };
    return {
      note,
      command: (line) => note(this.#screen.bold(`$ ${line}`)),
      status: (text) => this.#screen.live(`${INDENT}${seconds().toFixed(0)} s  ${text}`),
    };
  }
}
