// The stand-in of LIO as a rig for the checks of targets.

import { join } from 'node:path';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import { FakeConfigfs, NO_DEVICE } from '../../fakes/configfs.ts';
import { Transcript } from '../check.ts';
import type { SeenDisk, TargetRig } from '../target.ts';
import { delegated } from './files.ts';

const SHIPPED = join(import.meta.dirname, '../../../node-agent/profiles/shipped');
const SIZE = 8n * 1024n * 1024n;
const DEVICES = ['/dev/vbs/first', '/dev/vbs/second'] as const;
const ADDRESS = '10.0.0.1';
const LUN = 1;

export const playedLio = async (): Promise<TargetRig> => {
  const profile = await loadProfile(join(SHIPPED, 'lio.yaml'), 'target');
  const transcript = new Transcript();
  let lio = new FakeConfigfs();
  const start = (): void => {
    lio = new FakeConfigfs();
    lio.load();
    for (const path of DEVICES) {
      lio.setSize(path, SIZE);
    }
  };
  start();
  const open = new Map<string, { end(): void }>();
  return {
    transcript,
    profile: bind(profile, {
      run: async ({ file }) => {
        throw new Error(`no command, such as ${file}, is needed`);
      },
      files: transcript.files(delegated(() => lio.files)),
      params: { root: lio.root, sys: lio.sys },
    }),
    iqnPrefix: 'iqn.2026-11.dev.vbs',
    portals: [`${ADDRESS}:3260`],
    devices: DEVICES,
    sizeBytes: SIZE,
    grow: async () => {
      // As the device behind the backstore itself grows.
      const device = lio.devices.get(DEVICES[0]) ?? NO_DEVICE;
      Object.assign(device, { sizeBytes: 2n * SIZE });
      lio.setDevice(DEVICES[0], device);
      return 2n * SIZE;
    },
    login: async (iqn, initiator, chap): Promise<SeenDisk | undefined> => {
      const session = lio.login(iqn, initiator, chap);
      const unit = session?.unit(LUN);
      if (session === undefined || unit === undefined) {
        return undefined;
      }
      open.set(iqn, session);
      const { serial, device, isReadOnly = false } = unit;
      return { serial, sizeBytes: device.sizeBytes, isReadOnly };
    },
    logout: async (iqn) => open.get(iqn)?.end(),
    reset: async () => start(),
    close: async () => undefined,
  };
};
