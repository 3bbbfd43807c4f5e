import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { KubeObject } from '../../../api/object.ts';
import { isEnrolled, keepTokenFresh, type Renewal } from '../../../node-agent/enrolment/renewal.ts';
import type { Api } from '../../../runtime/api.ts';
import { ApiError } from '../../../runtime/errors.ts';
import { kubeconfigText } from '../../../runtime/kubeconfig.ts';
import { FakeClock, settle } from '../../fakes/clock.ts';
import { recordingLog } from '../../fakes/log.ts';
import { MemoryTree } from '../../fakes/tree.ts';

const test = suite('renewing the token of a host');
const HOUR = 3_600_000;
const FILE = '/var/lib/vbs/token';

/** A host with the token "token 0" and an API server which grants one hour, or fails. */
async function world(serverSkewMs = 0) {
  const clock = new FakeClock();
  const tree = new MemoryTree();
  const { files } = tree;
  const { log, lines } = recordingLog();
  const requests: object[] = [];
  const failures: Error[] = [];
  let whileAsked = async () => {};
  tree.makeDirectory('/var/lib/vbs');
  await files.writeAtomic(FILE, 'token 0\n');
  const create = async (resource: object, object: object, options?: object) => {
    requests.push({ resource, object, options });
    await whileAsked();
    const failure = failures.shift();
    if (failure !== undefined) {
      throw failure;
    }
    const nowMs = clock.now().getTime() + serverSkewMs;
    return {
      ...object,
      metadata: { creationTimestamp: new Date(nowMs).toISOString() },
      status: {
        token: `token ${requests.length}`,
        expirationTimestamp: new Date(nowMs + HOUR).toISOString(),
      },
    } as unknown as KubeObject;
  };
  const api = { create } as Pick<Api, 'create'>;
  const renewal: Renewal = { api, files, clock, log, host: 'xen07', tokenFile: FILE };
  const stop = new AbortController();
  const ended = keepTokenFresh(renewal, stop.signal);
  await settle();
  return {
    clock,
    files,
    lines,
    requests,
    failures,
    token: () => files.read(FILE),
    meanwhile: (act: () => Promise<void>) => {
      whileAsked = act;
    },
    end: async () => {
      stop.abort();
      await ended;
      assert.is(clock.pending, 0, 'timers left');
    },
  };
}

test('asks for its own account at once, and writes what it gets', async () => {
  const { requests, token, end } = await world();
  assert.is(await token(), 'token 1\n');
  const [{ object, options }] = requests as [{ object: { metadata: object }; options: object }];
  assert.equal(object.metadata, { name: 'vbs-agent', namespace: 'vbs-host-xen07' });
  assert.is((options as { subresource?: string }).subresource, 'token');
  await end();
});

test('renews when a third of what was granted is over, again and again', async () => {
  const { clock, token, end } = await world();
  await clock.advance(HOUR / 3 - 1);
  assert.is(await token(), 'token 1\n');
  await clock.advance(1);
  assert.is(await token(), 'token 2\n');
  await clock.advance(HOUR);
  assert.is(await token(), 'token 5\n');
  await end();
});

test('a clock of the host that is years behind or ahead changes nothing', async () => {
  for (const skewMs of [-20_000 * HOUR, 20_000 * HOUR]) {
    const { clock, requests, end } = await world(skewMs);
    await clock.advance(HOUR / 3 - 1);
    assert.is(requests.length, 1);
    await clock.advance(1);
    assert.is(requests.length, 2);
    await end();
  }
});

test('a server that is away is asked again every minute, and the old token stays', async () => {
  const { clock, failures, token, lines, end } = await world();
  failures.push(...[1, 2, 3].map(() => new ApiError('away', { status: 0, reason: 'Unreachable' })));
  await clock.advance(HOUR / 3);
  assert.is(await token(), 'token 1\n');
  await clock.advance(3 * 60_000);
  assert.is(await token(), 'token 5\n');
  assert.is(lines.filter(({ level }) => level === 'warn').length, 3);
  await end();
});

test('a refusal is told with its remedy', async () => {
  const { clock, failures, lines, end } = await world();
  failures.push(
    new ApiError('no', { status: 401, reason: 'Unauthorized' }),
    new ApiError('no', { status: 403, reason: 'Forbidden' }),
  );
  await clock.advance(HOUR / 3 + 60_000);
  const told = lines.filter(({ level }) => level === 'error').map(({ fields }) => fields.remedy);
  assert.match(String(told[0]), 'enroll');
  assert.match(String(told[1]), 'deploy/host.yaml');
  await end();
});

test('an enrolment that happens meanwhile is not undone', async () => {
  const { clock, files, token, meanwhile, end } = await world();
  meanwhile(() => files.writeAtomic(FILE, 'of another cluster\n'));
  await clock.advance(HOUR / 3);
  assert.is(await token(), 'of another cluster\n');
  await end();
});

test('no token is in the log', async () => {
  const { lines, end } = await world();
  assert.ok(lines.length > 0);
  assert.not.match(JSON.stringify(lines), 'token 1');
  await end();
});

test('only a kubeconfig of enroll is renewed', async () => {
  const tree = new MemoryTree();
  const { files } = tree;
  tree.makeDirectory('/etc/vbs');
  const config = { kubeconfig: '/etc/vbs/kubeconfig', stateDir: '/var/lib/vbs' };
  for (const [user, expected] of [
    [{ tokenFile: '/var/lib/vbs/token' }, true],
    [{ tokenFile: '/run/other/token' }, false],
    [{ token: 'x' }, false],
  ] as const) {
    const text = kubeconfigText({ server: 'https://c:6443', ca: 'PEM', namespace: 'n', user });
    await files.writeAtomic(config.kubeconfig, text);
    assert.is(await isEnrolled(files, config), expected, JSON.stringify(user));
  }
});

test.run();
