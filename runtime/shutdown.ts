import type { Log } from './log.ts';

export interface ShutdownOptions {
  readonly log: Log;
  /** `process`; tests hand in their own. */
  readonly events?: Pick<NodeJS.EventEmitter, 'on' | 'off'>;
  readonly exit?: (code: number) => void;
}

export interface Shutdown {
  /** Fires at the first SIGTERM or SIGINT. */
  readonly signal: AbortSignal;
  /** Takes the handlers away. */
  readonly uninstall: () => void;
}

/**
 * The first SIGTERM or SIGINT asks for an orderly stop, the second leaves at once. A promise nobody held or an
 * exception nobody caught ends the program: it starts again and looks anew.
 */
export function installShutdown({ log, events = process, exit = process.exit }: ShutdownOptions): Shutdown {
  const controller = new AbortController();
  const onSignal = (name: string) => {
    if (controller.signal.aborted) {
      log.warn({ signal: name }, 'Asked to stop again, leaving at once');
      exit(1);
      return;
    }
    log.info({ signal: name }, 'Stopping');
    controller.abort(new Error(`received ${name}`));
  };
  const onFault = (error: unknown) => {
    log.error({ err: error }, 'Unexpected fault, leaving');
    exit(1);
  };
  const handlers = [
    ['SIGTERM', onSignal],
    ['SIGINT', onSignal],
    ['unhandledRejection', onFault],
    ['uncaughtException', onFault],
  ] as const;
  for (const [event, handler] of handlers) {
    events.on(event, handler);
  }
  return {
    signal: controller.signal,
    uninstall: () => {
      for (const [event, handler] of handlers) {
        events.off(event, handler);
      }
    },
  };
}
