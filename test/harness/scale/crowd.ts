// Thousands of Volumes and Attachments, made and removed as a user would, and how many of them are done.
import type { Attachment } from '../../../api/attachment.ts';
import { type Condition, isTrue } from '../../../api/conditions.ts';
import type { KubeObject } from '../../../api/object.ts';
import { API_VERSION, ATTACHMENTS, VOLUMES } from '../../../api/resources.ts';
import type { Volume } from '../../../api/volume.ts';
import type { Api } from '../../../runtime/api.ts';
import { silentLog } from '../../../runtime/log.ts';
import { Reflector } from '../../../runtime/reflector.ts';
import { waitFor } from '../process.ts';

const NAMESPACE = 'default';
const AT_ONCE = 16;

export interface Group {
  readonly prefix: string;
  readonly volumes: number;
  /** The first so many Volumes are attached. */
  readonly attachments: number;
}

/** Works on the items, a few at once. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const waiting = items.values();
  const hand = async () => {
    for (const item of waiting) {
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, hand));
}

const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index);

export class Crowd {
  readonly #api: Api;
  readonly #machines: readonly string[];
  readonly #volumes: Reflector<Volume>;
  readonly #attachments: Reflector<Attachment>;
  readonly #stop = new AbortController();
  readonly #watching: Promise<void>[];

  /** Attachments go to the machines in turn. */
  constructor(api: Api, machines: readonly string[]) {
    this.#api = api;
    this.#machines = machines;
    this.#volumes = new Reflector<Volume>({ api, resource: VOLUMES, log: silentLog });
    this.#attachments = new Reflector<Attachment>({ api, resource: ATTACHMENTS, log: silentLog });
    this.#watching = [this.#volumes, this.#attachments].map((reflector) => reflector.run(this.#stop.signal));
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#watching);
  }

  async make({ prefix, volumes, attachments }: Group): Promise<void> {
    await each(numbers(volumes), async (number) => {
      const metadata = { name: `${prefix}-${number}`, namespace: NAMESPACE };
      const draft = { apiVersion: API_VERSION, kind: 'Volume', metadata, spec: { size: '64Mi' } };
      await this.#api.create(VOLUMES, draft as never);
      if (number < attachments) {
        const instance = { name: this.#machines[number % this.#machines.length] };
        const spec = { volumeRef: { name: metadata.name }, instance };
        await this.#api.create(ATTACHMENTS, { ...draft, kind: 'Attachment', spec } as never);
      }
    });
  }

  /** Attachments and Volumes at the same time, as `kubectl delete -f` of a folder would. */
  async removeAll(): Promise<void> {
    const remove = (resource: typeof VOLUMES) => (object: KubeObject) =>
      this.#api.remove(resource, { name: object.metadata.name, namespace: NAMESPACE });
    await each(this.#attachments.list(), remove(ATTACHMENTS));
    await each(this.#volumes.list(), remove(VOLUMES));
  }

  get done(): { readonly volumes: number; readonly attachments: number } {
    const ready = (objects: readonly (KubeObject & { readonly status?: { conditions?: Condition[] } })[]) =>
      objects.filter(({ status }) => isTrue(status?.conditions, 'Ready')).length;
    return {
      volumes: ready(this.#volumes.list() as never),
      attachments: ready(this.#attachments.list() as never),
    };
  }

  /** Until so many are Ready; milliseconds that it took. */
  async untilDone(volumes: number, attachments: number, timeoutMs: number): Promise<number> {
    const startedMs = performance.now();
    await waitFor({ what: 'all to be Ready', timeoutMs, intervalMs: 250 }, async () => {
      const { done } = this;
      if (done.volumes < volumes || done.attachments < attachments) {
        throw new Error(`${JSON.stringify(done)} of ${volumes} and ${attachments}; ${this.#laggards()}`);
      }
      return true;
    });
    return performance.now() - startedMs;
  }

  async untilGone(timeoutMs: number): Promise<number> {
    const startedMs = performance.now();
    await waitFor({ what: 'all to be gone', timeoutMs, intervalMs: 250 }, async () => {
      const left = [...this.#volumes.list(), ...this.#attachments.list()];
      if (left.length > 0) {
        throw new Error(`${left.length} are left; ${this.#laggards()}`);
      }
      return true;
    });
    return performance.now() - startedMs;
  }

  /** What the first that is not Ready says. */
  #laggards(): string {
    const conditionsOf = ({ status }: Volume | Attachment) =>
      (status?.conditions ?? []) as readonly Condition[];
    const late = [...this.#attachments.list(), ...this.#volumes.list()].find(
      (object) => !isTrue(conditionsOf(object), 'Ready'),
    );
    const said = late && conditionsOf(late).find(({ type }) => type === 'Ready');
    return `${late?.kind} ${late?.metadata.name}: ${said?.reason} ${said?.message}`;
  }
}
