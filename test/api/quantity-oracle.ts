// Quantities of bytes by school arithmetic: exact fractions of whole numbers, and a grammar read letter by letter. Written apart from
// api/quantity.ts, to be compared with it.

export interface Fraction {
  readonly over: bigint;
  readonly under: bigint;
}

/** Each suffix with what it multiplies by. */
export const FACTORS: Readonly<Record<string, bigint>> = {
  '': 1n,
  Ki: 1_024n,
  Mi: 1_048_576n,
  Gi: 1_073_741_824n,
  Ti: 1_099_511_627_776n,
  Pi: 1_125_899_906_842_624n,
  Ei: 1_152_921_504_606_846_976n,
  k: 1_000n,
  M: 1_000_000n,
  G: 1_000_000_000n,
  T: 1_000_000_000_000n,
  P: 1_000_000_000_000_000n,
  E: 1_000_000_000_000_000_000n,
};

/** 2^63 - 1 */
export const MOST_BYTES = 9_223_372_036_854_775_807n;
const MOST_DIGITS = 40;

/** The least whole number of bytes that holds it; undefined where there is none from 1 to 2^63-1. */
export const bytesIn = ({ over, under }: Fraction): bigint | undefined => {
  const below = over / under;
  const bytes = below * under === over ? below : below + 1n;
  return bytes < 1n || bytes > MOST_BYTES ? undefined : bytes;
};

const tenTo = (power: number): bigint => {
  let product = 1n;
  for (let times = 0; times < power; times += 1) {
    product *= 10n;
  }
  return product;
};

const isDigit = (letter: string | undefined): letter is string =>
  letter !== undefined && letter >= '0' && letter <= '9' && letter.length === 1;

const digitsAt = (text: string, from: number): string => {
  let at = from;
  while (isDigit(text[at])) {
    at += 1;
  }
  return text.slice(from, at);
};

const factorOf = (suffix: string): bigint | undefined => {
  if (Object.hasOwn(FACTORS, suffix)) {
    return FACTORS[suffix];
  }
  const power = digitsAt(suffix, 1);
  const isExponent = (suffix[0] === 'e' || suffix[0] === 'E') && power.length + 1 === suffix.length;
  return isExponent && (power.length === 1 || power.length === 2) ? tenTo(Number(power)) : undefined;
};

/** Undefined for what is no quantity of ours. */
export const fractionOf = (text: string): Fraction | undefined => {
  const whole = digitsAt(text, 0);
  const hasPoint = text[whole.length] === '.';
  const decimals = hasPoint ? digitsAt(text, whole.length + 1) : '';
  const factor = factorOf(text.slice(whole.length + (hasPoint ? 1 + decimals.length : 0)));
  const isNumber =
    whole.length >= 1 &&
    whole.length <= MOST_DIGITS &&
    decimals.length <= MOST_DIGITS &&
    (!hasPoint || decimals.length >= 1);
  if (!isNumber || factor === undefined) {
    return undefined;
  }
  let over = 0n;
  for (const digit of whole + decimals) {
    over = over * 10n + BigInt(digit.charCodeAt(0) - 48);
  }
  return { over: over * factor, under: tenTo(decimals.length) };
};

/** Undefined: refused. */
export const bytesOf = (text: string): bigint | undefined => {
  const fraction = fractionOf(text);
  return fraction === undefined ? undefined : bytesIn(fraction);
};

/** That many bytes written with a suffix, exactly, or as exactly as so many decimals can. */
export const written = (bytes: bigint, factor: bigint, decimals: number): string => {
  const whole = bytes / factor;
  let rest = bytes - whole * factor;
  let digits = '';
  for (let place = 0; place < decimals; place += 1) {
    rest *= 10n;
    digits += String(rest / factor);
    rest -= (rest / factor) * factor;
  }
  return decimals === 0 ? String(whole) : `${whole}.${digits}`;
};
