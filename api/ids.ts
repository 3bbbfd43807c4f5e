import { createHash, createHmac } from 'node:crypto';

export const VOLUME_ID = /^vol[0-9a-f]{17}$/;
/** A volumeID or a snapshotID: what data is known by on its server. */
export const BACKING_ID = /^(vol[0-9a-f]{17}|snap[0-9a-f]{16})$/;

/**
 * The volumeID of an object: `vol` and 17 hex digits of the SHA-256 of its UID, 20 characters, since virtio and Proxmox show a
 * guest 20. `attempt` counts collisions found with other objects; each gives another ID.
 */
export function volumeIDFor(uid: string, attempt = 0): string {
  const text = attempt === 0 ? uid : `${uid}#${attempt}`;
  return `vol${createHash('sha256').update(text).digest('hex').slice(0, 17)}`;
}

/** The snapshotID of an object: `snap` and 16 hex digits, made like a volumeID. */
export function snapshotIDFor(uid: string, attempt = 0): string {
  const text = attempt === 0 ? uid : `${uid}#${attempt}`;
  return `snap${createHash('sha256').update(text).digest('hex').slice(0, 16)}`;
}

export const isVolumeID = (text: string): boolean => VOLUME_ID.test(text);

export const isBackingID = (text: string): boolean => BACKING_ID.test(text);

export interface Chap {
  readonly user: string;
  readonly password: string;
}

/**
 * CHAP user and password (RFC 1994) of one grant, from the key of its pair of hosts: another epoch, another pair, so that a
 * hypervisor which was cut off cannot come back with what it knew.
 */
export function chapFor(key: Buffer, volumeID: string, epoch: number): Chap {
  const derive = (what: string) =>
    createHmac('sha256', key).update(`vbs ${what} ${volumeID} ${epoch}`).digest('hex').slice(0, 32);
  return { user: `vbs${derive('user')}`, password: derive('password') };
}

/** A UUID (RFC 9562 version 8) derived from a text: the same text, the same UUID. */
export function uuidFrom(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  const variant = ((Number.parseInt(hex.charAt(16), 16) & 0x3) | 0x8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
