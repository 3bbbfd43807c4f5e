// Packages as dpkg installs, upgrades, removes and purges them, in a root of its own: their scripts run there, and no service is started.

import { spawnSync } from 'node:child_process';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as assert from 'uvu/assert';

export class DpkgRoot {
  readonly root: string;

  private constructor(root: string) {
    this.root = root;
  }

  /** An empty one in a folder that is not there yet. */
  static async make(root: string): Promise<DpkgRoot> {
    const database = path.join(root, 'var/lib/dpkg');
    for (const folder of ['info', 'updates', 'triggers']) {
      await mkdir(path.join(database, folder), { recursive: true });
    }
    await mkdir(path.join(root, 'etc'));
    await writeFile(path.join(database, 'status'), '');
    return new DpkgRoot(root);
  }

  /** Answers what it said. */
  dpkg(...args: string[]): string {
    const options = [
      `--root=${this.root}`,
      '--force-script-chrootless',
      '--force-depends',
      '--force-confold',
    ];
    const env = { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
    const { status, stdout, stderr } = spawnSync('dpkg', [...options, ...args], { encoding: 'utf8', env });
    assert.is(status, 0, stderr);
    return stdout + stderr;
  }

  at(place: string): string {
    return path.join(this.root, place);
  }

  isThere(place: string): Promise<boolean> {
    return stat(this.at(place)).then(
      () => true,
      () => false,
    );
  }

  async put(place: string, text = ''): Promise<void> {
    await mkdir(path.dirname(this.at(place)), { recursive: true });
    await writeFile(this.at(place), text);
  }
}
