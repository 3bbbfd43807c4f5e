// The target procedure against a small tgtd in memory that answers as the real one does: one exit code for every error,
// numbers that are reused, everything forgotten at a restart.

import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Command, CommandOutput, RunCommand } from '../../../node-agent/exec/command.ts';
import { CommandError } from '../../../node-agent/exec/command.ts';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import { Busy, CannotLook, ExportNotFound, Mismatch, NotDone } from '../../../node-agent/roles/errors.ts';
import { profiledTarget } from '../../../node-agent/roles/profiled-target.ts';

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

interface Lun {
  path: string;
  sn: string;
  id: string;
  readOnly: boolean;
}
interface FakeTarget {
  tid: number;
  iqn: string;
  lun?: Lun;
  acl: string[];
  users: string[];
  sessions: { sid: number; initiator: string }[];
}

const done = (stdout = ''): CommandOutput => ({ exitCode: 0, stdout, stderr: '' });
const refused = (words: string): CommandOutput => ({
  exitCode: 22,
  stdout: '',
  stderr: `tgtadm: ${words}\n`,
});

class FakeTgtd {
  targets: FakeTarget[] = [];
  accounts = new Map<string, string>();
  /** Called before each command; may change the world or throw. */
  before: (line: string) => void = () => undefined;
  commands: string[] = [];

  readonly run: RunCommand = async ({ args }: Command) => {
    const option = (letter: string): string => args[args.indexOf(letter) + 1] ?? '';
    const line = `${option('-o')} ${option('-m')}`;
    this.before(line);
    this.commands.push(line);
    return this.#answer(line, option);
  };

  #answer(line: string, option: (letter: string) => string): CommandOutput {
    const target = this.targets.find(({ tid }) => tid === Number(option('-t')));
    switch (line) {
      case 'show target':
        return done(this.targets.map(shown).join(''));
      case 'show conn':
        return done(
          (target?.sessions ?? [])
            .map(
              ({ sid, initiator }) => `Session: ${sid}\n    Connection: 0\n        Initiator: ${initiator}\n`,
            )
            .join(''),
        );
      case 'show account':
        return done(
          this.accounts.size === 0
            ? ''
            : `Account list:\n${[...this.accounts.keys()].map((user) => `    ${user}\n`).join('')}`,
        );
      case 'new target':
        return this.#newTarget(Number(option('-t')), option('-T'));
      case 'new account':
        if (this.accounts.has(option('-u'))) {
          return refused('this account already exists');
        }
        this.accounts.set(option('-u'), option('-p'));
        return done();
      case 'delete account':
        this.accounts.delete(option('-u'));
        for (const one of this.targets) {
          one.users = one.users.filter((user) => user !== option('-u'));
        }
        return done();
      default:
        return target === undefined ? refused("can't find the target") : this.#change(line, target, option);
    }
  }

  #newTarget(tid: number, iqn: string): CommandOutput {
    if (this.targets.some((one) => one.tid === tid || one.iqn === iqn)) {
      return refused('this target already exists');
    }
    this.targets.push({ tid, iqn, acl: [], users: [], sessions: [] });
    return done();
  }

  #change(line: string, target: FakeTarget, option: (letter: string) => string): CommandOutput {
    const entry = option('-Q').startsWith('iqn.') ? option('-Q') : option('-I');
    switch (line) {
      case 'new logicalunit':
        if (target.lun !== undefined || option('-b').startsWith('/gone')) {
          return refused('invalid request');
        }
        target.lun = {
          path: option('-b'),
          sn: `beaf${target.tid}1`,
          id: `IET     000${target.tid}0001`,
          readOnly: false,
        };
        return done();
      case 'update logicalunit': {
        const [sn, id, ro] = option('-P')
          .split(',')
          .map((pair) => pair.split('=')[1] ?? '');
        if (target.lun === undefined) {
          return refused("can't find the logical unit");
        }
        target.lun = { ...target.lun, sn: sn ?? '', id: id ?? '', readOnly: ro === '1' };
        return done();
      }
      case 'delete logicalunit':
        delete target.lun;
        return done();
      case 'bind account':
        target.users.push(option('-u'));
        return done();
      case 'unbind account':
        target.users = target.users.filter((user) => user !== option('-u'));
        return done();
      case 'bind target':
        target.acl.push(entry);
        return done();
      case 'unbind target':
        target.acl = target.acl.filter((one) => one !== entry);
        return done();
      case 'delete conn':
        target.sessions = target.sessions.filter(({ sid }) => sid !== Number(option('-s')));
        return done();
      case 'delete target':
        if (target.sessions.length > 0) {
          return refused('this target is still active');
        }
        this.targets = this.targets.filter((one) => one !== target);
        return done();
      default:
        return refused(`invalid request ${line}`);
    }
  }
}

const shown = ({ tid, iqn, lun, acl, users, sessions }: FakeTarget): string =>
  [
    `Target ${tid}: ${iqn}`,
    '    System information:',
    '        Driver: iscsi',
    '        State: ready',
    '    I_T nexus information:',
    ...sessions.flatMap(({ sid, initiator }) => [
      `        I_T nexus: ${sid}`,
      `            Initiator: ${initiator} alias: none`,
    ]),
    '    LUN information:',
    '        LUN: 0',
    '            Type: controller',
    '            Backing store path: None',
    ...(lun === undefined
      ? []
      : [
          '        LUN: 1',
          '            Type: disk',
          `            SCSI ID: ${lun.id}`,
          `            SCSI SN: ${lun.sn}`,
          '            Online: Yes',
          `            Readonly: ${lun.readOnly ? 'Yes' : 'No'}`,
          `            Backing store path: ${lun.path}`,
        ]),
    '    Account information:',
    ...users.map((user) => `        ${user}`),
    '    ACL information:',
    ...acl.map((entry) => `        ${entry}`),
    '',
  ].join('\n');

const world = () => {
  const tgtd = new FakeTgtd();
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
      assert.equal(tgtd.targets[0]?.users, ['u1']);
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
      tgtd.targets.push({ tid: 1, iqn: 'iqn.2001-04.org.example:x', acl: [], users: [], sessions: [] });
    }
  };
  await target.open(ID, spec, signal);
  assert.is(tgtd.targets.find(({ iqn }) => iqn === IQN)?.tid, 2);
});

test('a restarted daemon gives another number, and nothing minds', async () => {
  const { tgtd, target } = world();
  await target.open(ID, spec, signal);
  tgtd.targets = [{ tid: 1, iqn: 'iqn.2001-04.org.example:x', acl: [], users: [], sessions: [] }];
  tgtd.accounts.clear();
  assert.equal(await target.observe(signal), []);
  await target.open(ID, spec, signal);
  await target.allow(ID, HOST, chap, signal);
  assert.equal(tgtd.targets[0]?.acl, []);
  assert.equal(tgtd.targets[1]?.acl, [HOST]);
});

test('an export with another path is rebuilt while nobody can see it, and else refused', async () => {
  const { tgtd, target } = world();
  await target.open(ID, spec, signal);
  await target.open(ID, { ...spec, path: '/srv/b.raw' }, signal);
  assert.is(tgtd.targets[0]?.lun?.path, '/srv/b.raw');
  assert.is(tgtd.targets[0]?.lun?.sn, ID);
  await target.allow(ID, HOST, chap, signal);
  assert.instance(await failure(target.open(ID, spec, signal)), Mismatch);
  assert.is(tgtd.targets[0]?.lun?.path, '/srv/b.raw');
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
  tgtd.targets[0]?.sessions.push({ sid: 4, initiator: HOST }, { sid: 5, initiator: other });
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
  assert.equal(tgtd.targets, []);
});

test('a login that was half through when access went off is caught by the second look', async () => {
  const { tgtd, target } = world();
  await target.open(ID, spec, signal);
  let looks = 0;
  tgtd.before = (line) => {
    looks += line === 'show target' ? 1 : 0;
    if (looks === 2) {
      looks += 1;
      tgtd.targets[0]?.sessions.push({ sid: 9, initiator: HOST });
    }
  };
  await target.cut(ID, HOST, signal);
  assert.equal(tgtd.targets[0]?.sessions, []);
});

test('a session that cannot be ended is told', async () => {
  const { tgtd, target } = world();
  await target.open(ID, spec, signal);
  tgtd.before = () => {
    const [only] = tgtd.targets;
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
  assert.equal(tgtd.targets[1]?.users, [chap.user]);
  await target.deny(second, HOST, chap.user, signal);
  assert.is(tgtd.accounts.size, 0);
});

test('a name that only looks like ours is not ours', async () => {
  const { tgtd, target } = world();
  for (const [index, iqn] of [
    `${IQN}0`,
    `${IQN}:x`,
    `iqn.2026-11.dev.vbsx:${ID}`,
    'iqn.2026-11.dev.vbs:vol1',
  ].entries()) {
    tgtd.targets.push({ tid: index + 1, iqn, acl: [], users: [], sessions: [] });
  }
  assert.equal(await target.observe(signal), []);
  await target.close(ID, signal);
  assert.is(tgtd.targets.length, 4);
});

test('what is not there is said so', async () => {
  const { target } = world();
  assert.instance(await failure(target.allow(ID, HOST, chap, signal)), ExportNotFound);
  await target.deny(ID, HOST, chap.user, signal);
  await target.cut(ID, HOST, signal);
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
    assert.equal(tgtd.targets, []);
    assert.is(tgtd.accounts.size, 0);
  }
});

test.run();
