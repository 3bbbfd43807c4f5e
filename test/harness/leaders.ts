// Who leads among several controllers, by what each says of itself.

/** The controller's own metric. Undefined: it does not answer. */
export async function leads(port: number): Promise<boolean | undefined> {
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`, { signal: AbortSignal.timeout(2_000) });
    const value = /^vbs_leader\{[^}]*\} (\d)$/m.exec(await answer.text())?.[1];
    return value === undefined ? undefined : value === '1';
  } catch {
    return undefined;
  }
}

/** Asks all of them again and again; remembers whether two ever led. */
export class LeaderWatch {
  samples = 0;
  both = 0;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;

  constructor(ports: readonly number[]) {
    this.#ended = this.#run(ports);
  }

  async #run(ports: readonly number[]): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const leading = await Promise.all(ports.map(leads));
      this.samples += 1;
      this.both += leading.filter((one) => one === true).length > 1 ? 1 : 0;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }
}
