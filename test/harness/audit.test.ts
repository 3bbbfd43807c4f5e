import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type AuditEvent, isList, isWrite, programOf, slownessIn } from './audit.ts';

const test = suite('reading the audit log');

interface Said {
  readonly at: number;
  readonly reason?: string;
  readonly code?: number;
  readonly name?: string;
  readonly more?: object;
  readonly account?: string;
}

const BEGAN_MS = Date.UTC(2026, 10, 23);

const write = ({ at, reason, code = 200, name = 'db', more = {}, account }: Said): AuditEvent => ({
  stage: 'ResponseComplete',
  verb: 'patch',
  requestURI: '',
  requestReceivedTimestamp: new Date(BEGAN_MS + at).toISOString(),
  user: { username: `system:serviceaccount:${account ?? 'vbs-system:vbs-controller'}` },
  objectRef: { resource: 'attachments', name, subresource: 'status' },
  responseStatus: { code },
  requestObject: {
    status: reason === undefined ? more : { conditions: [{ type: 'Ready', reason }], ...more },
  },
});

const cases: [name: string, said: Said[], excused: number][] = [
  ['a step that is over at once is told by nobody', [{ at: 0 }, { at: 200, reason: 'Attached' }], 0],
  ['a step that lasts is told once', [{ at: 0 }, { at: 1_600, reason: 'Attaching' }], 1],
  ['one that is told too early counts', [{ at: 0 }, { at: 900, reason: 'Attaching' }], 0],
  [
    'one that says something else as well counts',
    [{ at: 0 }, { at: 1_600, reason: 'Attaching', more: { epoch: 1 } }],
    0,
  ],
  [
    'a write that loses to it does not count, a second one does',
    [
      { at: 0 },
      { at: 1_600, reason: 'Attaching' },
      { at: 1_610, code: 409 },
      { at: 1_620, code: 409 },
      { at: 1_630 },
    ],
    2,
  ],
  [
    'what is written to another object has nothing to do with it',
    [
      { at: 1_400, name: 'other' },
      { at: 1_600, reason: 'Attaching' },
    ],
    1,
  ],
  [
    'nor what another program writes',
    [
      { at: 1_400, account: 'vbs-host-xen07:vbs-agent' },
      { at: 1_600, reason: 'Detaching' },
    ],
    1,
  ],
  ['what is told soon after the operation began counts', [{ at: 1_400, reason: 'Detaching' }], 0],
];
for (const [name, said, excused] of cases) {
  test(name, () => assert.is(slownessIn(said.map(write), BEGAN_MS).length, excused));
}

test('lists are lists, and watches that begin with one', () => {
  const watch = (requestURI: string) =>
    isList({ ...write({ at: 0 }), verb: 'watch', stage: 'ResponseStarted', requestURI });
  assert.ok(watch('/apis/vbs.dev/v1alpha1/volumes?watch=true&sendInitialEvents=true'));
  assert.not(watch('/apis/vbs.dev/v1alpha1/volumes?watch=true&resourceVersion=7'));
  assert.ok(isList({ ...write({ at: 0 }), verb: 'list' }));
  assert.ok(isWrite(write({ at: 0 })));
});

test('programs are told apart, and others are nobody', () => {
  const of = (username: string) => programOf({ ...write({ at: 0 }), user: { username } });
  assert.is(of('system:serviceaccount:vbs-system:vbs-controller'), 'vbs-controller');
  assert.is(of('system:serviceaccount:vbs-host-xen07:vbs-agent'), 'xen07');
  assert.is(of('kubernetes-admin'), undefined);
});

test.run();
