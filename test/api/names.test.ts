import * as fc from 'fast-check';
import { assert as holds, property } from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { volumeIDFor } from '../../api/ids.ts';
import {
  AGENT_ACCOUNT,
  chapSecretName,
  hostNamespace,
  hostOfNamespace,
  initiatorName,
  targetName,
} from '../../api/names.ts';

const test = suite('names');
const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
/** What the schemas of Hypervisor and VolumeServer let through. */
const host = () => fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?$/);
const LONGEST = 'x'.repeat(52);

test('every host has a namespace of a valid name, and every such namespace its host', async () => {
  await holds(
    property(host(), (name) => {
      const namespace = hostNamespace(name);
      return namespace.length <= 63 && LABEL.test(namespace) && hostOfNamespace(namespace) === name;
    }),
  );
});

test('the namespace of the longest host name is within the limit of Kubernetes', () => {
  assert.ok(hostNamespace(LONGEST).length <= 63);
});

test('no other namespace has a host', () => {
  for (const name of ['', 'default', 'vbs-system', 'vbs-host', 'xvbs-host-a', 'VBS-HOST-a']) {
    assert.is(hostOfNamespace(name), undefined);
  }
});

test('the CHAP secret of two pairs is never the same, and has a valid name', async () => {
  const pair = () => fc.tuple(host(), host());
  await holds(
    property(pair(), pair(), (a, b) => {
      const [one, other] = [chapSecretName(...a), chapSecretName(...b)];
      const isSame = a[0] === b[0] && a[1] === b[1];
      return (one === other) === isSame && /^[a-z0-9.-]{1,253}$/.test(one);
    }),
  );
});

test('target and initiator names are iSCSI qualified names within the limit of RFC 3720', () => {
  const iqn = /^iqn\.\d{4}-\d{2}(\.[a-z0-9-]+)+:[a-z0-9.:-]+$/;
  for (const name of [targetName(volumeIDFor('uid')), initiatorName(LONGEST), initiatorName('a-1')]) {
    assert.match(name, iqn);
    assert.ok(name.length <= 223);
  }
});

test('an initiator name is never a target name', async () => {
  await holds(
    property(host(), fc.uuid(), (name, uid) => initiatorName(name) !== targetName(volumeIDFor(uid))),
  );
});

test('the prefix of target and initiator names can be chosen', () => {
  assert.is(targetName('vol1', 'iqn.2001-04.com.example'), 'iqn.2001-04.com.example:vol1');
  assert.is(initiatorName('xen07', 'iqn.2001-04.com.example'), 'iqn.2001-04.com.example:host.xen07');
});

test('what deploy/host.yaml is written against does not change', () => {
  assert.is(hostNamespace('HOST'), 'vbs-host-HOST');
  assert.is(AGENT_ACCOUNT, 'vbs-agent');
});

test.run();
