import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ServerAgent, VolumeServer } from '../../../api/hosts.ts';
import type { KubeObject } from '../../../api/object.ts';
import { API_VERSION, VOLUME_SERVERS } from '../../../api/resources.ts';
import { HostReporter } from '../../../node-agent/host/report.ts';
import { writeBlock } from '../../../node-agent/write-block.ts';
import type { Api } from '../../../runtime/api.ts';

const test = suite('blocks of which the API server drops a field');

/** Holds one object; its schema does not know `can`. */
function pruningApi() {
  let object: VolumeServer = {
    apiVersion: API_VERSION,
    kind: 'VolumeServer',
    metadata: { name: 's1', uid: 'uid-s1', resourceVersion: '1' },
  };
  let patches = 0;
  const api = {
    get: async () => object,
    patch: async (_resource: unknown, _where: unknown, body: { status: { agent: ServerAgent } }) => {
      patches += 1;
      const agent = { ...object.status?.agent, ...body.status.agent };
      const pools = (agent.pools ?? []).map(({ can: _, ...pool }) => pool);
      object = { ...object, status: { ...object.status, agent: { ...agent, pools } } };
      return object;
    },
  } as unknown as Api;
  return { api, current: () => object, patches: () => patches };
}

const agentWith = (bootID: string): ServerAgent => ({
  bootID,
  pools: [{ name: 'main', profile: 'file', can: ['CopyOnWrite'] }],
});

test('a host tells it once, and what is new at once', async () => {
  const { api, patches } = pruningApi();
  const reporter = new HostReporter<VolumeServer>();
  const look = (bootID: string) =>
    reporter.report(
      { api, resource: VOLUME_SERVERS, name: 's1', fieldManager: 'test', facts: () => agentWith(bootID) },
      new AbortController().signal,
    );
  for (let looks = 0; looks < 50; looks += 1) {
    await look('boot-1');
  }
  assert.is(patches(), 1);
  await look('boot-2');
  await look('boot-2');
  assert.is(patches(), 2);
});

test('and so is the block of an object', async () => {
  const { api, current, patches } = pruningApi();
  const cache = { written: (_object: KubeObject) => undefined };
  for (const bootID of ['boot-1', 'boot-1', 'boot-1', 'boot-2', 'boot-2']) {
    await writeBlock<VolumeServer>(api, cache, {
      resource: VOLUME_SERVERS,
      object: current(),
      owned: { agent: agentWith(bootID) },
      fieldManager: 'test',
    });
  }
  assert.is(patches(), 2);
});

test.run();
