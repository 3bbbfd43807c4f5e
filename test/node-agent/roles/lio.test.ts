// The target procedure over LIO, against its configfs in memory.

import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import { Busy, CannotLook, ExportNotFound, Mismatch, NotDone } from '../../../node-agent/roles/errors.ts';
import { profiledTarget } from '../../../node-agent/roles/profiled-target.ts';
import type { Target } from '../../../node-agent/roles/target.ts';
import { FakeConfigfs, NO_DEVICE } from '../../fakes/configfs.ts';

const ID = 'vol0123456789abcdef0';
const IQN = `iqn.2026-11.dev.vbs:${ID}`;
const HOST = 'iqn.2026-11.dev.vbs:host.h1';
const OTHER = 'iqn.2026-11.dev.vbs:host.h2';
const chap = { user: 'u1', password: 'hunter22hunter22' };
const spec = { path: `/dev/vbs/${ID}`, serial: ID, sizeBytes: 1n, readOnly: false };
const { signal } = new AbortController();
const profile = await loadProfile(
  join(import.meta.dirname, '../../../node-agent/profiles/shipped/lio.yaml'),
  'target',
);

interface World {
  lio: FakeConfigfs;
  target: Target;
}

const targetOn = (
  { files, root, sys }: FakeConfigfs,
  portals = ['10.0.0.1:3260', '[fd00::1]:3260'],
): Target =>
  profiledTarget(
    bind(profile, {
      run: async () => assert.unreachable('LIO needs no process') as never,
      files,
      params: { root, sys },
    }),
    { portals, clock: { sleep: async () => undefined } },
  );
const failure = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

const test = suite<World>('the target procedure over LIO');
test.before.each(async (context) => {
  context.lio = new FakeConfigfs();
  context.lio.devices.set(spec.path, NO_DEVICE);
  context.lio.load();
  context.target = targetOn(context.lio);
});

const tpg = ({ root }: FakeConfigfs) => join(root, 'iscsi', IQN, 'tpgt_1');
const only = async (target: Target) => {
  const found = await target.observe(signal);
  assert.is(found.length, 1);
  return found[0];
};

test('an export has our serial, our portals, no way in without an ACL and a password, and is enabled last', async ({
  lio,
  target,
}) => {
  const order: string[] = [];
  lio.before = (action, path) => order.push(`${action} ${path.slice(lio.root.length + 1)}`);
  await target.open(ID, spec, signal);
  assert.is(order.at(-1), `write iscsi/${IQN}/tpgt_1/enable`);
  const store = join(lio.root, 'core/iblock_0', ID);
  assert.equal(
    [
      /UDEV PATH: (\S+)/.exec(lio.show(join(store, 'info')))?.[1],
      lio.show(join(store, 'wwn/vpd_unit_serial')),
      lio.show(join(store, 'attrib/emulate_3pc')),
      lio.show(join(tpg(lio), 'attrib/authentication')),
      lio.show(join(tpg(lio), 'attrib/generate_node_acls')),
      lio.show(join(tpg(lio), 'attrib/demo_mode_write_protect')),
    ],
    [spec.path, `T10 VPD Unit Serial Number: ${ID}`, '0', '1', '0', '1'],
  );
  assert.ok(order.some((line) => line.endsWith('np/10.0.0.1:3260')));
  assert.ok(order.some((line) => line.endsWith('np/[fd00::1]:3260')));
  assert.equal(await only(target), {
    volumeID: ID,
    iqn: IQN,
    lun: 1,
    ready: true,
    readOnly: false,
    allowed: [],
    chapUsers: [],
    sessions: [],
    path: spec.path,
    serial: ID,
  });
  assert.not.ok(lio.login(IQN, HOST, chap));
});

test('the size is that of its device now', async ({ lio, target }) => {
  lio.setSize('/dev/another', 1n << 40n);
  lio.setSize(spec.path, 1n << 30n);
  await target.open(ID, spec, signal);
  assert.is((await only(target))?.sizeBytes, 1n << 30n);
  lio.setSize(spec.path, 1n << 31n);
  assert.is((await only(target))?.sizeBytes, 1n << 31n, 'also while it is on line');
});

test('a snapshot that other servers copy is exported like a volume, and nothing of it is left', async ({
  lio,
  target,
}) => {
  const id = 'snap0123456789abcdef';
  const path = `/dev/vbs/${id}`;
  lio.devices.set(path, NO_DEVICE);
  await target.open(id, { path, serial: id, sizeBytes: 1n, readOnly: true }, signal);
  for (const name of [HOST, OTHER]) {
    await target.allow(id, name, { ...chap, user: name === HOST ? 'u1' : 'u2', readOnly: true }, signal);
  }
  const shown = await only(target);
  assert.equal(
    [shown?.volumeID, shown?.ready, shown?.path, shown?.serial, shown?.allowed],
    [id, true, path, id, [HOST, OTHER]],
  );
  for (const name of [HOST, OTHER]) {
    await target.deny(id, name, '', signal);
  }
  await target.close(id, signal);
  assert.equal(await target.observe(signal), []);
});

test('access has its name and password written last, and read-only is decided for each initiator', async ({
  lio,
  target,
}) => {
  await target.open(ID, { ...spec, readOnly: true }, signal);
  const order: string[] = [];
  lio.before = (_action, path) => order.push(path.slice(tpg(lio).length + 1));
  await target.allow(ID, HOST, { ...chap, readOnly: true }, signal);
  assert.equal(order.slice(-2), [`acls/${HOST}/auth/password`, `acls/${HOST}/auth/userid`]);
  await target.allow(ID, OTHER, { user: 'u2', password: 'other22other22ab' }, signal);
  assert.is(lio.show(join(tpg(lio), 'acls', HOST, 'lun_1/write_protect')), '1');
  assert.is(lio.show(join(tpg(lio), 'acls', OTHER, 'lun_1/write_protect')), '0');
  const found = await only(target);
  assert.equal(
    [found?.allowed, found?.chapUsers],
    [
      [HOST, OTHER],
      [chap.user, 'u2'],
    ],
  );
  assert.ok(lio.login(IQN, HOST, chap));
  assert.not.ok(lio.login(IQN, OTHER, chap));
  assert.equal((await only(target))?.sessions, [HOST]);
});

test('what is as asked costs looks only', async ({ lio, target }) => {
  await target.open(ID, spec, signal);
  await target.allow(ID, HOST, chap, signal);
  const { changes } = lio;
  await target.open(ID, spec, signal);
  await target.allow(ID, HOST, chap, signal);
  await target.cut(ID, OTHER, signal);
  assert.is(lio.changes, changes);
});

test('access that is half made lets nobody in, is not told as access, and is made to its end', async ({
  lio,
  target,
}) => {
  await target.open(ID, spec, signal);
  lio.before = (_action, path) => {
    if (path.endsWith('/userid')) {
      throw Object.assign(new Error('EIO: power cut'), { code: 'EIO' });
    }
  };
  assert.instance(await failure(target.allow(ID, HOST, chap, signal)), NotDone);
  assert.equal((await only(target))?.allowed, []);
  assert.not.ok(lio.login(IQN, HOST, chap));
  lio.before = () => undefined;
  await target.allow(ID, HOST, chap, signal);
  assert.ok(lio.login(IQN, HOST, chap));
});

test('access that is taken off ends the session with it', async ({ lio, target }) => {
  await target.open(ID, spec, signal);
  await target.allow(ID, HOST, chap, signal);
  lio.login(IQN, HOST, chap);
  assert.instance(await failure(target.cut(ID, HOST, signal)), Busy);
  assert.instance(await failure(target.close(ID, signal)), Busy);
  await target.deny(ID, HOST, chap.user, signal);
  await target.cut(ID, HOST, signal);
  assert.equal((await only(target))?.sessions, []);
  assert.not.ok(lio.login(IQN, HOST, chap));
  await target.close(ID, signal);
  await target.close(ID, signal);
  assert.equal(lio.left(), ['core/iblock_0', 'iscsi']);
});

test('a half-made backstore is torn down and made anew', async ({ lio, target }) => {
  lio.devices.clear();
  assert.instance(await failure(target.open(ID, spec, signal)), NotDone);
  assert.is((await only(target))?.ready, false);
  assert.instance(await failure(target.allow(ID, HOST, chap, signal)), NotDone);
  lio.devices.set(spec.path, NO_DEVICE);
  await target.open(ID, spec, signal);
  assert.is((await only(target))?.ready, true);
});

test('another path is exported while nobody is allowed, and else refused', async ({ lio, target }) => {
  const moved = { ...spec, path: '/dev/vbs/other' };
  lio.devices.set(moved.path, NO_DEVICE);
  await target.open(ID, spec, signal);
  await target.open(ID, moved, signal);
  assert.is((await only(target))?.path, moved.path);
  await target.allow(ID, HOST, chap, signal);
  assert.instance(await failure(target.open(ID, spec, signal)), Mismatch);
  assert.is((await only(target))?.path, moved.path);
});

test('an export that somebody opened to all is not ready, and the fault is told', async ({ lio, target }) => {
  await target.open(ID, spec, signal);
  await target.allow(ID, HOST, chap, signal);
  lio.tree.put(join(tpg(lio), 'attrib/authentication'), '0\n');
  assert.is((await only(target))?.ready, false);
  assert.match(String(await failure(target.open(ID, spec, signal))), /asks nobody for a password/);
  await target.deny(ID, HOST, chap.user, signal);
  await target.open(ID, spec, signal);
  assert.is((await only(target))?.ready, true);
  lio.tree.put(join(lio.root, 'core/iblock_0', ID, 'attrib/emulate_3pc'), '1\n');
  assert.is((await only(target))?.ready, false);
  await target.open(ID, spec, signal);
  lio.tree.put(join(tpg(lio), 'dynamic_sessions'), `${OTHER}\n\0`);
  assert.equal((await only(target))?.sessions, [OTHER]);
});

test('a portal that is missing is added under a live session', async ({ lio, target }) => {
  await targetOn(lio, ['10.0.0.1:3260']).open(ID, spec, signal);
  await targetOn(lio, ['10.0.0.1:3260']).allow(ID, HOST, chap, signal);
  lio.login(IQN, HOST, chap);
  assert.is((await only(target))?.ready, false);
  await target.open(ID, spec, signal);
  const found = await only(target);
  assert.equal([found?.ready, found?.sessions], [true, [HOST]]);
});

test('a portal that is no address is told', async ({ lio }) => {
  assert.instance(await failure(targetOn(lio, ['vs1.example:3260']).open(ID, spec, signal)), NotDone);
});

test('a backstore without its target is found and cleared away', async ({ lio, target }) => {
  await lio.files.mkdir(join(lio.root, 'core/iblock_0'));
  await lio.files.mkdir(join(lio.root, 'core/iblock_0', ID));
  await lio.files.mkdir(join(lio.root, 'core/iblock_0/disk1'));
  assert.equal([(await only(target))?.volumeID, (await only(target))?.ready], [ID, false]);
  await target.close(ID, signal);
  assert.equal(lio.left(), ['core/iblock_0', 'core/iblock_0/disk1']);
});

test('targets of others are left alone', async ({ lio, target }) => {
  await target.open(ID, spec, signal);
  for (const iqn of [`${IQN}0`, `iqn.2026-11.dev.vbsx:${ID}`, 'iqn.2003-01.org.linux-iscsi:x']) {
    await lio.files.mkdir(join(lio.root, 'iscsi', iqn));
    await lio.files.mkdir(join(lio.root, 'iscsi', iqn, 'tpgt_1'));
  }
  assert.is((await target.observe(signal)).length, 1);
  await target.close(ID, signal);
  assert.is(lio.left().filter((path) => path.endsWith('tpgt_1')).length, 3);
});

test('without the kernel module nothing is known; with it and no target yet there is none', async ({
  lio,
  target,
}) => {
  assert.equal(await target.observe(signal), []);
  assert.instance(await failure(target.allow(ID, HOST, chap, signal)), ExportNotFound);
  await target.deny(ID, HOST, chap.user, signal);
  lio.tree.remove(lio.root);
  assert.instance(await failure(target.observe(signal)), CannotLook);
});

test('state that reads in an unknown way is no look', async ({ lio, target }) => {
  await target.open(ID, spec, signal);
  await target.allow(ID, HOST, chap, signal);
  lio.tree.put(join(tpg(lio), 'acls', HOST, 'info'), 'Session: yes\n');
  assert.instance(await failure(target.observe(signal)), CannotLook);
});

test('a change that dies at any point leaves something that the next try finishes', async () => {
  const path = async (target: Target) => {
    await target.open(ID, spec, signal);
    await target.allow(ID, HOST, chap, signal);
    await target.deny(ID, HOST, chap.user, signal);
    await target.close(ID, signal);
  };
  const fresh = () => {
    const lio = new FakeConfigfs();
    lio.devices.set(spec.path, NO_DEVICE);
    lio.load();
    return { lio, target: targetOn(lio) };
  };
  const counter = fresh();
  await path(counter.target);
  const { changes } = counter.lio;
  assert.ok(changes > 30);
  for (let at = 0; at < changes; at += 1) {
    const { lio, target } = fresh();
    let dead = false;
    lio.before = () => {
      dead ||= lio.changes >= at;
      if (dead) {
        throw Object.assign(new Error('EIO: power cut'), { code: 'EIO' });
      }
    };
    assert.ok((await failure(path(target))) !== undefined, `change ${at}`);
    lio.before = () => undefined;
    await path(target);
    assert.equal(lio.left(), ['core/iblock_0', 'iscsi'], `change ${at}`);
  }
});

test.run();
