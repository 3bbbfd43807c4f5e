import fc from 'fast-check';
import { XMLParser } from 'fast-xml-parser';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { buildJson, buildXml } from '../../../node-agent/profiles/documents.ts';
import { expandLets, namesIn, render } from '../../../node-agent/profiles/template.ts';
import {
  checkSetting,
  checkValue,
  ParameterError,
  type ParamType,
  type Value,
} from '../../../node-agent/profiles/values.ts';

const test = suite('templates, values and documents');
const fill = (values: Readonly<Record<string, string | undefined>>) => (template: string) =>
  render(template, (name) => values[name]);

test('a document holds any text as text', () => {
  const parser = new XMLParser({ ignoreAttributes: false, parseTagValue: false, trimValues: false });
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), (text) => {
      const xml = buildXml({ a: { '@b': '{v}', c: '{v}' } }, fill({ v: text }));
      const whitespace = text.trim() === '';
      if (!whitespace) {
        assert.equal(parser.parse(xml), { a: { c: text, '@_b': text } });
      }
      assert.equal(JSON.parse(buildJson({ x: ['{v}', 1, null] }, fill({ v: text }))), { x: [text, 1, null] });
    }),
  );
});

test('what needs a flag that is not set is left out', () => {
  const tree = { disk: { readonly: '{ro}', '@x': '{ro}', serial: 's', list: ['{ro}', 'y'] } };
  assert.is(buildXml(tree, fill({ ro: undefined })), '<disk><serial>s</serial><list>y</list></disk>');
  assert.is(
    buildXml(tree, fill({ ro: '' })),
    '<disk x=""><readonly/><serial>s</serial><list/><list>y</list></disk>',
  );
});

test('braces are doubled, names are checked, lets are put in place', () => {
  assert.is(
    render('a {{{x}}} b', () => '1'),
    'a {1} b',
  );
  assert.equal(namesIn('{a.b}/{c}'), ['a.b', 'c']);
  for (const bad of ['{', '}', '{}', '{a b}', '{a', '{1}', '{$(id)}']) {
    assert.throws(() => namesIn(bad), SyntaxError.prototype.name);
  }
  assert.is(expandLets('{T}/x/{n}', { T: '{B}/t', B: '/b' }), '/b/t/x/{n}');
});

test('hostile values never pass for a name, a path or a number', () => {
  const hostile: readonly (readonly [ParamType, Value])[] = [
    ['word', '-f'],
    ['word', ''],
    ['word', 'a b'],
    ['word', 'a\nb'],
    ['word', 'a\0b'],
    ['word', '{x}'],
    ['word', 'a\u2028b'],
    ['word', 'x'.repeat(5000)],
    ['iqn', 'iqn.2026-11.dev.vbs:a;rm'],
    ['iqn', '-iqn.2026-11.dev.vbs:a'],
    ['iqn', 'ALL'],
    ['path', 'relative'],
    ['path', '/a/../etc/shadow'],
    ['path', '/a\n/b'],
    ['volumeID', 'vol0123456789abcdef0\n'],
    ['volumeID', 'vol0123456789ABCDEF0'],
    ['uuid', '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a111'],
    ['host', '-x'],
    ['host', 'a/b'],
    ['bytes', 5],
    ['bytes', -1n],
    ['bytes', 2n ** 63n],
    ['integer', 1.5],
    ['integer', Number.NaN],
    ['integer', '1'],
    ['secret', 'two words'],
    ['flag', 'yes'],
    ['word', undefined],
  ];
  for (const [type, value] of hostile) {
    assert.throws(
      () => checkValue('p', type, value),
      (error: unknown) => error instanceof ParameterError,
      `${type} ${String(value)}`,
    );
  }
  assert.throws(() => checkSetting('p', 'path', '/a/../b'));
  assert.throws(() => checkSetting('p', 'integer', '5'));
});

test('the value of a secret is in no error', () => {
  try {
    checkValue('p', 'secret', 'hunter two');
  } catch (error) {
    assert.not.match(String(error), 'hunter');
  }
});

test('no value of any type can be taken for an option', () => {
  const types: readonly ParamType[] = ['word', 'iqn', 'path', 'uuid', 'host', 'volumeID'];
  fc.assert(
    fc.property(fc.constantFrom(...types), fc.string({ unit: 'binary' }), (type, text) => {
      try {
        const value = checkValue('p', type, text) ?? '';
        assert.not.match(value, /^-|^$|[\p{Cc}\s]/u);
      } catch (error) {
        assert.instance(error, ParameterError);
      }
    }),
    { numRuns: 2_000 },
  );
});

test.run();
