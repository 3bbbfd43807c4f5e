// The judge sees what he is there to see: in a world where all is well, somebody does what no promise allows.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { VOLUMES } from '../../api/resources.ts';
import type { Volume } from '../../api/volume.ts';
import { XenHost } from '../fakes/xen/xl.ts';
import type { Kit } from '../sim/kit.ts';
import { attach, begin, create, NAMESPACE, perform, remove, snapshot } from '../sim/workflows.ts';
import { World } from '../sim/world.ts';

const test = suite('the judge of the simulated world');

interface Scene {
  readonly world: World;
  readonly id: string;
}

const scene = async (kit: Partial<Kit> = {}): Promise<Scene> => {
  const world = new World({ seed: 7, kit });
  await begin(world);
  await perform(world, create('db'));
  await perform(world, attach('db', 'vm-a'));
  const volume = world.api.find<Volume>(VOLUMES, { name: 'db', namespace: NAMESPACE });
  return { world, id: volume?.status?.volumeID ?? '' };
};

/** Everybody is dead first, so that nobody mends it. */
const after = async (work: (scene: Scene) => void | Promise<void>): Promise<string> => {
  const { world, id } = await scene();
  await world.end();
  await work({ world, id });
  world.look();
  return world.broken?.message ?? '';
};

const lvOf = ({ world, id }: Scene) => {
  const lv = world.servers[0]?.lvm.lv(id);
  assert.ok(lv);
  return lv;
};

test('nothing is wrong where all is well', async () => {
  assert.is(await after(() => undefined), '');
});

test('a second initiator', async () => {
  const wrong = await after(async ({ world, id }) => {
    const acls = `/sys/kernel/config/target/iscsi/iqn.2026-11.dev.vbs:${id}/tpgt_1/acls`;
    await world.servers[0]?.files.mkdir(`${acls}/iqn.2026-11.dev.vbs:host.h2`);
  });
  assert.match(wrong, /^P1: .*host.h1 and .*host.h2 may write/);
});

test('a disk in two VMs of one host', async () => {
  const wrong = await after(async ({ world, id }) => {
    const [h1] = world.hypervisors;
    const xen = h1?.machines;
    assert.ok(xen instanceof XenHost);
    const link = h1?.tree.list('/dev/vbs')[0] ?? '';
    xen.add('vm-x', '7f3b4c1e-8a52-4d0e-9a55-2d1f0c6b7a10');
    const disk = `format=raw,backendtype=phy,vdev=xvdb,access=rw,target=/dev/vbs/${link}`;
    await xen.run({ file: 'xl', args: ['block-attach', String(xen.domain('vm-x').id), disk] });
    assert.ok(link.startsWith(id));
  });
  assert.match(wrong, /^P1: vol.* is in two VMs at once/);
});

const WITHOUT_XEN = { target: 'tgt', vmm: 'libvirt', initiator: 'qemu' } as const;

const inQemu = async (work: (scene: Scene) => void | Promise<void>): Promise<string> => {
  const found = await scene(WITHOUT_XEN);
  await found.world.end();
  await work(found);
  found.world.look();
  return found.world.broken?.message ?? '';
};

test('the same at tgtd, and of machines that log in themselves', async () => {
  const tgtadm = ({ servers }: World, ...args: readonly string[]) => servers[0]?.tgt.run({ args });
  const user = (world: World) => [...(world.servers[0]?.tgt.accounts.keys() ?? [])][0] ?? '';
  const second = ({ world }: Scene) =>
    void tgtadm(world, '-o', 'bind', '-m', 'target', '-t', '1', '-Q', 'iqn.2026-11.dev.vbs:host.h2');
  const open = ({ world }: Scene) => void tgtadm(world, '-o', 'delete', '-m', 'account', '-u', user(world));
  assert.is(await inQemu(() => undefined), '');
  assert.match(await inQemu(second), /^P1: .*host.h1 and .*host.h2 may write/);
  assert.match(await inQemu(open), /^P2: iqn\S+ of s1 asks nobody for a password/);
});

test('what machines that log in themselves have open', async () => {
  const { world } = await scene(WITHOUT_XEN);
  await world.end();
  assert.is(world.lie(), undefined);
  assert.match(world.leftOver() ?? '', /an account on s1, .*a session to iqn\S+ on h1/);
  world.hypervisors[0]?.machines.restart('vm-a');
  assert.match(world.lie() ?? '', /db-vm-a is Ready, and no disk of it works/);
});

test('bytes of another volume, and bytes of nobody', async () => {
  const write = (word: string) => (found: Scene) => {
    const blank = found.world.servers[0]?.lvm.read(lvOf(found).name).indexOf('') ?? 0;
    found.world.servers[0]?.lvm.write(found.id, blank, word);
  };
  assert.match(await after(write('0000#1')), /^P2: vol.* holds 0000#1/);
  assert.match(await after(write('old')), /^P2: .* shows what others left/);
});

test('a write that was acknowledged and is gone', async () => {
  const wrong = await after((found) => {
    const { lvm } = found.world.servers[0] ?? {};
    const at = lvm?.read(found.id).findIndex((word) => word !== '') ?? -1;
    assert.ok(at >= 0, 'nothing was written');
    lvm?.write(found.id, at, '');
  });
  assert.match(wrong, /^P3: mebibyte \d+ of vol.* holds nothing, and .* was acknowledged/);
});

test('a thin snapshot that changes with its volume', async () => {
  const world = new World({ seed: 7, kit: { pool: 'lvm-thin' } });
  await begin(world);
  await perform(world, create('db'));
  await perform(world, attach('db', 'vm-a'));
  await perform(world, snapshot('db', 'monday'));
  await world.pass(60_000);
  assert.is(world.broken, undefined, 'its guest has gone on writing');
  await world.end();
  const { lvm } = world.servers[0] ?? {};
  const taken = lvm?.lvs.find(({ name }) => name.startsWith('snap'));
  assert.ok(taken);
  lvm?.write(taken.name, 3, 'changed');
  world.look();
  assert.match(world.broken?.message ?? '', /^P3: mebibyte 3 of snap\w+ holds changed/);
});

test('a volume that is gone, or made anew and empty', async () => {
  const remove = ({ world, id }: Scene) => {
    const { lvm } = world.servers[0] ?? {};
    if (lvm !== undefined) {
      lvm.lvs = lvm.lvs.filter(({ name }) => name !== id);
    }
    return lvm;
  };
  assert.match(
    await after((found) => void remove(found)),
    /^P3: vol.*, which nobody deleted, is stored 0 times/,
  );
  const again = await after((found) => {
    remove(found)?.addThick(found.id, 4);
    for (let at = 0; at < 16; at += 1) {
      found.world.servers[0]?.lvm.write(found.id, at, '');
    }
  });
  assert.match(again, /^P3: mebibyte/);
});

test('a status that lies, and what is left over', async () => {
  const { world } = await scene();
  await world.end();
  assert.is(world.lie(), undefined);
  world.hypervisors[0]?.machines.restart('vm-a');
  assert.match(world.lie() ?? '', /db-vm-a is Ready, and no disk of it works/);
  assert.match(
    world.leftOver() ?? '',
    /Volume db, Attachment db-vm-a, vol\w+ on s1, iqn\S+ on s1, .*a session to/,
  );
});

test('logical volumes of others stay as they are', async () => {
  const { world } = await scene();
  const { lvm } = world.servers[0] ?? {};
  lvm?.addThick('data', 1);
  await world.pass(120_000);
  assert.is(lvm?.lv('data')?.extents.length, 1);
  assert.equal(
    lvm?.argvs.flat().filter((arg) => arg.endsWith('data')),
    [],
  );
  await world.end();
});

test('data that is removed although it was put aside', async () => {
  const rename = (found: Scene, from: string, to: string): void => {
    const lv = found.world.servers[0]?.lvm.lv(from);
    assert.ok(lv);
    lv.name = to;
  };
  const removed = (found: Scene): void => {
    remove(found.world, VOLUMES, 'db');
    rename(found, found.id, `${found.id}.retained`);
    found.world.look();
    rename(found, `${found.id}.retained`, `${found.id}.dying`);
  };
  assert.match(await after(removed), /^P3: vol.* was put aside and is removed after 0 s/);
});

test.run();
