// The services of the control plane, and how systemd is asked for them.
import { OperationError, type RunCommand, succeed } from './command.ts';

export const TARGET = 'vbs-control-plane.target';
export const ETCD = 'vbs-etcd.service';
export const API_SERVER_UNIT = 'vbs-apiserver.service';
export const CONTROLLER_MANAGER_UNIT = 'vbs-controller-manager.service';
export const CONTROLLER_UNIT = 'vbs-controller.service';
/** In the order in which they need each other. */
export const SERVICES = [ETCD, API_SERVER_UNIT, CONTROLLER_MANAGER_UNIT, CONTROLLER_UNIT] as const;
export const TIMERS = ['vbs-control-plane-backup.timer', 'vbs-control-plane-renew.timer'] as const;

export interface UnitState {
  readonly isActive: boolean;
  /** Nothing of it runs, not even for its start or its end. */
  readonly isOff: boolean;
  /** In systemd's words: `active`, `failed`, `inactive`, `activating`. */
  readonly state: string;
  /** When its process was started. */
  readonly since?: Date;
  readonly memoryBytes?: number;
}

export interface Units {
  /** Unit files may have changed. */
  reload(): Promise<void>;
  /** From the next boot on. */
  enable(units: readonly string[]): Promise<void>;
  /** Nothing happens where it runs. Returns when it says that it is ready. */
  start(unit: string): Promise<void>;
  restart(unit: string): Promise<void>;
  stop(unit: string): Promise<void>;
  stateOf(unit: string): Promise<UnitState>;
}

export function systemd(run: RunCommand): Units {
  const systemctl = async (...args: string[]): Promise<string> => {
    return await succeed(run, 'systemctl', args);
  };
  const act = (verb: string) => async (unit: string) => {
    try {
      await systemctl(verb, unit);
    } catch (error) {
      throw new OperationError(`${unit} does not ${verb}; see journalctl -u ${unit} -n 50`, { cause: error });
    }
  };
  return {
    reload: async () => void (await systemctl('daemon-reload')),
    enable: async (units) => void (await systemctl('enable', '--quiet', ...units)),
    start: act('start'),
    restart: act('restart'),
    stop: act('stop'),
    stateOf: async (unit) => {
      const properties = '--property=ActiveState,ExecMainStartTimestamp,MemoryCurrent';
      return unitState(await systemctl('show', properties, '--timestamp=us+utc', unit));
    },
  };
}

/** From what `systemctl show` prints. */
export function unitState(text: string): UnitState {
  const field = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1] ?? '';
  const state = field('ActiveState');
  const [, day, time] = /(\d{4}-\d\d-\d\d) ([\d:.]+) UTC$/.exec(field('ExecMainStartTimestamp')) ?? [];
  const memory = field('MemoryCurrent');
  return {
    isActive: state === 'active',
    isOff: state === 'inactive' || state === 'failed',
    state,
    ...(day === undefined ? {} : { since: new Date(`${day}T${time}Z`) }),
    ...(/^\d+$/.test(memory) ? { memoryBytes: Number(memory) } : {}),
  };
}
