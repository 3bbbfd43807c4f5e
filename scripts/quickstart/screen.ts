// The terminal: lines that stay, one line at the bottom that tells what is awaited, and colours where a person looks.
import type { Writable } from 'node:stream';

const SILENT_PROGRESS_MS = 10_000;

export interface Terminal extends Writable {
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export class Screen {
  readonly #out: Terminal;
  readonly #isLive: boolean;
  readonly #hasColour: boolean;
  #liveText = '';
  #toldAt = 0;

  constructor(out: Terminal, env: NodeJS.ProcessEnv = process.env) {
    this.#out = out;
    this.#isLive = out.isTTY === true && env.TERM !== 'dumb';
    this.#hasColour = this.#isLive && !env.NO_COLOR;
  }

  readonly bold = (text: string): string => this.#styled(text, 1, 22);
  readonly dim = (text: string): string => this.#styled(text, 2, 22);
  readonly red = (text: string): string => this.#styled(text, 31, 39);
  readonly green = (text: string): string => this.#styled(text, 32, 39);

  /** Prints text that stays, above the live line. */
  print(text = ''): void {
    this.clear();
    this.#out.write(`${text}\n`);
    this.#toldAt = Date.now();
  }

  /** Tells what goes on: at the bottom of a terminal; elsewhere as a line when nothing was printed for ten seconds. */
  live(text: string): void {
    if (!this.#isLive) {
      if (Date.now() - this.#toldAt >= SILENT_PROGRESS_MS) {
        this.print(text);
      }
      return;
    }
    const width = (this.#out.columns || 80) - 1;
    const shown = text.length > width ? `${text.slice(0, width - 1)}…` : text;
    if (shown !== this.#liveText) {
      this.#out.write(`\r\u001B[K${this.dim(shown)}`);
      this.#liveText = shown;
    }
  }

  /** Takes the live line away. */
  clear(): void {
    if (this.#liveText !== '') {
      this.#out.write('\r\u001B[K');
      this.#liveText = '';
    }
  }

  #styled(text: string, on: number, off: number): string {
    return this.#hasColour ? `\u001B[${on}m${text}\u001B[${off}m` : text;
  }
}
