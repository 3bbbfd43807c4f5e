import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  API_SERVER,
  caValidity,
  caWarning,
  type LeafSeen,
  leafValidity,
  leavesFor,
  whyDue,
  wrongTime,
} from '../../../control-plane/pki/plan.ts';

const test = suite('which certificates are made anew');
const NOW = new Date('2026-11-27T12:00:00Z');
const daysOn = (days: number) => new Date(NOW.getTime() + days * 86_400_000);
const BUILT_AT = daysOn(-10);
const [apiServer] = leavesFor(['10.0.0.7', 'localhost']);
if (apiServer?.name !== API_SERVER) {
  throw new Error('the first leaf is that of the API server');
}
const good: LeafSeen = {
  commonName: 'kube-apiserver',
  lacks: [],
  notBefore: daysOn(-200),
  notAfter: daysOn(200),
  isOurs: true,
};

const cases: readonly (readonly [what: string, seen: LeafSeen | undefined, why: RegExp | undefined])[] = [
  ['one that is good stays', good, undefined],
  ['a third of its life is left', { ...good, notAfter: daysOn(123) }, undefined],
  ['less than a third is left', { ...good, notAfter: daysOn(121) }, /^it ends at 2027-03-28/],
  ['it has ended', { ...good, notAfter: daysOn(-1) }, /^it ended at 2026-11-26/],
  ['there is none', undefined, /^there is none/],
  ['another CA', { ...good, isOurs: false }, /another CA/],
  ['for somebody else', { ...good, commonName: 'x' }, /for somebody else/],
  ['another address', { ...good, lacks: ['10.0.0.7'] }, /^it is not for 10\.0\.0\.7$/],
  // The clock was ahead when it was made, or is behind now.
  ['not valid yet, by this clock', { ...good, notBefore: daysOn(1) }, undefined],
];
for (const [what, seen, why] of cases) {
  test(what, () => {
    const said = whyDue(apiServer, seen, NOW);
    if (why === undefined) {
      assert.is(said, undefined);
    } else {
      assert.match(said ?? '', why);
    }
  });
}

test('what was made while the clock was years ahead is good when the clock is right again', () => {
  for (const made of [NOW, daysOn(1000)]) {
    const ca = caValidity(made, BUILT_AT);
    const leaf = leafValidity(ca, daysOn(1000));
    for (const { notBefore, notAfter } of [ca, leaf]) {
      assert.ok(notBefore <= NOW);
      assert.ok(notAfter > daysOn(1000));
    }
  }
});

test('none outlives its CA', () => {
  const ca = caValidity(NOW, BUILT_AT);
  assert.equal(leafValidity(ca, daysOn(3640)).notAfter, ca.notAfter);
});

test('nothing is made at an impossible time', () => {
  const ca = caValidity(NOW, BUILT_AT);
  const known = { builtAt: BUILT_AT, ca };
  assert.is(wrongTime(NOW, known), undefined);
  assert.match(wrongTime(new Date(0), known) ?? '', /says 1970.*before this program was made.*timedatectl/);
  assert.match(wrongTime(daysOn(4000), known) ?? '', /the CA ended.*renew --ca/);
});

test('a CA is told of a year before its end', () => {
  assert.is(caWarning({ notAfter: daysOn(365) }, NOW), undefined);
  assert.match(caWarning({ notAfter: daysOn(364) }, NOW) ?? '', /in 364 days: vbs-control-plane renew --ca/);
});

test.run();
