// A box that is ended in the midst of what a node does, in every way there is: nothing of it is left on the machine.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { waitFor } from '../harness/process.ts';
import { sweepDeadRuns } from '../harness/workdir.ts';

const BOX = JSON.stringify(path.resolve(import.meta.dirname, '../harness/cluster/box.ts'));
/** Interfaces, mounts, groups, and a process with a clean environment that hears no signal, as in a container. */
const PROGRAM = `
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { enterBox } from ${BOX};
const dir = await enterBox(console.error, async () => {});
const run = (line) => execFileSync('sh', ['-c', line], { cwd: dir, stdio: 'inherit' });
run('ip link add pods type bridge && ip link add veth1 type veth peer name veth2');
run('mkdir merged && mount -t tmpfs tmpfs merged');
const root = ['/sys/fs/cgroup/memory', '/sys/fs/cgroup'].find((one) => existsSync(path.join(one, path.basename(dir))));
const pod = path.join(root, path.basename(dir), 'pod');
mkdirSync(pod);
const deaf = 'trap "" TERM INT HUP; while true; do sleep 1; done';
const child = spawn('sh', ['-c', deaf], { env: {}, detached: true, stdio: 'ignore' });
writeFileSync(path.join(pod, 'cgroup.procs'), String(child.pid));
console.log(dir, readlinkSync('/proc/self/ns/pid'));
setInterval(() => {}, 1000);
`;

interface World {
  file: string;
  child: ChildProcess;
  dir: string;
  namespace: string;
  before: readonly unknown[];
}

const test = suite<World>('the end of a box');

/** What a run could leave on this machine beside processes. */
const machine = (): readonly unknown[] => [
  readdirSync('/sys/class/net').sort(),
  readFileSync('/proc/self/mountinfo', 'utf8'),
];

test.before.each(async (world) => {
  world.before = machine();
  world.file = path.join(await mkdtemp(path.join(os.tmpdir(), 'box-')), 'program.ts');
  await writeFile(world.file, PROGRAM);
  const child = spawn(process.execPath, ['--no-warnings', world.file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  world.child = child;
  const [line] = await Promise.race([once(createInterface({ input: child.stdout }), 'line'), refusal(child)]);
  [world.dir = '', world.namespace = ''] = String(line).split(' ');
  assert.ok(processesIn(world.namespace).length > 3, 'the box is there');
  assert.ok((await groups(world.dir)).length > 0, 'and its groups');
});
test.after.each(async ({ file, dir, child }) => {
  child.kill('SIGKILL');
  await rm(path.dirname(file), { recursive: true });
  await rm(dir, { recursive: true, force: true });
});

const refusal = async (child: ChildProcess): Promise<never> => {
  await once(child, 'exit');
  throw new Error('the box ended before it was there');
};

const processesIn = (namespace: string): readonly string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/ns/pid`) === namespace;
    } catch {
      return false;
    }
  });

const groups = async (dir: string): Promise<readonly string[]> => {
  const roots = await readdir('/sys/fs/cgroup');
  const found = await Promise.all(
    ['.', ...roots].map(async (root) => {
      const names = await readdir(path.join('/sys/fs/cgroup', root)).catch(() => []);
      return names.filter((name) => name === path.basename(dir));
    }),
  );
  return found.flat();
};

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
  test(`after ${signal} nothing of it is left${signal === 'SIGKILL' ? ' when another run has begun' : ''}`, async ({
    child,
    dir,
    namespace,
    before,
  }) => {
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
    await waitFor({ what: 'its processes to end', timeoutMs: 20_000 }, async () => {
      assert.equal(processesIn(namespace), []);
      return true;
    });
    if (signal === 'SIGKILL') {
      await sweepDeadRuns(() => {});
    }
    assert.equal(await groups(dir), []);
    assert.equal(machine(), before);
    // After a failure there are logs to be looked at.
    const isKept = await readFile(path.join(dir, 'kept')).then(
      () => true,
      () => false,
    );
    assert.is(isKept, signal === 'SIGTERM');
  });
}

test('its exit code is that of what ran in it', async ({ child, namespace, dir }) => {
  const ended = once(child, 'exit');
  const [inner] = processesIn(namespace).filter((pid) =>
    readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith(process.execPath),
  );
  process.kill(Number(inner), 'SIGTERM');
  assert.equal(await ended, [143, null]);
  assert.equal(processesIn(namespace), []);
  assert.equal(await groups(dir), []);
});

test.run();
