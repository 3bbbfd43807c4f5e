// The target procedure against a tgtd in memory.

import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CommandError } from '../../../node-agent/exec/command.ts';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import { Busy, CannotLook, ExportNotFound, Mismatch, NotDone } from '../../../node-agent/roles/errors.ts';
import { profiledTarget } from '../../../node-agent/roles/profiled-target.ts';
import { NO_DEVICE } from '../../fakes/configfs.ts';
import { FakeTgt } from '../../fakes/tgt.ts';

const ID = 'vol0123456789abcdef0';
const IQN = `iqn.2026-11.dev.vbs:${ID}`;
const HOST = 'iqn.2026-11.dev.vbs:host1';
const chap = { user: 'u1', password: 'hunter22hunter22' };
const spec = { path: '/srv/a.raw', serial: ID, sizeBytes: 1n, readOnly: false };
const { signal } = new AbortController();
const profile = await loadProfile(
  join(import.meta.dirname, '../../../node-agent/profiles/shipped/tgt.yaml'),
  'target',
);

const world = () => {
  const tgtd = new FakeTgt((path) => {
    if (path.startsWith('/gone')) {
      throw new Error('ENOENT');
    }
    return NO_DEVICE;
  });
  const bound = bind(profile, { run: tgtd.run, files: hostFiles });
  const target = profiledTarget(bound, {
    portals: ['10.0.0.1:3260'],
    clock: { sleep: async () => undefined },
  });
  return { tgtd, target };
};
const failure = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

const test = suite('the target procedure');

test('an export is closed until an initiator is allowed, and needs a password before it is', async () => {
  const { tgtd, target } = world();
  await target.open(ID, spec, signal);
  const [closed] = await target.observe(signal);
  assert.equal([closed?.ready, closed?.allowed, closed?.chapUsers], [true, [], []]);
  tgtd.before = (line) => {
    if (line === 'bind target') {
      assert.equal(tgtd.all[0]?.users, ['u1']);
    }
  };
  await target.allow(ID, HOST, chap, signal);
  const [open] = await target.observe(signal);
  assert.equal([open?.allowed, open?.chapUsers], [[HOST], ['u1']]);
});

test('what is as asked costs looks only', async () => {
  const { tgtd, target } = world();
  await target.open(ID, spec, signal);
  await target.allow(ID, HOST, chap, signal);
  tgtd.commands = [];
  await target.open(ID, spec, signal);
  await target.allow(ID, HOST, chap, signal);
  await target.cut(ID, 'iqn.2026-11.dev.vbs:host2', signal);
  assert.ok(tgtd.commands.every((line) => line.startsWith('show')));
});

test('a number that somebody takes between look and change is not fought over', async () => {
  const { tgtd, target } = world();
  let taken = false;
  tgtd.before = (line) => {
    if (line === 'new target' && !taken) {
      taken = true;
      tgtd.add(1, 'iqn.2001-04.org.example:x');
    }
  };
  await target.open(ID, spec, signal);
  assert.is(tgtd.all.find(({ iqn }) => iqn === IQN)?.tid, 2);
});

test('a restarted daemon gives another number, and nothing minds', async () => {
  const { tgtd, target } = world();
  await target.open(ID, spec, signal);
  tgtd.kill();
  tgtd.start();
  tgtd.add(1, 'iqn.2001-04.org.example:x');
  assert.equal(await target.observe(signal), []);
  await target.open(ID, spec, signal);
  await target.allow(ID, HOST, chap, signal);
  assert.equal(tgtd.all[0]?.acl, []);
  assert.equal(tgtd.all[1]?.acl, [HOST]);
});

test('an export with another path is rebuilt while nobody can see it, and else refused', async () => {
  const { tgtd, target } = world();
  await target.open(ID, spec, signal);
  await target.open(ID, { ...spec, path: '/srv/b.raw' }, signal);
  assert.is(tgtd.all[0]?.luns.get(1)?.path, '/srv/b.raw');
  assert.is(tgtd.all[0]?.luns.get(1)?.serial, ID);
  await target.allow(ID, HOST, chap, signal);
  assert.instance(await failure(target.open(ID, spec, signal)), Mismatch);
  assert.is(tgtd.all[0]?.luns.get(1)?.path, '/srv/b.raw');
});

test('a target whose disk cannot be opened is not ready, and nobody is allowed in', async () => {
  const { target } = world();
  assert.instance(await failure(target.open(ID, { ...spec, path: '/gone' }, signal)), NotDone);
  assert.is((await target.observe(signal))[0]?.ready, false);
  assert.instance(await failure(target.allow(ID, HOST, chap, signal)), NotDone);
  assert.equal((await target.observe(signal))[0]?.allowed, []);
});

test('sessions outlive a denial, end with a cut, and hold up a close', async () => {
  const { tgtd, target } = world();
  await target.open(ID, spec, signal);
  await target.allow(ID, HOST, chap, signal);
  const other = 'iqn.2026-11.dev.vbs:host2';
  tgtd.all[0]?.sessions.push({ sid: 4, initiator: HOST }, { sid: 5, initiator: other });
  assert.instance(await failure(target.cut(ID, HOST, signal)), Busy);
  await target.deny(ID, HOST, chap.user, signal);
  assert.is(tgtd.accounts.size, 0);
  assert.equal((await target.observe(signal))[0]?.sessions, [HOST, other]);
  await target.cut(ID, HOST, signal);
  assert.equal((await target.observe(signal))[0]?.sessions, [other]);
  assert.instance(await failure(target.close(ID, signal)), Busy);
  await target.cut(ID, other, signal);
  await target.close(ID, signal);
  await target.close(ID, signal);
  assert.equal(tgtd.all, []);
});

test('a login that was half through when access went off is caught by the second look', async () => {
  const { tgtd, target } = world();
  await target.open(ID, spec, signal);
  let looks = 0;
  tgtd.before = (line) => {
    looks += line === 'show target' ? 1 : 0;
    if (looks === 2) {
      looks += 1;
      tgtd.all[0]?.sessions.push({ sid: 9, initiator: HOST });
    }
  };
  await target.cut(ID, HOST, signal);
  assert.equal(tgtd.all[0]?.sessions, []);
});

test('a session that cannot be ended is told', async () => {
  const { tgtd, target } = world();
  await target.open(ID, spec, signal);
  tgtd.before = () => {
    const [only] = tgtd.all;
    if (only?.sessions.length === 0) {
      only.sessions.push({ sid: 9, initiator: HOST });
    }
  };
  assert.instance(await failure(target.cut(ID, HOST, signal)), NotDone);
});

test('an account that another target still needs is kept', async () => {
  const { tgtd, target } = world();
  const second = 'vol0123456789abcdef1';
  for (const id of [ID, second]) {
    await target.open(id, { ...spec, serial: id }, signal);
    await target.allow(id, HOST, chap, signal);
  }
  await target.deny(ID, HOST, chap.user, signal);
  assert.ok(tgtd.accounts.has(chap.user));
  assert.equal(tgtd.all[1]?.users, [chap.user]);
  await target.deny(second, HOST, chap.user, signal);
  assert.is(tgtd.accounts.size, 0);
});

test('a target that lets somebody in keeps its last password', async () => {
  const { tgtd, target } = world();
  await target.open(ID, spec, signal);
  await target.allow(ID, HOST, chap, signal);
  await target.deny(ID, `${HOST}\u{fffd}`, chap.user, signal);
  assert.equal([tgtd.all[0]?.acl, tgtd.all[0]?.users], [[HOST], [chap.user]]);
  await target.close(ID, signal);
  assert.equal([tgtd.all, [...tgtd.accounts.keys()]], [[], []]);
});

test('a name that only looks like ours is not ours', async () => {
  const { tgtd, target } = world();
  for (const [index, iqn] of [
    `${IQN}0`,
    `${IQN}:x`,
    `iqn.2026-11.dev.vbsx:${ID}`,
    'iqn.2026-11.dev.vbs:vol1',
  ].entries()) {
    tgtd.add(index + 1, iqn);
  }
  assert.equal(await target.observe(signal), []);
  await target.close(ID, signal);
  assert.is(tgtd.all.length, 4);
});

test('what is not there is said so', async () => {
  const { target } = world();
  assert.instance(await failure(target.allow(ID, HOST, chap, signal)), ExportNotFound);
  await target.deny(ID, HOST, chap.user, signal);
  await target.cut(ID, HOST, signal);
});

test('whoever is killed at any command of a denial leaves no account that no target shows', async () => {
  const denial = async (killedAt: number) => {
    const { tgtd, target } = world();
    await target.open(ID, spec, signal);
    await target.allow(ID, HOST, chap, signal);
    let left = killedAt;
    tgtd.before = () => {
      left -= 1;
      if (left === -1) {
        throw new CommandError('tgtadm', 'ended by SIGKILL');
      }
    };
    const error = await failure(target.deny(ID, HOST, chap.user, signal));
    tgtd.before = () => undefined;
    await target.close(ID, signal);
    assert.equal([tgtd.all, [...tgtd.accounts.keys()]], [[], []], `killed at command ${killedAt}`);
    return error !== undefined;
  };
  let killed = 0;
  while (await denial(killed)) {
    killed += 1;
  }
  assert.ok(killed > 5);
});

test('a daemon that dies at any command leaves something that the next try finishes', async () => {
  const path = async (target: ReturnType<typeof world>['target']) => {
    await target.open(ID, spec, signal);
    await target.allow(ID, HOST, chap, signal);
    await target.deny(ID, HOST, chap.user, signal);
    await target.close(ID, signal);
  };
  const { tgtd: counter, target: whole } = world();
  await path(whole);
  for (let at = 0; at < counter.commands.length; at += 1) {
    const { tgtd, target } = world();
    let left = at;
    tgtd.before = () => {
      left -= 1;
      if (left === -1) {
        throw new CommandError('tgtadm', 'ended by SIGKILL');
      }
    };
    const error = await failure(path(target));
    assert.ok(error instanceof CommandError || error instanceof CannotLook, `command ${at}: ${error}`);
    await path(target);
    assert.equal(tgtd.all, []);
    assert.is(tgtd.accounts.size, 0);
  }
});

test.run();
