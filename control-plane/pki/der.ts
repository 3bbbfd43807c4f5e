// The few shapes of DER (ITU-T X.690) of which a certificate is made.

export type Der = Buffer;

export const tagged = (tag: number, ...parts: readonly Der[]): Der => {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content]);
};

const lengthOf = (length: number): Buffer => {
  if (length < 0x80) {
    return Buffer.from([length]);
  }
  const bytes = Buffer.from(length.toString(16).padStart(length > 0xff ? 4 : 2, '0'), 'hex');
  return Buffer.concat([Buffer.from([0x80 | bytes.length]), bytes]);
};

export const sequence = (...parts: readonly Der[]): Der => tagged(0x30, ...parts);
export const set = (...parts: readonly Der[]): Der => tagged(0x31, ...parts);
export const octets = (content: Buffer): Der => tagged(0x04, content);
export const utf8 = (text: string): Der => tagged(0x0c, Buffer.from(text));
export const yes: Der = tagged(0x01, Buffer.from([0xff]));
/** A bit string without unused bits. */
export const bits = (content: Buffer): Der => tagged(0x03, Buffer.from([0]), content);
/** `[number]` around what follows. */
export const context = (number: number, ...parts: readonly Der[]): Der => tagged(0xa0 | number, ...parts);

/** A positive integer of any length, most significant byte first. */
export const integer = (bytes: Buffer): Der =>
  tagged(0x02, (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);

/** Bits that are numbered from the most significant one, as in a KeyUsage. */
export const flags = (...positions: readonly number[]): Der => {
  const byte = positions.reduce((sum, position) => sum | (0x80 >> position), 0);
  return tagged(0x03, Buffer.from([7 - Math.max(...positions), byte]));
};

export const oid = (dotted: string): Der => {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const encoded = rest.flatMap((number) => {
    const groups = [number & 0x7f];
    for (let left = number >>> 7; left > 0; left >>>= 7) {
      groups.unshift((left & 0x7f) | 0x80);
    }
    return groups;
  });
  return tagged(0x06, Buffer.from([first * 40 + second, ...encoded]));
};

/** UTCTime up to 2049 and GeneralizedTime afterwards, as RFC 5280 4.1.2.5 wants. */
export const time = (date: Date): Der => {
  const text = `${date.toISOString().replaceAll(/[-:T]/g, '').slice(0, 14)}Z`;
  return date.getUTCFullYear() < 2050
    ? tagged(0x17, Buffer.from(text.slice(2)))
    : tagged(0x18, Buffer.from(text));
};
