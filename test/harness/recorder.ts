// Keeps every state in which the objects of our kinds are seen.
import { OUR_KINDS } from '../../api/resources.ts';
import type { Api } from '../../runtime/api.ts';
import { silentLog } from '../../runtime/log.ts';
import { Reflector } from '../../runtime/reflector.ts';
import type { Thing } from './story.ts';

export class Recorder {
  readonly seen: Thing[] = [];
  readonly #stop = new AbortController();
  readonly #watching: readonly Promise<void>[];

  constructor(api: Api) {
    this.#watching = OUR_KINDS.map((resource) => {
      const reflector = new Reflector<Thing>({ api, resource, log: silentLog });
      reflector.onChange(({ object }) => {
        if (object !== undefined) {
          this.seen.push(object);
        }
      });
      return reflector.run(this.#stop.signal);
    });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#watching);
  }
}
