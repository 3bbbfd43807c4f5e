/** Secrets that a hypervisor holds for a VMM which logs in itself. */

import type { BoundProfile } from '../profiles/bind.ts';
import { NotDone } from './errors.ts';
import type { AttachRequest, Residue } from './vmm.ts';

/** The hypervisor passes the password to the VMM at attach, and the VMM keeps it for its reconnects: it may go at once. */
export const withSecret = async <T>(
  profile: BoundProfile,
  request: AttachRequest,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> => {
  const { locator, grantUUID, volumeID } = request;
  if (locator.kind !== 'iscsi' || !profile.has('defineSecret')) {
    return work();
  }
  try {
    const secret = { 'chap.user': locator.chap.user, 'chap.password': locator.chap.password };
    const { outcome, said } = await profile.call(
      'defineSecret',
      { 'grant.uuid': grantUUID, ...secret },
      signal,
    );
    if (outcome !== 'ok') {
      throw new NotDone(volumeID, 'handing over its password', said);
    }
    return await work();
  } finally {
    // Also when the caller gave up. What cannot be removed now shows up as residue.
    await removeSecret(profile, grantUUID, new AbortController().signal).catch(() => undefined);
  }
};

export const removeSecret = async (
  profile: BoundProfile,
  grantUUID: string,
  signal: AbortSignal,
): Promise<void> => {
  const { outcome, said } = await profile.call('removeSecret', { 'grant.uuid': grantUUID }, signal);
  if (outcome !== 'ok') {
    throw new NotDone(grantUUID, 'removing its secret', said);
  }
};

export const residue = async (profile: BoundProfile, signal: AbortSignal): Promise<readonly Residue[]> => {
  if (!profile.has('secrets')) {
    return [];
  }
  const { rows } = await profile.call('secrets', {}, signal);
  return rows.flatMap(({ grant }) => (grant === undefined ? [] : [{ grantUUID: grant }]));
};
