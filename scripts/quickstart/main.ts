// npm run quickstart [-- --once]
//
// The whole system on one machine, and one volume's life in it; see options.ts for what may be typed.
import { onEarlyEnd, untilInterrupted } from '../../test/harness/early-end.ts';
import { type Guest, startGuest } from '../../test/harness/guest.ts';
import { ensureGuestImage } from '../../test/harness/guest-image.ts';
import { ensurePackages, labPackages } from '../../test/harness/packages.ts';
import { HYPERVISOR, SECOND_SERVER, SERVER, type System, startSystem } from '../../test/harness/system.ts';
import { makeWorkdir, processesOf, sweepDeadRuns, type Workdir } from '../../test/harness/workdir.ts';
import { resolveControlPlane } from '../control-plane/resolve.ts';
import { invitation, serveGuests } from './afterwards.ts';
import { Course, type Step, type Telling } from './course.ts';
import { Kubectl } from './kubectl.ts';
import { lookAtMachine, objectionTo } from './machine.ts';
import { readOptions, USAGE } from './options.ts';
import { Screen } from './screen.ts';
import { endWithoutReader, ignoreCopies } from './signals.ts';
import { hasPassed, type Outcome, tableOf, totalsOf } from './summary.ts';
import { tellLogs } from './trouble.ts';
import { type Stage, walkSteps } from './walk.ts';

const EXIT = { passed: 0, failed: 1, usage: 2 } as const;

const SERVERS = [SERVER, SECOND_SERVER] as const;
const VMS = ['vm-a', 'vm-b', 'vm-c'] as const;

const REFUSED: Outcome = { title: 'Look at the machine', state: 'failed', seconds: 0 };

const screen = new Screen(process.stdout);
const course = new Course(screen);

/** What is up so far. */
const up: { system?: System; stage?: Stage } = {};

function setUp(workdir: Workdir): readonly Step[] {
  return [
    { title: 'Install what is missing', run: async (tell) => await install(tell) },
    {
      title: 'Start the system',
      run: async (tell) => await startEverything(workdir, tell),
      explain: async (tell) => await tellLogs(workdir.dir, ['controller', SERVER, HYPERVISOR], tell),
    },
    {
      title: 'Start three virtual machines',
      run: async (tell) => await startGuests(tell),
      explain: async (tell) =>
        await tellLogs(workdir.dir, [...VMS.map((name) => `${name}.console`), 'libvirtd'], tell),
    },
  ];
}

async function install(tell: Telling): Promise<void> {
  const log = logTo(tell);
  tell.status('looking for packages');
  await sweepDeadRuns(log);
  await ensurePackages(labPackages, log);
  tell.note(`Debian packages: ${labPackages.join(' ')}`);
  const { origin, kubeApiserver } = await resolveControlPlane(log);
  tell.note(`Kubernetes control plane: ${kubeApiserver} (${origin})`);
  const { kernel, domainType } = await ensureGuestImage(log);
  tell.note(`a kernel for the virtual machines: ${kernel} (${domainType === 'kvm' ? 'KVM' : 'emulated'})`);
}

async function startEverything({ dir }: Workdir, tell: Telling): Promise<void> {
  tell.status('starting etcd and kube-apiserver');
  const system = await startSystem({
    dir,
    servers: SERVERS,
    log: (line) => {
      logTo(tell)(line);
      tell.status('starting the targets, libvirt, the controller and the agents');
    },
  });
  up.system = system;
  tell.note(`controller ready; ${SERVER} and ${HYPERVISOR} are heard and Ready`);
  await new Kubectl(system).type(tell, 'get', 'volumeservers,hypervisors,volumeclasses');
}

async function startGuests(tell: Telling): Promise<void> {
  const { system } = up;
  if (system === undefined) {
    throw new Error('the system is not up');
  }
  const { libvirtd } = system;
  const log = logTo(tell);
  const boot = async (name: string): Promise<Guest> => {
    tell.status(`booting ${name}`);
    return await startGuest({ libvirtd, name, log });
  };
  // One after the other: where they are emulated, each needs a processor for itself.
  const guests: Guest[] = [];
  for (const name of VMS) {
    guests.push(await boot(name));
  }
  up.stage = { system, kubectl: new Kubectl(system), guests };
}

function theStage(): Stage {
  if (up.stage === undefined) {
    throw new Error('the system is not up');
  }
  return up.stage;
}

/** The harness repeats itself during long work; at a terminal that is told in one line. */
function logTo(tell: Telling): (line: string) => void {
  return (line) => {
    if (/^(building the control plane: |apt-get \w+: )/.test(line)) {
      tell.status(line);
    } else {
      tell.note(line);
    }
  };
}

function takeDown(workdir: Workdir): Step {
  return {
    title: 'Stop everything',
    always: true,
    run: async (tell) => {
      tell.status('stopping the agents, the VMs, the targets and the control plane');
      await up.stage?.kubectl.api.close();
      await up.system?.stop();
      const left = processesOf(workdir.dir);
      if (course.failure !== undefined) {
        workdir.keep();
      }
      await workdir.remove();
      if (left.length > 0) {
        throw new Error(`processes did not end: ${left.join(', ')}`);
      }
      tell.note(
        course.failure === undefined
          ? 'no process, mount or file of this run is left'
          : 'no process or mount of this run is left',
      );
    },
  };
}

function announce(dir: string): void {
  screen.print(`${screen.bold('Virtual Block Store: quickstart')}

This starts, on 127.0.0.1 and below ${dir}, beside anything you may have running:

  control plane   etcd and kube-apiserver: a real Kubernetes API, without nodes
  controller      places volumes and grants access
  ${SERVERS.join(', ')}
                  two volume servers, each with a node agent, an iSCSI target (tgtd) and a pool of files
  ${HYPERVISOR}    a hypervisor: node agent, libvirtd, three QEMU virtual machines: ${VMS.join(', ')}

Then a volume goes through its life, by the commands you would type.`);
}

/** Says what happens on Ctrl-C before the end; the newest registration runs first. */
async function withFarewell<T>(work: () => Promise<T>): Promise<T> {
  const forget = onEarlyEnd(async () => {
    ignoreCopies();
    course.end();
    screen.print('\nInterrupted: stopping everything that was started …');
  });
  try {
    return await work();
  } finally {
    forget();
  }
}

async function run(once: boolean): Promise<number> {
  const forget = onEarlyEnd(async () => screen.print('Stopped.'));
  const workdir = await makeWorkdir((line) => screen.print(line));
  announce(workdir.dir);
  return await withFarewell(async () => {
    await course.take([...setUp(workdir), ...walkSteps(theStage)]);
    if (!once && up.stage !== undefined) {
      await stayUp(up.stage);
    }
    await course.take([takeDown(workdir)]);
    forget();
    return conclude(once, workdir.dir);
  });
}

async function stayUp(stage: Stage): Promise<void> {
  const seconds = course.outcomes.reduce((sum, outcome) => sum + outcome.seconds, 0);
  const verdict =
    course.failure === undefined
      ? screen.green(`All ${course.outcomes.length} steps passed in ${seconds.toFixed(0)} s.`)
      : screen.red(`Failed: ${course.failure.title}. What is there stays for you to look at.`);
  screen.print(`\n${verdict}\n\n${invitation(stage)}`);
  const stopServing = serveGuests(stage.guests, screen);
  await untilInterrupted();
  ignoreCopies();
  stopServing();
}

function conclude(once: boolean, dir: string): number {
  screen.print();
  if (once) {
    screen.print(`${tableOf(course.outcomes).join('\n')}\n`);
  }
  if (course.failure !== undefined) {
    const reason = course.failure.message
      .split(/\s*\n\s*/)
      .join(' ')
      .slice(0, 240);
    screen.print(screen.red(`Failed: ${course.failure.title}: ${reason}`));
    screen.print(`Logs and data are kept in ${dir} for a day.\n`);
  }
  screen.print(once ? totalsOf(course.outcomes) : 'Stopped.');
  return hasPassed(course.outcomes) ? EXIT.passed : EXIT.failed;
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.kind === 'help') {
    console.log(USAGE);
    return EXIT.passed;
  }
  if (options.kind === 'refused') {
    console.error(`${options.message}\n\n${USAGE}`);
    return EXIT.usage;
  }
  const objection = objectionTo(await lookAtMachine());
  if (objection !== undefined) {
    console.error(options.once ? `${objection}\n\n${totalsOf([REFUSED])}` : objection);
    return EXIT.failed;
  }
  endWithoutReader();
  return await run(options.once);
}

process.exit(await main());
