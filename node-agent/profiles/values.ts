/** Types of parameters, checked before a value reaches an argument, a path or a document. */

import { BACKING_ID, VOLUME_ID } from '../../api/ids.ts';

export type ParamType =
  | 'volumeID'
  | 'backingID'
  | 'uuid'
  | 'iqn'
  | 'host'
  | 'word'
  | 'path'
  | 'bytes'
  | 'integer'
  | 'secret'
  | 'flag';

/** Types an administrator may give to a profile's own `params`. */
export type SettingType = 'word' | 'text' | 'path' | 'integer' | 'boolean';

export type Value = string | number | bigint | boolean | undefined;
export type Values = Readonly<Record<string, Value>>;

/** A value that must not reach a command. The value of a secret is never quoted. */
export class ParameterError extends Error {
  override readonly name = 'ParameterError';
  readonly parameter: string;
  constructor(parameter: string, why: string) {
    super(`parameter ${parameter}: ${why}`);
    this.parameter = parameter;
  }
}

const MAX_LENGTH = 4096;
const LARGEST_BYTES = 2n ** 63n - 1n;

const PATTERNS = {
  volumeID: VOLUME_ID,
  backingID: BACKING_ID,
  uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i,
  // RFC 3720 3.2.6.3: `iqn.`, a month, a reversed domain name and, after a colon, what its owner likes.
  iqn: /^iqn\.\d{4}-\d{2}\.[a-z0-9][a-z0-9.-]*(:[A-Za-z0-9.:_-]+)?$/,
  host: /^([A-Za-z0-9][A-Za-z0-9.-]*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*|\[[0-9A-Fa-f:.]+\])$/,
  word: /^[^-\s{}]\S*$/u,
  path: /^\/\S*$/u,
  secret: /^[^\s]+$/u,
} as const;

const hasControls = (text: string): boolean => /[\p{Cc}\p{Cs}\u2028\u2029]/u.test(text);

const checkText = (name: string, type: keyof typeof PATTERNS, value: Value): string => {
  const shown = type === 'secret' ? 'the value' : JSON.stringify(String(value).slice(0, 80));
  if (typeof value !== 'string') {
    throw new ParameterError(name, `${shown} is not text`);
  }
  if (value.length > MAX_LENGTH || hasControls(value) || !PATTERNS[type].test(value)) {
    throw new ParameterError(name, `${shown} is no ${type}`);
  }
  if (type === 'path' && value.split('/').includes('..')) {
    throw new ParameterError(name, `${shown} climbs with ..`);
  }
  return value;
};

const checkWhole = (name: string, type: 'bytes' | 'integer', value: Value): string => {
  const whole =
    typeof value === 'bigint' ||
    (type === 'integer' && typeof value === 'number' && Number.isSafeInteger(value));
  if (!whole || value < 0 || BigInt(value) > LARGEST_BYTES) {
    throw new ParameterError(name, `${String(value).slice(0, 80)} is no ${type}`);
  }
  return String(value);
};

/** The text a value becomes. Only a `flag` that is not set becomes nothing. */
export const checkValue = (name: string, type: ParamType, value: Value): string | undefined => {
  if (type === 'flag') {
    if (typeof value !== 'boolean') {
      throw new ParameterError(name, 'is no flag');
    }
    return value ? '' : undefined;
  }
  return type === 'bytes' || type === 'integer'
    ? checkWhole(name, type, value)
    : checkText(name, type, value);
};

const SETTINGS: Readonly<Record<SettingType, (value: Value) => boolean>> = {
  word: (value) => typeof value === 'string' && PATTERNS.word.test(value),
  text: (value) => typeof value === 'string' && !value.startsWith('-'),
  path: (value) => typeof value === 'string' && PATTERNS.path.test(value) && !value.split('/').includes('..'),
  integer: (value) => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0,
  boolean: (value) => typeof value === 'boolean',
};

/** The text an administrator's setting becomes. */
export const checkSetting = (name: string, type: SettingType, value: Value): string => {
  const text = String(value);
  if (!SETTINGS[type](value) || text.length > MAX_LENGTH || hasControls(text)) {
    throw new ParameterError(name, `${JSON.stringify(text.slice(0, 80))} is no ${type}`);
  }
  return text;
};
