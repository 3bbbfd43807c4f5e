import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { kubeconfigText, tokenFileOf } from '../../runtime/kubeconfig.ts';

const test = suite('kubeconfig');
const FILE = '/etc/vbs/kubeconfig';

const written = (user: object): string =>
  JSON.stringify({
    users: [
      { name: 'other', user: { tokenFile: '/another' } },
      { name: 'me', user },
    ],
    contexts: [{ name: 'here', context: { user: 'me', cluster: 'c' } }],
    'current-context': 'here',
  });

test('the token file is that of the current user', () => {
  const cases: readonly (readonly [user: object, file: string | undefined, why: string])[] = [
    [{ tokenFile: '/var/lib/vbs/token' }, '/var/lib/vbs/token', 'an absolute name'],
    [{ tokenFile: 'token' }, '/etc/vbs/token', 'a name beside the kubeconfig'],
    [{ token: 'x' }, undefined, 'a token in the kubeconfig itself'],
    [{ 'client-certificate': '/c', 'client-key': '/k' }, undefined, 'a client certificate'],
  ];
  for (const [user, file, why] of cases) {
    assert.is(tokenFileOf(written(user), FILE), file, why);
  }
});

test('a kubeconfig without users has no token file', () => {
  for (const text of ['', '{}', 'users: []', 'current-context: gone']) {
    assert.is(tokenFileOf(text, FILE), undefined, text);
  }
});

test('what is written is read again, by us and as kubectl has it', () => {
  const content = { server: 'https://c:6443', ca: 'PEM', namespace: 'vbs-host-xen07' };
  const text = kubeconfigText({ ...content, user: { tokenFile: '/var/lib/vbs/token' } });
  assert.is(tokenFileOf(text, FILE), '/var/lib/vbs/token');
  assert.equal(parse(text), {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: 'vbs', cluster: { server: 'https://c:6443', 'certificate-authority-data': btoa('PEM') } },
    ],
    users: [{ name: 'vbs', user: { tokenFile: '/var/lib/vbs/token' } }],
    contexts: [{ name: 'vbs', context: { cluster: 'vbs', user: 'vbs', namespace: 'vbs-host-xen07' } }],
    'current-context': 'vbs',
  });
});

test.run();
