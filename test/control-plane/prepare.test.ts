// What init puts on the disk: ended at any of its writes and run again, it comes to the same, and no key is ever another one.
import { createPrivateKey } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { configFrom, configText, parseControlPlaneConfig } from '../../control-plane/config.ts';
import { type Disk, machineDisk } from '../../control-plane/files.ts';
import { prepare, refuseUnusable } from '../../control-plane/init.ts';
import { renewAuthority } from '../../control-plane/pki/authority.ts';
import { ensureLeaves, leafFile, seenIn, wantedLeaves } from '../../control-plane/pki/leaves.ts';
import type { Leaf } from '../../control-plane/pki/plan.ts';
import { KEEPSAKES, placesUnder } from '../../control-plane/places.ts';
import type { Surroundings } from '../../control-plane/surroundings.ts';
import { type Units, unitState } from '../../control-plane/units.ts';
import { systemClock } from '../../runtime/clock.ts';
import { ConfigError } from '../../runtime/errors.ts';

interface World {
  root: string;
}

const test = suite<World>('what init puts on the disk');
test.before.each(async (world) => {
  world.root = await mkdtemp(path.join(os.tmpdir(), 'prepare-'));
});
test.after.each(async ({ root }) => await rm(root, { recursive: true, force: true }));

const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const DAY_MS = 86_400_000;

type Home = Omit<Surroundings, 'run' | 'units'>;
const home = ({ root }: World, more: Partial<Home> = {}): Surroundings => ({
  places: placesUnder(root),
  disk: machineDisk,
  clock: systemClock,
  serviceOwner: owner,
  rootOwner: owner,
  addresses: () => [],
  builtAt: new Date(0),
  tell: () => {},
  warn: () => {},
  run: () => Promise.reject(new Error('nothing is run')),
  units: undefined as never,
  ...more,
});

const configIn = ({ root }: World, addresses: readonly string[] = []) => {
  const config = configFrom({ addresses });
  return parseControlPlaneConfig(
    'x',
    configText({ ...config, backup: { ...config.backup, directory: path.join(root, 'backups') } }),
  );
};

class PowerCut extends Error {}

/** Dies before or after the nth change. */
const dyingDisk = (nth: number, when: 'before' | 'after'): Disk => {
  let count = 0;
  const dying =
    <A extends unknown[]>(work: (...args: A) => Promise<void>) =>
    async (...args: A): Promise<void> => {
      count += 1;
      if (count === nth && when === 'before') {
        throw new PowerCut();
      }
      await work(...args);
      if (count === nth) {
        throw new PowerCut();
      }
    };
  return {
    ...machineDisk,
    write: dying(machineDisk.write),
    makeDirectory: dying(machineDisk.makeDirectory),
  };
};

/** What must never be another one once it is there. */
const keepsakes = async (world: World): Promise<Record<string, string>> => {
  const found: Record<string, string> = {};
  for (const name of Object.values(KEEPSAKES)) {
    const text = await machineDisk.read(path.join(placesUnder(world.root).pki, name));
    if (text !== undefined) {
      found[name] = text;
    }
  }
  return found;
};

const assertWhole = async (world: World): Promise<void> => {
  const places = placesUnder(world.root);
  const { key, ...authority } = await prepare(home(world), configIn(world));
  for (const leaf of wantedLeaves(configIn(world))) {
    const text = await readFile(leafFile({ places }, leaf.name), 'utf8');
    const seen = seenIn(text, leaf, { key, ...authority });
    assert.ok(seen?.isOurs, leaf.name);
  }
  const admin = parse(await readFile(places.adminKubeconfig, 'utf8'));
  assert.is(admin.clusters[0].cluster.server, 'https://127.0.0.1:6443');
  createPrivateKey(Buffer.from(admin.users[0].user['client-key-data'], 'base64').toString());
  assert.match(await readFile(places.apiServerEnvironment, 'utf8'), 'VBS_LISTEN_PORT=6443');
};

test('whenever it ends, it goes on, with the keys that are there', async (world) => {
  for (const when of ['before', 'after'] as const) {
    for (let nth = 1; ; nth += 1) {
      const place = { root: path.join(world.root, `${when}-${nth}`) };
      await mkdir(path.join(place.root, 'etc/vbs'), { recursive: true });
      const died = await prepare(home(place, { disk: dyingDisk(nth, when) }), configIn(place)).then(
        () => false,
        (error: unknown) => {
          assert.instance(error, PowerCut);
          return true;
        },
      );
      const before = await keepsakes(place);
      await assertWhole(place);
      const after = await keepsakes(place);
      assert.equal({ ...after, ...before }, after, `${when} change ${nth}`);
      assert.is(Object.keys(after).length, Object.keys(KEEPSAKES).length);
      if (!died) {
        assert.ok(nth > 14, `${nth} changes`);
        break;
      }
    }
  }
});

test('secrets are for root, and for the services what they need', async (world) => {
  await mkdir(path.join(world.root, 'etc/vbs'), { recursive: true });
  await prepare(home(world), configIn(world));
  const { pki, adminKubeconfig, store, state } = placesUnder(world.root);
  const modes: readonly (readonly [file: string, mode: number])[] = [
    [pki, 0o750],
    [path.join(pki, 'ca.key'), 0o600],
    [path.join(pki, 'ca.crt'), 0o644],
    [path.join(pki, 'service-account.key'), 0o640],
    [path.join(pki, 'encryption.yaml'), 0o640],
    [path.join(pki, 'apiserver.pem'), 0o640],
    [path.join(pki, 'admin.pem'), 0o600],
    [adminKubeconfig, 0o600],
    [state, 0o750],
    [store, 0o700],
    [path.join(world.root, 'backups'), 0o700],
  ];
  const assertRights = async () => {
    for (const [file, mode] of modes) {
      assert.is(((await stat(file)).mode & 0o777).toString(8), mode.toString(8), file);
    }
  };
  await assertRights();
  // Keys that were taken from a backup are for root only, and those of the services would not be read.
  for (const [place] of modes) {
    await chmod(place, 0o700);
  }
  await prepare(home(world), configIn(world));
  await assertRights();
});

test('a second run writes nothing', async (world) => {
  await mkdir(path.join(world.root, 'etc/vbs'), { recursive: true });
  await prepare(home(world), configIn(world));
  const disk = {
    ...machineDisk,
    write: (file: string) => Promise.reject(new Error(`${file} is written`)),
  };
  await prepare(home(world, { disk }), configIn(world));
});

const prepared = async (world: World): Promise<void> => {
  await mkdir(path.join(world.root, 'etc/vbs'), { recursive: true });
  await prepare(home(world), configIn(world));
  await writeFile(path.join(placesUnder(world.root).store, 'member'), '');
};

const complaint = async (world: World, more: Partial<Home> = {}): Promise<string> => {
  const error = await prepare(home(world, more), configIn(world)).then(
    () => undefined,
    (caught: unknown) => caught,
  );
  assert.instance(error, ConfigError, String(error));
  return (error as Error).message;
};

test('keys with which a store was made are not made anew', async (world) => {
  await prepared(world);
  const { pki } = placesUnder(world.root);
  for (const name of [KEEPSAKES.caKey, KEEPSAKES.serviceAccountKey, KEEPSAKES.encryption]) {
    const text = await readFile(path.join(pki, name), 'utf8');
    await unlink(path.join(pki, name));
    const said = await complaint(world);
    assert.match(said, `${name} is missing`);
    assert.match(said, `tar -xzf BACKUP`);
    await writeFile(path.join(pki, name), `damaged ${text.length}`);
    assert.match(await complaint(world), `${name} is damaged, and is not replaced`);
    await writeFile(path.join(pki, name), text);
  }
  await assertWhole(world);
});

test('the key of another CA is noticed', async (world) => {
  await prepared(world);
  const { pki } = placesUnder(world.root);
  await writeFile(path.join(pki, 'ca.key'), await readFile(path.join(pki, 'service-account.key')));
  assert.match(await complaint(world), /ca\.crt is not of the key beside it/);
});

test('another address makes another certificate of the API server, and of nobody else', async (world) => {
  await prepared(world);
  const textOf = async (leaf: string) =>
    await readFile(leafFile({ places: placesUnder(world.root) }, leaf), 'utf8');
  const [server, admin] = [await textOf('apiserver'), await textOf('admin')];
  await prepare(home(world), configIn(world, ['192.0.2.10']));
  assert.is.not(await textOf('apiserver'), server);
  assert.is(await textOf('admin'), admin);
});

test('a damaged certificate is made anew; an impossible time makes none', async (world) => {
  await prepared(world);
  const file = leafFile({ places: placesUnder(world.root) }, 'admin');
  await writeFile(file, 'damaged');
  const impossible = { builtAt: new Date(Date.now() + DAY_MS) };
  assert.match(await complaint(world, impossible), /before this program was made.*timedatectl/);
  assert.is(await readFile(file, 'utf8'), 'damaged');
  await assertWhole(world);
});

test('a CA that is renewed goes on with its key: what it signed stays good', async (world) => {
  await prepared(world);
  const later = { clock: { ...systemClock, now: () => new Date(Date.now() + 3400 * DAY_MS) } };
  const before = await readFile(path.join(placesUnder(world.root).pki, 'admin.pem'), 'utf8');
  const renewed = await renewAuthority(home(world, later));
  const admin = wantedLeaves(configIn(world)).find(({ name }) => name === 'admin') as Leaf;
  assert.ok(seenIn(before, admin, renewed)?.isOurs);
  assert.ok(renewed.validity.notAfter.getTime() > Date.now() + 7000 * DAY_MS);
  const made = await ensureLeaves(home(world, later), configIn(world), renewed);
  assert.is(made.length, wantedLeaves(configIn(world)).length, 'they had ended by then');
  assert.equal(await ensureLeaves(home(world, later), configIn(world), renewed), []);
});

test('a port that is taken is refused, unless by our own API server on its way up', async (world) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const config = { ...configIn(world), listen: { address: '127.0.0.1', port } };
  const unit = (state: string) =>
    ({ stateOf: async () => unitState(`ActiveState=${state}\n`) }) as unknown as Units;
  try {
    for (const state of ['activating', 'active', 'deactivating']) {
      await refuseUnusable({ ...home(world), units: unit(state) }, config);
    }
    for (const state of ['inactive', 'failed']) {
      const error = await refuseUnusable({ ...home(world), units: unit(state) }, config).catch(
        (caught) => caught,
      );
      assert.instance(error, ConfigError);
      assert.match(error.message, `something else listens on port ${port}`);
    }
  } finally {
    server.close();
  }
});

test.run();
