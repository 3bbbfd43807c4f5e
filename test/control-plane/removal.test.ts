// What the package's scripts do when it is removed and purged, on a machine whose systemd and whose program of ours are played.
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CONTROL_PLANE_SOURCES } from '../../scripts/package/control-plane.ts';

interface World {
  root: string;
}

const test = suite<World>('the end of a control plane');
test.before.each(async (world) => {
  world.root = await mkdtemp(path.join(os.tmpdir(), 'removal-'));
  await mkdir(path.join(world.root, 'run/systemd/system'), { recursive: true });
});
test.after.each(async ({ root }) => await rm(root, { recursive: true, force: true }));

const STATE = 'var/lib/vbs-control-plane';
const STORE = `${STATE}/etcd/member/snap/db`;
const KEY = 'etc/vbs/pki/ca.key';
const BACKUP = 'var/backups/vbs/vbs-2026-11-27T040506Z.tar.gz';

const put = async ({ root }: World, ...places: readonly string[]): Promise<void> => {
  for (const place of places) {
    await mkdir(path.dirname(path.join(root, place)), { recursive: true });
    await writeFile(path.join(root, place), '');
  }
};

const isThere = ({ root }: World, place: string): Promise<boolean> =>
  stat(path.join(root, place)).then(
    () => true,
    () => false,
  );

interface Played {
  /** The exit code of `systemctl is-active vbs-etcd`. */
  readonly etcd: 0 | 3;
  /** The exit code of `vbs-control-plane backup`. */
  readonly backup: 0 | 1;
}

/** Answers what the script said. */
const ran = async ({ root }: World, script: 'prerm' | 'postrm', verb: string, played: Played) => {
  const bin = path.join(root, 'bin');
  await mkdir(bin, { recursive: true });
  const systemctl = `#!/bin/sh\ncase "$*" in *is-active*) exit ${played.etcd} ;; esac\n`;
  await writeFile(path.join(bin, 'systemctl'), systemctl, { mode: 0o755 });
  const program = `#!/bin/sh\necho "$@"\nexit ${played.backup}\n`;
  await writeFile(path.join(bin, 'vbs-control-plane'), program, { mode: 0o755 });
  const text = await readFile(path.join(CONTROL_PLANE_SOURCES, script), 'utf8');
  const moved = text.replaceAll(/(?<= )\/run\/systemd/g, `${root}/run/systemd`);
  const here = moved.replaceAll(/"\$\{DPKG_ROOT:-\}"(?=\/)|\$\{DPKG_ROOT:-\}(?=\/)/g, root);
  // What it deletes is below that root.
  assert.not.match(here, /DPKG_ROOT:-\}"?\//);
  const { status, stdout, stderr } = spawnSync('sh', ['-s', verb], {
    input: here,
    encoding: 'utf8',
    env: { PATH: `${bin}:/usr/bin:/bin` },
  });
  assert.is(status, 0, stderr);
  return stdout;
};

const removed = async (world: World, played: Played): Promise<string> => {
  const said = await ran(world, 'prerm', 'remove', played);
  return said + (await ran(world, 'postrm', 'remove', played));
};
const purged = async (world: World): Promise<string> =>
  await ran(world, 'postrm', 'purge', { etcd: 3, backup: 1 });

test('after a last backup a purge takes all but the backups', async (world) => {
  await put(world, STORE, `${STATE}/etcd.before-x/member/snap/db`, KEY, BACKUP);
  assert.match(await removed(world, { etcd: 0, backup: 0 }), /^backup$/m);
  assert.ok(await isThere(world, STORE));
  assert.match(await purged(world), 'var/backups/vbs is kept');
  assert.not.ok(await isThere(world, STATE));
  assert.not.ok(await isThere(world, KEY));
  assert.ok(await isThere(world, BACKUP));
});

const failures: readonly (readonly [what: string, played: Played])[] = [
  ['the last backup failed', { etcd: 0, backup: 1 }],
  ['etcd did not run, so that there could be none', { etcd: 3, backup: 0 }],
];
for (const [what, played] of failures) {
  test(`${what}: a purge takes nothing, though there are older backups`, async (world) => {
    await put(world, STORE, KEY, BACKUP);
    assert.match(await removed(world, played), 'no backup was made before it is removed');
    assert.match(await purged(world), /are kept: no backup was made when the package was removed/);
    assert.ok(await isThere(world, STORE));
    assert.ok(await isThere(world, KEY));
    // Installed again and removed with a backup, it may go.
    await removed(world, { etcd: 0, backup: 0 });
    await purged(world);
    assert.not.ok(await isThere(world, STATE));
  });
}

test('a store that was moved away counts as one', async (world) => {
  await put(world, `${STATE}/etcd.old/member/wal/0.wal`, KEY);
  assert.match(await purged(world), /are kept: there is no backup of them/);
  assert.ok(await isThere(world, KEY));
  await put(world, BACKUP);
  await removed(world, { etcd: 3, backup: 1 });
  assert.match(await purged(world), 'are kept');
  assert.ok(await isThere(world, `${STATE}/etcd.old/member/wal/0.wal`));
});

test('where there is no store nothing is asked for', async (world) => {
  await put(world, `${STATE}/apiserver.env`, KEY);
  assert.is(await removed(world, { etcd: 3, backup: 1 }), '');
  assert.is(await purged(world), '');
  assert.not.ok(await isThere(world, STATE));
  assert.not.ok(await isThere(world, KEY));
});

test.run();
