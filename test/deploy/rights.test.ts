// What deploy/ gives away, read from the files: the integration test of authority proves that it is enough and no more.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseAllDocuments } from 'yaml';
import { AGENT_ACCOUNT, hostNamespace, SYSTEM_NAMESPACE } from '../../api/names.ts';
import type { Rule } from '../../scripts/generate/rights-page.ts';

const test = suite('the rights in deploy/');
const DIR = path.resolve(import.meta.dirname, '../../deploy');

interface Manifest {
  readonly file: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly Rule[];
  readonly roleRef?: { readonly kind: string; readonly name: string };
  readonly subjects?: readonly { readonly kind: string; readonly name: string; readonly namespace: string }[];
  readonly spec?: {
    readonly failurePolicy?: string;
    readonly policyName?: string;
    readonly validationActions?: readonly string[];
  };
}

const files = (await readdir(DIR, { recursive: true })).filter((name) => name.endsWith('.yaml')).sort();
const manifests: readonly Manifest[] = (
  await Promise.all(
    files.map(async (file) =>
      parseAllDocuments(await readFile(path.join(DIR, file), 'utf8')).map((document) => {
        assert.equal(document.errors, [], file);
        return { file, ...(document.toJS() as Omit<Manifest, 'file'>) };
      }),
    ),
  )
).flat();
const USERS = 'users.yaml';
const rulesOf = (wanted: (file: string) => boolean) =>
  manifests
    .filter(({ file }) => wanted(file))
    .flatMap(({ kind, metadata, rules: own = [] }) =>
      own.map((rule) => ({ where: `${kind} ${metadata.name}`, kind, ...rule })),
    );
/** Of controller and hosts. */
const rules = rulesOf((file) => file !== USERS);

test('there are roles, bindings and policies to look at', () => {
  assert.ok(rules.length >= 10);
  for (const kind of [
    'ClusterRole',
    'Role',
    'ClusterRoleBinding',
    'RoleBinding',
    'ValidatingAdmissionPolicy',
  ]) {
    assert.ok(
      manifests.some((manifest) => manifest.kind === kind),
      kind,
    );
  }
});

test('nothing is given by wildcard', () => {
  for (const { where, apiGroups, resources, verbs } of rules) {
    assert.not.ok(
      [...apiGroups, ...resources, ...verbs].some((word) => word.includes('*')),
      where,
    );
  }
});

test('users get the objects of their namespace, and no status', () => {
  for (const { where, apiGroups, resources, verbs } of rulesOf((file) => file === USERS)) {
    assert.equal([apiGroups, resources], [['vbs.dev'], ['volumes', 'snapshots', 'attachments']], where);
    assert.not.ok(verbs.includes('*'), where);
  }
});

test('neither controller nor hosts delete anything, nor write an object as a whole', () => {
  for (const { where, verbs } of rules) {
    assert.equal(
      verbs.filter((verb) => !['get', 'list', 'watch', 'create', 'patch'].includes(verb)),
      [],
      where,
    );
  }
});

test('nobody touches what would give it more rights', () => {
  // A token of the account a host has anyway gives it no more than it has; the pod on a node becomes that node's host, by deploy/admission/nodes.yaml.
  const isOwnToken = ({ kind, resources, resourceNames }: (typeof rules)[number]) =>
    kind === 'Role' &&
    resources.join() === 'serviceaccounts/token' &&
    resourceNames?.join() === AGENT_ACCOUNT;
  const powers = /^(pods|nodes|serviceaccounts|users|groups|.*roles|.*rolebindings|.*admission.*)(\/|$)/;
  for (const { where, resources } of rules.filter((rule) => !isOwnToken(rule))) {
    assert.equal(
      resources.filter((resource) => powers.test(resource)),
      [],
      where,
    );
  }
});

test('secrets are given in the namespaces of hosts only, and nobody lists or watches them', () => {
  const secrets = rules.filter(({ resources }) => resources.includes('secrets'));
  assert.is(secrets.length, 2);
  for (const { where, kind, verbs } of secrets) {
    assert.is(kind, 'Role', where);
    assert.not.ok(verbs.includes('list') || verbs.includes('watch'), where);
  }
  const roles = manifests.filter(({ rules: own = [] }) =>
    own.some(({ resources }) => resources.includes('secrets')),
  );
  assert.equal([...new Set(roles.map(({ metadata }) => metadata.namespace))], [hostNamespace('HOST')]);
});

test('the only namespace which a host may read is the one whose UID tells clusters apart', () => {
  for (const { where, resources, resourceNames } of rules) {
    if (resources.includes('namespaces')) {
      assert.equal(resourceNames, ['kube-system'], where);
    }
  }
});

test('rights go to the accounts which the policies know, and every role is bound', () => {
  const known = [
    ...['vbs-controller', 'vbs-node-agent'].map((name) => `${SYSTEM_NAMESPACE}/${name}`),
    `${hostNamespace('HOST')}/${AGENT_ACCOUNT}`,
  ];
  for (const { metadata, subjects = [] } of manifests) {
    for (const { kind, name, namespace } of subjects) {
      assert.is(kind, 'ServiceAccount', metadata.name);
      assert.ok(known.includes(`${namespace}/${name}`), metadata.name);
    }
  }
  const keyOf = (kind: string, name: string, namespace = '') => `${kind} ${namespace}/${name}`;
  const bound = manifests.flatMap(({ roleRef, metadata }) =>
    roleRef === undefined
      ? []
      : [keyOf(roleRef.kind, roleRef.name, roleRef.kind === 'Role' ? metadata.namespace : '')],
  );
  const roles = manifests
    .filter(({ kind, file }) => (kind === 'Role' || kind === 'ClusterRole') && file !== USERS)
    .map(({ kind, metadata }) => keyOf(kind, metadata.name, metadata.namespace));
  assert.equal([...new Set(bound)].sort(), roles.sort());
});

test('every policy refuses when it cannot decide, and is bound to deny', () => {
  const policies = manifests.filter(({ kind }) => kind === 'ValidatingAdmissionPolicy');
  for (const { metadata, spec } of policies) {
    // It asks for objects of ours about things of others, which must not depend on us: protection.yaml protects without it.
    assert.is(spec?.failurePolicy, metadata.name === 'vbs-namespaces' ? 'Ignore' : 'Fail', metadata.name);
    const bindings = manifests.filter(({ spec: other }) => other?.policyName === metadata.name);
    assert.equal(
      bindings.map(({ spec: other }) => other?.validationActions),
      [['Deny']],
      metadata.name,
    );
  }
  assert.is(policies.length, 16);
});

test.run();
