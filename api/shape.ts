/**
 * The shape of an object, as far as programs rely on it when they read: where there is an object, a list, a text or a number, and what is
 * always there. Not the words and ranges: those of a later version are none of ours to refuse.
 */

import { parseBytes, QuantityError } from './quantity.ts';

export type Shape =
  | 'text'
  /** Decimal digits: a number of at most 2^63-1. */
  | 'digits'
  | 'quantity'
  | 'integer'
  | 'boolean'
  | 'anything'
  | { readonly each: Shape }
  | { readonly need: readonly string[]; readonly members: Readonly<Record<string, Shape>> };

const LIMIT = 2n ** 63n;

const isQuantity = (value: unknown): boolean => {
  try {
    return (typeof value === 'string' || typeof value === 'number') && parseBytes(value) > 0n;
  } catch (error) {
    if (error instanceof QuantityError) {
      return false;
    }
    throw error;
  }
};

const FITS: Readonly<Record<Extract<Shape, string>, (value: unknown) => boolean>> = {
  text: (value) => typeof value === 'string',
  digits: (value) => typeof value === 'string' && /^\d{1,19}$/.test(value) && BigInt(value) < LIMIT,
  quantity: isQuantity,
  integer: (value) => Number.isSafeInteger(value),
  boolean: (value) => typeof value === 'boolean',
  anything: () => true,
};

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** In words, the first place where a value is not of the shape; undefined when it is. Fields which the shape does not know may hold anything. */
export function misfitOf(shape: Shape, value: unknown, at: string): string | undefined {
  if (typeof shape === 'string') {
    return FITS[shape](value) ? undefined : `${at} is no ${shape}`;
  }
  if ('each' in shape) {
    return Array.isArray(value)
      ? first(value.map((item, index) => misfitOf(shape.each, item, `${at}[${index}]`)))
      : `${at} is no list`;
  }
  if (!isObject(value)) {
    return `${at} is no object`;
  }
  const isThere = (name: string): boolean => Object.hasOwn(value, name) && value[name] !== undefined;
  const missing = shape.need.find((name) => !isThere(name));
  if (missing !== undefined) {
    return `${at} has no ${missing}`;
  }
  return first(
    Object.entries(shape.members).map(([name, inner]) =>
      isThere(name) ? misfitOf(inner, value[name], `${at}.${name}`) : undefined,
    ),
  );
}

const first = (misfits: readonly (string | undefined)[]): string | undefined =>
  misfits.find((misfit) => misfit !== undefined);
