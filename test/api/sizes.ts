// Sizes which the API server and parseBytes must judge alike. Used by the unit test and, as CEL, by the integration test.

export interface SizeCase {
  readonly size: string | number;
  /** Undefined: refused. */
  readonly bytes?: bigint;
  /** What the API server's refusal says. */
  readonly says?: string;
}

const accepted = (size: string | number, bytes: bigint): SizeCase => ({ size, bytes });
const refused = (size: string | number, says: string): SizeCase => ({ size, says });

const NOT_A_SIZE = 'not a size; write for example 10Gi, 1.5Gi, 500M';
const ZERO = 'must be greater than zero, for example 10Gi';
const MILLI = 'the suffix m means thousandths of a byte; write M or Mi for mega';
const LARGE = 'must be at most 2^63-1 bytes';
const QUOTE = 'numbers above 2^53-1 must be quoted, for example "9Pi"';

export const SIZES: readonly SizeCase[] = [
  accepted(1, 1n),
  accepted('1', 1n),
  accepted('00010', 10n),
  accepted(1_073_741_824, 2n ** 30n),
  accepted('10Gi', 10n * 2n ** 30n),
  accepted('1.5Gi', 3n * 2n ** 29n),
  accepted('0.5Ki', 512n),
  accepted('500M', 500_000_000n),
  accepted('1k', 1000n),
  accepted('0.001G', 1_000_000n),
  accepted('1Ti', 2n ** 40n),
  accepted('7Pi', 7n * 2n ** 50n),
  accepted('1Ei', 2n ** 60n),
  accepted('7.999Ei', 9_222_219_115_350_168_962n),
  accepted('1E', 10n ** 18n),
  // An exponent is a quantity of Kubernetes too, and means what it says.
  accepted('1e3', 1000n),
  accepted('1E3', 1000n),
  accepted('1e03', 1000n),
  accepted('9e18', 9n * 10n ** 18n),
  // Sizes are rounded up anyway, so a fraction of a byte is no error.
  accepted('1.0', 1n),
  accepted('0.1Ti', 109_951_162_778n),
  accepted('1.0000000001k', 1001n),
  accepted('0.00000000000001', 1n),
  accepted('0.0000000009313225746154785156250Gi', 1n),
  accepted(9_007_199_254_740_991, 2n ** 53n - 1n),
  accepted('9007199254740993', 2n ** 53n + 1n),
  accepted('9223372036854775806', 2n ** 63n - 2n),
  accepted('9223372036854775807', 2n ** 63n - 1n),
  refused('9223372036854775808', LARGE),
  refused('8Ei', LARGE),
  refused('10E', LARGE),
  refused('1e19', LARGE),
  refused('1e99', LARGE),
  refused('99999999999999999999999999999999Ei', LARGE),
  refused(9_007_199_254_740_992, QUOTE),
  refused(0, ZERO),
  refused('0', ZERO),
  refused('0.0Gi', ZERO),
  refused('0e9', ZERO),
  refused(-1, ZERO),
  refused('-1Gi', ZERO),
  refused('100m', MILLI),
  refused('1000m', MILLI),
  refused('0.5m', MILLI),
  refused('m', NOT_A_SIZE),
  refused('10Gim', NOT_A_SIZE),
  refused('', NOT_A_SIZE),
  refused('10GB', NOT_A_SIZE),
  refused('10gi', NOT_A_SIZE),
  refused('10Kib', NOT_A_SIZE),
  refused('1K', NOT_A_SIZE),
  refused('1u', NOT_A_SIZE),
  refused('1n', NOT_A_SIZE),
  refused('+5', NOT_A_SIZE),
  refused('--5', NOT_A_SIZE),
  refused('.5Gi', NOT_A_SIZE),
  refused('5.', NOT_A_SIZE),
  refused('5.Gi', NOT_A_SIZE),
  refused('1,5Gi', NOT_A_SIZE),
  refused('1_000', NOT_A_SIZE),
  refused('1 Gi', NOT_A_SIZE),
  refused(' 1Gi', NOT_A_SIZE),
  refused('1Gi\n', NOT_A_SIZE),
  refused('1e+3', NOT_A_SIZE),
  refused('1e-3', NOT_A_SIZE),
  refused('1e003', NOT_A_SIZE),
  refused('1e3Gi', NOT_A_SIZE),
  refused('0x10', NOT_A_SIZE),
  refused('Infinity', NOT_A_SIZE),
  refused('NaN', NOT_A_SIZE),
  refused('ten', NOT_A_SIZE),
  refused('١٠', NOT_A_SIZE),
  refused('-f', NOT_A_SIZE),
  refused('$(x)', NOT_A_SIZE),
];
