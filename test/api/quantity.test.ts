import * as fc from 'fast-check';
import { constantFrom, assert as holds, nat, property, tuple } from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatBytes, parseBytes, QuantityError, roundUp } from '../../api/quantity.ts';
import { SIZES } from './sizes.ts';

const test = suite('quantities');
const LARGEST = 2n ** 63n - 1n;
const bytes = () => fc.bigInt({ min: 1n, max: LARGEST });

for (const { size, bytes: expected } of SIZES) {
  const text = JSON.stringify(size);
  if (expected === undefined) {
    test(`${text} is refused`, () => {
      assert.throws(
        () => parseBytes(size),
        (error: unknown) => error instanceof QuantityError,
      );
    });
  } else {
    test(`${text} is ${expected}`, () => {
      assert.is(parseBytes(size), expected);
    });
  }
}

test('a refusal of a long text stays short', () => {
  assert.throws(
    () => parseBytes('9'.repeat(100_000)),
    (error: Error) => error.message.length < 200,
  );
});

test('what is formatted is read back as the same bytes', async () => {
  await holds(property(bytes(), (value) => parseBytes(formatBytes(value)) === value));
});

test('whole multiples of a unit are formatted with that unit or a larger one', async () => {
  const units = { Ki: 10n, Mi: 20n, Gi: 30n, Ti: 40n, Pi: 50n };
  await holds(
    property(constantFrom(...Object.entries(units)), nat(8191), ([unit, power], count) => {
      const text = formatBytes(BigInt(count + 1) << power);
      const rank = (suffix: string) => ['Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'].indexOf(suffix);
      assert.ok(rank(text.slice(-2)) >= rank(unit), text);
    }),
  );
});

test('a decimal fraction is the same as the whole number it stands for, rounded up', async () => {
  const suffixes = { k: 10n ** 3n, M: 10n ** 6n, G: 10n ** 9n, Ki: 2n ** 10n, Mi: 2n ** 20n, Gi: 2n ** 30n };
  const digits = tuple(nat(999_999), nat(999_999_999));
  await holds(
    property(constantFrom(...Object.entries(suffixes)), digits, ([suffix, factor], [whole, fraction]) => {
      const text = `${whole}.${String(fraction).padStart(9, '0')}${suffix}`;
      const scaled = (BigInt(whole) * 10n ** 9n + BigInt(fraction)) * factor;
      fc.pre(scaled > 0n);
      const expected = scaled / 10n ** 9n + (scaled % 10n ** 9n === 0n ? 0n : 1n);
      assert.is(parseBytes(text), expected);
    }),
  );
});

test('any text is a size or a QuantityError, never anything else', async () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[-+0-9.eEKMGTPimkun]{0,50}$/));
  await holds(
    property(text, (size) => {
      try {
        const value = parseBytes(size);
        return value > 0n && value <= LARGEST;
      } catch (error) {
        return error instanceof QuantityError;
      }
    }),
  );
});

test('rounding up gives the least multiple of the extent that holds it all', async () => {
  await holds(
    property(bytes(), fc.bigInt({ min: 1n, max: 2n ** 40n }), (value, extent) => {
      const rounded = roundUp(value, extent);
      return rounded % extent === 0n && rounded >= value && rounded - value < extent;
    }),
  );
});

test.run();
