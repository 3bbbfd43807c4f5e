// A control plane from its package, on a machine of its own: made, used, backed up, set back, renewed. Its services are the commands of its
// units, run as a user who owns nothing else; only systemd is played.
import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, readlink, truncate, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import path from 'node:path';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stringify } from 'yaml';
import type { CommandOptions } from '../../control-plane/command.ts';
import { loadControlPlaneConfig, localServer, publicServer } from '../../control-plane/config.ts';
import { ownCommand } from '../../control-plane/main.ts';
import type { Surroundings } from '../../control-plane/surroundings.ts';
import {
  API_SERVER_UNIT,
  CONTROLLER_MANAGER_UNIT,
  CONTROLLER_UNIT,
  ETCD,
  SERVICES,
} from '../../control-plane/units.ts';
import { systemClock } from '../../runtime/clock.ts';
import { ConfigError } from '../../runtime/errors.ts';
import { loud } from '../harness/loud.ts';
import { type RunningProcess, runCommand, startProcess, waitFor } from '../harness/process.ts';
import { installStandalone, residentBytes, type StandaloneMachine } from '../harness/standalone.ts';
import { preparePools, ROOT } from '../harness/system.ts';
import { startTgtd, type Tgtd } from '../harness/tgtd.ts';
import { makeWorkdir, type Workdir } from '../harness/workdir.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const run = promisify(execFile);
const HOST = 'storage1';
const AGENT = path.join(ROOT, 'node-agent/main.ts');
const DAY_MS = 86_400_000;

interface World {
  workdir: Workdir;
  machine: StandaloneMachine;
  tgtd: Tgtd;
  agent: RunningProcess | undefined;
}

const test = suite<World>('a control plane on one machine');

test.before(
  loud(async (world) => {
    world.workdir = await makeWorkdir(log);
    // The services are not root, and go through this folder to their own files.
    await chmod(world.workdir.dir, 0o711);
    world.machine = await installStandalone(world.workdir.dir, log);
    world.tgtd = await startTgtd({ dir: world.workdir.dir, log });
  }),
);
test.after(
  loud(async (world) => {
    const { workdir, machine, tgtd, agent } = world;
    if (!isWhole) {
      workdir?.keep();
    }
    world.agent = undefined;
    await agent?.stop();
    await tgtd?.stop();
    await machine?.close();
    await workdir?.remove();
  }),
);

let isWhole = true;
/** Each begins where the one before ended; what cannot begin is not waited for. */
const story = (name: string, tell: (world: World) => Promise<void>): void =>
  test(name, async (world) => {
    assert.ok(isWhole, 'the one before has not come to its end');
    isWhole = false;
    const startedAt = performance.now();
    await tell(world);
    isWhole = true;
    log(`${name}: ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  });

/** As typed on the machine. Answers what it told. */
const typed = async (
  { machine }: World,
  args: readonly string[],
  more: Partial<Surroundings> = {},
  exitCode = 0,
): Promise<string> => {
  const before = machine.told.length;
  const code = await ownCommand(args, async () => ({ ...machine.surroundings, ...more }));
  const told = machine.told.slice(before).join('\n');
  assert.is(code, exitCode, told);
  return told;
};

const refusal = async (world: World, ...args: string[]): Promise<string> => {
  const error = await typed(world, args).then(
    (told) => told,
    (caught: unknown) => caught,
  );
  assert.instance(error, ConfigError, String(error));
  return (error as Error).message;
};

const kubectl = async ({ machine }: World, args: readonly string[], stdin?: string): Promise<string> => {
  const { places } = machine.surroundings;
  const own = [`--kubeconfig=${places.adminKubeconfig}`, `--cache-dir=${places.state}/kubectl-cache`];
  return await runCommand(path.join(places.programs, 'kubectl'), [...own, ...args], {
    timeoutMs: 120_000,
    ...(stdin === undefined ? {} : { stdin }),
  });
};

const apply = async (world: World, ...objects: readonly object[]): Promise<void> =>
  void (await kubectl(world, ['apply', '--filename=-'], objects.map((one) => stringify(one)).join('---\n')));

const volume = (name: string, namespace = 'default') => ({
  apiVersion: 'vbs.dev/v1alpha1',
  kind: 'Volume',
  metadata: { name, namespace },
  spec: { size: '8Mi' },
});

const ready = async (world: World, ...refs: readonly string[]): Promise<void> =>
  void (await kubectl(world, ['wait', '--for=condition=Ready', '--timeout=100s', ...refs]));

class Killed extends Error {}

const failed = async (work: Promise<unknown>): Promise<unknown> =>
  await work.then(
    () => undefined,
    (error: unknown) => error,
  );

/** A machine on which the command is gone from its nth call of another program or of systemd on. What it had started stays. */
const dying = ({ run: runReal, units }: Surroundings, nth: number): Partial<Surroundings> => {
  let count = 0;
  const alive = (): void => {
    if (count >= nth) {
      throw new Killed();
    }
  };
  const call =
    <A extends unknown[], R>(work: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      count += 1;
      alive();
      return await work(...args);
    };
  return {
    run: call((file: string, args: readonly string[], options?: CommandOptions) =>
      runReal(file, args, options),
    ),
    units: {
      reload: call(() => units.reload()),
      enable: call((names: readonly string[]) => units.enable(names)),
      start: call((unit: string) => units.start(unit)),
      restart: call((unit: string) => units.restart(unit)),
      stop: call((unit: string) => units.stop(unit)),
      stateOf: call((unit: string) => units.stateOf(unit)),
    },
    clock: {
      ...systemClock,
      sleep: async (ms, signal) => {
        alive();
        await systemClock.sleep(ms, signal);
      },
    },
  };
};

story('init goes on wherever it was ended, until all of it runs', async (world) => {
  const { machine } = world;
  let killed = 0;
  for (let nth = 1; ; nth += 2) {
    const outcome = await typed(world, ['init'], dying(machine.surroundings, nth)).then(
      () => 'done',
      (error: unknown) => {
        if (!(error instanceof Killed)) {
          throw error;
        }
        return 'killed';
      },
    );
    if (outcome === 'done') {
      break;
    }
    killed += 1;
  }
  assert.ok(killed > 6, `ended ${killed} times`);
  log(`init was ended ${killed} times, and came to its end`);
  const told = await typed(world, ['init', '--example-class']);
  assert.match(told, /the control plane is ready: https:\/\/127\.0\.0\.1:\d+/);
  assert.match(told, 'vbs-control-plane enroll HOST');
  for (const unit of SERVICES) {
    assert.ok((await machine.units.stateOf(unit)).isActive, unit);
  }
  assert.ok(machine.units.enabled.has('vbs-control-plane.target'));
  assert.ok(machine.units.enabled.has('vbs-control-plane-backup.timer'));
  // Nothing of it was restarted by a run that had nothing to change.
  const pids = SERVICES.map((unit) => machine.units.pidOf(unit));
  await typed(world, ['init']);
  assert.equal(
    SERVICES.map((unit) => machine.units.pidOf(unit)),
    pids,
  );
});

story('init refuses what contradicts the configuration, and a port that is taken', async (world) => {
  assert.match(await refusal(world, 'init', '--address', '192.0.2.10'), /says otherwise.*edit it/);
  assert.match(await refusal(world, 'init', '--listen', 'eth0'), /--listen eth0: give an IP address/);
});

story('nobody comes in without a name', async ({ machine }) => {
  const { places } = machine.surroundings;
  const server = localServer(await loadControlPlaneConfig(places.configFile));
  const ca = await readFile(path.join(places.pki, 'ca.crt'));
  for (const resource of ['/readyz', '/version', '/api/v1/namespaces', '/metrics', '/debug/pprof/']) {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      request(`${server}${resource}`, { ca, agent: false }, (response) =>
        resolve(response.resume().statusCode),
      )
        .on('error', reject)
        .end();
    });
    assert.is(status, 401, resource);
  }
});

story('etcd has no socket that others may open', async ({ machine }) => {
  const pid = machine.units.pidOf(ETCD) ?? 0;
  const descriptors = await readdir(`/proc/${pid}/fd`);
  const links = await Promise.all(
    descriptors.map(async (one) => await readlink(`/proc/${pid}/fd/${one}`).catch(() => '')),
  );
  const inodes = new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []));
  // The flag of a socket that listens, its inode and its name.
  const listening = [
    ...(await readFile('/proc/net/unix', 'utf8')).matchAll(/ 00010000 \S+ \S+ +(\d+)(?: (\S+))?$/gm),
  ];
  const own = listening.filter(([, inode = '']) => inodes.has(inode)).map(([, , name = '']) => name);
  assert.equal(own.sort(), [machine.surroundings.places.etcdSocket, 'peer.sock']);
  for (const table of ['tcp', 'tcp6']) {
    const lines = (await readFile(`/proc/net/${table}`, 'utf8'))
      .split('\n')
      .map((line) => line.trim().split(/\s+/));
    assert.equal(
      lines.filter(([, , , state, , , , , , inode = '']) => state === '0A' && inodes.has(inode)),
      [],
      table,
    );
  }
});

/** It ends when the store was set back, to start afresh; then it is started again, as by systemd. */
const startAgent = async (world: World, configFile: string): Promise<void> => {
  const agent = await startProcess({
    name: HOST,
    command: [process.execPath, AGENT, '--config', configFile],
    dir: world.workdir.dir,
  });
  world.agent = agent;
  void agent.exited.then(async () => {
    if (world.agent === agent) {
      await startAgent(world, configFile);
    }
  });
};

story('a host is enrolled by the command that is printed, and makes a Volume Ready', async (world) => {
  const { workdir, tgtd } = world;
  const [configFile, pool, bin] = ['agent.yaml', 'pool', 'bin'].map((name) =>
    path.join(workdir.dir, name),
  ) as [string, string, string];
  await mkdir(pool, { mode: 0o700 });
  await writeFile(
    configFile,
    stringify({
      host: HOST,
      kubeconfig: path.join(workdir.dir, 'kubeconfig'),
      stateDir: path.join(workdir.dir, 'state'),
      heartbeat: { leaseSeconds: 6, renewSeconds: 4, retrySeconds: 1 },
      observeSeconds: 1,
      resyncSeconds: 10,
      offlineAfterSeconds: 4,
      volumeServer: {
        pools: [{ name: 'main', profile: 'file', params: { dir: pool } }],
        target: { profile: 'tgt', params: { controlPort: tgtd.controlPort }, portals: [tgtd.portal] },
      },
    }),
  );
  const told = await typed(world, ['enroll', HOST, '--roles', 'volumeServer']);
  const [command = ''] = /^vbs-node-agent enroll[\s\S]*^JOIN$/m.exec(told) ?? [];
  assert.match(command, '--join-file - <<');
  assert.not.match(command.split('\n')[0] ?? '', 'eyJ', 'no secret in the arguments');
  await mkdir(bin);
  const program = path.join(bin, 'vbs-node-agent');
  await writeFile(program, `#!/bin/sh\nexec ${process.execPath} --no-warnings ${AGENT} "$@"\n`, {
    mode: 0o755,
  });
  const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
  const pasted = command.replace('/etc/vbs/agent.yaml', configFile);
  const { stdout } = await run('bash', ['-c', pasted], { env });
  assert.match(stdout, `host ${HOST} is enrolled`);
  await preparePools(configFile);
  await startAgent(world, configFile);
  await waitFor({ what: 'the volume server to be Ready', timeoutMs: 60_000 }, async () => {
    await ready(world, `volumeserver/${HOST}`);
    return true;
  });
  await apply(world, volume('kept'));
  await ready(world, 'vbsvol/kept');
  const warned = world.machine.warned.length;
  const text = await typed(world, ['enroll', HOST, '--join-text']);
  assert.match(text, /^[A-Za-z0-9+/=\n]+$/);
  assert.match(world.machine.warned.slice(warned).join(), '127.0.0.1 is reached from this machine only');
  const bindings = await kubectl(world, ['get', 'clusterrolebinding', '-o', 'name']);
  assert.match(bindings, `vbs-volume-server-${HOST}`);
  assert.not.match(bindings, `vbs-hypervisor-${HOST}`);
  assert.match(await refusal(world, 'enroll', 'stranger'), /stranger has no role yet: say with --roles/);
});

story(
  'what Kubernetes has controllers for works: namespaces end, the roles of people know volumes, what is owned goes',
  async (world) => {
    await kubectl(world, ['create', 'namespace', 'team']);
    await apply(world, volume('of-the-team', 'team'));
    await ready(world, '--namespace=team', 'vbsvol/of-the-team');
    await kubectl(world, ['delete', 'namespace', 'team', '--timeout=100s']);
    await waitFor({ what: 'the role edit to know volumes', timeoutMs: 30_000 }, async () =>
      (await kubectl(world, ['get', 'clusterrole', 'edit', '-o', 'yaml'])).includes('vbs.dev'),
    );
    await kubectl(world, ['create', 'configmap', 'owner']);
    const uid = await kubectl(world, ['get', 'configmap', 'owner', '-o', 'jsonpath={.metadata.uid}']);
    const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid }];
    await apply(world, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'owned', namespace: 'default', ownerReferences },
    });
    await kubectl(world, ['delete', 'configmap', 'owner']);
    await kubectl(world, ['wait', '--for=delete', '--timeout=60s', 'configmap/owned']);
  },
);

story('Secrets are not readable in the store', async (world) => {
  const { places } = world.machine.surroundings;
  await kubectl(world, ['create', 'secret', 'generic', 'chap', '--from-literal=key=correct-horse']);
  const etcdctl = path.join(places.programs, 'etcdctl');
  const key = ['get', '/registry/secrets/default/chap'];
  const stored = await runCommand(etcdctl, [`--endpoints=unix://${places.etcdSocket}`, ...key]);
  assert.match(stored, 'k8s:enc:secretbox:v1:vbs');
  assert.not.match(stored, 'correct-horse');
});

story('status: all is well, but for what is not', async (world) => {
  const { machine } = world;
  const before = await typed(world, ['status'], {}, 1);
  assert.match(before, /WARN there is no backup\n\s+-> vbs-control-plane backup/);
  await typed(world, ['backup']);
  const told = await typed(world, ['status']);
  assert.not.match(told, /WARN|FAIL/);
  for (const words of [
    'vbs-etcd runs since',
    'the API server answers',
    'leads',
    'the CA has 36',
    `VolumeServer ${HOST}`,
  ]) {
    assert.match(told, words);
  }
  await machine.units.stop(CONTROLLER_UNIT);
  const without = await typed(world, ['status'], {}, 1);
  assert.match(without, /FAIL vbs-controller is inactive\n\s+-> journalctl -u vbs-controller/);
  await machine.units.start(CONTROLLER_UNIT);
});

/** The serial number of what the API server shows now. */
const servedSerial = async ({ machine }: World): Promise<string> => {
  const { places } = machine.surroundings;
  const url = new URL(publicServer(await loadControlPlaneConfig(places.configFile)));
  const ca = await readFile(path.join(places.pki, 'ca.crt'));
  return await new Promise((resolve, reject) => {
    const socket = connect({ host: url.hostname, port: Number(url.port), ca }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    }).on('error', reject);
  });
};

story('certificates that are about to end are renewed while everything runs', async (world) => {
  const { machine } = world;
  assert.match(await typed(world, ['renew']), 'no certificate is about to end');
  const before = await servedSerial(world);
  const pids = SERVICES.map((unit) => machine.units.pidOf(unit));
  const later = { clock: { ...systemClock, now: () => new Date(Date.now() + 300 * DAY_MS) } };
  const told = await typed(world, ['renew'], later);
  for (const what of ['the API server', 'the administrator', 'the controller manager', 'the controller']) {
    assert.match(told, `made the certificate of ${what}: it ends at`);
  }
  await waitFor(
    { what: 'the API server to show its new certificate', timeoutMs: 120_000 },
    async () => (await servedSerial(world)) !== before,
  );
  assert.equal(
    SERVICES.map((unit) => machine.units.pidOf(unit)),
    pids,
    'nothing was restarted',
  );
  assert.match(await typed(world, ['renew', '--ca']), 'made the CA');
  const restarted = SERVICES.filter((unit, index) => machine.units.pidOf(unit) !== pids[index]);
  assert.equal(restarted, [CONTROLLER_MANAGER_UNIT]);
  await apply(world, volume('after-renewal'));
  await ready(world, 'vbsvol/after-renewal');
  assert.match(await typed(world, ['renew']), 'no certificate is about to end');
});

const backupFile = (told: string): string => / revision \d+: (\S+)$/m.exec(told)?.[1] ?? '';

const orphans = async (world: World): Promise<string> =>
  await kubectl(world, ['get', 'volumeserver', HOST, '-o', 'jsonpath={.status.agent.orphans}']);

const stopServices = async ({ machine }: World): Promise<void> => {
  for (const unit of SERVICES.toReversed()) {
    await machine.units.stop(unit);
  }
};

story('a backup that cannot be made leaves the last one', async (world) => {
  const { machine } = world;
  const { places } = machine.surroundings;
  const { backup } = await loadControlPlaneConfig(places.configFile);
  const before = await machine.surroundings.disk.list(backup.directory);
  assert.is(before?.length, 1);
  await machine.units.stop(ETCD);
  assert.match(await refusal(world, 'backup'), /etcd does not run.*systemctl start vbs-etcd/);
  await machine.units.start(ETCD);
  const full = async (file: string, args: readonly string[], options?: CommandOptions) =>
    file === 'tar'
      ? { exitCode: 2, stdout: '', stderr: 'No space left on device' }
      : await machine.surroundings.run(file, args, options);
  assert.match(String(await failed(typed(world, ['backup'], { run: full }))), /No space left/);
  assert.equal(await machine.surroundings.disk.list(backup.directory), before);
});

/** What a restore finds that cannot come to its end, and what it says. */
const refusedBackups = ({ places, run, disk, units }: Surroundings) =>
  [
    [
      /etcd is where a file system is mounted, and cannot be set aside: umount/,
      {
        run: async (file: string, args: readonly string[], options?: CommandOptions) =>
          file === 'mountpoint' && args.at(-1) === places.store
            ? { exitCode: 0, stdout: '', stderr: '' }
            : await run(file, args, options),
      },
    ],
    [
      /is of version 9\.0\.0, and this is .*: install vbs-control-plane 9\.0\.0 or newer first/,
      {
        disk: {
          ...disk,
          read: async (file: string) =>
            file.endsWith('unpacked/version') ? '9.0.0\n' : await disk.read(file),
        },
      },
    ],
    [
      /vbs-etcd\.service is active; stop all of it first/,
      {
        units: {
          ...units,
          // Somebody starts it while the backup is unpacked.
          stateOf: async (unit: string) => {
            const isUnpacked = (await disk.list(places.restoring)) !== undefined;
            return unit === ETCD && isUnpacked
              ? { isActive: true, isOff: false, state: 'active' }
              : await units.stateOf(unit);
          },
        },
      },
    ],
  ] as const satisfies readonly (readonly [words: RegExp, more: Partial<Surroundings>])[];

/** Ends with the old store out of its place, and the new one not in it yet. */
const cutShort = ({ disk }: Surroundings): Partial<Surroundings> => {
  let renames = 0;
  const rename = async (from: string, to: string): Promise<void> => {
    renames += 1;
    if (renames === 2) {
      throw new Killed();
    }
    await disk.rename(from, to);
  };
  return { disk: { ...disk, rename } };
};

story(
  'a backup takes the place of the store, also when that was ended in its midst, and everybody converges',
  async (world) => {
    const { machine } = world;
    const told = await typed(world, ['backup']);
    const file = backupFile(told);
    await kubectl(world, ['delete', 'vbsvol', 'after-renewal', '--timeout=60s']);
    await apply(world, volume('since-the-backup'));
    await ready(world, 'vbsvol/since-the-backup');
    const id = await kubectl(world, [
      'get',
      'vbsvol',
      'since-the-backup',
      '-o',
      'jsonpath={.status.volumeID}',
    ]);

    assert.match(await refusal(world, 'restore', file), /is active; stop all of it first.*systemctl stop/);
    await stopServices(world);
    assert.match(await refusal(world, 'restore', file), /there is a store in .*--replace/);
    const half = `${file}.half`;
    await runCommand('cp', [file, half]);
    await truncate(half, 20_000);
    assert.match(
      await refusal(world, 'restore', half, '--replace'),
      /is no whole backup, so nothing was changed/,
    );
    assert.match(await refusal(world, 'restore', '/nowhere', '--replace'), /is no whole backup/);

    for (const [words, more] of refusedBackups(machine.surroundings)) {
      assert.match(String(await failed(typed(world, ['restore', file, '--replace'], more))), words);
      assert.is(await machine.surroundings.disk.list(machine.surroundings.places.restoring), undefined);
    }

    const command = ['restore', file, '--replace'];
    assert.instance(await failed(typed(world, command, cutShort(machine.surroundings))), Killed);
    for (const other of ['init', 'upgrade']) {
      assert.match(await refusal(world, other), /a restore was ended in its midst/);
    }
    assert.match(
      await typed(world, ['status'], {}, 1),
      /^FAIL a restore was ended in its midst.*\n.*restore FILE --replace/,
    );
    const restored = await typed(world, command);
    const { state } = machine.surroundings.places;
    const aside = (await machine.surroundings.disk.list(state))?.filter((name) =>
      name.startsWith('etcd.before-'),
    );
    assert.is(aside?.length, 1, 'what was there is set aside');
    assert.match(restored, 'the control plane runs again');
    await waitFor({ what: 'the new volume to be an orphan', timeoutMs: 100_000 }, async () =>
      (await orphans(world)).includes(id),
    );
    await ready(world, 'vbsvol/kept');
    const missing = '--for=jsonpath={.status.conditions[?(@.type=="Ready")].reason}=DataMissing';
    await kubectl(world, ['wait', missing, '--timeout=100s', 'vbsvol/after-renewal']);
    await kubectl(world, ['delete', 'vbsvol', 'after-renewal', '--timeout=60s']);
    await apply(world, volume('new'));
    await ready(world, 'vbsvol/new');
    await waitFor(
      { what: 'all to be well', timeoutMs: 60_000 },
      async () => (await typed(world, ['status'])) !== '',
    );
    assert.ok(machine.told.some((line) => line.includes('DataMissing: deleted since the backup')));
  },
);

story('a store that is gone is not begun anew, but by somebody who says so', async (world) => {
  const { machine } = world;
  const { places, disk } = machine.surroundings;
  const file = backupFile(await typed(world, ['backup']));
  await stopServices(world);
  const aside = `${places.storeLog}.aside`;
  await disk.rename(places.storeLog, aside);
  for (const command of ['init', 'upgrade']) {
    const said = await refusal(world, command);
    assert.match(said, 'the store is gone');
    assert.match(said, `vbs-control-plane restore ${file}`);
  }
  await machine.units.start(ETCD);
  assert.ok((await machine.units.stateOf(ETCD)).isOff, 'etcd does not start');
  const told = await typed(world, ['status'], {}, 1);
  assert.match(told, /^FAIL the store is gone/);
  assert.match(told, /FAIL vbs-etcd is inactive\n(?! )/);
  await disk.rename(aside, places.storeLog);
  await typed(world, ['init']);
  await ready(world, 'vbsvol/kept');
});

story('another machine takes the place of one that is lost, from its backup alone', async (world) => {
  const { machine, workdir } = world;
  const file = backupFile(await typed(world, ['backup']));
  await machine.close();
  const other = await installStandalone(workdir.dir, log, 'other-machine');
  world.machine = other;
  // The address stays, or hosts would have to be enrolled again.
  const config = await readFile(machine.surroundings.places.configFile, 'utf8');
  await writeFile(other.surroundings.places.configFile, config.replaceAll(machine.root, other.root));
  const told = await typed(world, ['restore', file]);
  assert.match(told, 'ca.key is from the backup');
  await ready(world, 'vbsvol/kept');
  await apply(world, volume('on-the-other-machine'));
  await ready(world, 'vbsvol/on-the-other-machine');
  const chap = await kubectl(world, ['get', 'secret', 'chap', '-o', 'jsonpath={.data.key}']);
  assert.is(Buffer.from(chap, 'base64').toString(), 'correct-horse', 'its Secrets can be read');
});

story('an upgrade restarts all of it, after a backup, and applies what it brings', async (world) => {
  const { machine } = world;
  const { places, disk, rootOwner } = machine.surroundings;
  await disk.write(places.appliedVersion, '99.0.0\n', { mode: 0o600, owner: rootOwner });
  assert.match(
    await refusal(world, 'upgrade'),
    /what is here is of version 99\.0\.0.*restore FILE --replace/,
  );
  await disk.write(places.appliedVersion, '0.0.1\n', { mode: 0o600, owner: rootOwner });
  assert.match(await typed(world, ['status'], {}, 1), 'definitions and policies of 0.0.1');
  assert.match(await refusal(world, 'init'), /what runs is of version 0\.0\.1.*vbs-control-plane upgrade/);
  const pids = SERVICES.map((unit) => machine.units.pidOf(unit));
  // The rights of hosts are applied again, too.
  await kubectl(world, ['delete', 'role', 'vbs-agent', `--namespace=vbs-host-${HOST}`]);
  // Ended before the hosts have their rights, it is not done.
  const dies = async (file: string, args: readonly string[], options?: CommandOptions) => {
    if (options?.stdin?.includes(`vbs-host-${HOST}`)) {
      throw new Killed();
    }
    return await machine.surroundings.run(file, args, options);
  };
  assert.instance(await failed(typed(world, ['upgrade'], { run: dies })), Killed);
  assert.match(
    await typed(world, ['status'], {}, 1),
    /definitions and policies of 0\.0\.1\n.*-> vbs-control-plane upgrade/,
  );
  const told = await typed(world, ['upgrade']);
  assert.match(told, /backed up \d+ keys/);
  for (const [index, unit] of SERVICES.entries()) {
    assert.is.not(machine.units.pidOf(unit), pids[index], unit);
  }
  await kubectl(world, ['get', 'role', 'vbs-agent', `--namespace=vbs-host-${HOST}`]);
  await kubectl(world, ['wait', '--for=condition=Ready', '--timeout=100s', `volumeserver/${HOST}`]);
  await typed(world, ['status']);
});

story('what it costs in memory is told', async ({ machine }) => {
  for (const unit of [ETCD, API_SERVER_UNIT, CONTROLLER_MANAGER_UNIT, CONTROLLER_UNIT]) {
    const bytes = await residentBytes(machine.units.pidOf(unit) ?? 0);
    assert.ok(bytes > 0, unit);
    log(`${unit}: ${Math.round(bytes / 1024 ** 2)} MiB resident`);
  }
});

test.run();
