/** How a volume server reads an export of another one: by a tool that logs in itself, so that its own system never sees a device. */

import type { ByteRange } from '../exec/files.ts';
import type { BoundProfile } from '../profiles/bind.ts';
import type { Connection, Identity } from './initiator.ts';
import { refuse, valuesOf, vmmInitiator } from './vmm-initiator.ts';

export interface Reader {
  /** As Initiator.verify. */
  verify(connection: Connection, signal: AbortSignal): Promise<Identity>;
  /**
   * Reads a range of the device into a file, which is made, or made anew, and holds nothing else. Throws Denied, Busy (no answer, or no
   * LUN yet), CannotLook.
   */
  read(connection: Connection, range: ByteRange, path: string, signal: AbortSignal): Promise<void>;
}

/** Undefined where the profile cannot read. */
export function profiledReader(profile: BoundProfile): Reader | undefined {
  if (!profile.has('read')) {
    return undefined;
  }
  const { verify } = vmmInitiator(profile);
  return {
    verify,
    read: async (connection, { offset, length }, path, signal) => {
      const values = { ...valuesOf(connection), offset, length, path };
      refuse(connection, await profile.call('read', values, signal));
    },
  };
}
