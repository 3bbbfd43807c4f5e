// The API server of the simulated world against the real one: the same requests, and every answer that our programs act on must be the same.
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FINALIZER } from '../../api/names.ts';
import type { KubeObject } from '../../api/object.ts';
import { API_VERSION, LEASES, VOLUMES } from '../../api/resources.ts';
import { type Api, createApi } from '../../runtime/api.ts';
import { systemClock } from '../../runtime/clock.ts';
import { ApiError } from '../../runtime/errors.ts';
import { silentLog } from '../../runtime/log.ts';
import { openPlatform, type Platform } from '../deploy/platform.ts';
import { loud } from '../harness/loud.ts';
import { ApiServer } from '../sim/api-server.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const NAMESPACE = 'default';
const MANAGER = { fieldManager: 'contract' };
const STATUS = { ...MANAGER, subresource: 'status' } as const;

type Thing = KubeObject & {
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
};

const at = (name: string) => ({ name, namespace: NAMESPACE });
const volume = (name: string, more: object = {}) => ({
  apiVersion: API_VERSION,
  kind: 'Volume',
  metadata: { ...at(name), ...more },
  spec: { size: '1Gi' },
});

/** What a program can tell of an answer: not its numbers and times, but whether they changed. */
const gist = (object: Thing | undefined, before?: Thing) =>
  object === undefined
    ? 'absent'
    : {
        spec: object.spec,
        status: object.status,
        generation: object.metadata.generation,
        finalizers: object.metadata.finalizers ?? [],
        isDeleting: object.metadata.deletionTimestamp !== undefined,
        isNew: before?.metadata.resourceVersion !== object.metadata.resourceVersion,
        isSame: before === undefined || before.metadata.uid === object.metadata.uid,
      };

const refusal = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
    return 'accepted';
  } catch (error) {
    if (!(error instanceof ApiError)) {
      throw error;
    }
    const { isConflict, isAlreadyExists, isNotFound, isGone } = error;
    return JSON.stringify({ isConflict, isAlreadyExists, isNotFound, isGone });
  }
};

/** Each answers what it saw. */
const CONTRACT: Readonly<Record<string, (api: Api) => Promise<unknown>>> = {
  'defaults, the first generation, and a status that cannot be made with the object': async (api) => {
    const made = await api.create<Thing>(
      VOLUMES,
      { ...volume('a'), status: { server: 'x' } } as never,
      MANAGER,
    );
    return [gist(made), await refusal(api.create(VOLUMES, volume('a'), MANAGER))];
  },
  'writes of the specification and of the status leave each other alone': async (api) => {
    const made = await api.create<Thing>(VOLUMES, volume('b'), MANAGER);
    const both = { spec: { size: '2Gi' }, status: { server: 's1' } };
    const spec = await api.patch<Thing>(VOLUMES, at('b'), both, MANAGER);
    const status = await api.patch<Thing>(VOLUMES, at('b'), both, STATUS);
    const same = await api.patch<Thing>(VOLUMES, at('b'), both, STATUS);
    return [gist(spec, made), gist(status, spec), gist(same, status)];
  },
  'compare-and-swap, by resourceVersion and by UID': async (api) => {
    const { metadata } = await api.create<Thing>(VOLUMES, volume('c'), MANAGER);
    const { uid, resourceVersion } = metadata;
    const write = (identity: object, server: string) =>
      refusal(api.patch(VOLUMES, at('c'), { metadata: identity, status: { server } }, STATUS));
    return [
      await write({ uid, resourceVersion }, 's1'),
      await write({ uid, resourceVersion }, 's2'),
      await write({ uid }, 's3'),
      await write({ uid: '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a1111' }, 's4'),
      await refusal(api.patch(VOLUMES, at('nobody'), { status: {} }, STATUS)),
      await refusal(api.remove(VOLUMES, at('c'), { uid: '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a1111' })),
      await refusal(api.remove(VOLUMES, at('nobody'))),
    ];
  },
  'an object with a finalizer waits, is changed meanwhile, and goes with the last one': async (api) => {
    const made = await api.create<Thing>(VOLUMES, volume('d', { finalizers: [FINALIZER] }), MANAGER);
    await api.remove(VOLUMES, at('d'));
    const waiting = await api.get<Thing>(VOLUMES, at('d'));
    await api.remove(VOLUMES, at('d'));
    const still = await api.get<Thing>(VOLUMES, at('d'));
    const told = await api.patch<Thing>(VOLUMES, at('d'), { status: { server: 's1' } }, STATUS);
    const last = await api.patch<Thing>(VOLUMES, at('d'), { metadata: { finalizers: null } }, MANAGER);
    return [
      gist(waiting, made),
      gist(still, waiting),
      gist(told, still),
      gist(last, told),
      gist(await api.get(VOLUMES, at('d'))),
    ];
  },
  'the same name again is another object': async (api) => {
    const first = await api.create<Thing>(VOLUMES, volume('e'), MANAGER);
    await api.remove(VOLUMES, at('e'));
    return gist(await api.create<Thing>(VOLUMES, volume('e'), MANAGER), first);
  },
  'a watch shows what comes into its selection and what leaves it': async (api) => {
    const seen: unknown[] = [];
    const stop = new AbortController();
    const query = { namespace: NAMESPACE, fieldSelector: 'status.server=s9', sendInitialEvents: true };
    await api.create(VOLUMES, volume('f'), MANAGER);
    await api.patch(VOLUMES, at('f'), { status: { server: 's9' } }, STATUS);
    const watching = (async () => {
      for await (const { type, object } of api.watch<Thing>(VOLUMES, query, stop.signal)) {
        if (object.metadata.annotations?.['k8s.io/initial-events-end'] === 'true') {
          seen.push('all');
        } else if (type !== 'BOOKMARK') {
          // An ordinary bookmark comes once in a while, between any two events.
          seen.push([type, object.metadata.name, object.status?.server, object.spec?.size]);
        }
      }
    })().catch(() => undefined);
    const until = async (count: number) => {
      for (let tries = 0; seen.length < count && tries < 300; tries += 1) {
        await sleep(20);
      }
    };
    await until(2);
    await api.create(VOLUMES, volume('g'), MANAGER);
    await api.patch(VOLUMES, at('g'), { status: { server: 's9' } }, STATUS);
    await api.patch(VOLUMES, at('g'), { spec: { size: '3Gi' } }, MANAGER);
    await api.patch(VOLUMES, at('g'), { status: { server: 's1' } }, STATUS);
    await api.remove(VOLUMES, at('f'));
    await until(6);
    stop.abort();
    await watching;
    return seen;
  },
  'a watch goes on where a list ended; one that is ahead of the server hears nothing, and no refusal': async (
    api,
  ) => {
    const { resourceVersion } = await api.list<Thing>(VOLUMES, { namespace: NAMESPACE });
    await api.create(VOLUMES, volume('h'), MANAGER);
    const stop = new AbortController();
    const query = { namespace: NAMESPACE, resourceVersion };
    const first: unknown[] = [];
    for await (const { type, object } of api.watch<Thing>(VOLUMES, query, stop.signal)) {
      first.push(type, object.metadata.name);
      break;
    }
    const ahead = { ...query, resourceVersion: String(Number(resourceVersion) + 1_000_000) };
    const hearing = heardWithin(api, ahead, 5_000);
    await sleep(1_000);
    await api.create(VOLUMES, volume('i'), MANAGER);
    return [first, await hearing];
  },
  'a built-in kind has neither generation nor status of its own': async (api) => {
    const lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: at('l'),
      spec: { holderIdentity: 'me' },
    };
    const made = await api.create<Thing>(LEASES, lease as never, MANAGER);
    const taken = await api.patch<Thing>(LEASES, at('l'), { spec: { holderIdentity: 'you' } }, MANAGER);
    const [{ spec, ...rest }] = [gist(taken, made) as { spec: unknown }];
    return [spec, rest, made.metadata.generation];
  },
};

/** For a while: what is said to one who asks for more than there is. */
const heardWithin = async (api: Api, query: object, ms: number): Promise<readonly unknown[]> => {
  const limit = new AbortController();
  const heard: unknown[] = [];
  const over = setTimeout(() => limit.abort(), ms);
  try {
    for await (const { type } of api.watch<Thing>(VOLUMES, query, limit.signal)) {
      heard.push(type);
    }
  } catch (error) {
    heard.push(limit.signal.aborted ? 'nothing more' : String(error));
  } finally {
    clearTimeout(over);
  }
  return heard;
};

interface World {
  platform: Platform;
  real: Api & { close(): Promise<void> };
  simulated: Api;
}

const test = suite<World>('the simulated API server');
test.before(
  loud(async (world) => {
    world.platform = await openPlatform(log);
    world.real = createApi({ kubeconfigPath: world.platform.controlPlane.adminKubeconfig, log: silentLog });
    world.simulated = new ApiServer(systemClock, '0b1c9f5e-4a55-4c6b-9a0e-3b2f1f6f7a01').door({
      clock: systemClock,
      read: async (_, answer) => answer(),
      write: async (_, answer) => answer(),
      isUp: () => true,
      lagMs: () => 1,
    });
  }),
);
test.after(
  loud(async ({ platform, real }) => {
    await real?.close();
    await platform?.close();
  }),
);

for (const [what, ask] of Object.entries(CONTRACT)) {
  test(what, async ({ real, simulated }) => {
    const expected = await ask(real);
    assert.equal(JSON.parse(JSON.stringify(await ask(simulated))), JSON.parse(JSON.stringify(expected)));
  });
}

test.run();
