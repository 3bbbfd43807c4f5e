// The initiator procedure over open-iscsi, against its model and a sysfs in memory.

import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CommandError } from '../../../node-agent/exec/command.ts';
import { bind } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import { Busy, CannotLook, Denied, Mismatch, NotDone } from '../../../node-agent/roles/errors.ts';
import type { Connection, Initiator } from '../../../node-agent/roles/initiator.ts';
import { type SessionOptions, sessionInitiator } from '../../../node-agent/roles/session-initiator.ts';
import { systemClock } from '../../../runtime/clock.ts';
import { FakeOpenIscsi } from '../../fakes/open-iscsi.ts';

const ID = 'vol0123456789abcdef0';
const OTHER = 'vol0123456789abcdef1';
const GRANT = '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a1111';
const LATER = '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a2222';
const iqnOf = (id: string): string => `iqn.2026-11.dev.vbs:${id}`;
const connection: Connection = {
  volumeID: ID,
  grantUUID: GRANT,
  iqn: iqnOf(ID),
  lun: 1,
  portal: '10.0.0.1:3260',
  initiator: 'iqn.2026-11.dev.vbs:host.h1',
  chap: { user: 'u1', password: 'hunter22hunter22' },
};
const later: Connection = {
  ...connection,
  grantUUID: LATER,
  chap: { user: 'u2', password: 'other22other22ab' },
};
const { signal } = new AbortController();
const profile = await loadProfile(
  join(import.meta.dirname, '../../../node-agent/profiles/shipped/open-iscsi.yaml'),
  'initiator',
);

interface World {
  host: FakeOpenIscsi;
  initiator: Initiator;
}

const links = (host: FakeOpenIscsi) => join(host.dev, 'vbs');
const initiatorOn = (host: FakeOpenIscsi, options: SessionOptions = {}): Initiator =>
  sessionInitiator(
    bind(profile, {
      run: host.run,
      files: host.files,
      params: { sys: host.sys, dev: host.dev, links: links(host) },
    }),
    { clock, ...options },
  );
/** Waits for nothing. */
const clock: SessionOptions['clock'] & object = { ...systemClock, sleep: async () => undefined };
const aHost = (): FakeOpenIscsi => {
  const host = new FakeOpenIscsi();
  const { user, password } = connection.chap;
  host.targets.set(iqnOf(ID), { user, password, serial: ID, bytes: 4096 * 512, up: true });
  return host;
};
const failure = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );
const grant = ({ host }: World, { chap }: Connection): void => {
  Object.assign(host.targets.get(iqnOf(ID)) ?? {}, chap);
};
const leftOf = (host: FakeOpenIscsi) => [
  host.sessions.length,
  host.records.length,
  host.tree.has(links(host)) ? host.tree.list(links(host)).length : 0,
];

const test = suite<World>('the initiator procedure over open-iscsi');
test.before.each((context) => {
  context.host = aHost();
  context.initiator = initiatorOn(context.host);
});

test('a connection is a session under our own name, one unit, and a link that tells the grant', async ({
  host,
  initiator,
}) => {
  const locator = await initiator.connect(connection, signal);
  const path = join(links(host), `${ID}.${GRANT}`);
  assert.equal(locator, { kind: 'block', path });
  assert.is(await host.files.readlink(path), join(host.dev, 'sda'));
  assert.equal([...host.interfaces], [['vbs', connection.initiator]]);
  assert.equal(Object.fromEntries(host.records[0]?.values ?? []), {
    'node.startup': 'manual',
    'node.session.scan': 'manual',
    'node.session.initial_login_retry_max': '2',
    'node.session.timeo.replacement_timeout': '600',
    'node.session.auth.authmethod': 'CHAP',
    'node.session.auth.username': 'u1',
    'node.session.auth.password': 'hunter22hunter22',
  });
  assert.not.ok(host.commands.some((line) => line.includes('discovery')));
  assert.equal(await initiator.verify(connection, signal), { serial: ID, sizeBytes: 4096n * 512n });
  assert.equal(await initiator.observe(signal), [{ volumeID: ID, grantUUID: GRANT }]);
});

test('a serial is read as LIO gives it, with a NUL at its end, and as tgt does, with blanks before it', async ({
  host,
  initiator,
}) => {
  for (const serial of [`${ID}\0`, `${ID}    `, ID, ID.padStart(36)]) {
    Object.assign(host.targets.get(iqnOf(ID)) ?? {}, { serial });
    await initiator.connect(connection, signal);
    assert.equal(await initiator.verify(connection, signal), { serial: ID, sizeBytes: 4096n * 512n });
    await initiator.disconnect(connection, signal);
  }
});

test('what is connected costs looks only', async ({ host, initiator }) => {
  await initiator.connect(connection, signal);
  host.commands = [];
  await initiator.connect(connection, signal);
  assert.ok(
    host.commands.every((line) => line === 'iscsiadm -m node'),
    host.commands.join('; '),
  );
  assert.is(host.sessions.length, 1);
});

test('disconnecting flushes, removes the device, logs out, and leaves neither record nor link', async ({
  host,
  initiator,
}) => {
  await initiator.connect(connection, signal);
  host.commands = [];
  await initiator.disconnect(connection, signal);
  const acts = host.commands.filter((line) => line !== 'iscsiadm -m node').map((line) => line.split(' ')[0]);
  assert.equal(acts, ['blockdev', 'tee', 'iscsiadm', 'iscsiadm']);
  assert.match(
    host.commands.filter((line) => line.startsWith('tee'))[0] ?? '',
    /session1\/device\/target2:0:0\/2:0:0:1\/delete$/,
  );
  assert.equal(leftOf(host), [0, 0, 0]);
  assert.equal(await initiator.observe(signal), []);
  await initiator.disconnect(connection, signal);
});

test('a lock that a killed iscsiadm left is seen before the next one waits for it, and goes when it is old', async ({
  host,
}) => {
  const lock = '/run/lock/iscsi/lock.write';
  host.tree.put(lock, '');
  const at = (seconds: number): Initiator =>
    initiatorOn(host, {
      clock: { ...clock, now: () => new Date(Date.now() + seconds * 1_000) },
    });
  const refusal = await failure(at(30).connect(connection, signal));
  assert.instance(refusal, CannotLook);
  assert.match(String(refusal), /locked since \d.*Z by process none that runs/);
  assert.equal(host.commands, []);
  await at(120).connect(connection, signal);
  assert.equal(leftOf(host), [1, 1, 1]);
  assert.not.ok(host.tree.has(lock));
  host.tree.put(lock, '');
  await at(1).disconnect(connection, signal);
  assert.equal(leftOf(host), [0, 0, 0], 'a lock of this moment is waited for by iscsiadm itself');
  assert.ok(host.tree.has(lock));
});

test('the kernel waits for a command for longer than by itself, so that it is not given up when its target was away', async ({
  host,
  initiator,
}) => {
  await initiator.connect(connection, signal);
  const file = join(host.sys, 'devices/platform/host2/session1/target2:0:0/2:0:0:1/timeout');
  assert.is(Number(host.tree.text(file)), 120);
});

const tended = (host: FakeOpenIscsi) => {
  const world = { nowMs: 0, answers: true, letIn: true, asked: [] as string[] };
  const initiator = initiatorOn(host, {
    clock: { ...clock, monotonicMs: () => world.nowMs },
    reach: async (address, port) => {
      world.asked.push(`${address}:${port}`);
      return world.answers;
    },
  });
  const later = async (seconds: number): Promise<string | undefined> => {
    world.nowMs += seconds * 1_000;
    host.commands = [];
    return await initiator.tend?.((volumeID) => world.letIn && volumeID === ID, signal);
  };
  return { world, initiator, later };
};

test('iscsid is restarted when a session stays away although its portal answers', async ({ host }) => {
  const { world, initiator, later } = tended(host);
  await initiator.connect(connection, signal);
  assert.is(await later(0), undefined);
  const [session] = host.sessions;
  assert.ok(session);
  host.setState(session, 'FAILED');
  assert.is(await later(30), undefined);
  world.answers = false;
  assert.is(await later(600), undefined);
  assert.equal(host.commands, [], 'a target that is away is waited for');
  assert.is(world.asked.at(-1), '10.0.0.1:3260');
  world.answers = true;
  assert.is(await later(30), undefined);
  assert.equal(host.commands, [], 'and has a moment to let us in');
  assert.is(await later(60), undefined);
  assert.equal(host.commands, ['systemctl restart iscsid.service']);
  await later(90);
  assert.equal(host.commands, [], 'it is not restarted again and again');
  await later(90);
  assert.equal(host.commands, ['systemctl restart iscsid.service'], 'but after twice the time');
  world.letIn = false;
  await later(600);
  assert.equal(host.commands, [], 'who is not let in stays away');
  world.letIn = true;
  host.setState(session, 'LOGGED_IN');
  assert.is(await later(30), undefined);
  host.setState(session, 'FAILED');
  assert.is(await later(600), undefined);
  assert.equal(host.commands, [], 'the time it was away before does not count');
  await later(60);
  assert.equal(host.commands, ['systemctl restart iscsid.service']);
});

test('iscsid is left to a person where others have sessions', async ({ host }) => {
  const { initiator, later } = tended(host);
  await initiator.connect(connection, signal);
  host.login('iqn.2003-01.org.others:disk', 'they');
  const [session] = host.sessions;
  assert.ok(session);
  host.setState(session, 'FAILED');
  await later(0);
  assert.match(String(await later(180)), /session 1 .*; restart iscsid \(systemctl restart iscsid.service\)/);
  assert.equal(host.commands, []);
});

test('a device that the host has built on is kept, and so is its session', async ({ host, initiator }) => {
  await initiator.connect(connection, signal);
  const [session] = host.sessions;
  assert.ok(session);
  host.hold(session, 'dm-3');
  const refusal = await failure(initiator.disconnect(connection, signal));
  assert.instance(refusal, Busy);
  assert.match(String(refusal), /dm-3/);
  assert.equal(leftOf(host), [1, 1, 1]);
  host.release(session, 'dm-3');
  await initiator.disconnect(connection, signal);
  assert.equal(leftOf(host), [0, 0, 0]);
});

test('a device that cannot be flushed is kept', async ({ host, initiator }) => {
  await initiator.connect(connection, signal);
  const run = host.run;
  const failing = sessionInitiator(
    bind(profile, {
      run: async (command, abort) =>
        command.file === 'blockdev'
          ? { exitCode: 1, stdout: '', stderr: 'blockdev: ioctl error on BLKFLSBUF: Input/output error\n' }
          : run(command, abort),
      files: host.files,
      params: { sys: host.sys, dev: host.dev, links: links(host) },
    }),
    { clock },
  );
  assert.instance(await failure(failing.disconnect(connection, signal)), NotDone);
  assert.equal(leftOf(host), [1, 1, 1]);
});

test('what is left of an earlier grant goes before the next one connects', async (context) => {
  const { host, initiator } = context;
  await initiator.connect(connection, signal);
  const [stale] = host.sessions;
  assert.ok(stale);
  host.setState(stale, 'FAILED');
  grant(context, later);
  host.commands = [];
  const locator = await initiator.connect(later, signal);
  assert.equal(locator, { kind: 'block', path: join(links(host), `${ID}.${LATER}`) });
  assert.not.ok(
    host.commands.some((line) => line.startsWith('blockdev')),
    'a dead session has nothing to flush to',
  );
  assert.equal(
    host.sessions.map(({ user }) => user),
    ['u2'],
  );
  assert.equal(host.tree.list(links(host)), [`${ID}.${LATER}`]);
  await initiator.disconnect(connection, signal);
  assert.equal(leftOf(host), [1, 1, 1]);
  assert.equal(await initiator.observe(signal), [{ volumeID: ID, grantUUID: LATER }]);
});

test('two sessions to one target are ended, and one is made', async ({ host, initiator }) => {
  host.login(iqnOf(ID), 'u1');
  host.login(iqnOf(ID), 'u1');
  await initiator.connect(connection, signal);
  assert.is(host.sessions.length, 1);
  assert.is(host.sessions[0]?.number, 3);
});

test('a device that does not call itself our volume gets no link, and its session is ended', async ({
  host,
  initiator,
}) => {
  Object.assign(host.targets.get(iqnOf(ID)) ?? {}, { serial: OTHER });
  assert.instance(await failure(initiator.connect(connection, signal)), Mismatch);
  assert.equal(leftOf(host), [0, 0, 0]);
});

test('a file where a device should be is not handed on', async ({ host, initiator }) => {
  host.impostors.add('sda');
  assert.instance(await failure(initiator.connect(connection, signal)), Mismatch);
  assert.equal(leftOf(host)[2], 0);
});

test('refusals and silence have their names', async (context) => {
  const { host, initiator } = context;
  grant(context, later);
  assert.instance(await failure(initiator.connect(connection, signal)), Denied);
  Object.assign(host.targets.get(iqnOf(ID)) ?? {}, { up: false });
  assert.instance(await failure(initiator.connect(connection, signal)), Busy);
  assert.equal(await initiator.observe(signal), [{ volumeID: ID }]);
  await initiator.disconnect(connection, signal);
  assert.equal(leftOf(host), [0, 0, 0]);
  const foreign = { ...connection, iqn: `iqn.2001-04.org.example:${ID}` };
  assert.instance(await failure(initiator.connect(foreign, signal)), Mismatch);
  assert.instance(await failure(initiator.verify(connection, signal)), Busy);
});

test('sessions and records of others are neither shown nor touched', async ({ host, initiator }) => {
  for (const iqn of [`${iqnOf(ID)}0`, `iqn.2026-11.dev.vbsx:${ID}`, 'iqn.2001-04.org.example:backup']) {
    host.login(iqn, '');
    host.records.push({ iqn, portal: '10.0.0.9:3260', iface: 'default', values: new Map() });
  }
  assert.equal(await initiator.observe(signal), []);
  await initiator.connect(connection, signal);
  await initiator.disconnect(connection, signal);
  assert.equal([host.sessions.length, host.records.length], [3, 3]);
});

test('a database that cannot be read is no look', async ({ host, initiator }) => {
  host.before = (line) => {
    if (line === 'iscsiadm -m node') {
      throw new CommandError('iscsiadm', 'no answer');
    }
  };
  assert.instance(await failure(initiator.observe(signal)), CannotLook);
  assert.instance(await failure(initiator.disconnect(connection, signal)), CannotLook);
});

test('our interface record keeps its name, and gets it back', async ({ host, initiator }) => {
  host.interfaces.set('vbs', 'iqn.2001-04.org.example:shared');
  await initiator.connect(connection, signal);
  assert.is(host.interfaces.get('vbs'), connection.initiator);
  assert.not.ok(host.commands.some((line) => line.includes('iface -I vbs --op new')));
});

test('a command that dies at any point leaves something that the next try finishes', async () => {
  const path = async (initiator: Initiator) => {
    await initiator.connect(connection, signal);
    await initiator.verify(connection, signal);
    await initiator.disconnect(connection, signal);
  };
  const counter = aHost();
  await path(initiatorOn(counter));
  const { length } = counter.commands;
  assert.ok(length > 12);
  for (let at = 0; at < length; at += 1) {
    const host = aHost();
    const initiator = initiatorOn(host);
    let left = at;
    host.before = () => {
      left -= 1;
      if (left === -1) {
        throw new CommandError('iscsiadm', 'ended by SIGKILL');
      }
    };
    const error = await failure(path(initiator));
    assert.ok(error instanceof CommandError || error instanceof CannotLook, `command ${at}: ${error}`);
    await path(initiator);
    assert.equal(leftOf(host), [0, 0, 0], `command ${at}`);
  }
});

test.run();
