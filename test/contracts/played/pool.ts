// The stand-in of LVM as a rig for the checks of pools.

import { join } from 'node:path';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import { FakeLvm, THIN_POOL, VG } from '../../fakes/lvm.ts';
import { Transcript } from '../check.ts';
import { EXTENT, EXTENTS, type PoolRig } from '../pool.ts';

const SHIPPED = join(import.meta.dirname, '../../../node-agent/profiles/shipped');

export const playedPool = async (name: 'lvm-thick' | 'lvm-thin'): Promise<PoolRig> => {
  const profile = await loadProfile(join(SHIPPED, `${name}.yaml`), 'pool');
  const isThin = name === 'lvm-thin';
  const transcript = new Transcript();
  let lvm = new FakeLvm();
  const start = (): void => {
    lvm = new FakeLvm();
    lvm.thin = isThin;
    lvm.vgExtents = EXTENTS;
    lvm.poolBytes = (EXTENTS / 2) * Number(EXTENT);
  };
  const of = (lv: string) => lvm.lv(lv) ?? missing(lv);
  const params = isThin ? { vg: VG, thinpool: THIN_POOL } : { vg: VG };
  const run = transcript.run((command, aborted) => lvm.run(command, aborted));
  const bound = (more: object, mayNot = false) =>
    bind(profile, {
      run: mayNot ? transcript.run((command, aborted) => lvm.runAsNobody(command, aborted)) : run,
      files: hostFiles,
      params: { ...params, ...more },
    });
  start();
  return {
    transcript,
    profile: bound({}),
    nowhere: [bound({ vg: 'nowhere' }), ...(isThin ? [bound({ thinpool: 'nopool' })] : [])],
    denied: bound({}, true),
    directory: `/dev/${VG}`,
    names: async () => lvm.lvs.map((lv) => lv.name),
    tagsOf: async (lv) => of(lv).tags,
    makeOthers: async (lv, extents) => {
      if (isThin) {
        lvm.add(lv, { bytes: extents * Number(EXTENT) });
      } else {
        lvm.addThick(lv, extents);
      }
    },
    hold: async (lv) => {
      const held = of(lv);
      held.open = true;
      return async () => {
        held.open = false;
      };
    },
    // What was never written to holds old words.
    soil: async () => lvm.disk.clear(),
    write: async (lv, { mebibyte, count = 1 }, word) => {
      for (let at = mebibyte; at < mebibyte + count; at += 1) {
        lvm.write(lv, at, word);
      }
    },
    words: async (lv) => lvm.read(lv),
    deactivate: async (lv) => lvm.deactivate(lv),
    reduce: async (lv, extents) => {
      const store = of(lv);
      store.extents.length = extents;
      store.bytes = extents * Number(EXTENT);
    },
    reset: async () => start(),
    close: async () => undefined,
  };
};

const missing = (lv: string): never => {
  throw new Error(`no logical volume ${lv}`);
};
