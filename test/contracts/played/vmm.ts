// The stand-in of Xen as a rig for the checks of hypervisors.

import { join } from 'node:path';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import { type Device, failure } from '../../fakes/tree.ts';
import { XenHost } from '../../fakes/xen/xl.ts';
import { Transcript } from '../check.ts';
import { GRANTS, IDS, type VmmRig } from '../vmm.ts';

const SHIPPED = join(import.meta.dirname, '../../../node-agent/profiles/shipped');
const SIZE = 8n * 1024n * 1024n;
const NAME = 'tools-guest';
const UUID = '5c0f6c0e-7a4e-4c0b-9a55-0a2c7b0a4444';
const PATHS = [`/dev/vbs/${IDS[0]}.${GRANTS[0]}`, `/dev/vbs/${IDS[1]}.${GRANTS[1]}`] as const;

export const playedXen = async (): Promise<VmmRig> => {
  const profile = await loadProfile(join(SHIPPED, 'xen-xl.yaml'), 'vmm');
  const transcript = new Transcript();
  const devices = new Map<string, Device & { sizeBytes: bigint }>();
  let xen = new XenHost();
  const start = (): void => {
    for (const path of PATHS) {
      devices.set(path, { sizeBytes: SIZE, read: () => '', write: () => undefined });
    }
    xen = new XenHost((path) => {
      const device = devices.get(path);
      if (device === undefined) {
        throw failure('ENOENT', path);
      }
      return device;
    });
    xen.add(NAME, UUID);
  };
  start();
  return {
    transcript,
    profile: bind(profile, { run: transcript.run((command) => xen.run(command)), files: hostFiles }),
    instance: { name: NAME, uuid: UUID },
    locators: [
      { kind: 'block', path: PATHS[0] },
      { kind: 'block', path: PATHS[1] },
    ],
    sizeBytes: SIZE,
    nowhere: { kind: 'block', path: `/dev/vbs/${IDS[0]}.${GRANTS[1]}` },
    restart: async () => xen.restart(NAME),
    pause: async (isPaused) => {
      const domain = xen.domain(NAME);
      domain.state = isPaused ? '--p---' : '-b----';
      domain.takes = !isPaused;
      domain.releases = !isPaused;
      if (!isPaused) {
        xen.boot(NAME);
      }
    },
    inGuest: async (vdev) => {
      const device = xen.disk(NAME, vdev);
      return device === undefined
        ? undefined
        : { sizeBytes: device.sizeBytes, isReadOnly: xen.isReadOnly(NAME, vdev) };
    },
    grow: async () => {
      Object.assign(devices.get(PATHS[0]) ?? {}, { sizeBytes: 2n * SIZE });
      return 2n * SIZE;
    },
    sleep: async () => undefined,
    reset: async () => start(),
    close: async () => undefined,
  };
};
