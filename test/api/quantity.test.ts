import * as fc from 'fast-check';
import { constantFrom, assert as holds, nat, property, tuple } from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatBytes, parseBytes, QuantityError, roundUp } from '../../api/quantity.ts';
import { bytesOf, FACTORS, MOST_BYTES, written } from './quantity-oracle.ts';
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

const parsed = (size: string | number): bigint | undefined => {
  try {
    return parseBytes(size);
  } catch (error) {
    assert.instance(error, QuantityError);
    return undefined;
  }
};

const RUNS = { numRuns: 2_000 };
const suffix = fc.oneof(
  constantFrom(...Object.keys(FACTORS)),
  tuple(constantFrom('e', 'E'), nat(99)).map(([letter, power]) => `${letter}${power}`),
  tuple(constantFrom('e', 'E'), nat(9)).map(([letter, power]) => `${letter}0${power}`),
);
const digits = (most: number) => fc.stringMatching(new RegExp(`^[0-9]{1,${most}}$`));
const fewDigits = (most: number) => fc.oneof(digits(4), digits(20), digits(most));
/** Where numbers of one kind or another end, and a little to both sides. */
const edge = tuple(
  constantFrom(
    1n,
    2n ** 10n,
    2n ** 31n,
    2n ** 32n,
    2n ** 53n,
    2n ** 62n,
    2n ** 63n,
    2n ** 64n,
    10n ** 18n,
    10n ** 19n,
  ),
  fc.integer({ min: -3, max: 3 }),
).map(([value, by]) => value + BigInt(by));

test('every suffix and exponent, with any digits, is what exact fractions make of it', async () => {
  const text = tuple(fewDigits(41), fc.option(fewDigits(41)), suffix).map(
    ([whole, fraction, unit]) => `${whole}${fraction === null ? '' : `.${fraction}`}${unit}`,
  );
  await holds(
    property(text, (size) => assert.is(parsed(size), bytesOf(size), size)),
    RUNS,
  );
});

test('sizes at the edges of numbers, written with every suffix, are what they are to the byte', async () => {
  const least = edge.filter((bytes) => bytes >= 0n);
  await holds(
    property(least, constantFrom(...Object.entries(FACTORS)), nat(40), (bytes, [unit, factor], decimals) => {
      const size = `${written(bytes, factor, decimals)}${unit}`;
      assert.is(parsed(size), bytesOf(size), size);
      const isExact = (bytes * 10n ** BigInt(decimals)) % factor === 0n;
      const isSize = bytes >= 1n && bytes <= MOST_BYTES;
      assert.ok(!isExact || parsed(size) === (isSize ? bytes : undefined), size);
    }),
    RUNS,
  );
});

test('one letter more, less or other, and it is refused or means what it then says', async () => {
  const letter = constantFrom(...'0159.eEkKiMGTPmun+-_, \u0661\u00b2\uff11\n\0');
  const text = tuple(digits(3), fc.option(digits(3)), suffix).map(
    ([whole, fraction, unit]) => `${whole}${fraction === null ? '' : `.${fraction}`}${unit}`,
  );
  await holds(
    property(text, nat(12), letter, nat(2), (whole, place, other, how) => {
      const at = place % (whole.length + 1);
      const size = `${whole.slice(0, at)}${how === 0 ? '' : other}${whole.slice(at + (how === 1 ? 0 : 1))}`;
      assert.is(parsed(size), bytesOf(size), JSON.stringify(size));
    }),
    RUNS,
  );
});

test('a number is taken only where it is whole and exact', async () => {
  await holds(
    property(fc.oneof(fc.double(), fc.maxSafeNat(), fc.integer()), (size) => {
      const isSize = Number.isInteger(size) && size >= 1 && size <= 2 ** 53 - 1;
      assert.is(parsed(size), isSize ? BigInt(size) : undefined, String(size));
    }),
    RUNS,
  );
});

test('what is formatted, at the edges and in multiples of units, is read back, and has the largest binary unit that is exact', async () => {
  const multiple = tuple(nat(2_000), nat(60)).map(([count, power]) => BigInt(count + 1) << BigInt(power));
  const size = fc.oneof(edge, multiple).filter((value) => value >= 1n && value <= MOST_BYTES);
  await holds(
    property(size, (value) => {
      const text = formatBytes(value);
      assert.is(bytesOf(text), value, text);
      assert.is(parseBytes(text), value, text);
      const binary = Object.entries(FACTORS).filter(([unit]) => /^(?:.i)?$/.test(unit));
      const [unit, factor] = binary.findLast(([, one]) => value % one === 0n) ?? ['', 1n];
      assert.is(text, `${value / factor}${unit}`);
    }),
    RUNS,
  );
});

test.run();
