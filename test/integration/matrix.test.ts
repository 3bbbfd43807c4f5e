// Stolen credentials: with that of a host of each role, of the controller and of users, every verb on everything that the API server
// serves, in namespaces of their own and of others, on what is theirs, what is not, and what is not there. Each answer is exactly the one
// in the table (test/deploy/matrix-rights.ts). What is asked is made from the API server's own discovery.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Answer, Caller } from '../api/caller.ts';
import { aimsAt } from '../deploy/matrix-aims.ts';
import { EDITOR, expected, IDENTITIES, type Identity, VIEWER } from '../deploy/matrix-rights.ts';
import { fill, HOSTS, HYPERVISOR, OTHER_TENANT, SERVER, TENANT } from '../deploy/matrix-world.ts';
import { GROUP_PATH, openPlatform, type Platform } from '../deploy/platform.ts';
import { type Aim, callOf, resourceOf, type Served, servedBy, textOf } from '../deploy/served.ts';
import { loud } from '../harness/loud.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
interface World {
  platform: Platform;
  served: readonly Served[];
  callers: ReadonlyMap<Identity, Caller>;
}
const test = suite<World>('the matrix of rights');
const WITHOUT: Readonly<Record<string, 'vbs-volume-server' | 'vbs-hypervisor'>> = {
  [SERVER]: 'vbs-hypervisor',
  [HYPERVISOR]: 'vbs-volume-server',
};

test.before(
  loud(async (world) => {
    const platform = await openPlatform(log);
    world.platform = platform;
    const { kubectl } = bound(platform);
    for (const host of HOSTS) {
      await platform.enrol(host, WITHOUT[host]);
    }
    for (const name of [TENANT, OTHER_TENANT]) {
      await kubectl('create', 'namespace', name);
    }
    for (const { account } of [VIEWER, EDITOR]) {
      await kubectl('create', 'serviceaccount', account, '-n', TENANT);
      const roles = account === EDITOR.account ? [VIEWER.account, account] : [account];
      for (const role of roles) {
        const subject = [`--clusterrole=${role}`, `--serviceaccount=${TENANT}:${account}`];
        await kubectl('create', 'rolebinding', `${account}-${role}`, ...subject, '-n', TENANT);
      }
    }
    await fill(platform.admin);
    world.served = [...(await servedBy(platform.admin)), ...NOT_SERVED];
    const callers = IDENTITIES.map(
      async (who) => [who, await platform.identity(who.namespace, who.account)] as const,
    );
    world.callers = new Map(await Promise.all(callers));
  }),
);
test.after(loud(async ({ platform }) => await platform?.close()));

const bound = ({ controlPlane }: Platform) => ({
  kubectl: async (...args: string[]) => await controlPlane.kubectl(args),
});

/** What might come one day, or is spelt by a thief. */
const NOT_SERVED: readonly Served[] = [
  'volumes/scale',
  'attachments/exec',
  'volumeservers/proxy',
  'volumequotas',
].map((resource) => ({
  group: 'vbs.dev',
  version: 'v1alpha1',
  resource,
  isNamespaced: !resource.startsWith('volumeservers'),
}));

const AT_ONCE = 16;
/** The answers in the order of the calls. */
async function inParallel<T, R>(items: readonly T[], act: (item: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = new Array(items.length);
  let next = 0;
  const work = async () => {
    for (let index = next++; index < items.length; index = next++) {
      results[index] = await act(items[index] as T);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return results;
}

/** An update that may succeed needs the object as it is; one of what is not there, its name. */
async function withCurrent(aim: Aim, admin: Caller, who: Identity): Promise<Aim> {
  if (aim.verb !== 'update' || expected(who, aim) === 403) {
    return aim;
  }
  const { status, body } = await admin.call(callOf({ ...aim, verb: 'get', body: undefined }));
  return { ...aim, body: status === 200 ? body : { ...(aim.body as object), metadata: { name: aim.name } } };
}

/** Empty when it is as it should be. */
function judged(who: Identity, aim: Aim, { status, message, body }: Answer): string {
  const wanted = expected(who, aim);
  if (status !== wanted) {
    return `${textOf(aim)}: ${status} instead of ${wanted} ${message}`;
  }
  const text = JSON.stringify(body);
  if (status === 200 && aim.variant === 'metadata' && text.includes('"thief"')) {
    return `${textOf(aim)}: metadata changed through the status`;
  }
  if (
    status === 201 &&
    aim.variant === 'with status' &&
    JSON.stringify(body.status) !== '{"observedGeneration":-1}'
  ) {
    return `${textOf(aim)}: created with a status`;
  }
  return '';
}

for (const who of IDENTITIES) {
  test(`the credential of ${who.title} does what is in the table and nothing else`, async ({
    platform: { admin },
    served,
    callers,
  }) => {
    const caller = callers.get(who) as Caller;
    const aims = served.flatMap((one) => aimsAt(one, who));
    const counts = new Map<number, number>();
    const faults = await inParallel(aims, async (aim) => {
      const whole = await withCurrent(aim, admin, who);
      const answer = await caller.call(callOf(whole));
      counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1);
      return judged(who, whole, answer);
    });
    const told = [...counts].sort(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`);
    log(`${who.title}: ${aims.length} requests, answered ${told.join(', ')}`);
    assert.equal(faults.filter(Boolean).slice(0, 30), []);
    assert.ok(aims.length > 2000 && (counts.get(200) ?? 0) > 20);
  });
}

/** Questions and bindings are not stored, so that nobody reads them; the doors into pods and nodes lead out of the API server. */
const isReadable = ({ group, resource }: Served): boolean =>
  !['authentication.k8s.io', 'authorization.k8s.io'].includes(group) &&
  resource !== 'bindings' &&
  !/\/(proxy|exec|attach|portforward)$/.test(resource);

test('each request of the matrix leads somewhere: an administrator is answered', async ({
  platform: { admin },
  served,
}) => {
  const who = IDENTITIES[2] as Identity;
  const reads = served
    .filter((one) => isReadable(one) && !NOT_SERVED.includes(one))
    .flatMap((one) => aimsAt(one, who))
    .filter(({ verb }) => verb === 'get');
  const faults = await inParallel(reads, async (aim) => {
    const { status, message } = await admin.call(callOf(aim));
    const isLost = /could not find the requested resource|page not found/.test(message);
    return status === 403 || isLost ? `${textOf(aim)}: ${status} ${message}` : '';
  });
  log(`an administrator: ${reads.length} requests`);
  assert.equal(faults.filter(Boolean).slice(0, 30), []);
  assert.ok(reads.length > 300);
});

/** Powers which are no requests: those who have them get what others may. */
const POWERS = ['impersonate', 'bind', 'escalate', 'use', 'approve', 'sign', 'attest', 'adopt', 'proxy', '*'];
const PRINCIPALS = ['users', 'groups', 'uids', 'userextras/scopes', 'signers', '*'].map((resource) => ({
  group: resource === '*' ? '*' : '',
  version: '*',
  resource,
  isNamespaced: false,
}));

test('nobody has a power that is no request', async ({ platform: { admin }, served }) => {
  let asked = 0;
  for (const who of IDENTITIES) {
    const user = `system:serviceaccount:${who.namespace}:${who.account}`;
    const groups = [
      'system:serviceaccounts',
      `system:serviceaccounts:${who.namespace}`,
      'system:authenticated',
    ];
    const questions = [...served, ...PRINCIPALS].flatMap((one) => POWERS.map((verb) => ({ one, verb })));
    const answers = await inParallel(questions, async ({ one, verb }) => {
      const [resource, subresource = ''] = one.resource.split('/');
      const namespace = one.isNamespaced ? who.namespace : '';
      const resourceAttributes = { group: one.group, resource, subresource, verb, namespace };
      const { status, message, body } = await admin.call({
        method: 'POST',
        path: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
        body: {
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SubjectAccessReview',
          spec: { user, groups, resourceAttributes },
        },
      });
      assert.is(status, 201, message);
      const { allowed } = body.status as { allowed: boolean };
      return allowed ? `${who.title}: ${verb} ${resourceOf(one)}` : '';
    });
    assert.equal(answers.filter(Boolean), []);
    asked += answers.length;
  }
  log(`${asked} powers asked for`);
});

test('nobody acts as somebody else', async ({ callers }) => {
  const host = 'system:serviceaccount:vbs-host-both-b:vbs-agent';
  const masks = [
    { 'impersonate-user': 'admin' },
    { 'impersonate-user': host },
    { 'impersonate-user': 'system:serviceaccount:vbs-system:vbs-controller' },
    { 'impersonate-user': 'system:node:both-b' },
    { 'impersonate-user': 'admin', 'impersonate-group': 'system:masters' },
    { 'impersonate-user': host, 'impersonate-uid': '0' },
    { 'impersonate-user': host, 'impersonate-extra-scopes': 'all' },
  ];
  for (const [who, caller] of callers) {
    const self = { 'impersonate-user': `system:serviceaccount:${who.namespace}:${who.account}` };
    for (const headers of [...masks, { ...self, 'impersonate-group': 'system:masters' }]) {
      const { status, message } = await caller.call({
        method: 'GET',
        path: `${GROUP_PATH}/volumes`,
        headers,
      });
      assert.is(status, 403, `${who.title} as ${JSON.stringify(headers)}: ${status} ${message}`);
      assert.match(message, 'cannot impersonate');
    }
  }
});

test('what is no resource is closed too', async ({ platform: { admin }, callers }) => {
  for (const path of ['/metrics', '/configz', '/logs/', '/debug/pprof/', '/statusz', '/flagz']) {
    for (const [who, caller] of callers) {
      const { status } = await caller.call({ method: 'GET', path });
      assert.is(status, 403, `${who.title}: ${path}`);
    }
  }
  assert.is((await admin.call({ method: 'GET', path: '/metrics' })).status, 200);
});

test.run();
