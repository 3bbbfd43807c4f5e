import type { KubeObject } from '../../api/object.ts';
import type { Api, ListQuery, Page, WatchEvent, WatchQuery } from '../../runtime/api.ts';

export type Thing = KubeObject & { readonly spec?: unknown };
type Event = WatchEvent<KubeObject>;

/** One watch connection as the server plays it. */
export class Connection {
  readonly query: WatchQuery;
  readonly #events: Event[] = [];
  #wake: () => void = () => {};
  #end: { readonly error?: unknown } | undefined;

  constructor(query: WatchQuery) {
    this.query = query;
  }

  /** Answers 200. */
  open(): this {
    this.query.onOpen?.();
    return this;
  }

  send(type: Event['type'], object: KubeObject): this {
    this.#events.push({ type, object });
    this.#wake();
    return this;
  }

  bookmark(resourceVersion: string, annotations: Record<string, string> = {}): this {
    return this.send('BOOKMARK', {
      apiVersion: 'v1',
      kind: 'Thing',
      metadata: { name: '', uid: '', resourceVersion, annotations },
    });
  }

  /** Ends a streamed list. */
  listed(resourceVersion: string): this {
    return this.bookmark(resourceVersion, { 'k8s.io/initial-events-end': 'true' });
  }

  /** A timely end. */
  close(): void {
    this.#end = {};
    this.#wake();
  }

  fail(error: unknown): void {
    this.#end = { error };
    this.#wake();
  }

  async *events(signal: AbortSignal): AsyncGenerator<Event> {
    signal.addEventListener('abort', () => this.fail(signal.reason), { once: true });
    while (true) {
      const event = this.#events.shift();
      if (event !== undefined) {
        yield event;
      } else if (this.#end === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      } else if ('error' in this.#end) {
        throw this.#end.error;
      } else {
        return;
      }
    }
  }
}

/** The watching half of an Api, played by a test: each watch is a connection to script. */
export class ScriptedWatch {
  readonly connections: Connection[] = [];
  readonly lists: ListQuery[] = [];
  /** Answers to `list`, in order. */
  readonly pages: (Page<Thing> | Error)[] = [];

  readonly api: Pick<Api, 'watch' | 'list'> = {
    watch: <T extends KubeObject>(_: unknown, query: WatchQuery, signal: AbortSignal) => {
      const connection = new Connection(query);
      this.connections.push(connection);
      return connection.events(signal) as AsyncGenerator<WatchEvent<T>>;
    },
    list: async <T extends KubeObject>(_: unknown, query: ListQuery = {}) => {
      this.lists.push(query);
      const page = this.pages.shift();
      if (page === undefined || page instanceof Error) {
        throw page ?? new Error('no page scripted');
      }
      return page as unknown as Page<T>;
    },
  };

  /** The connection of now. */
  get last(): Connection {
    const last = this.connections.at(-1);
    if (last === undefined) {
      throw new Error('nobody watches yet');
    }
    return last;
  }
}

/** A small object; `resourceVersion` tells its states apart. */
export const aThing = (name: string, resourceVersion: string, uid = `uid-${name}`): Thing => ({
  apiVersion: 'v1',
  kind: 'Thing',
  metadata: { name, namespace: 'default', uid, resourceVersion },
});
