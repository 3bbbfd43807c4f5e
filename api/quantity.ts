/** Kubernetes quantities as bytes. Bytes are `bigint` from here to the last argument. */

const FORM = /^(\d{1,40})(?:\.(\d{1,40}))?(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E|[eE]\d{1,2})?$/;
const LIMIT = 2n ** 63n;
const BINARY = ['Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
const DECIMAL = ['k', 'M', 'G', 'T', 'P', 'E'];

export class QuantityError extends Error {
  override readonly name = 'QuantityError';
}

function factorOf(suffix: string): bigint {
  if (suffix === '') {
    return 1n;
  }
  if (BINARY.includes(suffix)) {
    return 1024n ** BigInt(BINARY.indexOf(suffix) + 1);
  }
  if (DECIMAL.includes(suffix)) {
    return 1000n ** BigInt(DECIMAL.indexOf(suffix) + 1);
  }
  return 10n ** BigInt(suffix.slice(1));
}

/**
 * Bytes of a quantity such as `10Gi`, `1.5Gi`, `500M`, `1e9`, `1073741824`; a fraction of a byte counts as a byte. Takes
 * every text which the schema of spec.size takes.
 * @throws QuantityError for zero, milli, unknown suffixes and 2^63 or more.
 */
export function parseBytes(quantity: string | number): bigint {
  const text = String(quantity);
  const match = FORM.exec(text);
  if (match === null || (typeof quantity === 'number' && !Number.isSafeInteger(quantity))) {
    throw new QuantityError(
      `${JSON.stringify(text).slice(0, 60)} is not a size; write for example 10Gi or 500M`,
    );
  }
  const [, whole = '', fraction = '', suffix = ''] = match;
  const scaled = BigInt(whole + fraction) * factorOf(suffix);
  const divisor = 10n ** BigInt(fraction.length);
  const bytes = roundUp(scaled, divisor) / divisor;
  if (bytes <= 0n || bytes >= LIMIT) {
    throw new QuantityError(`${text} must be from 1 byte to 2^63-1 bytes`);
  }
  return bytes;
}

/** The shortest exact quantity: the largest binary suffix that divides, else plain bytes. */
export function formatBytes(bytes: bigint): string {
  for (let power = BINARY.length; power > 0; power -= 1) {
    const factor = 1024n ** BigInt(power);
    if (bytes !== 0n && bytes % factor === 0n) {
      return `${bytes / factor}${BINARY[power - 1]}`;
    }
  }
  return bytes.toString();
}

export const roundUp = (bytes: bigint, extent: bigint): bigint => ((bytes + extent - 1n) / extent) * extent;
