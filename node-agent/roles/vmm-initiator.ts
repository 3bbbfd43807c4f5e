/** The initiator role where the VMM logs in itself: nothing is connected on the host, the device is only asked who it is. */

import type { BoundProfile, CallResult } from '../profiles/bind.ts';
import { wholeOf } from './cells.ts';
import { Busy, CannotLook, Denied } from './errors.ts';
import type { Connection, Identity, Initiator } from './initiator.ts';
import { bracketed, splitPortal } from './portal.ts';

export const valuesOf = ({ iqn, lun, portal, initiator, chap }: Connection) => {
  const { host, port } = splitPortal(portal);
  return {
    iqn,
    lun,
    initiator,
    'portal.host': bracketed(host),
    'portal.port': port,
    'chap.user': chap.user,
    'chap.password': chap.password,
  };
};

export const refuse = ({ volumeID }: Connection, { outcome, said }: CallResult): void => {
  if (outcome === 'denied') {
    throw new Denied(volumeID, said);
  }
  if (outcome === 'absent') {
    throw new Busy(volumeID, 'its target shows no such LUN yet');
  }
  if (outcome === 'unreachable') {
    throw new Busy(volumeID, `its portal does not answer: ${said}`);
  }
};

const verify = async (
  profile: BoundProfile,
  connection: Connection,
  signal: AbortSignal,
): Promise<Identity> => {
  const values = valuesOf(connection);
  const first = await profile.call('serial', values, signal);
  refuse(connection, first);
  const second = await profile.call('capacity', values, signal);
  refuse(connection, second);
  const serial = first.rows[0]?.serial;
  const size = second.rows[0];
  if (serial === undefined || size === undefined || first.rows.length > 1 || second.rows.length > 1) {
    throw new CannotLook(connection.volumeID, 'the device did not say one serial and one size');
  }
  return { serial, sizeBytes: wholeOf(size, 'size') };
};

export const vmmInitiator = (profile: BoundProfile): Initiator => ({
  kind: 'iscsi',
  connect: async ({ portal, iqn, lun, initiator, chap }) => ({
    kind: 'iscsi',
    portal,
    iqn,
    lun,
    initiator,
    chap,
  }),
  verify: (connection, signal) => verify(profile, connection, signal),
  disconnect: async () => undefined,
  observe: async () => [],
});
