// The stand-in of open-iscsi as a rig for the checks of initiators.

import { join } from 'node:path';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import type { Chap } from '../../../node-agent/roles/target.ts';
import { systemClock } from '../../../runtime/clock.ts';
import { FakeOpenIscsi } from '../../fakes/open-iscsi.ts';
import { Transcript, volumeID } from '../check.ts';
import type { InitiatorRig } from '../initiator.ts';
import { delegated } from './files.ts';

const SHIPPED = join(import.meta.dirname, '../../../node-agent/profiles/shipped');
const MIB = 1024 * 1024;
const ID = volumeID(0x301);
const PREFIX = 'iqn.2026-11.dev.vbs';
const HOLDER = 'dm-0';

export const playedOpenIscsi = async (): Promise<InitiatorRig> => {
  const profile = await loadProfile(join(SHIPPED, 'open-iscsi.yaml'), 'initiator');
  const transcript = new Transcript();
  const chap: Chap = { user: 'grant-1', password: 'the-first-secret' };
  const iqn = `${PREFIX}:${ID}`;
  let host = new FakeOpenIscsi();
  const start = (): void => {
    host = new FakeOpenIscsi();
    host.targets.set(iqn, { ...chap, serial: ID, bytes: 8 * MIB, up: true, portal: '10.0.0.1:3260' });
  };
  const target = () => host.targets.get(iqn);
  start();
  return {
    transcript,
    profile: bind(profile, {
      run: transcript.run((command, aborted) => host.run(command, aborted)),
      files: transcript.files(delegated(() => host.files)),
      params: { sys: host.sys, dev: host.dev },
    }),
    iqnPrefix: PREFIX,
    links: `${host.dev}/vbs`,
    clock: { ...systemClock, sleep: async () => undefined },
    connection: {
      volumeID: ID,
      grantUUID: '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a1111',
      iqn,
      lun: 1,
      portal: '10.0.0.1:3260',
      initiator: `${PREFIX}:host.h1`,
      chap,
    },
    sizeBytes: BigInt(8 * MIB),
    away: '10.0.0.1:3999',
    grant: async (wanted) => {
      Object.assign(target() ?? {}, wanted);
    },
    grow: async () => {
      Object.assign(target() ?? {}, { bytes: 16 * MIB });
      return BigInt(16 * MIB);
    },
    hold: async (device) => {
      const session = host.sessions.find(({ disk }) => device.endsWith(`/${disk}`));
      if (session === undefined) {
        throw new Error(`no session has ${device}`);
      }
      host.hold(session, HOLDER);
      return async () => host.release(session, HOLDER);
    },
    reset: async () => start(),
    close: async () => undefined,
  };
};
