import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { KubeObject, Resource } from '../../api/object.ts';
import { SERVICE_ACCOUNTS } from '../../api/resources.ts';
import { type ApiSettings, createApi } from '../../runtime/api.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { RequestSeen } from '../../runtime/door.ts';
import { ApiError, ConfigError } from '../../runtime/errors.ts';
import { silentLog } from '../../runtime/log.ts';
import { hangUp, ok, silence, startHttpApi, status } from '../fakes/http-api.ts';

const MAPS: Resource = {
  group: '',
  version: 'v1',
  plural: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
};
const NODES: Resource = { group: 'x.dev', version: 'v1', plural: 'hosts', kind: 'Host', namespaced: false };
const REF = { name: 'a', namespace: 'shop' };
const object = { metadata: { name: 'a', namespace: 'shop', uid: 'u', resourceVersion: '5' } };

const test = suite('api');
let server: Awaited<ReturnType<typeof startHttpApi>>;
let seen: RequestSeen[];
let close: () => Promise<void> = async () => {};

function anApi(settings: Partial<ApiSettings> = {}) {
  const api = createApi({
    kubeconfigPath: server.kubeconfigPath,
    log: silentLog,
    onRequest: (request) => seen.push(request),
    ...settings,
  });
  close = () => api.close();
  return api;
}

test.before.each(async () => {
  server = await startHttpApi();
  seen = [];
});
test.after.each(async () => {
  await close();
  await server.close();
});

const failureOf = async (attempt: Promise<unknown>): Promise<ApiError> => {
  try {
    await attempt;
  } catch (error) {
    if (error instanceof ApiError) {
      return error;
    }
    throw error;
  }
  throw new Error('it should have failed');
};

test('a request goes to the right place, with our credentials', async () => {
  const api = anApi();
  server.answers.push(ok(object), ok(object), ok({ metadata: {}, items: [] }), ok(object), ok({}));
  assert.equal(await api.get(MAPS, REF), object);
  await api.get(NODES, { name: 'h/1' });
  await api.list(MAPS, { namespace: 'shop', labelSelector: 'a=b', limit: 5 });
  await api.patch(NODES, { name: 'h' }, { status: {} }, { subresource: 'status', fieldManager: 'me' });
  await api.remove(MAPS, REF, { uid: 'u' });
  assert.equal(
    server.received.map(({ method, url }) => `${method} ${url}`),
    [
      'GET /api/v1/namespaces/shop/configmaps/a',
      'GET /apis/x.dev/v1/hosts/h%2F1',
      'GET /api/v1/namespaces/shop/configmaps?labelSelector=a%3Db&limit=5',
      'PATCH /apis/x.dev/v1/hosts/h/status?fieldManager=me',
      'DELETE /api/v1/namespaces/shop/configmaps/a',
    ],
  );
  assert.is(server.received[0]?.headers.authorization, 'Bearer first');
  assert.is(server.received[3]?.headers['content-type'], 'application/merge-patch+json');
  assert.equal(JSON.parse(server.received[4]?.body ?? '').preconditions, { uid: 'u' });
});

test('nameless requests, which would reach a whole collection, are not sent', async () => {
  const api = anApi();
  for (const attempt of [
    () => api.remove(MAPS, { name: '', namespace: 'shop' }),
    () => api.remove(MAPS, { name: 'a' }),
    () => api.get(MAPS, { name: 'a', namespace: '' }),
  ]) {
    try {
      await attempt();
      assert.unreachable();
    } catch (error) {
      assert.instance(error, TypeError);
    }
  }
  assert.is(server.received.length, 0);
});

test('the absent is undefined when read, fine when removed, an error when patched', async () => {
  const api = anApi();
  server.answers.push(status(404), status(404), status(404));
  assert.is(await api.get(MAPS, REF), undefined);
  await api.remove(MAPS, REF);
  const failure = await failureOf(api.patch(MAPS, REF, {}, { fieldManager: 'me' }));
  assert.ok(failure.isNotFound);
});

test('items of a list know what they are', async () => {
  const api = anApi();
  server.answers.push(ok({ metadata: { resourceVersion: '9', continue: '' }, items: [object] }));
  const page = await api.list(MAPS);
  assert.equal(page, { items: [{ ...object, apiVersion: 'v1', kind: 'ConfigMap' }], resourceVersion: '9' });
});

test('a refusal is an error one can branch on', async () => {
  const api = anApi();
  const cases: [number, object, keyof ApiError][] = [
    [409, { reason: 'Conflict' }, 'isConflict'],
    [409, { reason: 'AlreadyExists' }, 'isAlreadyExists'],
    [422, { reason: 'Invalid', details: { causes: [{ field: 'metadata.uid' }] } }, 'isConflict'],
    [422, { reason: 'Invalid', details: { causes: [{ field: 'spec.size' }] } }, 'isInvalid'],
    [410, { reason: 'Expired' }, 'isGone'],
    [403, { reason: 'Forbidden' }, 'isForbidden'],
  ];
  for (const [code, body, getter] of cases) {
    server.answers.push(status(code, { message: 'because', ...body }));
    const failure = await failureOf(api.create(MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata: REF }));
    assert.is(failure[getter], true, getter);
    assert.match(failure.message, 'create /api/v1/namespaces/shop/configmaps');
    assert.match(failure.message, 'because');
  }
  assert.is(server.received.length, cases.length);
});

test('a proxy that answers with a page instead of a Status is understood', async () => {
  const api = anApi();
  server.answers.push((response) => response.writeHead(400).end('<html>no</html>'));
  const failure = await failureOf(api.get(MAPS, REF));
  assert.is(failure.status, 400);
  assert.is(failure.reason, 'Http400');
});

test('being told to come back later is obeyed, for writes too', async () => {
  const api = anApi();
  server.answers.push(
    status(429, {}, { 'retry-after': '0' }),
    status(429, {}, { 'retry-after': '0' }),
    ok(object),
  );
  await api.patch(MAPS, REF, {}, { fieldManager: 'me' });
  assert.equal(
    seen.map(({ verb, code }) => `${verb} ${code}`),
    ['patch 429', 'patch 429', 'patch 200'],
  );
});

test('waiting longer than the deadline is left to the caller, who is told how long', async () => {
  const api = anApi({ deadlineMs: 2_000 });
  server.answers.push(status(429, { details: { retryAfterSeconds: 60 } }));
  const failure = await failureOf(api.get(MAPS, REF));
  assert.is(failure.retryAfterMs, 60_000);
  assert.is(server.received.length, 1);
});

test('a broken read is tried again, a broken write never', async () => {
  const api = anApi();
  server.answers.push(hangUp, ok(object), hangUp, ok(object));
  assert.equal(await api.get(MAPS, REF), object);
  const failure = await failureOf(api.patch(MAPS, REF, {}, { fieldManager: 'me' }));
  assert.ok(failure.isUnanswered);
  assert.is(server.received.length, 3);
});

test('a 503 that does not say when is no proof that a write was not done', async () => {
  const api = anApi();
  server.answers.push(status(503), status(503, {}, { 'retry-after': '0' }), ok(object));
  assert.is((await failureOf(api.patch(MAPS, REF, {}, { fieldManager: 'me' }))).status, 503);
  await api.patch(MAPS, REF, {}, { fieldManager: 'me' });
  assert.is(server.received.length, 3);
});

test('no answer within the deadline is an error', async () => {
  const api = anApi({ deadlineMs: 100 });
  server.answers.push(silence);
  const failure = await failureOf(api.get(MAPS, REF));
  assert.is(failure.reason, 'Timeout');
  assert.is(seen[0]?.code, 0);
});

test('an abort of the caller is the caller’s own reason', async () => {
  const api = anApi();
  server.answers.push(silence);
  const stop = new AbortController();
  const attempt = api.get(MAPS, REF, { signal: stop.signal });
  stop.abort(new RangeError('enough'));
  try {
    await attempt;
    assert.unreachable();
  } catch (error) {
    assert.instance(error, RangeError);
  }
});

test('a token that was replaced on disk is found after a 401', async () => {
  const api = anApi();
  server.answers.push(ok(object), status(401), ok(object));
  await api.get(MAPS, REF);
  await server.login('second');
  await api.patch(MAPS, REF, {}, { fieldManager: 'me' });
  assert.equal(
    server.received.map(({ headers }) => headers.authorization),
    ['Bearer first', 'Bearer first', 'Bearer second'],
  );
});

/** Answers the file. */
async function useTokenFile(): Promise<string> {
  const kubeconfig = JSON.parse(await readFile(server.kubeconfigPath, 'utf8'));
  kubeconfig.users[0].user = { tokenFile: 'token' };
  await writeFile(server.kubeconfigPath, JSON.stringify(kubeconfig));
  return path.join(path.dirname(server.kubeconfigPath), 'token');
}

const authorizations = () => server.received.map(({ headers }) => headers.authorization);

test('a token in a file of its own, as kubectl knows it, is read again after a 401', async () => {
  const api = anApi();
  const tokenFile = await useTokenFile();
  await writeFile(tokenFile, 'first in the file\n');
  server.answers.push(ok(object), status(401), ok(object));
  await api.get(MAPS, REF);
  await writeFile(tokenFile, 'second in the file\n');
  await api.get(MAPS, REF);
  const [first, second] = ['Bearer first in the file', 'Bearer second in the file'];
  assert.equal(authorizations(), [first, first, second]);
});

test('a token in a file of its own is read again within half a minute', async () => {
  let passedMs = 0;
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + passedMs };
  const api = anApi({ clock });
  const tokenFile = await useTokenFile();
  await writeFile(tokenFile, 'old');
  server.answers.push(ok(object), ok(object));
  await api.get(MAPS, REF);
  await writeFile(tokenFile, 'new');
  passedMs = 30_000;
  await api.get(MAPS, REF);
  assert.equal(authorizations(), ['Bearer old', 'Bearer new']);
});

test('a token file that is missing or empty is a configuration error', async () => {
  const api = anApi();
  const tokenFile = await useTokenFile();
  for (const words of [
    /token, named in .*kubeconfig, cannot be read/,
    /token, named in .*kubeconfig, is empty/,
  ]) {
    const error = await api.get(MAPS, REF).catch((caught: unknown) => caught);
    assert.instance(error, ConfigError);
    assert.match((error as Error).message, words);
    await writeFile(tokenFile, '\n');
  }
});

test('a token of a ServiceAccount is made below it', async () => {
  const api = anApi();
  server.answers.push(ok(object));
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest' };
  await api.create(
    SERVICE_ACCOUNTS,
    { ...request, metadata: { name: 'me', namespace: 'here' } },
    { subresource: 'token' },
  );
  assert.is(server.received[0]?.url, '/api/v1/namespaces/here/serviceaccounts/me/token');
});

test('a kubeconfig that cannot be read is a configuration error', async () => {
  const api = anApi({ kubeconfigPath: `${server.kubeconfigPath}-missing` });
  try {
    await api.get(MAPS, REF);
    assert.unreachable();
  } catch (error) {
    assert.instance(error, ConfigError);
  }
});

const line = (type: string, name: string) => JSON.stringify({ type, object: { metadata: { name } } });

test('watch events arrive whole, however the network cuts them', async () => {
  const api = anApi();
  const bytes = Buffer.from(`${line('ADDED', 'größe-€-𝄞')}\n${line('BOOKMARK', '')}\n`);
  server.answers.push((response) => {
    response.writeHead(200);
    const sendFrom = (at: number): void => {
      if (at < bytes.length) {
        response.write(bytes.subarray(at, at + 1), () => sendFrom(at + 1));
      } else {
        response.end('{"type":"MODIF');
      }
    };
    sendFrom(0);
  });
  let opened = 0;
  const names: string[] = [];
  const query = { resourceVersion: '5', timeoutSeconds: 300, onOpen: () => (opened += 1) };
  for await (const {
    type,
    object: { metadata },
  } of api.watch(MAPS, query, new AbortController().signal)) {
    names.push(`${type} ${metadata.name}`);
  }
  assert.equal(names, ['ADDED größe-€-𝄞', 'BOOKMARK ']);
  assert.is(opened, 1);
  assert.is(
    server.received[0]?.url,
    '/api/v1/configmaps?watch=true&allowWatchBookmarks=true&resourceVersion=5&timeoutSeconds=300',
  );
});

const consume = async (events: AsyncIterable<unknown>): Promise<void> => {
  for await (const _ of events) {
    // only the end matters
  }
};

test('an ERROR event is an error', async () => {
  const api = anApi();
  const gone = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' };
  server.answers.push((response) =>
    response.writeHead(200).end(`${JSON.stringify({ type: 'ERROR', object: gone })}\n`),
  );
  const failure = await failureOf(consume(api.watch(MAPS, {}, new AbortController().signal)));
  assert.ok(failure.isGone);
});

test('a watch that is refused carries Retry-After', async () => {
  const api = anApi();
  server.answers.push(status(429, { reason: 'TooManyRequests' }, { 'retry-after': '3' }));
  const failure = await failureOf(consume(api.watch(MAPS, {}, new AbortController().signal)));
  assert.is(failure.retryAfterMs, 3_000);
});

test('a watch that is not accepted, falls silent, breaks or sends garbage is an error', async () => {
  const api = anApi({ watchHeadersMs: 100, silenceMs: 1_000 });
  server.answers.push(
    silence,
    (response) => response.writeHead(200).write(`${line('ADDED', 'a')}\n`),
    (response) => response.writeHead(200).write(`${line('ADDED', 'a')}\n`, () => response.socket?.destroy()),
    (response) => response.writeHead(200).end('no json\n'),
  );
  const reasons: string[] = [];
  for (let watch = 0; watch < 4; watch++) {
    reasons.push((await failureOf(consume(api.watch(MAPS, {}, new AbortController().signal)))).reason);
  }
  assert.equal(reasons, ['Timeout', 'Unreachable', 'Unreachable', 'BadAnswer']);
});

test('leaving the loop closes the connection', async () => {
  const api = anApi();
  let closed: () => void = () => {};
  const gone = new Promise<void>((resolve) => {
    closed = resolve;
  });
  server.answers.push((response) => {
    response.on('close', closed);
    response.writeHead(200).write(`${line('ADDED', 'a')}\n`);
  });
  for await (const _ of api.watch<KubeObject>(MAPS, {}, new AbortController().signal)) {
    break;
  }
  await gone;
});

test.run();
