// With which store anything may be started, and with which a person has to decide first.
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { machineDisk } from '../../control-plane/files.ts';
import { init } from '../../control-plane/init.ts';
import { placesUnder } from '../../control-plane/places.ts';
import { storeTrouble } from '../../control-plane/store.ts';
import type { Surroundings } from '../../control-plane/surroundings.ts';
import { ConfigError } from '../../runtime/errors.ts';

interface World {
  root: string;
}

const test = suite<World>('the store of a control plane');
test.before.each(async (world) => {
  world.root = await mkdtemp(path.join(os.tmpdir(), 'store-'));
  await mkdir(placesUnder(world.root).state, { recursive: true });
});
test.after.each(async ({ root }) => await rm(root, { recursive: true, force: true }));

const troubleIn = async ({ root }: World): Promise<string | undefined> => {
  const backup = { directory: path.join(root, 'backups'), keepDays: 14 };
  const trouble = await storeTrouble({ places: placesUnder(root), disk: machineDisk }, { backup });
  return trouble === undefined ? undefined : `${trouble.what}: ${trouble.remedy}`;
};

const putLog = async ({ root }: World): Promise<void> => {
  const { storeLog } = placesUnder(root);
  await mkdir(storeLog, { recursive: true });
  await writeFile(path.join(storeLog, '0.wal'), '');
};

test('a machine that never had one may have one', async (world) => {
  assert.is(await troubleIn(world), undefined);
  await mkdir(placesUnder(world.root).storeLog, { recursive: true });
  assert.is(await troubleIn(world), undefined);
});

test('one that is there is good, whatever else there is', async (world) => {
  await writeFile(placesUnder(world.root).appliedVersion, '0.1.0\n');
  await putLog(world);
  assert.is(await troubleIn(world), undefined);
});

test('one that was there is not begun anew', async (world) => {
  const { appliedVersion, store } = placesUnder(world.root);
  await writeFile(appliedVersion, '0.1.0\n');
  assert.match(
    (await troubleIn(world)) ?? '',
    /the store is gone.*restore BACKUP.*rm -f \S+\/applied-version/,
  );
  // Also where something of it is left.
  await mkdir(path.join(store, 'member/snap'), { recursive: true });
  assert.match((await troubleIn(world)) ?? '', 'the store is gone');
});

test('where there are backups, the newest is named', async (world) => {
  const directory = path.join(world.root, 'backups');
  await mkdir(directory);
  await writeFile(path.join(directory, 'notes'), '');
  assert.is(await troubleIn(world), undefined);
  for (const day of ['27', '28', '26']) {
    await writeFile(path.join(directory, `vbs-2026-11-${day}T040506Z.tar.gz`), '');
  }
  assert.match((await troubleIn(world)) ?? '', `restore ${directory}/vbs-2026-11-28T040506Z.tar.gz`);
});

test('half a restore is told of first', async (world) => {
  await putLog(world);
  await mkdir(placesUnder(world.root).restoring);
  assert.match((await troubleIn(world)) ?? '', /a restore was ended in its midst.*--replace once more/);
});

test('init writes nothing where the store is gone: a restore brings the configuration, too', async ({
  root,
}) => {
  const places = placesUnder(root);
  await writeFile(places.appliedVersion, '0.1.0\n');
  const surroundings = { places, disk: machineDisk } as unknown as Surroundings;
  const error = await init(surroundings, { addresses: [], listen: undefined, exampleClass: false }).catch(
    (caught: unknown) => caught,
  );
  assert.instance(error, ConfigError);
  assert.match((error as Error).message, 'the store is gone');
  assert.is(await stat(places.configFile).catch(() => 'absent'), 'absent');
});

test.run();
