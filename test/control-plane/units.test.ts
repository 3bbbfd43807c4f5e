// The units of the package, and what systemd says of them.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ADMIN, API_SERVER, CONTROLLER, CONTROLLER_MANAGER } from '../../control-plane/pki/plan.ts';
import { placesUnder } from '../../control-plane/places.ts';
import { SERVICES, TARGET, TIMERS, unitState } from '../../control-plane/units.ts';
import { STANDALONE_PROGRAMS } from '../../scripts/control-plane/build.ts';
import { CONTROL_PLANE_SOURCES } from '../../scripts/package/control-plane.ts';
import { settingsOf } from '../harness/unit-file.ts';

const test = suite('the units of the control plane');
const places = placesUnder();
const read = async (unit: string) =>
  settingsOf(await readFile(path.join(CONTROL_PLANE_SOURCES, unit), 'utf8'));

test('what is started by name is in the package', async () => {
  const files = await readdir(CONTROL_PLANE_SOURCES);
  for (const unit of [TARGET, ...SERVICES, ...TIMERS]) {
    assert.ok(files.includes(unit), unit);
  }
  for (const timer of TIMERS) {
    assert.ok(files.includes(timer.replace('.timer', '.service')), timer);
  }
});

test('services name the places that the program makes', async () => {
  const known = [
    ...Object.values(places),
    ...STANDALONE_PROGRAMS.map((name) => path.join(places.programs, name)),
    path.join(places.programs, 'vbs-controller'),
    ...['ca.crt', 'service-account.key', 'encryption.yaml'].map((name) => path.join(places.pki, name)),
    ...[API_SERVER, ADMIN, CONTROLLER, CONTROLLER_MANAGER].map((name) =>
      path.join(places.pki, `${name}.pem`),
    ),
  ];
  for (const unit of SERVICES) {
    const settings = await read(unit);
    const text = [
      'ExecStart',
      'EnvironmentFile',
      'ReadWritePaths',
      'ConditionPathExists',
      'ConditionDirectoryNotEmpty',
    ]
      .flatMap((key) => settings.get(key) ?? [])
      .join(' ');
    const named = text.match(/(?<=^|[ =!|]|unix:\/\/)\/[^ ]+/g) ?? [];
    assert.ok(named.length > 2, unit);
    for (const place of named) {
      assert.ok(known.includes(place), `${unit}: ${place}`);
    }
  }
});

test('none of them is root, and none may write but etcd to its store', async () => {
  for (const unit of SERVICES) {
    const settings = await read(unit);
    assert.equal(settings.get('User'), ['vbs-control-plane'], unit);
    assert.equal(settings.get('ProtectSystem'), ['strict'], unit);
    assert.equal(settings.get('CapabilityBoundingSet'), [''], unit);
    assert.equal(settings.get('NoNewPrivileges'), ['yes'], unit);
    assert.equal(
      settings.get('ReadWritePaths'),
      unit === 'vbs-etcd.service' ? [places.store] : undefined,
      unit,
    );
  }
});

test('all of them come back, begin with the target, and wait for a restore', async () => {
  for (const unit of SERVICES) {
    const settings = await read(unit);
    assert.equal(settings.get('Restart'), ['always'], unit);
    assert.equal(settings.get('StartLimitIntervalSec'), ['0'], unit);
    assert.equal(settings.get('WantedBy'), [TARGET], unit);
    const conditions = settings.get('ConditionPathExists') ?? [];
    assert.equal(conditions.slice(0, 2), [places.configFile, `!${places.restoring}`], unit);
    assert.match((await read(TARGET)).get('Wants')?.join(' ') ?? '', unit);
  }
});

test('the timer can back up wherever a person can', async () => {
  const settings = await read('vbs-control-plane-backup.service');
  assert.equal(settings.get('ExecStart'), ['/usr/bin/vbs-control-plane backup']);
  const hiding =
    /^(Protect(Home|System)|Private(Tmp|Mounts|Users)|TemporaryFileSystem|(Inaccessible|ReadOnly)Paths|User|DynamicUser)$/;
  assert.equal(
    [...settings.keys()].filter((key) => hiding.test(key)),
    [],
  );
});

test('etcd does not begin with an empty store where there was one', async () => {
  const settings = await read('vbs-etcd.service');
  assert.equal(settings.get('ConditionDirectoryNotEmpty'), [`|${places.storeLog}`]);
  assert.is(settings.get('ConditionPathExists')?.at(-1), `|!${places.appliedVersion}`);
});

test('etcd has no port, and the API server lets nobody in without a name', async () => {
  const etcd = (await read('vbs-etcd.service')).get('ExecStart')?.[0] ?? '';
  assert.equal(
    (etcd.match(/urls=(\S+)/g) ?? []).filter(
      (url) => !/^urls=unix:\/\/(\/run\/vbs-control-plane\/etcd|peer)\.sock$/.test(url),
    ),
    [],
  );
  assert.not.match(etcd, 'http');
  const server = (await read('vbs-apiserver.service')).get('ExecStart')?.[0] ?? '';
  for (const flag of ['--anonymous-auth=false', '--authorization-mode=RBAC', '--profiling=false']) {
    assert.match(server, flag);
  }
});

test('what systemd tells of a unit is understood', () => {
  const text =
    'ActiveState=active\nExecMainStartTimestamp=Fri 2026-11-27 04:10:24.123456 UTC\nMemoryCurrent=1048576\n';
  assert.equal(unitState(text), {
    isActive: true,
    isOff: false,
    state: 'active',
    since: new Date('2026-11-27T04:10:24.123Z'),
    memoryBytes: 1_048_576,
  });
  assert.equal(unitState('ActiveState=failed\nExecMainStartTimestamp=\nMemoryCurrent=[not set]\n'), {
    isActive: false,
    isOff: true,
    state: 'failed',
  });
  const { isActive, isOff } = unitState('ActiveState=activating\n');
  assert.equal([isActive, isOff], [false, false]);
});

test.run();
