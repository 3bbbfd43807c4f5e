// A pool's place, with backings that are only names and sizes.
import type { Row } from '../../../node-agent/profiles/row.ts';
import type { Tool } from './played.ts';

interface Stored {
  state: 'provisional' | 'complete' | 'dying' | 'retained';
  sizeBytes: bigint;
  readonly cluster: string;
  namespace: string;
  name: string;
}

export interface PlayedPool {
  readonly tool: Tool;
  /** The size of what a target exports by that path; undefined when there is no such backing. */
  sizeAt(path: string): bigint | undefined;
  readonly count: number;
}

const suffix = { provisional: 'new', complete: 'raw', dying: 'dying', retained: 'retained' } as const;

export function playedPool(directory: string, totalBytes: bigint): PlayedPool {
  const identity = crypto.randomUUID();
  const stored = new Map<string, Stored>();
  let usedBytes = 0n;
  const pathOf = (id: string, { state }: Stored) => `${directory}/${id}.${suffix[state]}`;
  const turn = (id: string, from: Stored['state'], to: Stored['state']) => {
    const found = stored.get(id);
    if (found?.state !== from) {
      return 'absent';
    }
    found.state = to;
    return undefined;
  };
  const tool: Tool = {
    identity: () => [{ identity }],
    contents: () => [],
    prepare: () => undefined,
    capacity: () => [{ total: String(totalBytes), free: String(totalBytes - usedBytes) }],
    volumes: () =>
      [...stored].map(
        ([id, one]): Row => ({
          id,
          state: one.state,
          size: String(one.sizeBytes),
          path: pathOf(id, one),
          cluster: one.cluster,
          namespace: one.namespace,
          name: one.name,
        }),
      ),
    create: (given) => {
      const sizeBytes = BigInt(given('size'));
      stored.set(given('backing.id'), {
        state: 'provisional',
        sizeBytes,
        cluster: given('owner.cluster'),
        namespace: given('owner.namespace'),
        name: given('owner.name'),
      });
      usedBytes += sizeBytes;
      return undefined;
    },
    complete: (given) => turn(given('backing.id'), 'provisional', 'complete'),
    retire: (given) => turn(given('backing.id'), 'complete', 'dying'),
    retireProvisional: (given) => turn(given('backing.id'), 'provisional', 'dying'),
    retain: (given) => turn(given('backing.id'), 'complete', 'retained'),
    adopt: (given) => {
      const found = stored.get(given('source.id'));
      if (found?.state !== 'retained') {
        return 'absent';
      }
      stored.delete(given('source.id'));
      const owner = { namespace: given('owner.namespace'), name: given('owner.name') };
      stored.set(given('backing.id'), { ...found, ...owner, state: 'provisional' });
      return undefined;
    },
    free: (given) => {
      const found = stored.get(given('backing.id'));
      if (found?.state === 'dying') {
        stored.delete(given('backing.id'));
        usedBytes -= found.sizeBytes;
      }
      return undefined;
    },
    grow: (given) => {
      const found = stored.get(given('backing.id'));
      const sizeBytes = BigInt(given('size'));
      if (found === undefined) {
        return 'absent';
      }
      usedBytes += sizeBytes - found.sizeBytes;
      found.sizeBytes = sizeBytes;
      return undefined;
    },
  };
  return {
    tool,
    sizeAt: (path) => {
      const id = path.slice(directory.length + 1).split('.')[0] ?? '';
      const found = stored.get(id);
      return found !== undefined && pathOf(id, found) === path ? found.sizeBytes : undefined;
    },
    get count() {
      return stored.size;
    },
  };
}
