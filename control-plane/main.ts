// The control plane of a machine, for its administrator and for systemd's timers: its commands and their arguments.
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ConfigError } from '../runtime/errors.ts';
import { backUp } from './backup.ts';
import { kubectlArguments } from './cluster.ts';
import { OperationError, passThrough } from './command.ts';
import { type ControlPlaneConfig, loadControlPlaneConfig } from './config.ts';
import { enroll, enrollCommandFrom } from './enroll.ts';
import { init } from './init.ts';
import { oneAtATime } from './lock.ts';
import { renew } from './renew.ts';
import { restore } from './restore.ts';
import { observe } from './status/observe.ts';
import { exitCodeOf, findings, linesOf } from './status/plan.ts';
import { type Surroundings, thisMachine } from './surroundings.ts';
import { upgrade } from './upgrade.ts';
import { VERSION } from './version.ts';

const USAGE = `usage: vbs-control-plane init [--address ADDRESS ...] [--listen ADDRESS[:PORT]] [--example-class]
                                                    makes the control plane, or goes on where an earlier run ended; without
                                                    either it is for this machine only (127.0.0.1)
       vbs-control-plane enroll HOST [--roles volumeServer,hypervisor] [--join-text]
                                                    gives a host an identity and prints the command to type there; without
                                                    --roles it keeps those it has
       vbs-control-plane status                     tells how everything stands; exit code 0 only if all is well
       vbs-control-plane backup                     writes a backup of the store and its keys; a timer does it daily
       vbs-control-plane restore FILE [--replace]   puts a backup in the place of the store
       vbs-control-plane renew [--ca]               renews certificates that are about to end; a timer does it daily
       vbs-control-plane upgrade                    after a new package: restarts everything in order, applies its definitions
       vbs-control-plane kubectl ...                as administrator
       vbs-control-plane etcdctl ...                on the store
       vbs-control-plane --version
       vbs-control-plane --help
`;

const OPTIONS = {
  address: { type: 'string', multiple: true },
  listen: { type: 'string' },
  'example-class': { type: 'boolean' },
  roles: { type: 'string' },
  'join-text': { type: 'boolean' },
  replace: { type: 'boolean' },
  ca: { type: 'boolean' },
  version: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch {
    return undefined;
  }
}

type Values = NonNullable<ReturnType<typeof parsed>>['values'];

interface Call {
  readonly surroundings: Surroundings;
  readonly values: Values;
  /** What follows the name of the command. */
  readonly rest: readonly string[];
}

interface Command {
  /** The options it takes. */
  readonly options: readonly (keyof typeof OPTIONS)[];
  /** How many words follow its name. */
  readonly words: number;
  /** Answers the exit code, when it is another than 0. */
  readonly act: (call: Call) => Promise<number | undefined>;
}

/** One that changes what is here: alone, and with the configuration that is here. */
const changing =
  (work: (call: Call, config: ControlPlaneConfig) => Promise<unknown>): Command['act'] =>
  async (call) => {
    const { surroundings } = call;
    const config = await loadControlPlaneConfig(surroundings.places.configFile);
    await oneAtATime(surroundings, async () => await work(call, config));
    return undefined;
  };

export const COMMANDS: Readonly<Record<string, Command>> = {
  init: {
    options: ['address', 'listen', 'example-class'],
    words: 0,
    act: async ({ surroundings, values }) => {
      const { address: addresses = [], listen, 'example-class': exampleClass = false } = values;
      await oneAtATime(
        surroundings,
        async () => await init(surroundings, { addresses, listen, exampleClass }),
      );
      return undefined;
    },
  },
  enroll: {
    options: ['roles', 'join-text'],
    words: 1,
    act: async (call) => {
      const command = enrollCommandFrom(call.rest[0], call.values);
      return await changing(async ({ surroundings }, config) => await enroll(surroundings, config, command))(
        call,
      );
    },
  },
  status: {
    options: [],
    words: 0,
    act: async ({ surroundings }) => {
      const config = await loadControlPlaneConfig(surroundings.places.configFile);
      const found = findings(await observe(surroundings, config));
      for (const line of linesOf(found)) {
        surroundings.tell(line);
      }
      return exitCodeOf(found);
    },
  },
  backup: {
    options: [],
    words: 0,
    act: changing(async ({ surroundings }, config) => await backUp(surroundings, config)),
  },
  restore: {
    options: ['replace'],
    words: 1,
    act: async ({ surroundings, values, rest: [file = ''] }) => {
      if (file === '') {
        throw new ConfigError('restore: give the file of a backup; they are in /var/backups/vbs');
      }
      const command = { file: path.resolve(file), replace: values.replace === true };
      await oneAtATime(surroundings, async () => await restore(surroundings, command));
      return undefined;
    },
  },
  renew: {
    options: ['ca'],
    words: 0,
    act: changing(
      async ({ surroundings, values }, config) =>
        await renew(surroundings, config, { ca: values.ca === true }),
    ),
  },
  upgrade: {
    options: [],
    words: 0,
    act: changing(async ({ surroundings }, config) => await upgrade(surroundings, config)),
  },
};

type PassedOn = (surroundings: Surroundings, args: readonly string[]) => Promise<number>;

/** These read their own arguments. */
const PASSED_ON: Readonly<Record<string, PassedOn>> = {
  kubectl: async (surroundings, args) => {
    const { places } = surroundings;
    const own = kubectlArguments(surroundings, await loadControlPlaneConfig(places.configFile));
    // Before what is given, which may end with a command for others after --.
    return await passThrough(path.join(places.programs, 'kubectl'), [...own, ...args], { KUBERC: 'off' });
  },
  etcdctl: async ({ places }, args) => {
    const own = [`--endpoints=unix://${places.etcdSocket}`];
    return await passThrough(path.join(places.programs, 'etcdctl'), [...own, ...args], {});
  },
};

/** Answers the exit code: 2 is for people, who read what to do. */
export async function main(args: readonly string[]): Promise<number> {
  return await forPeople(async () => {
    const [name = ''] = args;
    const passOn = Object.hasOwn(PASSED_ON, name) ? PASSED_ON[name] : undefined;
    return passOn === undefined
      ? await ownCommand(args, thisMachine)
      : await passOn(await thisMachine(), args.slice(1));
  });
}

/** Also for tests, which have another machine. */
export async function forPeople(work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ConfigError) {
      process.stderr.write(`vbs-control-plane: ${error.message}\n`);
      return 2;
    }
    if (error instanceof OperationError) {
      process.stderr.write(`vbs-control-plane: ${messagesOf(error).join('\n  ')}\n`);
      return 1;
    }
    throw error;
  }
}

/** Its own, and those of what caused it. */
const messagesOf = (error: Error): readonly string[] => [
  error.message,
  ...(error.cause instanceof Error ? messagesOf(error.cause) : []),
];

export async function ownCommand(
  args: readonly string[],
  machine: () => Promise<Surroundings>,
): Promise<number> {
  const { values, positionals } = parsed(args) ?? { values: {} as Values, positionals: [] };
  if (values.version === true || values.help === true) {
    process.stdout.write(values.version === true ? `${VERSION}\n` : USAGE);
    return 0;
  }
  const [name = '', ...rest] = positionals;
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  const isKnown = Object.keys(values).every((option) => command?.options.some((one) => one === option));
  if (command === undefined || !isKnown || rest.length > command.words) {
    process.stderr.write(USAGE);
    return 2;
  }
  return (await command.act({ surroundings: await machine(), values, rest })) ?? 0;
}

if (import.meta.main) {
  process.exitCode = await main(process.argv.slice(2));
}
