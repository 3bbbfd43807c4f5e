import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hierarchies, leaveControlGroups } from '../../../node-agent/on-node/groups.ts';

const test = suite('leaving the control groups of the pod');

const UNIFIED = `24 29 0:22 / /proc rw,nosuid shared:13 - proc proc rw
35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
`;
const FIRST_VERSION = `30 23 0:26 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,name=systemd
33 30 0:29 / /sys/fs/cgroup/unified rw shared:12 - cgroup2 cgroup2 rw
34 30 0:28 /machine /srv/machine/cgroup rw shared:11 - cgroup cgroup rw,name=systemd
`;

test('finds the one hierarchy of version 2, and all of version 1 but parts of them', () => {
  assert.equal(hierarchies(UNIFIED), ['/sys/fs/cgroup']);
  assert.equal(hierarchies(FIRST_VERSION), [
    '/sys/fs/cgroup/cpu,cpuacct',
    '/sys/fs/cgroup/systemd',
    '/sys/fs/cgroup/unified',
  ]);
});

test('writes its number into the root of each', async () => {
  const written: [string, string][] = [];
  const files = {
    read: async () => FIRST_VERSION,
    write: async (path: string, text: string) => void written.push([path, text]),
  };
  await leaveControlGroups(files, 4711);
  assert.equal(written, [
    ['/sys/fs/cgroup/cpu,cpuacct/cgroup.procs', '4711\n'],
    ['/sys/fs/cgroup/systemd/cgroup.procs', '4711\n'],
    ['/sys/fs/cgroup/unified/cgroup.procs', '4711\n'],
  ]);
});

test.run();
